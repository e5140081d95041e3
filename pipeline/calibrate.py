"""How well a MinHash finds near-duplicates among a user's own documents: planted copies, and all pairs of a sample."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gristmill.pipeline.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.minhash import MinHash

SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Jaccard similarities at which copies are planted, about."""
BOUNDS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Where candidates are counted by their true similarity; the last class holds equal n-gram sets."""
LEAST_SHINGLES = 40
"""Distinct n-grams that a document needs for copies of all those similarities."""
MOST_UNITS = 2_000
"""Words or characters of a document that are copied: longer copies say no more."""
_PIECE = 500


def calibrate(stage: MinHash, texts: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Plant edited copies of documents, and compare how often they meet with what the bands and rows promise.

    Args:
        stage: the MinHash with its settings.
        texts: a sample of the documents.
        seed: of the edits.

    Returns:
        `documents`; `planted`: for each similarity the `pairs`, their mean true `similarity`, how many `met` in a band, how many
        are `expected` to, and by how many standard deviations the two differ (`sigmas`); `candidates`: pairs of the sample that
        met, by true similarity (`from`, `to`, `pairs`, all `of` that similarity in the sample); `similar`: pairs at or above
        `verify` (0.7 without), how many of them were `found`, how many are `expected`; `precision`: share of the candidates that
        are similar, None without candidates.

    Raises:
        UserError: fewer than 10 documents are long enough.
    """
    planted = _planted(stage, texts, seed)
    found = _all_pairs(stage, texts)
    return {"documents": len(texts), "planted": planted, **found}


def _planted(stage: MinHash, texts: Sequence[str], seed: int) -> list[dict[str, Any]]:
    from gristmill.stages.minhash_choice import chance_to_meet

    units = [_units(stage, text)[:MOST_UNITS] for text in texts]
    long = [one for one in units if len(one) >= LEAST_SHINGLES + stage.ngram]
    if len(long) < 10:
        raise UserError(
            f"{len(long)} of the {len(texts)} documents read have {LEAST_SHINGLES + stage.ngram} {stage.shingle} or more; "
            "a calibration needs 10, give more or longer documents"
        )
    rows = []
    generator = random.Random(seed)
    for wanted in SIMILARITIES:
        originals = [_joined(stage, one) for one in long]
        copies = [_joined(stage, _edited(stage, one, wanted, generator)) for one in long]
        similarity, met = _met(stage, originals, copies)
        chance = chance_to_meet(similarity, stage.bands, stage.rows)
        rows.append(
            {
                "similarity": float(similarity.mean()),
                "pairs": len(long),
                "met": int(met.sum()),
                "expected": float(chance.sum()),
                "sigmas": _sigmas(chance, int(met.sum())),
            }
        )
    return rows


def _sigmas(chances: NDArray[np.float64], met: int) -> float:
    """How unlikely so many are, as standard deviations of a normal distribution that are as unlikely; 0 for what is expected.

    The number that meets is distributed as a sum of coins of these chances. That is far from normal where nearly all or nearly
    none meet: one pair missed where 0.02 are expected is no wonder, but would be 7 standard deviations of the sum.
    """
    from statistics import NormalDist

    import numpy as np

    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, [1 - chance, chance])
    # the half of what is met counts to each side, so that the two are opposites
    fewer, more = (float(side.sum() + distribution[met] / 2) for side in (distribution[:met], distribution[met + 1 :]))
    least = 1e-300  # -37.0; what is less likely still is no less wrong
    return NormalDist().inv_cdf(max(fewer, least)) if fewer < more else -NormalDist().inv_cdf(max(more, least))


def _units(stage: MinHash, text: str) -> list[str]:
    """What n-grams of the stage are made of."""
    from gristmill.stages.character_shingles import characters_plainly
    from gristmill.stages.shingles import words_plainly

    return list(characters_plainly(text)) if stage.characters else words_plainly(text)


def _joined(stage: MinHash, units: Sequence[str]) -> str:
    return ("" if stage.characters else " ").join(units)


