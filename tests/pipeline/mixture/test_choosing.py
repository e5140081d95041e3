"""Which documents a source means is the same however few of their ids and signals are held at once."""

import numpy as np
import pytest

from gristmill.pipeline.mixture import choosing
from gristmill.pipeline.mixture.choosing import fixed, part_of
from gristmill.pipeline.mixture.planning import make_plan
from gristmill.pipeline.mixture.reading import load_mixture
from gristmill.tokenizers.shards import doc_hashes

WEB = [(f"web-{n}", 9 + n, "de" if n % 7 == 3 else "en", None) for n in range(40)]
TEXT = (
    "name: a\ntokens: 20\nsources:\n"
    "  web: {documents: HERE, weight: 1, quality_buckets: {column: words.count, at_least: {30: 2, 5: 1}}, "
    'where: language == "en" and words.count != 33}\n'
)


@pytest.mark.parametrize("with_shards", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 50])
def test_a_bound_on_what_is_held_changes_no_choice(with_shards, rows, write, run_of, tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", {"web": WEB, "books": [("book-0", 99, "en", None)]}, with_shards=with_shards)
    monkeypatch.setattr(choosing, "ROWS_AT_ONCE", rows)
    planned = make_plan(load_mixture(write(TEXT, HERE=run)))
    english = [n for n in range(40) if n % 7 != 3 and n != 33]
    # the book's number is 40; its signal is as the others'
    best, rest = [n for n in english if n >= 30], [n for n in english if 5 <= n < 30]
    sources = {source.source: source for source in planned.plan.sources}
    assert (sources["web:>=30"].documents, sources["web:>=5"].documents) == (len(best) + 1, len(rest))
    assert (sources["web:>=30"].bytes, sources["web:>=5"].bytes) == (sum(9 + n for n in best) + 99, sum(9 + n for n in rest))


def test_ranges_of_hashes_ascend_and_are_even():
    hashes = fixed(doc_hashes(f"d{n}" for n in range(4000)))
    assert hashes.tobytes() == b"".join(doc_hashes(f"d{n}" for n in range(4000)).to_pylist())
    parts = part_of(hashes, 4)
    order = np.argsort(hashes)
    assert (np.diff(parts[order]) >= 0).all()
    assert np.bincount(parts, minlength=4).min() > 900
    assert part_of(hashes, 1).tolist() == [0] * 4000
