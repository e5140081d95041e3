"""Each splitter, compiled and plain, finds the same pieces; UAX #29 is held against the library that DCLM splits words with."""

import gzip
import json
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniseg import wordbreak

from gristmill.stages import uax29_classes as wb
from gristmill.stages.features import Spans, TextFeatures
from gristmill.stages.words import (
    SEGMENT_KINDS,
    SPLITTERS,
    split_segments_plainly,
    split_words_plainly,
    uax29_segments_plainly,
    wordless_marks,
)

# uniseg knows a newer Unicode than some interpreters: only characters that both know
ASSIGNED = st.characters(exclude_categories=["Cs", "Cn"])
TRICKY = st.sampled_from(list("aAzé09_ \t\n\r\v\x1c\x85\u2028.,:;'\"’·…#•●*-\u0308\u200d\u200bאבアイ中ก🇩🇪😀👩\u202f\u3000"))
TEXTS = st.text(st.one_of(TRICKY, TRICKY, ASSIGNED), max_size=30)


def pieces(features: TextFeatures, spans: Spans) -> list[list[str]]:
    data = features.data.tobytes()
    found = [data[start:end].decode() for start, end in zip(spans.starts, spans.ends, strict=True)]
    return [found[begin:end] for begin, end in zip(spans.offsets, spans.offsets[1:], strict=False)]


def features_of(texts: list[str]) -> TextFeatures:
    return TextFeatures(pa.array(texts, pa.large_string()))


def real_texts(folder, per_file: int, characters: int = 3000) -> list[str]:
    texts = []
    for path in sorted((folder / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"][:characters] for line, _ in zip(lines, range(per_file), strict=False)]
    return texts


@pytest.mark.parametrize(
    ("splitter", "words"),
    [
        ("whitespace", ["Can't", "stop:", "3.14", "e-mails_x", "«né»!", "🇩🇪🇫🇷"]),
        ("wordpunct", ["Can", "'", "t", "stop", ":", "3", ".", "14", "e", "-", "mails_x", "«", "né", "»!", "🇩🇪🇫🇷"]),
        ("uax29", ["Can't", "stop", ":", "3.14", "e", "-", "mails_x", "«", "né", "»", "!", "🇩🇪", "🇫🇷"]),
        ("uax29_alphanumeric", ["Can't", "stop", "3.14", "e", "mails_x", "né"]),
    ],
)
def test_words_of_a_sentence(splitter, words):
    text = "Can't stop:\u00a03.14  e-mails_x\n«né»! 🇩🇪🇫🇷 "
    features = features_of(["", text])
    assert pieces(features, features.words(splitter)) == [[], words]
    assert split_words_plainly(text, splitter) == words


@pytest.mark.parametrize(
    ("kind", "segments"),
    [
        ("stripped_lines", ["a", "b", "c\rd"]),
        ("all_lines", ["", " a", "b ", "", "", " ", "c\rd", ""]),
        ("newline_runs", ["", " a", "b ", " ", "c\rd", ""]),
        ("splitlines", ["", " a", "b ", "", "", " ", "c", "d"]),
        ("stripped_paragraphs", ["a\nb", "c\rd"]),
        ("blank_line_runs", ["a\nb ", " \nc\rd"]),
    ],
)
def test_segments_of_a_text(kind, segments):
    text = "\n a\nb \n\n\n \nc\rd\n"
    features = features_of([text])
    assert pieces(features, features.segments(kind)) == [segments]
    assert split_segments_plainly(text, kind) == segments


@settings(deadline=None, max_examples=300)
@given(st.lists(TEXTS, max_size=4))
def test_kernels_find_what_the_plain_definitions_find(texts):
    features = features_of(texts)
    for splitter in SPLITTERS:
        assert pieces(features, features.words(splitter)) == [split_words_plainly(text, splitter) for text in texts]
    for kind in SEGMENT_KINDS:
        assert pieces(features, features.segments(kind)) == [split_segments_plainly(text, kind) for text in texts]


@settings(deadline=None, max_examples=500)
@given(TEXTS)
def test_uax29_segments_are_those_of_uniseg(text):
    assert uax29_segments_plainly(text) == (list(wordbreak.words(text)) if text else [])


def test_kernels_and_plain_definitions_agree_on_real_texts(shared_data):
    texts = real_texts(shared_data, per_file=12)
    features = features_of(texts)
    for splitter in SPLITTERS:
        assert pieces(features, features.words(splitter)) == [split_words_plainly(text, splitter) for text in texts]
    for kind in SEGMENT_KINDS:
        assert pieces(features, features.segments(kind)) == [split_segments_plainly(text, kind) for text in texts]


def test_word_break_classes_are_unicodes():
    names = {name.replace("_", ""): value for name, value in vars(wb).items() if name.isupper() and isinstance(value, int)}
    classes = wb.word_break_classes()
    different = [
        hex(point)
        for point in range(0x110000)
        if unicodedata.category(chr(point)) != "Cn"
        and names[wordbreak.word_break(chr(point)).name.replace("_", "")] != classes[point] & wb.CLASS_MASK
    ]
    assert different == []


def test_marks_that_make_no_word_are_punctuation_and_control_characters():
    marks = wordless_marks()
    assert all(marks[ord(character)] for character in "!#$+<=>^`|~–“”…»。！\0\x7f\x9f")
    assert not any(marks[ord(character)] for character in "a1é €中\t\n")
