import json

import pyarrow as pa
import pytest

from gristmill.tokenizers.encoding import Encoder, token_dtype
from gristmill.tokenizers.training import train_byte_bpe

TEXTS = ["the cat sat on the mat"] * 5


@pytest.fixture(scope="module")
def tokenizer_json():
    return train_byte_bpe(TEXTS, 280)


def test_each_document_ends_with_the_end_of_text_token(tokenizer_json):
    encoder = Encoder(tokenizer_json)
    encoded = encoder.encode(["the cat", "mat"])
    assert encoded.type == pa.large_list(pa.uint16())
    assert [row[-1] for row in encoded.to_pylist()] == [encoder.eos_id, encoder.eos_id]
    assert encoder.decode(encoded[0].as_py()) == "the cat<|endoftext|>"


def test_text_that_spells_the_end_of_text_does_not_end_the_document(tokenizer_json):
    encoder = Encoder(tokenizer_json)
    ids = encoder.encode(["a<|endoftext|>b"])[0].as_py()
    assert ids.count(encoder.eos_id) == 1
    assert encoder.decode(ids[:-1]) == "a<|endoftext|>b"


def test_empty_and_null_documents_have_no_tokens(tokenizer_json):
    assert Encoder(tokenizer_json).encode(pa.array(["", None, "a"]))[:2].to_pylist() == [[], []]


def test_every_kind_of_input_gives_the_same_ids(tokenizer_json):
    encoder = Encoder(tokenizer_json)
    texts = ["the cat", "", "on the mat", "x"]
    expected = encoder.encode(texts)
    assert encoder.encode(pa.array(texts, pa.large_string())).equals(expected)
    assert encoder.encode(pa.chunked_array([texts[:1], texts[1:]])).equals(expected)
    assert len(encoder.encode([])) == 0


def test_batches_inside_do_not_show(tokenizer_json, monkeypatch):
    encoder = Encoder(tokenizer_json)
    expected = encoder.encode(TEXTS)
    monkeypatch.setattr("gristmill.tokenizers.encoding.CHARACTERS_AT_A_TIME", 10)
    assert encoder.encode(TEXTS).equals(expected)


def test_a_truncation_in_the_file_cuts_nothing(tokenizer_json):
    cut = json.loads(tokenizer_json)
    cut["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    assert Encoder(json.dumps(cut)).encode(TEXTS).equals(Encoder(tokenizer_json).encode(TEXTS))


@pytest.mark.parametrize(("vocab_size", "dtype"), [(257, "uint16"), (65_499, "uint16"), (65_500, "uint32"), (200_000, "uint32")])
def test_the_size_of_an_id_follows_the_vocabulary(vocab_size, dtype):
    assert token_dtype(vocab_size) == dtype


def test_a_large_vocabulary_is_stored_in_four_bytes(tokenizer_json):
    large = json.loads(tokenizer_json)
    large["added_tokens"].append({**large["added_tokens"][0], "id": 70_000, "content": "<|far|>"})
    large["model"]["vocab"]["<|far|>"] = 70_000
    encoder = Encoder(json.dumps(large))
    assert encoder.vocab_size == 70_001
    assert encoder.encode(["the"]).type == pa.large_list(pa.uint32())


def test_a_missing_end_of_text_and_a_broken_file_are_refused(tokenizer_json):
    with pytest.raises(ValueError, match=r"has no token </s>; its special tokens are <\|endoftext\|>"):
        Encoder(tokenizer_json, eos="</s>")
    with pytest.raises(ValueError, match=r"not the contents of a tokenizer\.json"):
        Encoder("{}")


def test_a_document_begins_with_the_token_that_is_asked_for():
    content = train_byte_bpe(TEXTS, 280, special_tokens=("<|endoftext|>", "<|begin|>"))
    encoder = Encoder(content, bos="<|begin|>")
    plain = Encoder(content).encode(["the mill", ""]).to_pylist()
    assert encoder.encode(["the mill", ""]).to_pylist() == [[1, *plain[0]], []]
    with pytest.raises(ValueError, match=r"the tokenizer has no token <s>; its special tokens are <\|begin\|>, <\|endoftext\|>"):
        Encoder(content, bos="<s>")
