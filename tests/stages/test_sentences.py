"""Sentences: the rules by example, and the kernel held to its plain definition."""

import gzip
import json
import sys
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.stages.features import TextFeatures
from gristmill.stages.line_classes import CLOSER, DIGIT, LOWER, TERMINAL, UPPER, closing_marks, line_classes
from gristmill.stages.sentences import split_sentences_plainly
from gristmill.stages.signals import compute


def count(texts: list[str]) -> list[float]:
    return compute("sentence_count", TextFeatures(pa.array(texts, pa.large_string())), {}).tolist()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n\t", []),
        ("One", ["One"]),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("A line without an end\nand another.", ["A line without an end", "and another."]),
        ('He said "Stop!" Then he left.', ['He said "Stop!"', "Then he left."]),
        ("(It rained.) We stayed.", ["(It rained.)", "We stayed."]),
        ("What?! No way...", ["What?!", "No way..."]),
        ("Version 2.5 is out. See example.com now.", ["Version 2.5 is out.", "See example.com now."]),
        ("He waited ... and left. He waited ... Then he left.", ["He waited ... and left.", "He waited ...", "Then he left."]),
        ("Mr. Smith met Dr. Jones.", ["Mr. Smith met Dr. Jones."]),
        ("J. R. Smith of the U.S. Army came.", ["J. R. Smith of the U.S. Army came."]),
        ("See Fig. 3 and No. 5. No. That is wrong.", ["See Fig. 3 and No. 5.", "No.", "That is wrong."]),
        ("Born on Jan. 5 in Rome. It was Jan. She left.", ["Born on Jan. 5 in Rome.", "It was Jan.", "She left."]),
        ("Use a tool, e.g. Make or i.e. Ninja.", ["Use a tool, e.g. Make or i.e. Ninja."]),
        ("approx. ten. Ten is 10. 20 is twice it.", ["approx. ten.", "Ten is 10.", "20 is twice it."]),
        ("今日は晴れ。明日は雨？「はい。」終わり", ["今日は晴れ。", "明日は雨？", "「はい。」", "終わり"]),
        ("यह पहला है। यह दूसरा है।", ["यह पहला है।", "यह दूसरा है।"]),
        ("هل هذا سؤال؟ نعم.", ["هل هذا سؤال؟", "نعم."]),
        ("یہ پہلا ہے۔ یہ دوسرا ہے۔", ["یہ پہلا ہے۔", "یہ دوسرا ہے۔"]),
        ("ይህ አንድ ነው። ይህ ሁለት ነው።", ["ይህ አንድ ነው።", "ይህ ሁለት ነው።"]),
        ("Սա մեկն է։ Սա երկուսն է։", ["Սա մեկն է։", "Սա երկուսն է։"]),
        ("प्रथमः श्लोकः। द्वितीयः॥ तृतीयः", ["प्रथमः श्लोकः।", "द्वितीयः॥", "तृतीयः"]),
        ("ខ្ញុំទៅ។អ្នកមក៕", ["ខ្ញុំទៅ។", "អ្នកមក៕"]),
        ("ကျွန်တော်သွားမယ်။သူလာတယ်။", ["ကျွန်တော်သွားမယ်။", "သူလာတယ်။"]),
        ("བོད་ཡིག །། སྐད་ཡིག། མཇུག", ["བོད་ཡིག །།", "སྐད་ཡིག།", "མཇུག"]),
        ("ང་འགྲོ། །ཁྱོད་ཤོག ། །", ["ང་འགྲོ། །", "ཁྱོད་ཤོག ། །"]),
        ("ฉันกินข้าว เธอกินปลา 3 ตัว", ["ฉันกินข้าว", "เธอกินปลา 3 ตัว"]),
        ("ຂ້ອຍກິນເຂົ້າ ເຈົ້າກິນປາ (ok) ດີ", ["ຂ້ອຍກິນເຂົ້າ", "ເຈົ້າກິນປາ (ok) ດີ"]),
    ],
)
def test_where_sentences_end(text, sentences):
    assert split_sentences_plainly(text) == sentences
    assert count([text]) == [len(sentences)]


PIECES = st.sampled_from(
    [
        "a",
        "B",
        "abcdefghijklm",
        "Mr",
        "mr",
        "e.g",
        "no",
        "No",
        "5",
        "é",
        "É",
        ".",
        "..",
        "!",
        "?",
        '"',
        ")",
        "。",
        "।",
        "།",
        "ก",
        "ກ່",
        " ",
        "\n",
        "\u2028",
        "\t",
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=30).map("".join), st.text(max_size=20))


@settings(deadline=None, max_examples=1000)
@given(st.lists(TEXTS, max_size=3))
@example(["\x1c", "\x7f", "\0", ".", "a.", "é.B", "eemr. B", "abcdefghijmr. B"])
def test_counts_equal_the_plain_splitter(texts):
    assert count(texts) == [len(split_sentences_plainly(text)) for text in texts]


def test_counts_equal_the_plain_splitter_on_real_texts(shared_data):
    texts = []
    for path in sorted((shared_data / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"][:20_000] for line, _ in zip(lines, range(20), strict=False)]
    assert count(texts) == [len(split_sentences_plainly(text)) for text in texts]


def test_classes_are_those_of_the_interpreter():
    classes = line_classes()
    closing = set(closing_marks())
    for point in range(sys.maxunicode + 1):
        character, value = chr(point), classes[point]
        assert bool(value & LOWER) == character.islower()
        assert bool(value & UPPER) == character.isupper()
        assert bool(value & DIGIT) == character.isdigit()
        assert bool(value & CLOSER) == (character in closing)
        if value & TERMINAL:
            assert unicodedata.category(character) in ("Po", "Cn")
    assert not any(unicodedata.category(chr(point)) in ("Pe", "Pf", "Pi") for point in range(0x10000, sys.maxunicode + 1))
