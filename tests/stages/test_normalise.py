import gzip
import json
import unicodedata

import ftfy.badness
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gristmill.stages import normalise_kernels as kernels
from gristmill.stages.documents import Batch
from gristmill.stages.editor import Edited, Loss
from gristmill.stages.features import TextFeatures
from gristmill.stages.normalise import BLANKS, Normalise, collapsed, repaired

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            [" ", "  ", "\n", "\n\n", "\t", "\xa0", "\r", "\r\n", "\u2028", "\x00", "\x7f", "\x85", "\ufeff", "\u3000"]
        ),
        st.sampled_from(["a", "é", "e\u0301", "\u0301", "ﬁ", "Å", "\u212b", "가", "\u1100\u1161", "中", "я", "λ", "“", "”", "…"]),
        st.sampled_from(["â€™", "Ã©", "Â ", "Å“", "œ ", "вЂ”", "ГўВЂВ", "Ã ", "√±", "а\u0306"]),
        st.text(CHARACTERS, max_size=3),
        st.text(CHARACTERS, max_size=4).map(lambda text: text.encode().decode("cp1252", "ignore")),
        st.text(CHARACTERS, max_size=4).map(lambda text: text.encode().decode("cp1251", "ignore")),
    ),
    max_size=12,
).map("".join)
OFF = {"mojibake": False, "form": None, "line_ends": False, "control_characters": False, "whitespace": False}


def edit(*texts: str, **settings: object) -> Edited:
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    return Normalise(**settings).edit(Batch(table))


def edited(text: str, **settings: object) -> str:
    return edit(text, **settings).table["text"][0].as_py()


@pytest.mark.parametrize(
    ("settings", "text", "expected"),
    [
        ({"mojibake": True}, "itâ€™s a cafÃ©", "it’s a café"),
        ({"mojibake": True}, "中文\nitâ€™s", "中文\nit’s"),  # each line by itself: Chinese was never Windows-1252
        ({"mojibake": True}, "naïve café “so” œuvre Ünüvar Ångström", "naïve café “so” œuvre Ünüvar Ångström"),
        ({"mojibake": True}, "a\r\nb  c\x00", "a\r\nb  c\x00"),
        ({"form": "NFC"}, "e\u0301 \u212b ﬁ ²", "é Å ﬁ ²"),
        ({"form": "NFC"}, "\u1100\u1161\u11a8", "각"),
        ({"form": "NFKC"}, "e\u0301 \u212b ﬁ ² Ａ", "é Å fi 2 A"),
        ({"line_ends": True}, "a\r\nb\rc\u2028d\x85e\ff", "a\nb\nc\nd\ne\nf"),
        ({"control_characters": True}, "\ufeffa\x00b\x07\tc\xadd\u200d\n", "ab\tcd\u200d\n"),
        ({"whitespace": True}, "\n a  b\tc \n \n\n\nd\xa0\xa0e\u3000\n", " a b c\n\nd e"),
        ({"whitespace": True, "indentation": False}, "\t a  b\n\n  c", "a b\n\nc"),
        ({"whitespace": True}, "x\n    y = 1\n", "x\n    y = 1"),
    ],
)
def test_each_setting_does_its_part(settings, text, expected):
    assert edited(text, **OFF | settings) == expected


def test_all_of_it_together_and_what_was_cut():
    result = edit("good text, “quoted” — and so on…", "itâ€™s\nhere  now\nfine", "a\r\n\r\n\r\nb")
    assert result.table["text"].to_pylist() == ["good text, “quoted” — and so on…", "it’s\nhere now\nfine", "a\n\nb"]
    assert result.cuts.to_pylist() == [
        {"row": 1, "start": 2, "end": 5, "text": "â€™", "put": "’"},
        {"row": 1, "start": 12, "end": 13, "text": " ", "put": None},
        {"row": 2, "start": 1, "end": 6, "text": "\r\n\r\n\r", "put": "\n"},
    ]


