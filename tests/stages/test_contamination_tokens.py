"""Tokens that items and documents are compared by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.contamination_tokens import (
    CHARACTERS,
    PLAIN_WORDS,
    WORDS,
    hash_tokens,
    powers_of_base,
    run_key,
    run_key_plainly,
    token_table,
    tokens_plainly,
)


def hashed(text: str, kind: str) -> tuple[list[tuple[int, int]], np.ndarray]:
    data = np.frombuffer(bytearray(b"<" + text.encode() + b">"), np.uint8)
    starts, ends = np.empty(len(data), np.int64), np.empty(len(data), np.int64)
    prefixes = np.empty(len(data) + 1, np.uint64)
    count = hash_tokens(data, 1, len(data) - 1, *token_table(kind), starts, ends, prefixes)
    return list(zip((starts[:count] - 1).tolist(), (ends[:count] - 1).tolist(), strict=True)), prefixes[: count + 1]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("Don't  stop—NOW, e.g. x_1!", WORDS, ["don", "t", "stop", "now", "e", "g", "x_1"]),
        ("Don't  stop—NOW, e.g. x_1!", PLAIN_WORDS, ["dont", "stopnow", "eg", "x1"]),
        ("Don't é½", CHARACTERS, ["D", "o", "n", "t", "é", "½"]),
        ("１２ ٣4 ५", WORDS, ["12", "34", "5"]),
        ("水車は回る the mill", WORDS, ["水", "車", "は", "回", "る", "the", "mill"]),
        (" -- ", PLAIN_WORDS, []),
        ("", WORDS, []),
    ],
)
def test_tokens_are_what_their_kind_says(text, kind, words):
    assert [word for word, _, _ in tokens_plainly(text, kind)] == words


@given(
    st.text(st.sampled_from("aB1é½٣水ก_-' \n\u0301İΣ\U0001d7d8"), max_size=40), st.sampled_from([WORDS, PLAIN_WORDS, CHARACTERS])
)
def test_the_kernel_finds_the_tokens_and_runs_of_the_plain_definition(text, kind):
    plain = tokens_plainly(text, kind)
    spans, prefixes = hashed(text, kind)
    assert spans == [(len(text[:start].encode()), len(text[:end].encode())) for _, start, end in plain]
    powers = powers_of_base(3)
    for length in (1, 2, 3):
        for first in range(len(plain) - length + 1):
            words = [word for word, _, _ in plain[first : first + length]]
            assert run_key(prefixes, first, length, powers) == run_key_plainly(words)


def test_real_texts_have_the_tokens_of_the_plain_definition(shared_data):
    import gzip
    import json

    with gzip.open(shared_data / "benchmarks" / "math.jsonl.gz", "rt") as lines:
        for line, _ in zip(lines, range(50), strict=False):
            text = json.loads(line)["text"]
            for kind in (WORDS, PLAIN_WORDS, CHARACTERS):
                assert len(hashed(text, kind)[0]) == len(tokens_plainly(text, kind))


def test_words_parted_otherwise_have_other_keys():
    keys = {run_key_plainly(words) for words in (["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"], ["a", "b", "c"], [])}
    assert len(keys) == 6