def _edited(stage: MinHash, units: Sequence[str], wanted: float, generator: random.Random) -> list[str]:
    """A copy with words (characters) replaced all over, until the n-gram sets have about the wanted similarity."""
    shingles = len(units) - stage.ngram + 1
    # k n-grams replaced by k others leave (m - k) / (m + k) of m; an edit replaces n of them, unless edits stand close together
    lost = shingles * (1 - wanted) / (1 + wanted)
    share_lost = min(lost / shingles, 0.999)
    # an n-gram survives when none of its n places is edited: (1 - p)^n = 1 - share_lost
    chance = 1 - (1 - share_lost) ** (1 / stage.ngram)
    copy = list(units)
    places = generator.sample(range(len(copy)), max(1, round(chance * len(copy))))
    for place in places:
        # from where texts of this sort are not written, so that no edit restores or repeats what was there
        fresh = generator.getrandbits(40)
        copy[place] = chr(0x16A0 + fresh % 75) if stage.characters else f"edit{fresh:x}"
    return copy


def _met(stage: MinHash, left: Sequence[str], right: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """True similarity of pairs, and whether each agrees in a band."""
    import numpy as np

    batches = [_batch(left), _batch(right)]
    similarity = stage.similarity(*(stage.sketches(batch) for batch in batches))
    met = np.zeros(len(left), dtype=bool)
    for wave in range(stage.waves):
        sides = [stage.emit(batch, wave) for batch in batches]
        # the rows of both stand in the order of documents and bands, so that the same band of a pair has the same place
        bands = sides[0].num_rows // len(left)
        equal = np.ones(sides[0].num_rows, dtype=bool)
        for column in ("key", "check"):
            equal &= sides[0][column].to_numpy() == sides[1][column].to_numpy()
        met |= equal.reshape(-1, bands).any(axis=1)
    return similarity, met


def _batch(texts: Sequence[str]) -> Any:
    import pyarrow as pa

    from gristmill.stages.documents import Batch

    return Batch.of(pa.table({"text": pa.array(texts, pa.large_string())}))


def _all_pairs(stage: MinHash, texts: Sequence[str]) -> dict[str, Any]:
    """What meets in the sample, beside the true similarity of all its pairs."""
    import numpy as np

    from gristmill.stages.minhash_choice import chance_to_meet

    batch = _batch(texts)
    candidates = candidate_pairs(stage, batch)
    bound = stage.verify if stage.verify else 0.7
    bounds = np.array(BOUNDS)
    of, met = np.zeros(len(BOUNDS), dtype=np.int64), np.zeros(len(BOUNDS), dtype=np.int64)
    similar = found = precise = 0
    expected = 0.0
    for first, similarity in true_similarities(stage, batch):
        row, column = np.nonzero(similarity)
        later = column > row + first
        row, column = row[later] + first, column[later]
        values = similarity[row - first, column]
        place = np.searchsorted(bounds, values, side="right") - 1
        is_met = np.isin(row.astype(np.int64) * len(texts) + column, candidates)
        of += np.bincount(place, minlength=len(BOUNDS))
        met += np.bincount(place[is_met], minlength=len(BOUNDS))
        alike = values >= bound
        similar += int(alike.sum())
        found += int((alike & is_met).sum())
        expected += float(chance_to_meet(values[alike], stage.bands, stage.rows).sum())
        precise += int((alike & is_met).sum())
    # pairs that share nothing are no part of the matrix; those that met all the same are wrong candidates
    met[0] += len(candidates) - int(met.sum())
    ends = [*BOUNDS[1:], 1.0]
    return {
        "candidates": [
            {"from": low, "to": high, "pairs": int(pairs), "of": int(whole)}
            for low, high, pairs, whole in zip(BOUNDS, ends, met, of, strict=True)
        ],
        "similar": {"from": bound, "pairs": similar, "found": found, "expected": expected},
        "precision": precise / len(candidates) if len(candidates) else None,
    }


def candidate_pairs(stage: MinHash, batch: Any) -> NDArray[np.int64]:
    """Pairs of documents that agree in a band, each as earlier * n_documents + later, ascending."""
    import numpy as np

    found: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    for wave in range(stage.waves):
        rows = stage.emit(batch, wave)
        order = np.lexsort([rows[name].to_numpy() for name in ("row", "check", "key")])
        key, check, row = (rows[name].to_numpy()[order] for name in ("key", "check", "row"))
        # as often as the largest group has members, each row meets the one so many places before it
        for step in range(1, len(order)):
            same = (key[step:] == key[:-step]) & (check[step:] == check[:-step])
            if not same.any():
                break
            found.append(np.unique(row[:-step][same] * len(batch) + row[step:][same]))
    return np.unique(np.concatenate(found))


def true_similarities(stage: MinHash, batch: Any) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Jaccard similarity of all pairs by brute force: (first row, matrix of some rows by all documents), piece by piece."""
    import numpy as np
    from scipy import sparse

    sets = stage.sketches(batch)
    hashes, places = np.unique(sets.values.to_numpy(zero_copy_only=False), return_inverse=True)
    offsets = sets.offsets.to_numpy(zero_copy_only=False)
    ones = np.ones(len(places), dtype=np.int32)
    matrix = sparse.csr_matrix((ones, places, offsets), shape=(len(sets), max(1, len(hashes))))
    sizes = np.diff(offsets)
    for first in range(0, len(sets), _PIECE):
        common = (matrix[first : first + _PIECE] @ matrix.T).toarray()
        union = sizes[first : first + _PIECE, None] + sizes[None, :] - common
        yield first, np.divide(common, union, out=np.zeros(common.shape), where=union > 0)


def sample_texts(input: str, read: dict[str, Any], documents: int, seed: int = 0) -> list[str]:
    """Texts with the lowest keyed hashes of their ids among the first documents of a file or folder.

    Args:
        input: a file or folder of documents, or a run folder.
        read: settings of the reader, as `run_stage` takes them.
        documents: texts at most; ten times as many documents are read.
        seed: of the sample.

    Raises:
        UserError: the input cannot be read, or holds no documents.
    """
    from tempfile import TemporaryDirectory

    import numpy as np
    import pyarrow.parquet as pq

    from gristmill.pipeline.recipe import Guardrails, Recipe, Source, SourceRead
    from gristmill.pipeline.runs import run
    from gristmill.pipeline.single_stage import settings_to_read
    from gristmill.tokenizers.sampling import keyed_hashes

    source = Source(read=SourceRead(**settings_to_read(input, read)))
    recipe = Recipe(name="sample", sources={"input": source}, guardrails=Guardrails(enabled=False))
    with TemporaryDirectory(prefix="gristmill-calibrate-") as folder:
        run(recipe, output=f"{folder}/run", workers=0, limit=10 * documents, quiet=True)
        table = pq.read_table(f"{folder}/run/documents", columns=["id", "text"])
    if not table.num_rows:
        raise UserError(f"{input}: holds no documents to calibrate with")
    chosen = np.sort(np.argsort(keyed_hashes(table["id"].to_pylist(), seed), kind="stable")[:documents])
    texts: list[str] = table["text"].take(chosen).to_pylist()
    return texts


def print_calibration(found: dict[str, Any], stage: MinHash) -> None:
    """Print what `calibrate` found to stdout."""
    from gristmill.pipeline import display
    from gristmill.pipeline.funnel import table_for

    console = display.stdout()
    unit = "characters" if stage.characters else "words"
    bands = f"{stage.bands} bands of {stage.rows} rows, n-grams of {stage.ngram} {unit}"
    console.print(f"{bands}; {display.count(found['documents'])} documents", markup=False)
    console.print("\nPlanted copies: pairs that agree in a band, and how many the bands and rows promise", style="bold")
    planted = table_for(console, [], ["similarity", "pairs", "met", "measured", "expected", "sigmas"])
    for row in found["planted"]:
        shares = display.percent(row["met"], row["pairs"]), display.percent(row["expected"], row["pairs"])
        counts = display.count(row["pairs"]), display.count(row["met"])
        planted.add_row(f"{row['similarity']:.3f}", *counts, *shares, f"{row['sigmas']:+.1f}")
    console.print(planted)
    console.print("\nPairs of the sample itself that agree in a band, by their true similarity", style="bold")
    pairs = table_for(console, [], ["similarity", "met", "of"])
    for row in found["candidates"]:
        place = "1" if row["from"] == row["to"] else f"{row['from']:g} to {row['to']:g}"
        pairs.add_row(place, display.count(row["pairs"]), display.count(row["of"]) if row["from"] else "")
    console.print(pairs)
    similar = found["similar"]
    told = (
        f"{display.count(similar['found'])} of the {display.count(similar['pairs'])} pairs of similarity {similar['from']:g} or "
        f"more met; {similar['expected']:.1f} are expected to"
    )
    if found["precision"] is not None:
        told += f". {found['precision']:.1%} of the pairs that met are that similar; "
        told += "verify leaves the others" if stage.verify else "without verify, the others count as duplicates too"
    console.print(told, markup=False, highlight=False, soft_wrap=True)
