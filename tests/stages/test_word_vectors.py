"""Embeddings of texts by word vectors from files: what they are made of, and files that are none."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from gristmill.stages.contamination_tokens import tokens_plainly
from gristmill.stages.embeddings import model_files, model_libraries, model_vectors
from gristmill.stages.fasttext_file import is_word_vectors
from gristmill.stages.fasttext_writer import write_vectors
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.word_vector_kernels import text_vector_plainly
from gristmill.stages.word_vector_training import VectorSettings, train_vectors
from gristmill.stages.word_vectors import folded, load_word_vectors, tokens_of

TEXTS = ["The mill grinds rye and corn", "A boat on the river, a mill by the river", "corn corn rye 42 café 麦を粉"] * 4
SMALL = VectorSettings(dimensions=6, buckets=40, epochs=2, min_count=1, seed=3)


@pytest.fixture
def vectors(tmp_path) -> str:
    with (tmp_path / "vectors.bin").open("wb") as file:
        write_vectors(train_vectors(TEXTS, SMALL), file)
    return str(tmp_path / "vectors.bin")


def test_a_setting_names_word_vectors_by_its_ending_or_by_fasttext(tmp_path):
    (tmp_path / "model.bin").mkdir()
    names = ["a/wiki.en.bin", "cc.de.300.vec", "fasttext:vectors", "a/model", str(tmp_path / "model.bin")]
    assert [is_word_vectors(name) for name in names] == [True, True, True, False, False]
    assert model_libraries("a.vec") == ("numpy", "numba")
    assert model_libraries("a") == ("sentence-transformers", "torch")


def test_words_are_folded_and_known_by_one_key_in_any_case():
    data = np.frombuffer(bytearray("É é ٤2 ARE_are".encode()), dtype=np.uint8)
    starts, ends, keys = tokens_of(data, 0, len(data))
    assert [folded(data[start:end].tobytes()).decode() for start, end in zip(starts, ends, strict=True)] == [
        *("é", "é", "42", "are_are"),
    ]
    assert (keys[0] == keys[1], len(set(keys.tolist()))) == (True, 3)


@pytest.mark.parametrize("text", ["a b c d", "麦を粉", "a一b二", "", "ééé é", "\n\n"])
def test_there_is_room_for_all_words(text):
    data = np.frombuffer(bytearray(text.encode()) or bytearray(1), dtype=np.uint8)
    starts, _, _ = tokens_of(data, 0, len(text.encode()))
    assert len(starts) == len(tokens_plainly(text, "words"))


def test_texts_are_means_of_the_words_that_the_library_reads_from_the_file(vectors):
    fasttext = pytest.importorskip("fasttext")
    library, held = fasttext.load_model(vectors), load_word_vectors(vectors)
    words, counts = library.get_words(include_freq=True)
    shares = dict(zip(words, counts / counts.sum(), strict=True))
    # "grinder" and "Ägypten" have their parts alone
    texts = ["the mill", "Grinder of RYE", "river " * 50, "café 麦", "Ägypten"]
    split = [[word for word, _, _ in tokens_plainly(text, "words")] for text in texts]
    asked = {word: library.get_word_vector(word).astype(float) for text in split for word in text} | {
        word: library.get_word_vector(word).astype(float) for word in words
    }
    asked = {word: vector / np.linalg.norm(vector) for word, vector in asked.items()}
    weights = {word: 1e-4 / (1e-4 + shares.get(word, 0.0)) for word in asked}
    common = sum(shares[word] * weights[word] * asked[word] for word in words)
    common = common / np.linalg.norm(common)
    expected = [text_vector_plainly(text, weights, asked, common) for text in split]
    np.testing.assert_allclose(held.of(texts), expected, atol=2e-5)


def test_neighbours_and_pieces_change_nothing(vectors, monkeypatch):
    held = load_word_vectors(vectors)
    together = held.of(TEXTS)
    apart = np.concatenate([held.of([text]) for text in TEXTS])
    assert together.tobytes() == apart.tobytes()
    for name, least in (("_BYTES_AT_ONCE", 1), ("_WORDS_AT_ONCE", 2), ("_ROWS_AT_ONCE", 1)):
        monkeypatch.setattr(f"gristmill.stages.word_vectors.{name}", least)
    assert held.of(TEXTS).tobytes() == together.tobytes()


def test_texts_without_a_known_word_have_no_embedding(tmp_path):
    (tmp_path / "two.vec").write_text("3 2\nmill 1 0\nMill 0 7\nrye 0 1\n")
    vectors, rows = model_vectors(str(tmp_path / "two.vec"), ["MILL", "nothing", "", "x" * 500, "rye, rye"])
    assert rows.tolist() == [0, 4]
    # of words that differ in case only the first; the third word is the rarest: 1 / (1 + 1/2 + 1/3) is p of the first
    shares = np.array([6, 2]) / 11
    common = shares * 1e-4 / (1e-4 + shares)
    common /= np.linalg.norm(common)
    expected = np.eye(2) - np.outer(common, common)
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)


def test_long_unknown_words_have_no_vector(vectors):
    held = load_word_vectors(vectors)
    assert held.of(["b" * 100]).any()
    assert not held.of(["b" * 101]).any()


def test_a_file_that_has_changed_is_read_again(tmp_path):
    path = tmp_path / "a.vec"
    path.write_text("2 2\na 1 0\nb 0 1\n")
    assert load_word_vectors(f"fasttext:{path}").size == 2
    path.write_text("2 3\na 1 0 0\nb 0 1 0\n")
    assert load_word_vectors(str(path)).size == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "its first line should be the number of words"),
        ("mill 1 0\n", "its first line should be the number of words"),
        ("2 2\nmill 1 0\nrye 1\n", "line 3: should be one of 2 words with 2 numbers"),
        ("1 2\nmill 1 0\nrye 1 0\n", "line 3: should be one of 1 words"),
        ("3 2\nmill 1 0\n", "holds 1 of 3 words"),
        ("1 2\nmill 1 nan\n", "what is no number"),
        ("1 2\n.. 1 1\n", "holds no word"),
    ],
)
def test_text_files_that_are_no_vectors_are_told(tmp_path, content, message):
    path = tmp_path / "x.vec"
    path.write_text(content)
    with pytest.raises(StageUnavailable, match=f"no file of word vectors .*{message}"):
        load_word_vectors(str(path))


def test_binary_files_that_are_no_vectors_are_told(tmp_path, vectors, fasttext_model):
    content = Path(vectors).read_bytes()
    other = tmp_path / "other.bin"
    for wrong, message in [
        (content[:-1], "cut off"),
        (content + b"\0", "should have"),
        (b"<html>" * 100, "does not begin as one does"),
        # the number of buckets
        (content[:40] + struct.pack("<i", 41) + content[44:], "rows; should have"),
    ]:
        other.write_bytes(wrong)
        with pytest.raises(StageUnavailable, match=message):
            load_word_vectors(str(other))
    labelled = fasttext_model(tmp_path / "labelled.bin", {"a": "x", "b": "y"}, ["x", "y"])
    with pytest.raises(StageUnavailable, match="holds a classifier; should hold word vectors"):
        load_word_vectors(labelled)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(StageUnavailable, match=r"semantic: .*none\.bin is no file; give word vectors of fastText"):
        model_files(str(tmp_path / "none.bin"), "semantic")
    with pytest.raises(StageUnavailable, match="is no folder; give one with a sentence-transformers model, or a file of word"):
        model_files(str(tmp_path / "none"), "semantic")


def test_real_texts_are_told_apart_by_subject(shared_data, tmp_path):
    rows = {}
    for name in ("qa", "docs"):
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt") as lines:
            rows[name] = [json.loads(line)["text"][:1500] for line, _ in zip(lines, range(150), strict=False)]
    with (tmp_path / "v.bin").open("wb") as file:
        learned = [text for texts in rows.values() for text in texts[:100]]
        write_vectors(train_vectors(learned, VectorSettings(dimensions=20, buckets=2000, min_count=3, epochs=5)), file)
    found = [load_word_vectors(str(tmp_path / "v.bin")).of(texts[100:]) for texts in rows.values()]
    within, between = (float((found[0] @ one.T).mean()) for one in found)
    assert within > between + 0.2
