"""A small run folder, written by hand."""

import json
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.stages.documents import DOCUMENTS

LEDGER = pa.schema(
    [
        *[("id", pa.string()), ("source", pa.string()), ("file", pa.string()), ("position", pa.int64()), ("url", pa.string())],
        *[("stage", pa.string()), ("rule", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())],
        *[("failed_rules", pa.list_(pa.string())), ("kept_id", pa.string()), ("similarity", pa.float64())],
        *[("detail", pa.string()), ("text", pa.large_string())],
    ]
)

HOME = "https://a.example/"


def uuid(number: int) -> str:
    return f"<urn:uuid:00000000-0000-0000-0000-00000000000{number}>"


def _document(identifier: str, source: str, position: int, url: str | None) -> dict:
    file = "crawl.warc.gz" if source == "web" else "shelf.jsonl"
    row = dict.fromkeys(DOCUMENTS.names)
    return row | {"id": identifier, "text": "Kept words.", "source": source, "file": file, "position": position, "url": url}


def _removed(identifier: str, source: str, position: int, url: str | None, stage: str, rule: str, **more: object) -> dict:
    row = dict.fromkeys(LEDGER.names) | _document(identifier, source, position, url)
    return {name: row[name] for name in LEDGER.names} | {"stage": stage, "rule": rule, "text": ""} | more


GAP = "web/crawl.warc.gz#900"
REMOVED = [
    _removed(GAP, "web", 900, None, "read", "unreadable_bytes", detail="120 bytes are no gzip member", text=None),
    _removed(uuid(2), "web", 200, "https://spam.example/x", "url_filter", "blocked_domain", detail="spam.example"),
    _removed(uuid(3), "web", 300, "https://a.example/nav", "extract", "empty_text"),
    _removed(
        *(uuid(4), "web", 400, "https://a.example/<script>", "gopher_quality", "too_few_words"),
        value=12.0,
        threshold=50.0,
        text="Buy <script>alert('now')</script> [bold]cheap[/bold] \x1b[31mred & more",
    ),
    _removed(
        uuid(7),
        "web",
        700,
        "https://a.example/7",
        "gopher_quality",
        "too_few_alphabetic_words",
        value=0.5,
        threshold=0.8,
        text=None,
    ),
    _removed("shelf-1", "books", 1, None, "exact", "duplicate", kept_id="shelf-0", similarity=1.0, text="A book."),
    _removed(uuid(5), "web", 500, HOME, "exact", "duplicate", kept_id=uuid(6), similarity=1.0, text="Near copy."),
    _removed(
        uuid(6),
        "web",
        600,
        "https://b.example/",
        "minhash",
        "near_duplicate",
        kept_id=uuid(1),
        similarity=0.93,
        text="Near copy.",
    ),
]

KEPT = {"web": [_document(uuid(1), "web", 100, HOME)], "books": [_document("shelf-0", "books", 0, None)]}

WORDS = {"rule": "too_few_words", "signal": "word_count", "bound": "at_least", "threshold": 50.0}
LETTERS = {"rule": "too_few_alphabetic_words", "signal": "words_with_a_letter_fraction", "bound": "at_least", "threshold": 0.8}

# after extraction: id -> word_count, words_with_a_letter_fraction
SIGNALS = {uuid(1): (120.0, 0.95), uuid(4): (12.0, 0.9), uuid(5): (90.0, 0.97), uuid(6): (91.0, 0.8), uuid(7): (200.0, 0.5)}


def _counts(stage: str, source: str, kept: int, rules: dict, edited: int, size: tuple, words: tuple) -> dict:
    removed = sum(rules.values())
    row = {
        "stage": stage,
        "source": source,
        "in": kept + removed,
        "kept": kept,
        "removed": removed,
        "edited": edited,
        "rules": rules,
    }
    return row | {"bytes_in": size[0], "bytes_kept": size[1], "words_in": words[0], "words_kept": words[1]}


