"""N-gram models: the smoothing against its definition, what all words add up to, the kernel against its twin."""

from collections import Counter
from collections.abc import Callable
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.features import TextFeatures
from gristmill.stages.ngram_model import BEGIN, END, FIRST_WORD, UNKNOWN, NgramModel
from gristmill.stages.ngram_tokens import Tokens, lines_plainly, tokens_of
from gristmill.stages.ngram_training import FALLBACK, discounts_of, train_model

TEXTS = st.lists(
    st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=7).map(" ".join), max_size=4).map("\n".join),
    min_size=1,
    max_size=6,
).filter(lambda texts: any(text.strip() for text in texts))


def tokens(*texts: str) -> Tokens:
    return tokens_of(TextFeatures(pa.array(texts, pa.large_string())), "uax29")


def trained(texts: list[str], order: int, min_count: int = 1) -> NgramModel:
    return train_model([tokens(text) for text in texts], words="uax29", order=order, min_count=min_count)


def kneser_ney_plainly(sentences: list[list[str]], order: int) -> Callable[[tuple[str, ...], str], float]:
    """Interpolated modified Kneser-Ney with dictionaries: p(context, word)."""
    words = sorted({word for sentence in sentences for word in sentence})
    raw: list[Counter] = [Counter() for _ in range(order + 2)]
    for sentence in sentences:
        line = ("<s>", *sentence, "</s>")
        for n in range(1, order + 1):
            raw[n].update(line[at : at + n] for at in range(len(line) - n + 1))
    counts: list[Counter] = [Counter() for _ in range(order + 1)]
    for n in range(1, order + 1):
        before = Counter(gram[1:] for gram in raw[n + 1]) if n < order else Counter()
        for gram, occurs in raw[n].items():
            counts[n][gram] = occurs if n == order or gram[0] == "<s>" else before[gram]
    counts[1].pop(("<s>",), None)
    discounts = [FALLBACK] + [discounts_of(np.array(list(counts[n].values()), dtype=np.int64)) for n in range(1, order + 1)]

    def probability(context: tuple[str, ...], word: str) -> float:
        n = len(context) + 1
        followers = {gram[-1]: count for gram, count in counts[n].items() if gram[:-1] == context}
        shorter = probability(context[1:], word) if context else 1 / (len(words) + 2)
        if not followers:
            return shorter
        total = sum(followers.values())
        taken = {one: discounts[n][min(count, 3) - 1] for one, count in followers.items()}
        own = followers[word] - taken[word] if word in followers else 0.0
        return own / total + sum(taken.values()) / total * shorter

    return lambda context, word: probability(context[-(order - 1) :] if order > 1 else (), word)


def vocabulary_of(model: NgramModel, words: str) -> dict[str, int]:
    return {word: int(model.numbers(tokens(word).hashes)[0]) for word in words}


@settings(max_examples=40, deadline=None)
@given(TEXTS, st.integers(1, 4))
def test_the_probabilities_are_those_of_the_definition(texts, order):
    sentences = [line for text in texts for line in lines_plainly(text, "uax29")]
    plainly = kneser_ney_plainly(sentences, order)
    model = trained(texts, order)
    numbers = vocabulary_of(model, "abcd") | {"<s>": BEGIN, "</s>": END}
    known = {word: number for word, number in numbers.items() if number != UNKNOWN}
    contexts = [(), ("<s>",), ("a",), ("<s>", "b"), ("a", "b", "a"), ("d", "d", "c")]
    for context, word in product(contexts, [*known, "</s>", "z"]):
        if word == "<s>" or not set(context) <= set(known):
            continue
        found = model.log_probability(tuple(numbers[one] for one in context), numbers.get(word, UNKNOWN))
        assert found == pytest.approx(np.log10(plainly(context, word)), abs=2e-6)


@settings(max_examples=40, deadline=None)
@given(TEXTS, st.integers(1, 5), st.integers(1, 3), st.lists(st.sampled_from("abcdz"), max_size=4))
def test_the_probabilities_of_all_words_add_up_to_one(texts, order, min_count, context):
    model = trained(texts, order, min_count)
    numbers = vocabulary_of(model, "abcdz")
    predictable = [UNKNOWN, END, *range(FIRST_WORD, FIRST_WORD + len(model.vocabulary))]
    for start in ((), (BEGIN,)):
        held = (*start, *(numbers[word] for word in context))
        assert sum(10 ** model.log_probability(held, word) for word in predictable) == pytest.approx(1.0, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 5), st.integers(1, 2))
def test_the_kernel_adds_up_what_the_model_says_of_each_word(texts, others, order, min_count):
    model = trained(texts, order, min_count)
    others = [other.replace("d", "unseen") for other in others]
    sums, counts = model.score(tokens(*others))
    for text, total, count in zip(others, sums, counts, strict=True):
        expected = words = 0.0
        for line in lines_plainly(text, "uax29"):
            numbers = [BEGIN, *(int(model.numbers(tokens(word).hashes)[0]) for word in line), END]
            expected += sum(model.log_probability(tuple(numbers[:at]), numbers[at]) for at in range(1, len(numbers)))
            words += len(numbers) - 1
        assert count == words
        assert total == pytest.approx(expected, abs=1e-4)


def test_the_order_of_documents_and_how_they_are_cut_changes_nothing(tmp_path):
    texts = ["a b c\nc b a", "b b a c", "", "c a\n\nb"]
    whole = train_model([tokens(*texts)], words="uax29", order=3)
    parts = trained(texts[::-1], 3)
    whole.write(str(tmp_path / "whole"))
    parts.write(str(tmp_path / "parts"))
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "parts").read_bytes()


def test_discounts_by_hand():
    # 4 of one, 2 of two, 1 of three, 1 of four: Y = 4 / 8, so 1 - 2/4 = 0.5, 2 - 1.5/2 = 1.25, 3 - 2 = 1
    assert discounts_of(np.array([1, 1, 1, 1, 2, 2, 3, 4])) == (0.5, 1.25, 1.0)
    assert discounts_of(np.array([1, 2, 3])) == FALLBACK


def test_rare_long_ngrams_are_left_out_and_short_ones_stay():
    full, fewer = trained(["a b c d", "a b c a"], 3), trained(["a b c d", "a b c a"], 3, min_count=2)
    assert [len(one) for one in full.keys] == [7, 6]
    # <s> a b, a b c
    assert [len(one) for one in fewer.keys] == [7, 2]


@pytest.mark.parametrize(("texts", "order", "message"), [([" \n"], 3, "no words"), (["a"], 9, "1 to 8"), (["a"], 0, "1 to 8")])
def test_what_cannot_be_learned_from_is_refused(texts, order, message):
    with pytest.raises(ValueError, match=message):
        trained(texts, order)
