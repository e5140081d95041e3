import base64
import json

import pytest

from gristmill.tokenizers.loading import byte_names, from_ranks, load_tokenizer
from gristmill.tokenizers.training import train_byte_bpe
from tokenizers import Tokenizer

TEXTS = ["the mill grinds 12345 grains, don't stop\r\n  HTTPServer naïve 漢字", "while the water turns the mill"] * 20
ODD = ["DON'T 1234567 x\u0301  \n\n y", "HTTPServer's /path//\r\n", "\u3000 漢字 \U0001f600"]


def ranks():
    vocabulary = json.loads(train_byte_bpe(TEXTS, 330))["model"]["vocab"]
    named = {name: byte for byte, name in byte_names().items()}
    tokens = [token for token in sorted(vocabulary, key=vocabulary.__getitem__) if token != "<|endoftext|>"]
    return {bytes(named[character] for character in token): i for i, token in enumerate(tokens)}


def rank_file(path, found):
    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in found.items()))
    return path


def test_a_file_of_ranks_encodes_as_the_tokenizer_it_came_from(tmp_path):
    given = Tokenizer.from_str(train_byte_bpe(TEXTS, 330))
    loaded = Tokenizer.from_str(load_tokenizer(rank_file(tmp_path / "a.tiktoken", ranks()), split="gpt2"))
    for text in (*TEXTS[:2], *ODD):
        found = loaded.encode(text).ids
        assert found == [i - 1 for i in given.encode(text).ids]  # there the end-of-text token has id 0
        assert loaded.decode(found) == text
    assert loaded.token_to_id("<|endoftext|>") == len(ranks())


@pytest.mark.parametrize(("split", "encoding"), [("gpt2", "r50k_base"), ("gpt4", "cl100k_base"), ("gpt4o", "o200k_base")])
def test_ranks_encode_as_in_tiktoken(split, encoding, monkeypatch):
    tiktoken = pytest.importorskip("tiktoken", reason="pip install 'gristmill[readers]'")
    public = pytest.importorskip("tiktoken_ext.openai_public")
    # the pattern of the public encoding, without its file of ranks, which would have to be downloaded
    monkeypatch.setattr(public, "load_tiktoken_bpe", lambda *_, **__: ranks())
    pattern = getattr(public, encoding)()["pat_str"]
    theirs = tiktoken.Encoding(encoding, pat_str=pattern, mergeable_ranks=ranks(), special_tokens={})
    ours = Tokenizer.from_str(from_ranks(ranks(), split=split))
    for text in (*TEXTS[:2], *ODD):
        assert ours.encode(text).ids == theirs.encode_ordinary(text)


def test_a_folder_means_the_tokenizer_in_it(tmp_path):
    (tmp_path / "tokenizer.json").write_text(train_byte_bpe(TEXTS, 300))
    assert load_tokenizer(tmp_path) == (tmp_path / "tokenizer.json").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello world\n", r"bad:1: is 'hello world'; neither a tokenizer.json nor a file of ranks"),
        (b"\xff\xfe", "not UTF-8"),
        (b"YQ== 0\nYg== 0\n", "gives a rank twice"),
        (b"YQ== 0\n", "255 of 256 bytes have no rank, 0x00 first"),
    ],
)
def test_mistakes_are_told(content, message, tmp_path):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path / "bad")


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"No such file or directory; give the path of a tokenizer\.json or a file of ranks"):
        load_tokenizer(tmp_path / "absent.json")


def test_a_token_that_no_pair_makes_is_told():
    found = {bytes([byte]): byte for byte in range(256)} | {b"abc": 256}
    with pytest.raises(ValueError, match="the token b'abc' of rank 256 is no pair"):
        from_ranks(found)
