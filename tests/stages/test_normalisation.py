"""Normalised texts: what is taken out, and that their hashes follow."""

import gzip
import json
import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.features import TextFeatures
from gristmill.stages.hashing import hash128_plainly
from gristmill.stages.normalisation import (
    COLLAPSE_WHITESPACE,
    LOWERCASE,
    REMOVE_PUNCTUATION,
    ZERO_DIGITS,
    in_unicode_form,
    normalise,
    normalise_plainly,
    text_keys,
)
from gristmill.stages.unicode_tables import tables

ALL = LOWERCASE | COLLAPSE_WHITESPACE | REMOVE_PUNCTUATION


def features(texts):
    return TextFeatures(pa.array(texts, pa.large_string()))


def normalised(text, how=ALL):
    data = features([text]).data
    target = np.empty(len(data) * 3 // 2 + 8, dtype=np.uint8)
    size = normalise(data, 0, len(data), how, tables().flags, tables().lower, target)
    return target[:size].tobytes().decode()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (0, "  It’s\t ONE — “Test”\n"),
        (LOWERCASE, "  it’s\t one — “test”\n"),
        (COLLAPSE_WHITESPACE, "It’s ONE — “Test”"),
        (REMOVE_PUNCTUATION, "  Its\t ONE  Test\n"),
        (ALL, "its one test"),
        (ZERO_DIGITS, "  It’s\t ONE — “Test”\n"),
    ],
)
def test_each_switch_takes_out_its_part(how, expected):
    text = "  It’s\t ONE — “Test”\n"
    assert normalised(text, how) == expected
    assert normalise_plainly(text, how) == expected


def test_decimal_digits_of_all_scripts_are_0_and_other_numbers_stay():
    assert normalised("In 1984: ٣ of १२, ½ and ² and Ⅻ", ZERO_DIGITS) == "In 0000: 0 of 00, ½ and ² and Ⅻ"


known = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cn", "Co"]), max_size=20)


@settings(deadline=None)
@given(st.lists(known, max_size=4), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]), st.booleans())
def test_unicode_forms_are_those_of_the_standard_library(texts, form, accents):
    expected = []
    for text in texts:
        if not accents:
            decomposed = unicodedata.normalize("NFKD" if "K" in form else "NFD", text)
            text = "".join(one for one in decomposed if unicodedata.category(one) != "Mn")
        expected.append(unicodedata.normalize(form, text).encode())
    found = in_unicode_form(features(["before", *texts]), form, accents)
    cuts = zip(found.offsets[1:], found.offsets[2:], strict=False)
    assert [found.data[begin:end].tobytes() for begin, end in cuts] == expected


def test_symbols_are_no_punctuation():
    assert normalised("$1 + 1 < 3!") == "$1 + 1 < 3"


def test_capitals_that_grow_fit():
    assert normalised("Ⱥ" * 40) == "ⱥ" * 40


some_text = st.one_of(st.text(max_size=60), st.text(st.sampled_from("aZ .\n\u00a0“—ÉȺİ漢𝔸𐐀$"), max_size=60))


@settings(deadline=None)
@given(some_text, st.integers(0, ALL | ZERO_DIGITS))
def test_normalised_text_equals_its_plain_twin(text, how):
    assert normalised(text, how) == normalise_plainly(text, how)


def test_every_code_point_is_normalised_as_its_plain_twin_does():
    text = "".join(chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000)
    assert normalised(text) == normalise_plainly(text, ALL)


@settings(deadline=None)
@given(st.lists(some_text, max_size=6), st.integers(0, ALL | ZERO_DIGITS))
def test_keys_are_the_hashes_of_the_normalised_texts_that_are_not_empty(texts, how):
    plain = [normalise_plainly(text, how) for text in texts]
    expected = [(*hash128_plainly(text.encode(), how), row) for row, text in enumerate(plain) if text]
    keys, checks, rows = text_keys(features(texts), how)
    assert list(zip(keys.tolist(), checks.tolist(), rows.tolist(), strict=True)) == expected


def test_keys_equal_their_plain_twin_on_real_text(shared_data):
    for path in sorted((shared_data / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"][:20_000] for _, line in zip(range(5), lines, strict=False)]
        keys, checks, _ = text_keys(features(texts), ALL)
        expected = [hash128_plainly(normalise_plainly(text, ALL).encode(), ALL) for text in texts]
        assert list(zip(keys.tolist(), checks.tolist(), strict=True)) == expected
