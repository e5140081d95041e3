import pyarrow as pa
import pytest

from gristmill.tokenizers.measuring import measure, suggested_vocabulary
from gristmill.tokenizers.model_settings import TokenizerModel
from gristmill.tokenizers.model_training import train_model
from gristmill.tokenizers.training import train_byte_bpe


def batch(*rows):
    names = ("id", "text", "source", "language")
    return pa.RecordBatch.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


def test_the_figures_of_a_vocabulary_of_bytes():
    # 257 tokens: the bytes and the end of text; "mill" takes 4 tokens, "é" 2
    found = measure({"bytes": train_byte_bpe(["x"], 257)}, [batch(("a", "mill a", "web", "en"), ("b", "é", "books", None))])
    assert found == [
        {
            "tokenizer": "bytes",
            "vocab_size": 257,
            "documents": 2,
            "bytes": 8,
            "tokens": 8,
            "bytes_per_token": 1.0,
            "tokens_per_word": 2.3333,  # 4 + 1 + 2 of 3 words
            "whole_words": 0.3333,
            "unknown": 0,
            "byte_tokens": 0,
            "lossless": 1.0,
            "sources": {
                "books": figures(documents=1, bytes=2, tokens=2, tokens_per_word=2.0, whole_words=0.0),
                "web": figures(documents=1, bytes=6, tokens=6, tokens_per_word=2.5, whole_words=0.5),
            },
            "languages": {
                "en": figures(documents=1, bytes=6, tokens=6, tokens_per_word=2.5, whole_words=0.5),
                "unknown": figures(documents=1, bytes=2, tokens=2, tokens_per_word=2.0, whole_words=0.0),
            },
            "lossy": [],
        }
    ]


def figures(**given):
    return {"bytes_per_token": 1.0, "unknown": 0, "byte_tokens": 0, "lossless": 1.0} | given


def test_a_word_with_its_space_in_one_token_is_whole():
    tokenizer = train_byte_bpe(["the mill the mill"] * 5, 300)
    row = measure({"t": tokenizer}, [batch(("a", "the mill", "web", "en"))])[0]
    assert (row["tokens"], row["whole_words"], row["tokens_per_word"], row["bytes_per_token"]) == (2, 1.0, 1.0, 4.0)


def test_unknowns_bytes_and_what_does_not_come_back_are_counted():
    texts = ["the mill grinds grain"] * 20
    pieces = train_model(lambda: texts, TokenizerModel(model="wordpiece", vocab_size=257))
    fallback = train_model(lambda: texts, TokenizerModel(model="bpe_byte_fallback", vocab_size=300))
    documents = [batch(("a", "the mill", "web", None), ("b", "the  漢", "web", None))]
    word, byte = measure({"word": pieces, "byte": fallback}, documents)
    assert (word["unknown"], word["lossless"], word["lossy"]) == (1, 0.5, ["b"])
    assert (byte["unknown"], byte["byte_tokens"], byte["lossless"]) == (0, 3, 1.0)


def test_no_documents_are_told():
    with pytest.raises(ValueError, match="no documents with text"):
        measure({"t": train_byte_bpe(["x"], 257)}, [batch(("a", "", "web", None))])
    with pytest.raises(ValueError, match=r"t: not the contents of a tokenizer\.json"):
        measure({"t": "{}"}, [])


def test_the_suggestion_meets_the_published_one():
    # Tao et al. 2024: 43 thousand for 3 billion parameters, at least 216 thousand for Llama 2 70B, whose width is 8192
    assert suggested_vocabulary(3e9, 3200)["vocab_size"] == pytest.approx(43_000, rel=0.05)
    assert suggested_vocabulary(70e9, 8192)["vocab_size"] == pytest.approx(216_000, rel=0.03)
    assert suggested_vocabulary(3e9)["width"] == 3175
    assert suggested_vocabulary(3e9)["estimate"] is True
    with pytest.raises(ValueError, match="parameters is 0"):
        suggested_vocabulary(0)
