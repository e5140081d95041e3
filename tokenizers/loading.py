"""Tokenizers from disk: a tokenizer.json, or a file of ranks as tiktoken reads them (`<base64 of the token> <rank>` a line)."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any, Literal

from gristmill.tokenizers.model_settings import BYTES, END_OF_TEXT, TokenizerModel

Split = Literal["gpt2", "gpt4", "gpt4o"]

END_OF_TEXT_IDS = {100_256: 100_257, 199_998: 199_999}
"""Where public files of this many ranks put the end-of-text token (cl100k, o200k); elsewhere it takes the lowest free id."""
SPLITS: dict[int, Split] = {50_256: "gpt2", 50_280: "gpt2", 199_998: "gpt4o"}
"""How texts are cut under public files of this many ranks (r50k and p50k, o200k); gpt4 (cl100k) is assumed elsewhere."""


def load_tokenizer(path: str | Path, *, split: Split | None = None) -> str:
    """Read a tokenizer.

    A file of ranks says neither how texts are cut nor which special tokens there are. Both follow from the number of ranks for
    the public files; others are cut as GPT-4 does, and get `<|endoftext|>` as their only special token.

    Args:
        path: a tokenizer.json, a folder that holds one, or a file of ranks.
        split: how texts are cut, for a file of ranks of another kind.

    Returns:
        The contents of a tokenizer.json.

    Raises:
        ValueError: it is neither, or cannot be read; the message names the file.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "tokenizer.json"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; give the path of a tokenizer.json or a file of ranks") from error
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{file}: is neither a tokenizer.json nor a file of ranks: not UTF-8") from None
    return text if text.lstrip().startswith("{") else from_ranks(_ranks(file, text), split=split)


def from_ranks(ranks: dict[bytes, int], *, split: Split | None = None, eos: str = END_OF_TEXT) -> str:
    """A tokenizer.json that encodes as byte-pair encoding by ranks does: the pair of lowest rank is merged first.

    Args:
        ranks: token -> its rank, which is its id.
        split: how texts are cut; by the number of ranks when None.
        eos: the special token to add.

    Raises:
        ValueError: a byte has no rank, or a token cannot be made of tokens of lower rank.
    """
    if missing := [byte for byte in range(BYTES) if bytes([byte]) not in ranks]:
        raise ValueError(f"{len(missing)} of 256 bytes have no rank, {missing[0]:#04x} first; every byte needs one")
    names = byte_names()
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) == 1:
            continue
        parts = _parts(token, ranks, rank)
        if len(parts) != 2:
            raise ValueError(f"the token {token!r} of rank {rank} is no pair of tokens of lower rank")
        merges.append(["".join(names[byte] for byte in part) for part in parts])
    used = set(ranks.values())
    eos_id = END_OF_TEXT_IDS.get(len(ranks)) or next(i for i in range(len(used) + 1) if i not in used)
    made: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": eos_id, "content": eos, "special": True}
            | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        ],
        "normalizer": None,
        "pre_tokenizer": _cuts(split or SPLITS.get(len(ranks), "gpt4")),
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            # a piece that is a token is that token, even where merging by rank would not arrive at it
            "ignore_merges": True,
            "vocab": {
                "".join(names[byte] for byte in token): rank for token, rank in sorted(ranks.items(), key=lambda item: item[1])
            }
            | {eos: eos_id},
            "merges": merges,
        },
    }
    from tokenizers import Tokenizer

    return str(Tokenizer.from_str(json.dumps(made)).to_str())


def byte_names() -> dict[int, str]:
    """The printable character that stands for each byte in byte-level vocabularies (Radford et al. 2019)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(BYTES) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(BYTES + i) for i, byte in enumerate(others)}


def _cuts(split: Split) -> dict[str, Any]:
    from gristmill.tokenizers.splitting import GPT4O_PATTERN, split_pattern

    pattern = GPT4O_PATTERN if split == "gpt4o" else split_pattern(TokenizerModel(split=split))
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    to_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [cut, to_bytes]}


def _ranks(file: Path, text: str) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise ValueError(
                f"{file}:{number}: is {line[:40]!r}; neither a tokenizer.json nor a file of ranks, whose lines are "
                "`<base64 of a token> <rank>`"
            ) from None
    if not ranks:
        raise ValueError(f"{file}: is empty; give a tokenizer.json or a file of ranks")
    if len(set(ranks.values())) < len(ranks) or min(ranks.values()) < 0:
        raise ValueError(f"{file}: gives a rank twice, or a negative one")
    return ranks


def _parts(token: bytes, ranks: dict[bytes, int], below: int) -> list[bytes]:
    """Byte-pair encoding of a token with the ranks below its own."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [(ranks.get(parts[i] + parts[i + 1], below), i) for i in range(len(parts) - 1)]
        rank, i = min(pairs)
        if rank >= below:
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts
