import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.inspection import find_document, show_document, show_window, stats, verify
from gristmill.tokenizers.manifest import ShardError
from gristmill.tokenizers.shards import doc_hash, doc_hashes, open_shards, write_manifest, write_shard
from gristmill.tokenizers.training import train_byte_bpe

LOCAL = fsspec.filesystem("file")
TEXTS = {"web": [f"the mill {i} grinds" for i in range(12)], "books": ["water\nturns", "the wheel"]}
SORTED = {name: sorted(range(len(texts)), key=lambda i, name=name: doc_hash(f"{name}{i}")) for name, texts in TEXTS.items()}


@pytest.fixture
def folder(tmp_path):
    encoder = Encoder(train_byte_bpe(["mill"], 257))  # a token is a byte plus one
    entries = {}
    for name, texts in TEXTS.items():
        order = SORTED[name]
        table = pa.table(
            {
                "doc_id": doc_hashes(f"{name}{i}" for i in order),
                "tokens": encoder.encode([texts[i] for i in order]),
                "n_bytes": pa.array([len(texts[i]) for i in order]),
                "url_or_path": [f"https://example.org/{i}" for i in order],
            }
        )
        half = len(order) // 2
        cut = [table.slice(0, half), table.slice(half)]
        entries[name] = [write_shard(LOCAL, f"{tmp_path}/{name}/{n:05d}", [part], dtype="uint16") for n, part in enumerate(cut)]
    write_manifest(LOCAL, str(tmp_path), entries, tokenizer_json=encoder.tokenizer_json, eos_id=0, vocab_size=257, dtype="uint16")
    return tmp_path


def test_whole_shards_are_told_so(folder):
    characters = sum(len(text) for texts in TEXTS.values() for text in texts)
    assert verify(folder) == {
        "folder": str(folder),
        "sources": 2,
        "shards": 4,
        "documents": 14,
        "tokens": characters + 14,
        "content_hash": open_shards(folder).manifest.content_hash(),
    }


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("web/00001.bin", r"web/00001\.bin: its sha256 is not the manifest's"),
        ("web/00000.ends", r"web/00000\.ends: its sha256 is not the manifest's"),
        ("books/00000.idx", r"books/00000\.idx: is not the index of these documents"),
        ("tokenizer.json", r"tokenizer\.json: its sha256 is not the manifest's; these ids mean something else"),
        ("web/00000.docs.parquet", r"web/00000\.docs\.parquet: "),
    ],
)
def test_one_changed_bit_names_its_file(folder, name, message):
    flip(folder / name, 4 if name.endswith(".parquet") else 40 if name.endswith("idx") else 3)
    if name.endswith(".parquet"):
        (folder / name).write_bytes(b"PAR1")
    with pytest.raises(ShardError, match=message):
        verify(folder)


def test_rows_that_tell_other_documents_are_named(folder):
    path = folder / "web/00001.docs.parquet"
    pq.write_table(pq.read_table(path).slice(0, 5), path)
    with pytest.raises(ShardError) as caught:
        verify(folder)
    assert str(caught.value).count("web/00001.docs.parquet") == 2  # lengths and bytes
    rows = pq.read_table(folder / "web/00000.docs.parquet")
    pq.write_table(rows.take(list(range(len(rows) - 1, -1, -1))), folder / "web/00000.docs.parquet")
    with pytest.raises(ShardError, match=r"web/00000\.docs\.parquet: doc_id does not ascend"):
        verify(folder)


def test_stats_are_counted_by_hand(folder):
    found = {row["source"]: row for row in stats(folder)["sources"]}
    books = found["books"]
    assert (books["documents"], books["tokens"], books["bytes"], books["shards"]) == (2, 22, 20, 2)
    assert (books["bytes_per_token"], books["mean_tokens"], books["p50"], books["longest"]) == (0.9091, 11.0, 10, 12)
    assert (books["min_token"], books["max_token"]) == (
        0,
        221,
    )  # end of text, and the space: the 33rd after 188 printable characters
    assert found["web"]["documents"] == 12


def test_a_document_is_shown_with_its_text(folder):
    for number in range(12):
        found = show_document(folder, number, "web")
        i = SORTED["web"][number]
        assert found["text"] == TEXTS["web"][i] + "<|endoftext|>"
        assert found["url_or_path"] == f"https://example.org/{i}"
        assert found["doc_id"] == doc_hash(f"web{i}").hex()
        assert "".join(found["pieces"]) == found["text"]
        assert (found["shard"], found["row"]) == (f"web/{number // 6:05d}", number % 6)
        stream = open_shards(folder).streams["web"]
        assert stream.read(found["first_token"], found["first_token"] + len(found["ids"])).tolist() == found["ids"]
    # over all sources, books come first
    assert show_document(folder, 2)["doc_id"] == show_document(folder, 0, "web")["doc_id"]


def test_a_window_may_cross_documents_and_shards(folder):
    whole = "".join(TEXTS["books"][i] + "<|endoftext|>" for i in SORTED["books"])
    tokens = show_window(folder, 0, 21, "books")
    assert (tokens["text"], len(tokens["ids"])) == (whole, 22)
    assert show_window(folder, 1, 10, "books")["first_token"] == 10
    assert len(show_window(folder, 1, 10, "books")["ids"]) == 11


def test_a_document_is_found_by_its_id_and_by_its_hash(folder):
    number = SORTED["web"].index(7)
    expected = [{"source": "web", "shard": f"web/{number // 6:05d}", "row": number % 6, "document": 2 + number}]
    expected[0]["doc_id"] = doc_hash("web7").hex()
    assert find_document(folder, "web7") == expected
    assert find_document(folder, doc_hash("web7").hex()) == expected
    assert find_document(folder, "web77") == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda folder: show_document(folder, 12, "web"), "has no document 12; source web holds 12, from 0"),
        (lambda folder: show_document(folder, 0, "news"), "has no source news; it has books, web"),
        (lambda folder: show_window(folder, 0, 8), "has the sources books, web; say whose window"),
        (lambda folder: show_window(folder, 2, 10, "books"), "source books has no window 2; of 10 tokens it holds 2, from 0"),
    ],
)
def test_what_is_not_there_is_told(folder, call, message):
    with pytest.raises(ShardError, match=message):
        call(folder)
