"""Near-duplicates: which documents meet, how similar they are, and how often they meet."""

import gzip
import json
from collections import defaultdict
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from gristmill.stages.documents import Batch
from gristmill.stages.minhash import MinHash
from gristmill.stages.registry import stage_class

FOX = "the quick brown fox jumps over the lazy dog today"
CAT = "the quick brown fox jumps over the lazy cat today"


def batch(texts):
    return Batch(pa.table({"text": pa.array(texts, pa.large_string())}))


def candidates(stage, documents):
    """Pairs of rows that meet under a key."""
    meeting = defaultdict(list)
    for row in stage.emit(documents).to_pylist():
        meeting[row["key"], row["check"]].append(row["row"])
    return {pair for rows in meeting.values() for pair in combinations(rows, 2)}


@pytest.fixture(scope="module")
def revisions(shared_data):
    """Documents of pep_revisions, and the labelled similarity of pairs of rows."""
    folder = shared_data / "dedup"
    with gzip.open(folder / "pep_revisions.docs.jsonl.gz", "rt", encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    place = {document["id"]: row for row, document in enumerate(documents)}
    with gzip.open(folder / "pep_revisions.pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    labels = {tuple(sorted((place[pair["a"]], place[pair["b"]]))): pair["jaccard5"] for pair in pairs}
    return batch([document["text"] for document in documents]), labels


def test_a_document_emits_one_row_a_band_and_a_short_one_none():
    emitted = MinHash(bands=3, rows=2).emit(batch([FOX, "one two three four", "", CAT]))
    assert emitted.schema == pa.schema([("key", pa.uint64()), ("check", pa.uint64()), ("row", pa.int64())])
    assert emitted["row"].to_pylist() == [0, 0, 0, 3, 3, 3]


def test_texts_with_the_same_words_meet_in_every_band():
    emitted = MinHash().emit(batch([FOX, FOX.upper().replace(" ", ",  ")]))
    keys, checks = emitted["key"].to_pylist(), emitted["check"].to_pylist()
    assert (keys[:14], checks[:14]) == (keys[14:], checks[14:])
    assert len(set(keys)) == 14


def test_the_similarity_is_the_jaccard_of_the_ngram_sets():
    stage = MinHash()
    sketches = stage.sketches(batch([FOX, CAT, FOX, "too short"]))
    assert stage.similarity(sketches.slice(0, 2), sketches.slice(1, 2)).tolist() == [0.5, 0.5]
    assert stage.similarity(sketches.slice(0, 1), sketches.slice(2, 1)).tolist() == [1.0]
    assert stage.similarity(sketches.slice(3, 1), sketches.slice(3, 1)).tolist() == [0.0]


def test_another_seed_gives_other_keys():
    documents = batch([FOX])
    assert not set(MinHash(seed=1).emit(documents)["key"].to_pylist()) & set(MinHash(seed=2).emit(documents)["key"].to_pylist())


def test_keys_do_not_depend_on_the_batch(revisions):
    documents, _ = revisions
    whole = MinHash().emit(documents).to_pydict()
    start, count = 100, 7
    part = MinHash().emit(Batch(documents.table.slice(start, count))).to_pydict()
    rows = [index for index, row in enumerate(whole["row"]) if start <= row < start + count]
    assert part["key"] == [whole["key"][index] for index in rows]
    assert part["check"] == [whole["check"][index] for index in rows]
    assert part["row"] == [whole["row"][index] - start for index in rows]


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (9, 13), (93, 15)])
def test_pairs_meet_as_often_as_the_curve_says(revisions, bands, rows):
    documents, labels = revisions
    similarities = np.array(list(labels.values()))
    chance = 1 - (1 - similarities**rows) ** bands
    met = []
    for seed in range(1, 6):
        found = candidates(MinHash(bands=bands, rows=rows, seed=seed), documents)
        met.append(sum(pair in found for pair in labels))
        # pairs without a label have a similarity below 0.2: at 14 x 8 they meet with a chance below 4e-5
        assert len(found - labels.keys()) <= 5
    deviation = np.sqrt(np.sum(chance * (1 - chance)) / len(met))
    assert abs(np.mean(met) - chance.sum()) < 4 * deviation


def test_after_verification_every_very_similar_pair_is_found_and_no_other(revisions):
    documents, labels = revisions
    stage = MinHash()
    sketches = stage.sketches(documents)
    pairs = sorted(candidates(stage, documents))
    left, right = (sketches.take(pa.array(side)) for side in zip(*pairs, strict=True))
    similar = stage.similarity(left, right) >= stage.least_similarity
    kept = {pair for pair, is_similar in zip(pairs, similar, strict=True) if is_similar}
    # labels are rounded to 4 decimals; none lies so near 0.7 that this matters
    assert kept <= {pair for pair, label in labels.items() if label >= 0.7}
    # at 0.95 the chance to meet is above 1 - 1e-6
    assert kept >= {pair for pair, label in labels.items() if label >= 0.95}


def test_what_the_engine_asks_of_it():
    stage = MinHash(bands=20)
    assert (stage.rule, stage.least_similarity, stage.keep, stage.one_key, stage.rows_per_document) == (
        *("near_duplicate", 0.7, "longest", False, 20),
    )
    assert MinHash(verify=None).least_similarity is None
    assert MinHash(verify=0).least_similarity == 0
    assert stage_class("minhash") is MinHash


def test_a_preset_decides_what_is_not_set_beside_it():
    taken = MinHash(preset="nemotron_cc")
    assert (taken.bands, taken.rows, taken.ngram, taken.shingle, taken.verify) == (20, 13, 24, "characters", None)
    mixed = MinHash(preset="refinedweb", bands=20, verify=0.8)
    assert (mixed.bands, mixed.rows, mixed.verify) == (20, 20, 0.8)


def test_a_threshold_picks_bands_and_rows_and_keeps_the_verification():
    stage = MinHash(threshold=0.8)
    assert (stage.bands, stage.rows, stage.verify) == (9, 13, 0.7)
    assert (MinHash(threshold="0.7", permutations=256).bands, MinHash(threshold=0.7, permutations=256).rows) == (25, 10)
    # as a finished run tells its settings
    assert MinHash(**stage.model_dump()) == stage


def test_threshold_and_another_choice_of_bands_are_refused():
    with pytest.raises(ValidationError, match=r"chooses 9 bands of 13 rows; bands and rows beside it say 20 of 13"):
        MinHash(threshold=0.8, bands=20)
    with pytest.raises(ValidationError, match="give one"):
        MinHash(threshold=0.8, preset="fineweb")


def test_characters_bring_texts_without_spaces_together():
    left, right = "東京都心に十年ぶりの大雪が降り電車が止まった", "東京都心に十年ぶりの大雪が降り、電車が止まった。"
    assert MinHash(ngram=5).emit(batch([left, right])).num_rows == 0
    stage = MinHash(ngram=5, shingle="characters")
    assert candidates(stage, batch([left, right])) == {(0, 1)}
    both = stage.sketches(batch([left, right]))
    assert stage.similarity(both.slice(0, 1), both.slice(1, 1)).tolist() == [1.0]


@pytest.mark.parametrize("wrong", [{"threshold": 1.0}, {"threshold": "high"}, {"permutations": 0}, {"preset": "c4"}])
def test_choices_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        MinHash(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"bands": 0}, {"rows": 0}, {"ngram": 0}, {"verify": 1.1}, {"seed": -1}, {"seed": 2**32}, {"band": 3}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        MinHash(**wrong)
