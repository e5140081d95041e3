"""A deduplication keeps one document of each cluster, whatever the packs, and says which."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from gristmill.pipeline import dedup, dedup_tasks, exchange, gather
from gristmill.pipeline.cluster import InProcess
from gristmill.pipeline.cluster_tasks import stars
from gristmill.pipeline.dedup import Deduplication
from gristmill.pipeline.dedup_tasks import EDGES
from gristmill.pipeline.ledger import LedgerText
from gristmill.pipeline.parts import Part, make_packs
from gristmill.pipeline.progress import Progress
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.state import RunState
from gristmill.pipeline.steps import StepStore
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.documents import DOCUMENTS, Batch
from gristmill.tokenizers.sampling import keyed_hashes


class SameText(Deduplicator):
    """Documents with equal text."""

    kind: ClassVar[str] = "same_text"
    one_key: ClassVar[bool] = True

    def emit(self, batch: Batch, wave: int = 0) -> pa.Table:
        keys = keyed_hashes(batch.table["text"].to_pylist(), 0)
        return pa.table({"key": keys, "check": keys, "row": np.arange(len(batch))})


class SharedWords(Deduplicator):
    """Documents that share words, compared by the Jaccard similarity of their word sets."""

    kind: ClassVar[str] = "shared_words"
    least: float | None = 0.5

    @property
    def rows_per_document(self) -> int:
        return 8

    @property
    def least_similarity(self) -> float | None:
        return self.least

    def emit(self, batch: Batch, wave: int = 0) -> pa.Table:
        pairs = [(word, row) for row, text in enumerate(batch.table["text"].to_pylist()) for word in set(text.split())]
        keys = keyed_hashes([word for word, _ in pairs], 0)
        return pa.table({"key": keys, "check": keys, "row": pa.array([row for _, row in pairs], pa.int64())})

    def sketches(self, batch: Batch) -> pa.ListArray:
        sets = [sorted(keyed_hashes(sorted(set(text.split())), 0).tolist()) for text in batch.table["text"].to_pylist()]
        return pa.array(sets, pa.list_(pa.uint64()))

    def similarity(self, left: pa.ListArray, right: pa.ListArray) -> np.ndarray:
        sets = [(set(a), set(b)) for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)]
        return np.array([len(a & b) / len(a | b) for a, b in sets])


class DirectWords(SharedWords):
    """The same, where a document goes only for one that is like it itself."""

    kind: ClassVar[str] = "direct_words"

    @property
    def direct(self) -> bool:
        return True


class WordsInWaves(SharedWords):
    """The same in three waves: each word belongs to one."""

    kind: ClassVar[str] = "words_in_waves"

    @property
    def waves(self) -> int:
        return 3

    def emit(self, batch: Batch, wave: int = 0) -> pa.Table:
        rows = super().emit(batch)
        return rows.filter(pa.array(rows["key"].to_numpy() % np.uint64(3) == wave))


def deduplicate(folder, stage: Deduplicator, texts: list[str], part_rows: int, pack_bytes: int, cluster_bytes: int = 10**9):
    """Removals `[(id, kept_id, similarity)]` and the ids that stay."""
    work = Storage(str(folder))
    parts = []
    for number, start in enumerate(range(0, len(texts), part_rows)):
        rows = [
            dict.fromkeys(DOCUMENTS.names) | {"id": f"d{row}", "text": texts[row], "source": "s", "file": "f", "position": row}
            for row in range(start, min(start + part_rows, len(texts)))
        ]
        table = pa.Table.from_pylist(rows, schema=DOCUMENTS)
        writer = StreamWriter(work, f"part{number}.arrow", DOCUMENTS)
        writer.write(table)
        entry = writer.close()
        size = sum(len(row["text"].encode()) for row in rows)
        parts.append(Part("s", entry["file"], f"p{number}", len(rows), len(rows), size, 0))
    with Progress(quiet=True) as progress:
        runner = Runner(InProcess(), work, StepStore(work), progress)
        packs = make_packs(parts, pack_bytes)
        removed = Deduplication(runner, stage, packs, 400, LedgerText(), cluster_bytes).run()
    state = RunState(parts=parts, labels=[stage.label], versions={"s": 0})
    state.take_removals(stage.label, packs, removed)
    rows = [
        row
        for one in state.by_stage(state.ledger).get(stage.label, [])
        for table in read_batches(work, one.file)
        for row in table.to_pylist()
    ]
    gone = {row["id"] for row in rows}
    counts = state.counts[stage.label, "s"]
    assert (counts["in"], counts["kept"]) == (len(texts), len(texts) - len(gone))
    return [(row["id"], row["kept_id"], row["similarity"]) for row in rows], [
        f"d{n}" for n in range(len(texts)) if f"d{n}" not in gone
    ]


@pytest.mark.parametrize(("part_rows", "pack_bytes"), [(100, 10**6), (3, 40), (1, 1)])
def test_one_of_equal_texts_stays_and_the_ledger_names_it(tmp_path, part_rows, pack_bytes):
    texts = ["a b", "c", "a b", "d e f", "c", "a b", "x"]
    removed, kept = deduplicate(tmp_path, SameText(), texts, part_rows, pack_bytes)
    assert removed == [("d2", "d0", 1.0), ("d4", "d1", 1.0), ("d5", "d0", 1.0)]
    assert kept == ["d0", "d1", "d3", "d6"]


@pytest.mark.parametrize("pack_bytes", [10**6, 60, 1])
def test_all_documents_sharing_one_key_leave_one(tmp_path, pack_bytes, monkeypatch):
    monkeypatch.setattr(exchange, "FLUSH_ROWS", 16)
    removed, kept = deduplicate(tmp_path, SameText(), ["same"] * 100, 9, pack_bytes)
    assert kept == ["d0"]
    assert {kept_id for _, kept_id, _ in removed} == {"d0"}


@pytest.mark.parametrize(("part_rows", "pack_bytes"), [(100, 10**6), (2, 30), (1, 1)])
def test_similar_documents_form_clusters_and_the_longest_stays(tmp_path, part_rows, pack_bytes):
    texts = ["a b c", "a b c d", "z", "p q r s", "p q r t", "a y"]
    removed, kept = deduplicate(tmp_path, SharedWords(), texts, part_rows, pack_bytes)
    # d0 and d1 share 3 of 4 words; d3 and d4 share 3 of 5; d5 shares 1 of 5 with d1
    assert removed == [("d0", "d1", 0.75), ("d4", "d3", 0.6)]
    assert kept == ["d1", "d2", "d3", "d5"]


def test_the_first_stays_where_the_policy_says_so(tmp_path):
    removed, _ = deduplicate(tmp_path, SharedWords(keep="earliest"), ["a b c", "a b c d"], 1, 1)
    assert removed == [("d1", "d0", 0.75)]


def test_a_chain_is_one_cluster_and_tells_the_true_similarity_to_the_kept_one(tmp_path):
    removed, kept = deduplicate(tmp_path, SharedWords(), ["a b c d e f", "c d e f g", "e f g h"], 1, 1)
    # d0~d1: 4 of 7 words, d1~d2: 3 of 6; d0 and d2 share only 2 of 8, yet d1 links them
    assert kept == ["d0"]
    assert removed == [("d1", "d0", 4 / 7), ("d2", "d0", 0.25)]


def test_without_a_least_similarity_shared_keys_are_enough(tmp_path):
    removed, kept = deduplicate(tmp_path, SharedWords(least=None), ["a b c", "c x y z", "q"], 1, 1)
    assert removed == [("d0", "d1", 1 / 6)]
    assert kept == ["d1", "d2"]


@pytest.mark.parametrize("seed", range(4))
def test_the_packs_do_not_show_in_the_result(tmp_path, seed):
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(list("abcdefghijklmnop"), size=random.integers(1, 7))) for _ in range(80)]
    results = [
        deduplicate(tmp_path / f"{rows}-{size}", SharedWords(), texts, rows, size)
        for rows, size in [(100, 10**6), (7, 90), (1, 1)]
    ]
    assert results[0] == results[1] == results[2]
    removed, kept = results[0]
    assert {kept_id for _, kept_id, _ in removed} <= set(kept)
    for identifier, kept_id, similarity in removed:
        left, right = (set(texts[int(one[1:])].split()) for one in (identifier, kept_id))
        assert similarity == len(left & right) / len(left | right)


def test_stars_keep_components_with_one_pair_a_document():
    # ranks: 1 -> 5, 2 -> 4, 3 -> 5, 7 -> 6, 9 -> 6: of 1, 2 and 3 the second stays, of 7 and 9 the one with the lower address
    pairs = pa.table([[1, 3, 7], [2, 2, 9], [5, 5, 6], [4, 4, 6], [0.5, None, 0.75]], schema=EDGES)
    found = zip(*(stars(pairs)[name].to_pylist() for name in ("a", "b", "similarity")), strict=True)
    assert sorted(found, key=lambda pair: pair[:2]) == [(2, 1, 0.5), (2, 3, None), (7, 9, 0.75)]


def test_a_similarity_is_told_only_of_the_two_documents_it_was_measured_of():
    # 1 - 2 - 3 in a row: 1 stays for both, and of 1 and 3 nothing is known yet
    pairs = pa.table([[1, 2], [2, 3], [0, 0], [0, 0], [0.9, 0.8]], schema=EDGES)
    found = stars(pairs)
    assert found.select(["a", "b", "similarity"]).to_pylist() == [
        {"a": 1, "b": 2, "similarity": 0.9},
        {"a": 1, "b": 3, "similarity": None},
    ]


@pytest.mark.parametrize(("part_rows", "pack_bytes"), [(100, 10**6), (1, 1)])
def test_a_pair_that_was_verified_is_not_compared_again(tmp_path, part_rows, pack_bytes, monkeypatch):
    compared = []

    def counted(self, left, right):
        compared.append(len(left))
        return before(self, left, right)

    before = SharedWords.similarity
    monkeypatch.setattr(SharedWords, "similarity", counted)
    removed, _ = deduplicate(tmp_path, SharedWords(), ["a b c", "a b c d", "c d e f g"], part_rows, pack_bytes)
    # candidates: d1 with d0, d2 with d1 and, the last holders of c, d2 with d0; only the first of them is alike, and decided
    assert removed == [("d0", "d1", 0.75)]
    assert sum(compared) == 3


@pytest.mark.parametrize("seed", range(3))
def test_clusters_that_fit_no_memory_are_the_same_clusters(tmp_path, seed, monkeypatch):
    monkeypatch.setattr(exchange, "FLUSH_ROWS", 5)
    random = np.random.default_rng(seed)
    # a path, which takes the most rounds, and a crowd
    path = [f"p{at} q{at} p{at + 1} q{at + 1}" for at in random.permutation(40)]
    crowd = [" ".join(random.choice(list("abcdefghijklmnop"), size=random.integers(1, 7))) for _ in range(60)]
    stage = SharedWords(least=0.3)
    whole = deduplicate(tmp_path / "whole", stage, path + crowd, 7, 90)
    assert deduplicate(tmp_path / "rounds", stage, path + crowd, 7, 90, cluster_bytes=1) == whole
    assert list((tmp_path / "rounds" / "data").rglob("*.stars*.arrow"))
    assert not list((tmp_path / "whole" / "data").rglob("*.stars*.arrow"))
    assert len(whole[0]) > 60


def test_waves_do_not_show_in_the_result_and_leave_no_emitted_rows(tmp_path):
    random = np.random.default_rng(5)
    texts = [" ".join(random.choice(list("abcdefghijklmnop"), size=random.integers(1, 7))) for _ in range(60)]
    whole = deduplicate(tmp_path / "whole", SharedWords(), texts, 7, 90)
    assert deduplicate(tmp_path / "waves", WordsInWaves(), texts, 7, 90) == whole
    assert list((tmp_path / "whole" / "data").rglob("*.emit*.arrow"))
    assert not list((tmp_path / "waves" / "data").rglob("*.emit*.arrow"))
    # what came of them is there, so nothing is emitted again
    assert deduplicate(tmp_path / "waves", WordsInWaves(), texts, 7, 90) == whole
    assert not list((tmp_path / "waves" / "data").rglob("*.emit*.arrow"))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("least", [0.4, None])
def test_a_direct_stage_removes_what_an_earlier_document_is_like_itself(tmp_path, seed, least):
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(list("abcdefghijklmnop"), size=random.integers(1, 7))) for _ in range(60)]
    stage = DirectWords(least=least, keep="earliest")
    results = [deduplicate(tmp_path / f"{rows}", stage, texts, rows, size) for rows, size in [(100, 10**6), (7, 90), (1, 1)]]
    assert results[0] == results[1] == results[2]
    sets = [set(text.split()) for text in texts]
    # the candidates of a document: of each of its words, the first document that has it and the last one before it
    expected = []
    for at, words in enumerate(sets):
        holders = [[other for other in range(at) if word in sets[other]] for word in words]
        candidates = sorted({one for held in holders if held for one in (held[0], held[-1])})
        like = [one for one in candidates if len(sets[one] & words) / len(sets[one] | words) >= (least or 0)]
        if like:
            expected.append((f"d{at}", f"d{like[0]}", len(sets[like[0]] & words) / len(sets[like[0]] | words)))
    assert results[0][0] == expected


def test_neither_batches_nor_files_of_bounded_size_show_in_the_result(tmp_path, monkeypatch):
    # the first document is the hub of all others, and so are its copies
    texts = ["a b c d e f g h", *(f"a b c d e f {last}" for last in "ghijklmn" * 5)]
    whole = deduplicate(tmp_path / "whole", SharedWords(), texts, 5, 60)
    monkeypatch.setattr(exchange, "FLUSH_ROWS", 3)
    monkeypatch.setattr(dedup_tasks, "PIECE_ROWS", 3)
    monkeypatch.setattr(dedup, "LEAST_BATCH_ROWS", 1)
    monkeypatch.setattr(exchange, "BATCH_ROWS", 2)
    monkeypatch.setattr(dedup_tasks, "PAIRS_AT_ONCE", 2)
    assert deduplicate(tmp_path / "cut", SharedWords(), texts, 5, 60) == whole
    assert whole[1] == ["d0"]
    offers = list((tmp_path / "cut" / "data").rglob("*.offer*.arrow"))
    assert max(int(file.name.split(".offer")[1].removesuffix(".arrow")) for file in offers) > 3


@pytest.mark.parametrize(
    ("stage", "cluster_bytes"),
    [
        (SameText(), 10**9),
        (SharedWords(least=0.3), 10**9),
        (SharedWords(least=0.3), 1),
        (SharedWords(least=None), 10**9),
        (DirectWords(keep="earliest"), 10**9),
        (WordsInWaves(least=0.3), 10**9),
    ],
    ids=["one key", "components", "out of core", "unverified", "direct", "waves"],
)
def test_two_levels_of_exchange_do_not_show_in_the_result(tmp_path, stage, cluster_bytes, monkeypatch):
    random = np.random.default_rng(8)
    texts = [" ".join(random.choice(list("abcdefghijklmnop"), size=random.integers(1, 7))) for _ in range(70)]
    texts += texts[:9]
    whole = deduplicate(tmp_path / "one", stage, texts, 2, 1, cluster_bytes)
    assert not list((tmp_path / "one" / "data").rglob("*.gathered.arrow"))
    monkeypatch.setattr(gather, "MOST_SEGMENTS", 20)
    monkeypatch.setattr(gather, "GROUP_FILES", 3)
    monkeypatch.setattr(exchange, "FLUSH_ROWS", 7)
    assert deduplicate(tmp_path / "two", stage, texts, 2, 1, cluster_bytes) == whole
    assert list((tmp_path / "two" / "data").rglob("*.gathered.arrow"))
    assert len(whole[0]) >= 9


def test_offers_of_bounded_size_do_not_show_in_the_result(tmp_path, monkeypatch):
    texts = ["a b c d e f g h", *(f"a b c d e f {last}" for last in "ghijklmn" * 5)]
    whole = deduplicate(tmp_path / "whole", SharedWords(), texts, 5, 60)
    monkeypatch.setattr(dedup_tasks, "OFFER_BYTES", 200)
    assert deduplicate(tmp_path / "cut", SharedWords(), texts, 5, 60) == whole
    offers = [file.name for file in (tmp_path / "cut" / "data").rglob("*.offer*.arrow")]
    assert len(offers) > 2 * len([*(tmp_path / "whole" / "data").rglob("*.offer*.arrow")])
