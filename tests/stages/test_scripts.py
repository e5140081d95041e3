import gzip
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.features import TextFeatures
from gristmill.stages.scripts import SCRIPTS, letter_share_plainly, letter_shares, script_mask, script_plainly, script_table


@pytest.mark.parametrize(
    ("letter", "script"),
    [
        ("a", "Latn"),
        ("ж", "Cyrl"),
        ("ß", "Latn"),
        ("中", "Hani"),
        ("の", "Hira"),
        ("カ", "Kana"),
        ("ｶ", "Kana"),
        ("한", "Hang"),
        ("ก", "Thai"),
    ],
)
def test_scripts_of_letters(letter, script):
    assert SCRIPTS[script_table()[ord(letter)]] == script


def test_what_is_no_letter_has_no_script():
    assert [int(script_table()[ord(character)]) for character in "1 .\u0301€"] == [255] * 5


def test_the_table_is_what_the_names_of_letters_say():
    generator = np.random.default_rng(0)
    points = [*range(0x3000), *generator.integers(0x3000, 0x110000, 3000).tolist()]
    for point in points:
        found = script_plainly(chr(point))
        assert script_table()[point] == (255 if found is None else found)


def test_shares_count_letters_only():
    texts = pa.array(["abc где 123", "", "12", "x中"], pa.large_string())
    shares = letter_shares(TextFeatures(texts), [("Latn",), ("Latn",), ("Latn",), ("Latn", "Hani")])
    np.testing.assert_array_equal(shares, [0.5, np.nan, np.nan, 1])


def test_a_script_that_is_not_told_apart_has_no_bit():
    assert script_mask(["Latn", "Zzzz"]) == 1 << SCRIPTS.index("Latn")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.text(), st.sets(st.sampled_from(SCRIPTS), max_size=4)), min_size=1, max_size=5))
def test_the_kernel_counts_as_the_plain_function_does(rows):
    shares = letter_shares(
        TextFeatures(pa.array([text for text, _ in rows], pa.large_string())), [scripts for _, scripts in rows]
    )
    for share, (text, scripts) in zip(shares, rows, strict=True):
        plain = letter_share_plainly(text, scripts)
        assert share == plain or (math.isnan(share) and math.isnan(plain))


def test_the_same_on_real_text_of_many_scripts(shared_data):
    with gzip.open(shared_data / "lang" / "langid_eval.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines][::25]
    scripts = ["Latn", "Cyrl", "Arab"]
    shares = letter_shares(TextFeatures(pa.array(texts, pa.large_string())), [scripts] * len(texts))
    np.testing.assert_array_equal(shares, [letter_share_plainly(text, scripts) for text in texts])
