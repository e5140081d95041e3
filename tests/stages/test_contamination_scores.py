"""How much of items documents hold."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages import contamination_scores
from gristmill.stages.contamination_index import Index, Looks, make_index
from gristmill.stages.contamination_items import Item
from gristmill.stages.contamination_scores import CorpusCounts, Scorer, contamination_totals, matches, merged, pairs_of
from gristmill.stages.contamination_tokens import tokens_plainly
from gristmill.stages.features import TextFeatures


def index(*questions: str, length: int = 2) -> Index:
    return make_index([Item("b", str(at), text, "") for at, text in enumerate(questions)], Looks("words", length, 1, False))


def shares(scorer: Scorer, *texts: str) -> dict[tuple[int, int], float]:
    hits = scorer.index.find(TextFeatures(pa.array(texts, pa.large_string())))
    found = scorer.shares(*pairs_of(hits))
    return {
        (row, text): share
        for row, text, share in zip(found.rows.tolist(), found.texts.tolist(), found.shares.tolist(), strict=True)
    }


def test_a_share_of_runs_counts_the_runs_of_the_text():
    scorer = Scorer(index("a b c d", "c d"), "runs")
    assert shares(scorer, "x a b c y", "c d c d", "d c") == {(0, 0): 2 / 3, (1, 0): 1 / 3, (1, 1): 1.0}


def test_a_share_of_tokens_counts_those_that_runs_cover():
    # a b and d e are found: four of six tokens
    assert shares(Scorer(index("a b c d e f"), "tokens"), "a b x d e") == {(0, 0): 4 / 6}


def test_a_run_that_a_text_has_twice_counts_at_both_places():
    assert shares(Scorer(index("a b c a b"), "runs"), "a b") == {(0, 0): 2 / 4}


def test_tokens_weigh_by_the_rarest_run_that_covers_them():
    found = index("a b c d")
    # of 89 documents a b is in 30, b c in 10, c d in none: log(90 / 30) / log(90 / 10) = 0.5
    holding = np.zeros(3, np.int64)
    holding[found.run_of[found.order]] = [30, 10, 0]
    scorer = Scorer(found, "rarity", 89, holding)
    # all of it: a 0.5, b 1, c 1, d 1
    assert shares(scorer, "a b", "b c", "a b c") == {(0, 0): 1.0 / 3.5, (1, 0): 2 / 3.5, (2, 0): 2.5 / 3.5}


def test_what_all_documents_hold_weighs_next_to_nothing_and_what_few_hold_all():
    scorer = Scorer(index("a b", "c d"), "rarity", 1000, np.array([1000, 1000]))
    assert scorer.weights.max() < 0.001
    assert Scorer(index("a b", "c d"), "rarity", 9, np.array([9, 0])).weights.tolist() == [1.0, 1.0]
    assert Scorer(index("a b", "c d"), "rarity", 10, np.array([10, 0])).weights.tolist() == [1.0, 1.0]
    assert Scorer(index("a b", "c d"), "rarity", 11, np.array([10, 0])).weights.tolist() == [1.0, 1.0]
    assert Scorer(index("a b"), "rarity").weights.tolist() == [1.0]


def test_common_runs_do_not_count_where_only_rare_ones_do():
    found = index("a b", "c d")
    runs = found.run_of[found.order]
    holding = np.zeros(2, np.int64)
    holding[runs] = [10, 11]
    assert shares(Scorer(found, "rare_runs", 50, holding, common=10), "a b c d") == {(0, 0): 1.0}


def shares_plainly(questions: list[str], text: str, length: int, measure: str) -> dict[int, float]:
    """`Scorer.shares` of one text, word by word, all weights 1."""
    words = [word for word, _, _ in tokens_plainly(text, "words")]
    found = {}
    for number, question in enumerate(questions):
        asked = [word for word, _, _ in tokens_plainly(question, "words")]
        size = min(length, len(asked))
        runs = [asked[at : at + size] for at in range(len(asked) - size + 1)] if asked else []
        hit = [any(words[at : at + size] == run for at in range(len(words))) for run in runs]
        if not any(hit):
            continue
        if measure == "runs":
            found[number] = sum(hit) / len(runs)
        else:
            covered = {token for at, is_hit in enumerate(hit) if is_hit for token in range(at, at + size)}
            found[number] = len(covered) / len(asked)
    return found


TEXTS = st.lists(st.text(st.sampled_from("ab "), max_size=20), min_size=1, max_size=4)


@given(TEXTS, TEXTS, st.integers(1, 4), st.sampled_from(["runs", "tokens", "rarity"]))
def test_shares_are_those_of_the_plain_definition_however_many_are_looked_at_together(questions, texts, length, measure):
    scorer = Scorer(index(*questions, length=length), measure)
    expected = {
        (row, number): pytest.approx(share)
        for row, text in enumerate(texts)
        for number, share in shares_plainly(questions, text, length, measure).items()
    }
    assert shares(scorer, *texts) == expected
    before = contamination_scores._POSTINGS
    try:
        contamination_scores._POSTINGS = 2
        assert shares(scorer, *texts) == expected
    finally:
        contamination_scores._POSTINGS = before


def test_totals_count_each_document_once_by_source():
    totals = contamination_totals(["x", "y", "x"], np.array([0, 0, 1, 2]), np.array([0, 2, 2, 2]), 3)
    counts = CorpusCounts.of(totals)
    assert counts.documents == {"x": 2, "y": 1}
    assert {name: held.tolist() for name, held in counts.holding.items()} == {"x": [1, 0, 2], "y": [0, 0, 1]}
    assert counts.every(3).tolist() == [1, 0, 3]


def test_a_match_says_where_its_runs_stand():
    scorer = Scorer(index("a b c", "x y"), "runs")
    text = "é a b c, a b. x y"
    found = TextFeatures(pa.array([text], pa.large_string()))
    hits = scorer.index.find(found)
    first, second = matches(scorer, hits, None, scorer.shares(*pairs_of(hits)))
    # bytes: é takes two
    assert (first.text, first.spans) == (0, [(3, 8), (10, 13)])
    assert (second.text, second.share, second.spans) == (1, 1.0, [(15, 18)])


def test_ranges_that_overlap_or_touch_are_one():
    hits = np.array([[0, 5, 9, 0], [0, 0, 3, 0], [0, 2, 4, 0], [0, 4, 5, 0]])
    assert merged(hits) == [(0, 9)]