FUNNEL = [
    _counts("read", "web", 7, {"unreadable_bytes": 1}, 0, (9_000, 8_000), (None, None)),
    _counts("url_filter", "web", 6, {"blocked_domain": 1}, 0, (8_000, 7_000), (None, None)),
    _counts("extract", "web", 5, {"empty_text": 1}, 5, (7_000, 3_000), (None, 600)),
    _counts("gopher_quality", "web", 3, {"too_few_alphabetic_words": 1, "too_few_words": 1}, 0, (3_000, 1_500), (600, 301)),
    _counts("exact", "web", 2, {"duplicate": 1}, 0, (1_500, 1_000), (301, 211)),
    _counts("minhash", "web", 1, {"near_duplicate": 1}, 0, (1_000, 500), (211, 120)),
    _counts("read", "books", 2, {}, 0, (2_000, 2_000), (400, 400)),
    _counts("exact", "books", 1, {"duplicate": 1}, 0, (2_000, 1_000), (400, 200)),
    _counts("minhash", "books", 1, {}, 0, (1_000, 1_000), (200, 200)),
]


def _stage(label: str, sources: list[str], rules: list[dict] | None = None, corpus: bool = False) -> dict:
    return {"label": label, "kind": label, "sources": sources, "corpus": corpus, "rules": rules or []}


RUN = {
    "gristmill": "0.1.0",
    "recipe": {
        "name": "small <b>run</b>",
        "seed": 7,
        "sources": {"web": {"read": {"format": "warc"}, "stages": [{"gopher_quality": {"min_words": 50}}]}, "books": {}},
        "stages": [{"exact": {}}, {"minhash": {}}],
    },
    "status": "done",
    "stages": [
        _stage("read", ["web", "books"]),
        _stage("url_filter", ["web"]),
        _stage("extract", ["web"]),
        _stage("gopher_quality", ["web"], [WORDS, LETTERS]),
        _stage("exact", ["web", "books"], corpus=True),
        _stage("minhash", ["web", "books"], corpus=True),
    ],
    "inputs": [{"source": "web", "path": "crawl.warc.gz", "size": 4321}, {"source": "books", "path": "shelf.jsonl", "size": 99}],
    "other_records": {"request": 12, "warcinfo": 1, "metadata": 0},
}


def low_hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _write(folder: Path, name: str, table: pa.Table) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    # row groups of two rows, so that finding a row is more than taking the first group
    pq.write_table(table, folder / name, row_group_size=2)


def write_index(folder: Path, rows: list[tuple[str, int, int, str, int]], files: int = 2) -> None:
    """Index rows (hashed text, kind, outcome, file, row) in hash order, cut into several files."""
    hashed = sorted((low_hash(text), kind, outcome, file, row) for text, kind, outcome, file, row in rows)
    names = {"hash": pa.uint64(), "kind": pa.uint8(), "outcome": pa.uint8(), "file": pa.string(), "row": pa.int64()}
    each = -(-len(hashed) // files)
    for number in range(files):
        part = hashed[number * each : (number + 1) * each]
        columns = list(zip(*part, strict=True)) or [[]] * len(names)
        arrays = [pa.array(list(column), kind) for column, kind in zip(columns, names.values(), strict=True)]
        _write(folder, f"index/{number:05}.parquet", pa.table(arrays, names=list(names)))


def write_run(folder: Path) -> Path:
    """A run of ten records from two sources, two of them kept."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(RUN))
    (folder / "funnel.json").write_text(json.dumps({"rows": FUNNEL}))
    index = []
    for source, documents in KEPT.items():
        name = f"documents/{source}/00000.parquet"
        _write(folder, name, pa.Table.from_pylist(documents, DOCUMENTS))
        index += [(row["id"], 0, 0, name, number) for number, row in enumerate(documents)]
        index += [(row["url"], 1, 0, name, number) for number, row in enumerate(documents) if row["url"]]
    for number, part in enumerate((REMOVED[:5], REMOVED[5:])):
        name = f"removed/{number:05}.parquet"
        _write(folder, name, pa.Table.from_pylist(part, LEDGER))
        index += [(row["id"], 0, 1, name, place) for place, row in enumerate(part)]
        index += [(row["url"], 1, 1, name, place) for place, row in enumerate(part) if row["url"]]
    rows = [
        {
            "id": name,
            "source": "web",
            "version": 1,
            "gopher_quality.word_count": words,
            "gopher_quality.words_with_a_letter_fraction": share,
        }
        for name, (words, share) in SIGNALS.items()
    ]
    _write(folder, "signals/00000.parquet", pa.Table.from_pylist(rows))
    index += [(row["id"], 0, 2, "signals/00000.parquet", number) for number, row in enumerate(rows)]
    write_index(folder, index)
    return folder


@pytest.fixture
def published_run(tmp_path: Path) -> Path:
    """The folder of a finished run; tests may damage it."""
    return write_run(tmp_path / "run")
