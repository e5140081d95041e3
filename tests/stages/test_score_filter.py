"""A least score, the best share, and draws in favour of the better."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.documents import Batch
from gristmill.stages.score_filter import BINS, ScoreFilter, bound_of, lomax, uniform


class Given(ScoreFilter):
    """Takes its scores from the texts."""

    kind = "given"

    def scores(self, batch: Batch) -> np.ndarray:
        return np.array([float(text) if text else np.nan for text in batch.table["text"].to_pylist()])


def batch(scores: list[float | None], languages: list[str | None] | None = None) -> Batch:
    texts = ["" if score is None else repr(score) for score in scores]
    columns = {"id": [f"d{row}" for row in range(len(scores))], "text": texts}
    return Batch.of(pa.table(columns | ({"language": pa.array(languages, pa.string())} if languages else {})))


def kept(stage: ScoreFilter, held: Batch) -> list[int]:
    if stage.sees_corpus:
        stage = stage.settled(stage.survey(held).totals)
    return np.flatnonzero(stage.judge(held).kept).tolist()


def test_a_least_score_is_itself_kept_and_blank_texts_pass():
    assert kept(Given(at_least=0.018112), batch([0.018112, 0.018111, None, 1.0])) == [0, 2, 3]


def test_the_best_share_stays_and_ties_at_its_bound_stay_too():
    scores = [0.1, 0.9, 0.5, 0.5, 0.2, 0.3, 0.4, 0.05, 0.6, 0.0]
    assert kept(Given(top=0.2), batch(scores)) == [1, 8]
    assert kept(Given(top=0.3), batch(scores)) == [1, 2, 3, 8]
    assert kept(Given(top=1.0), batch(scores)) == list(range(10))
    assert kept(Given(top=0.1), batch([1.0] * 4)) == [0, 1, 2, 3]


def test_a_share_of_each_language_is_judged_within_it():
    held = batch([0.9, 0.8, 0.2, 0.1, 0.5], ["en", "en", "de", "de", None])
    assert kept(Given(top=0.5, by="language"), held) == [0, 2, 4]
    assert kept(Given(top=0.4), held) == [0, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_at_least_the_share_stays_and_no_document_below_one_that_went(scores, share):
    held = batch(scores)
    stays = kept(Given(top=share), held)
    assert len(stays) >= share * len(scores) - 1e-9
    gone = [score for row, score in enumerate(scores) if row not in stays]
    assert not gone or max(gone) <= min(scores[row] for row in stays)
    # without those in the bin of the bound, too few would stay
    least = int(min(scores[row] for row in stays) * BINS)
    assert sum(int(scores[row] * BINS) > least for row in stays) < share * len(scores)


def test_the_bound_is_the_edge_of_a_bin():
    counts = np.zeros(BINS, dtype=np.int64)
    counts[[0, BINS // 2, BINS - 1]] = [5, 3, 2]
    assert bound_of(counts, 0.2) == (BINS - 1) / BINS
    assert bound_of(counts, 0.5) == 0.5
    assert bound_of(counts, 0.51) == 0.0
    assert bound_of(np.zeros(0, dtype=np.int64), 0.5) == 0.0


@pytest.mark.parametrize(
    ("alpha", "score", "probability"),
    [(9, 0.5, 0.0260), (9, 0.9, 0.4241), (3, 0.5, 0.2963), (3, 0.9, 0.7513), (9, 0.0, 0.0020), (3, 0.0, 0.1250)],
)
def test_a_document_stays_with_the_probability_of_the_lomax_law(alpha, score, probability):
    assert (2 - score) ** -alpha == pytest.approx(probability, abs=5e-5)
    draws = lomax(uniform([f"document {number}" for number in range(100_000)], 0), alpha)
    # three standard deviations of 100,000 draws
    assert abs((draws > 1 - score).mean() - (2 - score) ** -alpha) < 3 * (0.25 / 100_000) ** 0.5


def test_a_score_of_one_always_stays():
    # the classical Pareto law, whose draws are at least 1, would keep everything
    draws = lomax(uniform([str(number) for number in range(10_000)], 1), 9)
    assert draws.min() >= 0
    assert (draws > 1 - 0.1).mean() < 0.1
    assert kept(Given(pareto=9), batch([1.0] * 50)) == list(range(50))


def test_draws_hang_on_id_and_seed_alone():
    ids = ["a", "b", "c"]
    assert uniform(ids, 0).tolist() == [uniform([one], 0)[0] for one in ids]
    assert uniform(ids, 0).tolist() != uniform(ids, 1).tolist()
    assert (uniform(ids, 0) > 0).all()


@pytest.mark.parametrize("settings", [{"at_least": 0.5, "top": 0.1}, {"by": "language"}, {"top": 0.1, "pareto": 9}])
def test_two_ways_at_once_are_refused(settings):
    with pytest.raises(ValueError, match=r"each say what stays|set top too"):
        Given(**settings)


def test_languages_may_have_least_scores_of_their_own_and_nothing_else():
    held = batch([0.4, 0.4, 0.2], ["en", "de", "de"])
    assert kept(Given(at_least=0.5, per_language={"de": {"at_least": 0.3}}), held) == [1]
    for row in ({"top": 0.2}, {"pareto": 3}, {"seed": 1}):
        with pytest.raises(ValueError, match=f"per_language.de: {next(iter(row))} is one for all languages"):
            Given(per_language={"de": row})


def test_bounds_that_the_run_finds_are_no_setting():
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Given(top=0.5, bounds={"*": 0.5})
    assert "bounds" not in Given.model_fields
    settled = Given(top=0.5).settled({"*": np.bincount([0, 32768])})
    assert settled.model_dump() == Given(top=0.5).model_dump()


def test_what_did_not_reach_its_bound_says_so():
    stage = Given(top=0.5).settled({"*": np.bincount([0, 32768])})
    held = batch([0.25, 0.75])
    verdict = stage.judge(held)
    assert verdict.first_failed_rule == ["not_among_top", None]
    assert stage.details(held, verdict.rules[0], np.array([0])) == ["score 0.250000, bound 0.500000"]