def test_where_one_line_is_parted_and_another_goes_the_cut_is_one_piece():
    # as many newlines as before: the line separator became one, and the one at the end went
    result = edit("a \u2028b \n")
    assert result.table["text"].to_pylist() == ["a\nb"]
    assert result.cuts.to_pylist() == [{"row": 0, "start": 1, "end": 6, "text": " \u2028b \n", "put": "\nb"}]


def test_a_document_of_blanks_is_lost():
    result = edit(" \n\t", "", "a")
    assert result.table["text"].to_pylist() == ["", "", "a"]
    assert result.losses == [Loss(0, "nothing_left"), Loss(1, "empty")]


@given(TEXTS)
@example(" \n")
@example("\n")
def test_what_is_not_normal_is_that_of_the_plain_definition(text):
    features = TextFeatures(pa.array([text, "x", text], pa.large_string()))
    expected = kernels.not_normal_plainly(text)
    assert kernels.not_normal(features).tolist() == [expected, 0, expected]


@given(TEXTS)
def test_what_is_not_marked_would_not_change(text):
    marked = kernels.not_normal_plainly(text)
    if not marked & kernels.MOJIBAKE:
        assert not ftfy.badness.is_bad(text)
        assert "\n".join(map(repaired, text.split("\n"))) == text
    for form, mark in (("NFC", kernels.NFC), ("NFKC", kernels.NFKC)):
        assert marked & mark or unicodedata.is_normalized(form, text)
    every = {kernels.LINE_END: "line_ends", kernels.CONTROL: "control_characters", kernels.SPACE: "whitespace"}
    for mark, setting in every.items():
        assert marked & mark or Normalise(**OFF | {setting: True})._normal(text) == text


@given(TEXTS, st.booleans())
def test_white_space_is_collapsed_line_by_line(text, indentation):
    lines = []
    for line in text.split("\n"):
        body = line.strip(BLANKS)
        indent = line[: len(line) - len(line.lstrip(BLANKS))] if indentation and body else ""
        words = "".join(" " if character in BLANKS else character for character in body).split(" ")
        lines.append(indent + " ".join(word for word in words if word))
    expected = "\n".join(lines).strip("\n")
    while "\n\n\n" in expected:
        expected = expected.replace("\n\n\n", "\n\n")
    assert collapsed(text, indentation) == expected


@given(TEXTS, st.sampled_from(["NFC", "NFKC", None]), st.booleans())
def test_only_what_is_cut_changes(text, form, indentation):
    result = edit(text, form=form, indentation=indentation)
    after = result.table["text"][0].as_py()
    assert after == Normalise(form=form, indentation=indentation)._normal(text)
    cuts = result.cuts.to_pylist()
    assert [text[cut["start"] : cut["end"]] for cut in cuts] == [cut["text"] for cut in cuts]
    assert bool(cuts) == (after != text)


@pytest.mark.parametrize("piece", [" ", "\n", " \n", "\t", "Ã", "â€", "Â ", "\u0301", "\r", "a\u0301\u0323", "\xa0a", "œ"])
def test_a_megabyte_of_anything_is_done(piece):
    text = "x" + piece * (1_000_000 // len(piece)) + "x"
    assert edit(text).losses == []


def test_bytes_that_are_no_utf8_are_read_around():
    data = pa.array([b"a  \xff b", b"\xe2\x82"], pa.large_binary())
    broken = pa.Array.from_buffers(pa.large_string(), 2, data.buffers())
    assert Normalise().edit(Batch(pa.table({"text": broken}))).table["text"][0].as_py() == "a � b"


def test_real_texts_are_normalised_alike_whether_marked_or_not(shared_data):
    with gzip.open(shared_data / "text" / "encyclopedic.jsonl.gz") as lines:
        texts = [json.loads(line)["text"][:20_000] for line, _ in zip(lines, range(60), strict=False)]
    assert edit(*texts).table["text"].to_pylist() == list(map(Normalise()._normal, texts))
