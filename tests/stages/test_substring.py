"""What the units of exact substrings are, and where they stand."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from gristmill.stages.documents import Batch
from gristmill.stages.features import TextFeatures
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.substring import Substring
from gristmill.stages.substring_units import byte_units, token_units, word_units
from tokenizers import Tokenizer, models, pre_tokenizers


def features(*texts: str) -> TextFeatures:
    # the texts are part of a longer column, as those of a slice are
    return TextFeatures(pa.array(["before", *texts, "after"], pa.large_string()).slice(1, len(texts)))


def bounds(units, row: int, first: int, last: int) -> tuple[int, int]:
    """Bytes of the document from one of its units to another."""
    at = units.offsets[row]
    start, end = units.bounds(np.array([at + first]), np.array([at + last]), np.array([row]))
    return int(start[0]), int(end[0])


def test_bytes_are_told_by_their_values_and_bound_by_whole_characters():
    units = byte_units(features("aé", "日本"))
    assert units.data[: units.offsets[-1]].tobytes().decode() == "aé日本"
    assert units.offsets.tolist() == [0, 3, 9]
    assert bounds(units, 0, 0, 2) == (0, 3)
    assert bounds(units, 0, 0, 1) == (0, 1)  # half of é is not in
    assert bounds(units, 1, 0, 5) == (0, 6)
    assert bounds(units, 1, 1, 5) == (3, 6)
    assert bounds(units, 1, 0, 4) == (0, 3)
    assert bounds(units, 1, 1, 4) == (3, 3)


def test_words_go_with_the_white_space_behind_them():
    units = word_units(features("  one two\n\nthree ", "", "two"), "whitespace")
    assert units.offsets.tolist() == [0, 3, 3, 4]
    assert bounds(units, 0, 0, 0) == (2, 6)
    assert bounds(units, 0, 1, 2) == (6, 17)
    assert bounds(units, 2, 0, 0) == (0, 3)
    hashes = units.data[:32].view(np.uint64)
    assert hashes[1] == hashes[3]
    assert len(set(hashes.tolist())) == 3


def test_by_the_rules_of_unicode_each_chinese_character_is_a_word():
    assert word_units(features("人人生而自由 and free"), "uax29").offsets.tolist() == [0, 8]
    assert word_units(features("人人生而自由 and free"), "whitespace").offsets.tolist() == [0, 3]


@pytest.fixture
def tokenizer(tmp_path) -> str:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate([*alphabet, "ab"])}, merges=[("a", "b")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens(["<|endoftext|>"])
    made.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path / "tokenizer.json")


def test_a_character_of_several_tokens_is_in_what_has_all_of_them(tokenizer):
    units = token_units(features("", "ab日c"), tokenizer)
    assert units.offsets.tolist() == [0, 0, 5]  # ab, three bytes, c
    assert bounds(units, 1, 0, 0) == (0, 2)
    assert bounds(units, 1, 1, 3) == (2, 5)
    assert bounds(units, 1, 0, 3) == (0, 5)
    for first, last, expected in ((0, 1, (0, 2)), (0, 2, (0, 2)), (2, 4, (5, 6)), (3, 4, (5, 6))):
        assert bounds(units, 1, first, last) == expected
    start, end = bounds(units, 1, 2, 3)
    assert start >= end


def test_a_special_token_in_the_text_is_text(tokenizer):
    assert token_units(features("<|endoftext|>"), tokenizer).offsets.tolist() == [0, 13]


def test_a_tokenizer_is_read_when_the_stage_is_made_ready(tokenizer, tmp_path):
    stage = Substring(unit="tokenizer", tokenizer=tokenizer)
    stage.set_up()
    assert stage.files() == [tokenizer]
    with pytest.raises(StageUnavailable, match="give the path of a tokenizer"):
        Substring(unit="tokenizer", tokenizer=str(tmp_path / "no.json")).set_up()


@pytest.mark.parametrize("length", [8, 50, 500, 65_536, 100_000])
def test_k_grams_and_windows_of_them_cover_the_shortest_repeat(length):
    k, w = Substring(min_length=length).grams
    assert k + w - 1 == length
    assert 1 <= w <= 1 << 15


@pytest.mark.parametrize("length", [0, 7, 100_001])
def test_a_length_out_of_bounds_is_refused(length):
    with pytest.raises(ValidationError, match="min_length"):
        Substring(min_length=length)


@pytest.mark.parametrize(
    ("most", "floor", "rules"),
    [
        (None, 0, ["nothing_left"]),
        (None, 4, ["too_short", "too_short"]),
        (0.5, 0, ["repeated_text", "repeated_text"]),
        (0.9, 0, ["repeated_text"]),
    ],
)
def test_what_is_left_of_a_document_decides_its_fate(most, floor, rules):
    texts = ["0123456789", "012345éééé", "0123456789", ""]
    units = pa.table({"row": [0, 1], "start": [0, 0], "end": [10, 12]})
    batch = Batch.of(pa.table({"text": texts}))
    edited = Substring(unit="bytes", max_share=most, min_characters=floor).cut(batch, units)
    assert edited.table["text"].to_pylist() == ["", "é", "0123456789", ""]
    assert [loss.rule for loss in edited.losses] == rules
    assert edited.cuts.to_pylist() == [
        {"row": 0, "start": 0, "end": 10, "text": "0123456789"},
        {"row": 1, "start": 0, "end": 9, "text": "012345ééé"},
    ]


def test_all_windows_are_units_and_equal_ones_have_equal_keys():
    table = Batch.of(pa.table({"text": ["one two one", "a b c d e f g h i", "", "b c d e f g h i"]}))
    windows = Substring(min_length=8).emit(table).to_pylist()
    assert [(one["row"], one["start"], one["end"]) for one in windows] == [(1, 0, 16), (1, 2, 17), (3, 0, 15)]
    keys = [(one["key"], one["check"]) for one in windows]
    assert keys[0] != keys[1] == keys[2]
