"""Corpora that are nothing, one document or one thing over and over are deduplicated like any other."""

from pathlib import Path

import pyarrow as pa
import pytest

from gristmill.pipeline import dedup_tasks
from gristmill.pipeline.cluster import InProcess
from gristmill.pipeline.dedup import Deduplication
from gristmill.pipeline.exchange import merged
from gristmill.pipeline.ledger import LedgerText
from gristmill.pipeline.parts import Part, make_packs
from gristmill.pipeline.progress import Progress
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.steps import StepStore
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.documents import DOCUMENTS
from gristmill.stages.exact import Exact
from gristmill.stages.minhash import MinHash

MANY = 100_000
SAME = "the same page again and again with its ten or more words in it"
NEAR = f"{SAME} {' '.join(['and so on it goes'] * 3)} until"


def deduplicate(folder: Path, stage: Deduplicator, texts: list[str], part_rows: int = 25_000, cluster_bytes: int = 10**9):
    """The ledger, and the sizes of clusters; each part is a pack of its own."""
    work, parts = Storage(str(folder)), []
    for start in range(0, len(texts), part_rows):
        held = texts[start : start + part_rows]
        columns = {"id": [f"d{at}" for at in range(start, start + len(held))], "text": held, "position": range(len(held))}
        columns |= {"source": ["s"] * len(held), "file": ["f"] * len(held)}
        arrays = [pa.array(columns.get(field.name, [None] * len(held)), field.type) for field in DOCUMENTS]
        writer = StreamWriter(work, f"part{start}.arrow", DOCUMENTS)
        for first in range(0, len(held), 4096):
            writer.write(pa.table(arrays, schema=DOCUMENTS).slice(first, 4096))
        parts.append(Part("s", writer.close()["file"], f"p{start}", len(held), len(held), sum(map(len, held)), 0))
    with Progress(quiet=True) as progress:
        runner = Runner(InProcess(), work, StepStore(work), progress)
        found = Deduplication(runner, stage, make_packs(parts, 1), 1 << 20, LedgerText("none"), cluster_bytes)
        removed = found.run()
    ledger = [table for _, one in sorted(removed.items()) for table in read_batches(work, one["ledger"]["file"])]
    return pa.concat_tables(ledger) if ledger else None, found.clusters


STAGES = [Exact(), MinHash(), MinHash(cluster="direct", keep="earliest"), MinHash(verify=None)]
NAMES = ["exact", "components", "direct", "unverified"]


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
@pytest.mark.parametrize("texts", [[], [SAME], [""], ["word"], [SAME, "x"]])
def test_nothing_is_removed_from_nothing_or_of_one(tmp_path, stage, texts):
    assert deduplicate(tmp_path, stage, texts) == (None, {})


@pytest.mark.parametrize("stage", STAGES[1:], ids=NAMES[1:])
def test_documents_of_one_word_are_nobodys_near_duplicates(tmp_path, stage):
    assert deduplicate(tmp_path, stage, ["word"] * 1000, 300) == (None, {})


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
def test_of_many_equal_documents_one_stays(tmp_path, stage):
    ledger, clusters = deduplicate(tmp_path, stage, [SAME] * MANY)
    assert ledger["id"].to_pylist() == [f"d{at}" for at in range(1, MANY)]
    assert set(ledger["kept_id"].to_pylist()) == {"d0"}
    assert set(ledger["similarity"].to_pylist()) == {1.0}
    assert clusters in ({MANY: 1}, {})


@pytest.mark.parametrize("cluster_bytes", [10**9, 10**6])
def test_a_cluster_of_many_is_one_cluster_in_memory_and_out_of_core(tmp_path, cluster_bytes):
    # all but the last word is the same, so that 20 of 22 5-grams are; the first of the longest stays, whose number has 5 digits
    number = MANY if cluster_bytes == 10**9 else MANY // 5
    ledger, clusters = deduplicate(tmp_path, MinHash(), [f"{NEAR} {at}" for at in range(number)], number // 4, cluster_bytes)
    assert clusters == {number: 1}
    assert ledger.num_rows == number - 1
    assert set(ledger["kept_id"].to_pylist()) == {"d10000"}
    assert set(ledger["similarity"].to_pylist()) == {20 / 22}


def test_one_document_of_50_megabytes_and_its_copy(tmp_path):
    large = " ".join([" ".join(f"w{at}" for at in range(650_000))] * 10)
    assert len(large) > 50_000_000
    ledger, clusters = deduplicate(tmp_path, MinHash(), [large, large + " and more", SAME], 1)
    assert ledger.select(["id", "kept_id"]).to_pylist() == [{"id": "d0", "kept_id": "d1"}]
    assert ledger["similarity"][0].as_py() > 0.999
    assert clusters == {2: 1}


def test_a_key_that_all_rows_share_is_read_in_pieces_as_small_as_any(tmp_path, monkeypatch):
    held = []

    def watched(work, sent, order):
        for table in merged(work, sent, order):
            if order == dedup_tasks.EMITTED:
                held.append(table.num_rows)
            yield table

    monkeypatch.setattr(dedup_tasks, "merged", watched)
    deduplicate(tmp_path, Exact(), [SAME] * 40_000, 10_000)
    # 2^20 bytes over rows of 40 bytes from four packs: 6,553 rows of each at most
    assert sum(held) == 40_000
    assert max(held) <= 4 * 6_553
