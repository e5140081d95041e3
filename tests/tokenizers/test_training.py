import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.tokenizers.documents import batches_of
from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.model_settings import TokenizerModel
from gristmill.tokenizers.sampling import keyed_hashes
from gristmill.tokenizers.training import (
    WeightedDocuments,
    check_vocabulary,
    fingerprint,
    lowest_hashes,
    train_byte_bpe,
    train_from_documents,
    train_on_sources,
)

WORDS = [
    "the",
    "mill",
    "grinds",
    "grain",
    "while",
    "water",
    "turns",
    "und",
    "das",
    "Rad",
    "dreht",
    "sich",
    "漢字",
    "مطحنة",
    "naïve",
]


def texts(count=300, seed=0):
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=40)) for _ in range(count)]


def documents(path, rows, first=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": [f"d{first + i}" for i in range(len(rows))], "text": rows}), path)


def test_the_library_is_not_shadowed_by_our_folder():
    import tokenizers

    assert not (Path(__file__).parents[2] / "tokenizers" / "__init__.py").exists()
    assert hasattr(tokenizers, "Tokenizer")


def test_the_library_is_found_from_the_root_of_the_repository():
    import subprocess
    import sys

    code = "import tokenizers; from gristmill.tokenizers import training; print(tokenizers.Tokenizer.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout == "Tokenizer\n"


def test_the_order_of_texts_changes_nothing():
    assert train_byte_bpe(texts(), 400) == train_byte_bpe(texts()[::-1], 400)


def test_special_tokens_come_first_and_then_the_bytes():
    vocabulary = json.loads(train_byte_bpe(texts(), 300, special_tokens=("<|endoftext|>", "<|pad|>")))["model"]["vocab"]
    assert (vocabulary["<|endoftext|>"], vocabulary["<|pad|>"]) == (0, 1)
    assert len(vocabulary) == 300


@given(st.text())
def test_any_text_decodes_to_itself(text):
    encoder = _encoder()
    ids = encoder.encode([text])[0].as_py()
    assert encoder.decode(ids[:-1]) == text


def _encoder(cache=[]):  # noqa: B006 - one for all examples
    if not cache:
        cache.append(Encoder(train_byte_bpe(texts(), 400)))
    return cache[0]


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(ValueError, match="vocab_size is 256; 256 bytes and 1 special tokens need at least 257"):
        train_byte_bpe(texts(), 256)


def test_no_text_at_all_is_refused():
    with pytest.raises(ValueError, match="no documents"):
        train_byte_bpe([], 400)


def test_the_sample_is_the_lowest_hashes_whatever_the_order(tmp_path):
    rows = [f"{i:05d}" * 20 for i in range(50)]  # 100 bytes each
    documents(tmp_path / "a.parquet", rows)
    pq.write_table(pq.read_table(tmp_path / "a.parquet").take(list(range(49, -1, -1))), tmp_path / "b.parquet")
    expected = sorted(keyed_hashes([f"d{i}" for i in range(50)], 3).tolist())[:10]
    for file in ("a.parquet", "b.parquet"):
        assert lowest_hashes(batches_of([str(tmp_path / file)]), 1050, 3) == (expected[-1], 1000, 10, 50, True)


def test_a_short_document_above_the_cut_does_not_slip_in(tmp_path):
    ids = sorted((f"d{i}" for i in range(4)), key=lambda i: int(keyed_hashes([i], 0)[0]))
    # in order of hash: 5, 8, 2 and 1 bytes; within 10 bytes only the first fits before the cut
    table = pa.table({"id": ids, "text": ["a" * 5, "b" * 8, "c" * 2, "d"]})
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        pq.write_table(table.take(order), tmp_path / "x.parquet")
        assert lowest_hashes(batches_of([str(tmp_path / "x.parquet")]), 10, 0)[1:] == (5, 1, 4, True)


def test_training_from_documents_does_not_see_how_they_are_cut_into_files(tmp_path):
    rows = texts(200)
    documents(tmp_path / "one" / "0.parquet", rows)
    documents(tmp_path / "two" / "0.parquet", rows[:77])
    documents(tmp_path / "two" / "1.parquet", rows[77:], first=77)
    made = [
        train_from_documents([tmp_path / name], 400, sample_bytes=20_000, seed=1, output=tmp_path / f"{name}.json")
        for name in ("one", "two")
    ]
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert made[0]["sha256"] == fingerprint((tmp_path / "one.json").read_text())
    assert made[0]["documents_read"] == 200
    assert 0 < made[0]["documents"] < 200
    assert made[0]["bytes"] <= 20_000
    assert made[0]["vocab_size"] <= 400


def test_mistakes_are_told(tmp_path):
    pq.write_table(pa.table({"id": ["a"], "body": ["b"]}), tmp_path / "body.parquet")
    with pytest.raises(ValueError, match="has no column text; it has id, body"):
        train_from_documents([tmp_path / "body.parquet"], 400, sample_bytes=10, output=tmp_path)
    documents(tmp_path / "long.parquet", ["a" * 100])
    with pytest.raises(ValueError, match="none of 1 documents fits"):
        train_from_documents([tmp_path / "long.parquet"], 400, sample_bytes=10, output=tmp_path)


def batches(texts, prefix):
    table = pa.table({"id": [f"{prefix}{i}" for i in range(len(texts))], "text": pa.array(texts, pa.large_string())})
    return table.to_batches(max_chunksize=7)


def sources(reverse=False):
    web, books = ["the mill grinds " * 5] * 40, ["water turns the wheel " * 5] * 10
    found = [
        WeightedDocuments("web", lambda: batches(web, "w"), 3.0),
        WeightedDocuments("books", lambda: batches(books, "b"), 1.0),
    ]
    return found[::-1] if reverse else found


def test_each_source_gives_its_share_of_the_sample():
    _, rows = train_on_sources(sources(), TokenizerModel(vocab_size=270), sample_bytes=3200)
    # web: 2,400 bytes wanted, documents of 80; books: 800 wanted, documents of 110, so 7 of them
    assert [(row["source"], row["weight"], row["bytes"], row["documents"]) for row in rows] == [
        ("books", 0.25, 770, 7),
        ("web", 0.75, 2400, 30),
    ]


def test_a_source_smaller_than_its_share_is_repeated_four_times_at_most():
    _, rows = train_on_sources(sources(), TokenizerModel(vocab_size=270), sample_bytes=8000)
    # books has 1,100 bytes, its share is 2,000: once whole, and of 900 more eight documents
    assert [(row["source"], row["bytes"], row["passes"]) for row in rows] == [("books", 1980, 1.8), ("web", 6000, 1.875)]
    _, rows = train_on_sources(sources(), TokenizerModel(vocab_size=270), sample_bytes=10**6)
    assert [(row["source"], row["bytes"], row["passes"]) for row in rows] == [("books", 4400, 4.0), ("web", 12800, 4.0)]


def test_the_order_of_sources_changes_nothing():
    settings = TokenizerModel(vocab_size=270)
    one, other = (train_on_sources(sources(reverse), settings, sample_bytes=3000) for reverse in (False, True))
    assert one == other


def test_weights_that_are_none_are_told():
    settings = TokenizerModel(vocab_size=270)
    with pytest.raises(ValueError, match=r"weights must be 0 or more: web -1"):
        train_on_sources([WeightedDocuments("web", list, -1)], settings, sample_bytes=10)
    with pytest.raises(ValueError, match="all weights are 0"):
        train_on_sources([WeightedDocuments("web", list, 0)], settings, sample_bytes=10)
    with pytest.raises(ValueError, match="none of 40 documents fits into a sample of 10 bytes"):
        train_on_sources(sources()[:1], settings, sample_bytes=10)


def test_a_vocabulary_too_large_for_the_documents_is_refused_and_nothing_written(tmp_path):
    documents(tmp_path / "a.parquet", ["a b c"] * 3)  # offers " b" and " c" besides 256 bytes and the end of text
    with pytest.raises(ValueError, match=r"vocab_size is 5,000; the texts offer no more than 259 tokens"):
        train_from_documents([tmp_path / "a.parquet"], 5000, sample_bytes=100, output=tmp_path / "t.json", fewer=False)
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]
    assert check_vocabulary(train_byte_bpe(["ab ab"], 258), 258) == 258
