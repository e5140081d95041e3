"""Each signal equals its plain definition, with every switch, on made-up and on real texts."""

import gzip
import json
from inspect import signature
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.features import TextFeatures
from gristmill.stages.signals import MODULES, compute, describe, plain_definition
from gristmill.stages.words import SEGMENT_KINDS, SPLITTERS

LINE_KINDS = ["stripped_lines", "all_lines", "newline_runs", "splitlines"]
PARAGRAPH_KINDS = [kind for kind in SEGMENT_KINDS if kind not in LINE_KINDS]
BULLETS = ["●•*-", "•-", "*-"]
NGRAMS = {"words": [*SPLITTERS], "counting": ["union", "greedy", "occurrences"]}
WORDS: dict[str, list[object]] = {"words": ["whitespace", "uax29"]}
SWITCHES: dict[str, dict[str, list[object]]] = {
    "character_count": {},
    "sentence_count": {},
    "full_line_count": {},
    "ended_line_fraction": {"marks": ["terminal", "ascii"]},
    "lines_of_few_chars_fraction": {"blank": ["skipped", "counted"], "chars": [30, 2, 0]},
    "copied_line_char_fraction": {"chars": [30, 2]},
    "lorem_ipsum_count": {},
    "curly_bracket_count": {},
    "page_character_count": {},
    "third_longest_line_length": {},
    "word_count": {"words": [*SPLITTERS], "punctuation": ["counted", "ignored"]},
    "mean_word_length": {"words": [*SPLITTERS], "punctuation": ["counted", "ignored"]},
    "stop_word_count": {"words": ["whitespace", "uax29"], "distinct": [False, True], "any_case": [False, True]},
    "ellipses_per_word": {"words": ["whitespace", "uax29"], "spaced": [False, True]},
    "bullet_line_fraction": {"lines": LINE_KINDS, "stripped": [False, True], "bullets": BULLETS},
    "ellipsis_line_fraction": {"lines": LINE_KINDS, "stripped": [False, True], "ellipses": ["spaced", "plain", "character"]},
    "duplicate_line_fraction": {"lines": LINE_KINDS, "copies": ["all", "extra"]},
    "duplicate_line_char_fraction": {"lines": LINE_KINDS, "copies": ["all", "extra"], "of": ["segments", "text", "words"]},
    "duplicate_paragraph_fraction": {"paragraphs": PARAGRAPH_KINDS, "copies": ["all", "extra"]},
    "duplicate_paragraph_char_fraction": {"paragraphs": PARAGRAPH_KINDS, "copies": ["all", "extra"], "of": ["segments", "text"]},
    **{name: NGRAMS for name in MODULES if name.endswith("gram_char_fraction")},
}
CASES = [
    (name, dict(zip(options, values, strict=True)))
    for name in MODULES
    for options in [SWITCHES.get(name, WORDS if "words" in signature(plain_definition(name)).parameters else {})]
    for values in product(*options.values())
] + [("word_count", {})]

# few different pieces, so that lines and n-grams repeat
PIECES = st.sampled_from(
    [
        "the",
        "The",
        "TO",
        "be",
        "a",
        "b",
        "é",
        "naïve",
        "12",
        "#",
        "...",
        ". . .",
        "…",
        "•",
        "- x",
        "* y",
        "\n",
        "\n\n",
        " ",
        "\u2028",
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=40).map(" ".join), st.lists(PIECES, max_size=20).map("".join), st.text(max_size=20))


def assert_equal_to_plain(texts: list[str], cases=CASES) -> None:
    features = TextFeatures(pa.array(texts, pa.large_string()))
    for name, switches in cases:
        values = compute(name, features, switches)
        assert values.dtype == np.float64
        expected = [plain_definition(name)(text, **switches) for text in texts]
        assert values.tolist() == expected, (name, switches)


@settings(deadline=None, max_examples=200)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_signals_equal_their_plain_definitions(texts):
    assert_equal_to_plain(texts)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(["a", "bb", "ccc", "."]), max_size=40).map(" ".join))
def test_ngram_signals_equal_their_plain_definitions_where_much_repeats(text):
    assert_equal_to_plain([text], [case for case in CASES if case[0].endswith("gram_char_fraction")])


def test_signals_equal_their_plain_definitions_on_real_texts(shared_data):
    texts = []
    for path in sorted((shared_data / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"][:1500] for line, _ in zip(lines, range(30), strict=False)]
    assert len(texts) > 200
    assert_equal_to_plain(texts, [(name, {}) for name in MODULES])


@pytest.mark.parametrize("name", MODULES)
def test_empty_text_is_0_in_every_signal(name):
    features = TextFeatures(pa.array([""], pa.large_string()))
    assert compute(name, features, {}).tolist() == [0.0]


def test_every_signal_says_what_it_is_and_where_it_comes_from():
    infos = describe()
    assert [info.name for info in infos] == list(MODULES)
    assert all(info.definition.endswith(".") or ";" in info.definition for info in infos)
    assert all(info.unit and info.source for info in infos)


def test_an_unknown_signal_is_named_with_those_there_are():
    with pytest.raises(KeyError, match=r"no signal wrod_count; there are .*word_count"):
        compute("wrod_count", TextFeatures(pa.array(["a"], pa.large_string())), {})
