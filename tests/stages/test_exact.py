"""Exact duplicates: which documents share a key."""

import subprocess
import sys

import pyarrow as pa
import pytest
from pydantic import ValidationError

from gristmill.stages.documents import Batch
from gristmill.stages.exact import Exact
from gristmill.stages.registry import stage_class


def rows(stage, texts):
    emitted = stage.emit(Batch(pa.table({"text": pa.array(texts, pa.large_string())})))
    assert emitted.schema == pa.schema([("key", pa.uint64()), ("check", pa.uint64()), ("row", pa.int64())])
    return {row["row"]: (row["key"], row["check"]) for row in emitted.to_pylist()}


def test_copies_that_differ_in_capitals_spacing_and_punctuation_share_a_key():
    found = rows(Exact(), ["Hello, World!", "hello\n  world", "HELLO “WORLD”", "hello worlds"])
    assert found[0] == found[1] == found[2]
    assert found[3] != found[0]


@pytest.mark.parametrize(
    ("switch", "left", "right"),
    [("lowercase", "Word", "word"), ("collapse_whitespace", "a  b", "a b"), ("remove_punctuation", "a.", "a")],
)
def test_a_switch_turned_off_tells_texts_apart(switch, left, right):
    same = rows(Exact(), [left, right])
    different = rows(Exact(**{switch: False}), [left, right])
    assert same[0] == same[1]
    assert different[0] != different[1]


@pytest.mark.parametrize(
    ("settings", "left", "right"),
    [
        ({"zero_digits": True}, "Page 12 of ٣٤", "page 99 of 00"),
        ({"remove_accents": True}, "Café Zürich", "cafe\u0301 zurich"),
        ({"unicode_form": "NFC"}, "café", "cafe\u0301"),
        ({"unicode_form": "NFD"}, "café", "cafe\u0301"),
        ({"unicode_form": "NFKC"}, "ﬁle Ａ²", "file A2"),
        ({"unicode_form": "NFKD", "remove_accents": True}, "ﬁancé", "fiance"),
    ],
)
def test_a_switch_turned_on_takes_texts_for_the_same(settings, left, right):
    different = rows(Exact(), [left, right])
    same = rows(Exact(**settings), [left, right])
    assert different[0] != different[1]
    assert same[0] == same[1]


def test_a_plain_form_keeps_ligatures_apart():
    found = rows(Exact(unicode_form="NFC"), ["ﬁle", "file"])
    assert found[0] != found[1]


def test_texts_of_which_nothing_is_left_are_no_duplicates():
    assert sorted(rows(Exact(), ["", "  \n", "...!", "x", ""])) == [3]


def test_word_boundaries_are_kept():
    found = rows(Exact(), ["a b c", "ab c", "a bc"])
    assert len(set(found.values())) == 3


def test_keys_do_not_depend_on_the_batch():
    texts = ["one", "Two two", "", "three — drei", "é" * 50]
    whole = rows(Exact(), texts)
    for place, text in enumerate(texts):
        assert rows(Exact(), [text]).get(0) == whole.get(place)


def test_what_the_engine_asks_of_it():
    stage = Exact()
    assert (stage.rule, stage.least_similarity, stage.keep, stage.one_key, stage.rows_per_document) == (
        *("exact_duplicate", None, "longest", True, 1),
    )
    assert stage.sketches(Batch(pa.table({"text": pa.array(["x"], pa.large_string())}))) is None
    assert stage_class("exact") is Exact


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValidationError, match="lower"):
        Exact(lower=True)


def test_settings_load_no_kernels():
    heavy = "{'numpy', 'numba', 'pyarrow'}"
    code = f"import sys, gristmill.stages.exact, gristmill.stages.minhash; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
