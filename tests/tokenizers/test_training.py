import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.sampling import keyed_hashes
from gristmill.tokenizers.training import choose_sample, fingerprint, parquet_files, train_byte_bpe, train_from_documents

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
        assert choose_sample([str(tmp_path / file)], 1050, 3) == (expected[-1], 1000, 10, 50)


def test_a_short_document_above_the_cut_does_not_slip_in(tmp_path):
    ids = sorted((f"d{i}" for i in range(4)), key=lambda i: int(keyed_hashes([i], 0)[0]))
    # in order of hash: 5, 8, 2 and 1 bytes; within 10 bytes only the first fits before the cut
    table = pa.table({"id": ids, "text": ["a" * 5, "b" * 8, "c" * 2, "d"]})
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        pq.write_table(table.take(order), tmp_path / "x.parquet")
        assert choose_sample([str(tmp_path / "x.parquet")], 10, 0)[1:] == (5, 1, 4)


def test_a_run_folder_means_its_documents(tmp_path):
    documents(tmp_path / "run" / "documents" / "web" / "0.parquet", texts(5))
    documents(tmp_path / "run" / "removed" / "0.parquet", texts(5))
    assert [Path(file).parts[-3:] for file in parquet_files(str(tmp_path / "run"))] == [("documents", "web", "0.parquet")]


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
    with pytest.raises(FileNotFoundError, match="nothing is there"):
        parquet_files(str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no \.parquet file"):
        parquet_files(str(tmp_path / "empty"))
    pq.write_table(pa.table({"id": ["a"], "body": ["b"]}), tmp_path / "body.parquet")
    with pytest.raises(ValueError, match="has no column text; it has id, body"):
        train_from_documents([tmp_path / "body.parquet"], 400, sample_bytes=10, output=tmp_path)
    documents(tmp_path / "long.parquet", ["a" * 100])
    with pytest.raises(ValueError, match="none of 1 documents fits"):
        train_from_documents([tmp_path / "long.parquet"], 400, sample_bytes=10, output=tmp_path)
