"""Units in the form in which they are compared: CCNet's golden cases, and kernels equal to plain Python."""

import gzip
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.unit_normalisation import FORMS, form_plainly, unit_key_plainly, unit_keys

# letters whose lower case is longer, shorter, depends on its neighbours or is two; digits of other scripts; what CCNet leaves out
ODD = "ΣσςİKÅẞⱥȺ٣１²Ⅷ½—“”…►\x00\x07\x85\u2028\u00a0 \t\n"
TEXTS = st.lists(
    st.text(st.sampled_from(ODD + "aZ09.,é漢😀") | st.characters(exclude_categories=["Cs"]), max_size=12), max_size=8
)


def keys_of(texts: list[str], form: int, sha1: bool = False, least: int = 0) -> tuple[list[tuple[int, int]], list[int]]:
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    data = np.frombuffer(bytearray(b"".join(encoded)), dtype=np.uint8)
    keys, checks, places = unit_keys(data, offsets[:-1].copy(), offsets[1:].copy(), form, sha1, least)
    return list(zip(keys.tolist(), checks.tolist(), strict=True)), places.tolist()


# computed with cc_net's own functions
CCNET = [
    ("Hello, World 2021!", "hello, world 0000!", 1714268150457487379),
    ("  HELLO, world 1999!  ", "hello, world 0000!", 1714268150457487379),
    ("", "", 957977401221134810),
    ("Café — “déjà vu” …", "café  déjà vu ", 11854313287969114566),
    ("Price: 12,50 €", "price: 00,00 €", 14429560089057049985),
    ("Ａ１（test）", "ａ0test", 15919760659178283193),
]


@pytest.mark.parametrize(("text", "normal", "key"), CCNET)
def test_ccnet_normalises_and_hashes_as_its_code_does(text, normal, key):
    assert form_plainly(text, FORMS["ccnet"]) == normal
    assert keys_of([text], FORMS["ccnet"], sha1=True) == ([(key, 0)], [0])


@pytest.mark.parametrize("size", [0, 1, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 128, 1000])
def test_the_key_is_the_beginning_of_sha1_at_all_lengths_of_padding(size):
    text = "x" * size
    expected = int.from_bytes(hashlib.sha1(text.encode()).digest()[:8], "little")
    assert keys_of([text], FORMS["exact"], sha1=True) == ([(expected, 0)], [0])


@given(TEXTS, st.sampled_from(sorted(FORMS.values())), st.booleans())
def test_kernels_hash_what_plain_python_writes(texts, form, sha1):
    assert keys_of(texts, form, sha1)[0] == [unit_key_plainly(text, form, sha1) for text in texts]


@pytest.mark.parametrize(
    ("form", "one", "other", "same"),
    [
        ("exact", "a ", "a", False),
        ("stripped", "\u2003a ", "a", True),
        ("stripped", "A", "a", False),
        ("lowercase", " ΟΔΟΣ", "οδος", True),
        ("lowercase", "ΟΔΟΣ", "οδοσ", False),
        ("lowercase", "İ", "i̇", True),
        ("ccnet", "tab\there 10", "TABhere 99", True),
        ("ccnet", "naïve", "naive", False),
        ("loose", "“Hi”,  there", "hi there!", True),
        ("loose", "1.5", "25", False),
    ],
)
def test_what_a_form_takes_for_the_same(form, one, other, same):
    found, _ = keys_of([one, other], FORMS[form])
    assert (found[0] == found[1]) == same


def test_units_with_too_few_characters_are_left_out_and_white_space_at_the_ends_does_not_count():
    assert keys_of(["ééé", " éé ", "\u2003\u2003\u2003", "abcd"], FORMS["exact"], least=3)[1] == [0, 3]
    assert keys_of(["", " ", "a"], FORMS["exact"], least=0)[1] == [0, 1, 2]


@pytest.mark.parametrize("name", ["qa", "encyclopedic"])
def test_real_lines_hash_as_in_plain_python(shared_data, name):
    with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [line for record in list(file)[:40] for line in json.loads(record)["text"].split("\n")][:1500]
    for form in FORMS.values():
        assert keys_of(lines, form)[0] == [unit_key_plainly(line, form, sha1=False) for line in lines]
    assert keys_of(lines, FORMS["ccnet"], sha1=True)[0] == [unit_key_plainly(line, FORMS["ccnet"], sha1=True) for line in lines]
