import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.tokenizers.documents import batches_of, document_files

CUT_OFF = gzip.compress(b'{"text": "x"}\n' * 100)[:-12]


def rows(*files, **kwargs):
    return [row for batch in batches_of([str(file) for file in files], **kwargs) for row in batch.to_pylist()]


def test_each_format_gives_the_same_columns(tmp_path):
    pq.write_table(pa.table({"id": ["a"], "text": ["x"], "source": ["web"], "language": ["en"]}), tmp_path / "p.parquet")
    pq.write_table(pa.table({"text": ["y", "z"]}), tmp_path / "q.parquet")
    lines = [{"id": 7, "text": "j", "lang": "de"}, {"text": "k", "source": "s"}]
    with gzip.open(tmp_path / "j.jsonl.gz", "wt") as stream:
        stream.write("\n".join(json.dumps(line) for line in lines) + "\n\n")
    (tmp_path / "t.txt").write_bytes("line\r\nnaïve".encode())
    assert rows(*document_files(str(tmp_path))) == [
        {"id": "7", "text": "j", "source": "j", "language": "de"},
        {"id": "j.jsonl.gz#2", "text": "k", "source": "s", "language": None},
        {"id": "a", "text": "x", "source": "web", "language": "en"},
        {"id": "q.parquet#0", "text": "y", "source": "q", "language": None},
        {"id": "q.parquet#1", "text": "z", "source": "q", "language": None},
        {"id": "t.txt", "text": "line\r\nnaïve", "source": "t", "language": None},
    ]


def test_batches_hold_so_many_rows_and_no_more(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": str(i)}) + "\n" for i in range(5)))
    assert [len(batch) for batch in batches_of([str(tmp_path / "a.jsonl")], rows=2)] == [2, 2, 1]


def test_a_run_folder_means_its_documents(tmp_path):
    for folder in ("documents/web", "removed"):
        (tmp_path / folder).mkdir(parents=True)
        pq.write_table(pa.table({"text": ["x"]}), tmp_path / folder / "0.parquet")
    assert [file.split("/")[-3:] for file in document_files(str(tmp_path))] == [["documents", "web", "0.parquet"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', r"a.jsonl:2: has no string text; it has body"),
        ("a.jsonl", b"[1]\n", r"a.jsonl:1: has no string text; it is a list"),
        ("a.jsonl", b"oops\n", "a.jsonl:1: is no JSON"),
        ("a.txt", b"\xff", "a.txt: is not UTF-8"),
        ("a.parquet", b"PAR", "a.parquet: is no readable Parquet file"),
        (
            "a.jsonl.gz",
            CUT_OFF,
            "a.jsonl.gz: is not the gzip file that its name says, or only a part of it: Compressed file ended",
        ),
        ("a.txt.gz", CUT_OFF, "a.txt.gz: is not the gzip file that its name says, or only a part of it: Compressed file ended"),
        ("a.jsonl.gz", b"hello", "a.jsonl.gz: is not the gzip file that its name says, or only a part of it: Not a gzipped file"),
        ("a.txt.gz", b"hello", "a.txt.gz: is not the gzip file that its name says, or only a part of it: Not a gzipped file"),
    ],
)
def test_mistakes_name_the_file_and_the_line(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        rows(tmp_path / name)


def test_nothing_to_read_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing is there"):
        document_files(str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"holds no \.parquet, \.jsonl or \.txt file"):
        document_files(str(tmp_path))
    pq.write_table(pa.table({"body": ["b"]}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="has no column text; it has body"):
        rows(tmp_path / "b.parquet")


def test_a_parquet_file_with_damaged_data_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["some words", "others"] * 500}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"a\.parquet: is damaged"):
        rows(path)
