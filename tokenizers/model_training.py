"""Training a tokenizer of each kind on texts, as the contents of a tokenizer.json.

- bpe: byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909; bytes as base alphabet: Radford et al. 2019).
- bpe_byte_fallback: BPE of characters; a character without a token becomes its UTF-8 bytes `<0x00>` to `<0xFF>`.
- unigram: Kudo 2018, arXiv:1804.10959, with the same fallback.
- wordpiece: Schuster and Nakajima 2012; as in BERT, without lower-casing. Drops white space.

Spaces stay spaces in all but wordpiece (no `▁` stands for them), so that decoding gives the text back, `▁` and all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gristmill.tokenizers.model_settings import BYTES, END_OF_TEXT, GALACTICA_MARKERS, LONGEST_SPACE_RUN, TokenizerModel
from gristmill.tokenizers.splitting import pre_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = {"bpe_byte_fallback": "<unk>", "unigram": "<unk>", "wordpiece": "[UNK]"}
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(BYTES)]
FAR_BELOW_ALL = -1e6
"""Score of the byte tokens of a unigram model: a text that spells `<0x41>` out is never encoded by them."""


def train_model(texts: Callable[[], Iterable[str]], settings: TokenizerModel, *, eos: str = END_OF_TEXT) -> str:
    """Train a tokenizer.

    Args:
        texts: gives the texts to learn from, as often as it is called: once, or twice where characters are counted first.
            Memory follows the number of distinct pieces in them.
        settings: what to train.
        eos: the token that ends every document; gets id 0.

    Returns:
        The contents of a tokenizer.json. For bpe and bpe_byte_fallback they depend on the texts alone, not on their order or the
        number of threads.

    Raises:
        ValueError: no text at all, or a vocabulary with no room for what is given.
    """
    if settings.vocab_size < (least := settings.reserved(eos)):
        raise ValueError(
            f"vocab_size is {settings.vocab_size}; {_given(settings, eos)} need at least {least}, before anything is learned"
        )
    if len(set(settings.special(eos))) < len(settings.special(eos)):
        raise ValueError(f"special_tokens holds a token twice: {', '.join(settings.special(eos))}")
    tokenizer = _untrained(settings)
    trainer = _trainer(settings, eos, [] if settings.model == "bpe" else _alphabet(texts(), settings))
    tokenizer.pre_tokenizer = pre_tokenizer(settings, training=True)
    seen = 0

    def counted() -> Iterator[str]:
        nonlocal seen
        for text in texts():
            seen += 1
            yield text

    tokenizer.train_from_iterator(counted(), trainer)
    if not seen:
        raise ValueError("no documents to train a tokenizer on")
    tokenizer.pre_tokenizer = pre_tokenizer(settings)
    if settings.space_runs:
        _add_space_runs(tokenizer)
    return _completed(tokenizer, settings, eos)


def _given(settings: TokenizerModel, eos: str) -> str:
    parts = [] if settings.model == "wordpiece" else [f"{BYTES} bytes"]
    parts.append(f"{len(settings.special(eos))} special tokens")
    if settings.model != "bpe":
        parts.append("the unknown token")
    if settings.space_runs:
        parts.append(f"{LONGEST_SPACE_RUN - 1} runs of spaces")
    if settings.split_name == "galactica":
        parts.append(f"{len(GALACTICA_MARKERS)} markers")
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _untrained(settings: TokenizerModel) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers

    unknown = UNKNOWN.get(settings.model)
    if settings.model == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.decoder = decoders.ByteLevel()
    elif settings.model == "bpe_byte_fallback":
        tokenizer = Tokenizer(models.BPE(unk_token=unknown))
        tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    elif settings.model == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
        tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    if settings.normalize != "none":
        tokenizer.normalizer = {"nfc": normalizers.NFC, "nfkc": normalizers.NFKC}[settings.normalize]()
    return tokenizer


def _trainer(settings: TokenizerModel, eos: str, alphabet: list[str]) -> Any:
    from tokenizers import pre_tokenizers, trainers

    special = settings.special(eos)
    if settings.model == "bpe":
        markers = list(GALACTICA_MARKERS) if settings.split_name == "galactica" else []
        return trainers.BpeTrainer(
            vocab_size=settings.vocab_size - (LONGEST_SPACE_RUN - 1 if settings.space_runs else 0),
            min_frequency=settings.min_frequency,
            special_tokens=[*special, *markers],
            # sorted: the library's own list comes in the order of a hash map
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
    # bytes and runs of spaces come afterwards
    learned = settings.vocab_size - settings.reserved(eos) + len(special) + 1
    common: dict[str, Any] = {
        "vocab_size": learned,
        "special_tokens": [*special, UNKNOWN[settings.model]],
        "initial_alphabet": alphabet,
        "show_progress": False,
    }
    if settings.model == "unigram":
        return trainers.UnigramTrainer(unk_token=UNKNOWN["unigram"], **common)
    # exactly the alphabet counted here: where the library cuts one, ties fall as its hash map has them
    common |= {"limit_alphabet": len(alphabet), "min_frequency": settings.min_frequency}
    return trainers.WordPieceTrainer(**common) if settings.model == "wordpiece" else trainers.BpeTrainer(**common)


def _alphabet(texts: Iterable[str], settings: TokenizerModel) -> list[str]:
    """The most frequent characters that together make up the coverage asked for, sorted."""
    from tokenizers import normalizers

    normal = {"nfc": normalizers.NFC, "nfkc": normalizers.NFKC}.get(settings.normalize)
    normalizer = normal() if normal else None
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text) if normalizer else text)
    most = settings.character_coverage * counts.total()
    kept: list[str] = []
    covered = 0
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if covered >= most:
            break
        kept.append(character)
        covered += count
    return sorted(kept)


def _add_space_runs(tokenizer: Tokenizer) -> None:
    from tokenizers import AddedToken

    # longest first: the order of their ids in GPT-NeoX-20B
    runs = [" " * length for length in range(LONGEST_SPACE_RUN, 1, -1)]
    tokenizer.add_tokens([AddedToken(run, normalized=False, special=False) for run in runs])


def _completed(tokenizer: Tokenizer, settings: TokenizerModel, eos: str) -> str:
    """The tokenizer.json, with what the library's trainers cannot be asked for."""
    content = str(tokenizer.to_str())
    if settings.model == "bpe" and settings.split_name != "galactica":
        return content
    made: dict[str, Any] = json.loads(content)
    if settings.split_name == "galactica":
        # as added tokens they would be taken out before the text is cut, and the cuts depend on them
        made["added_tokens"] = [token for token in made["added_tokens"] if token["content"] not in GALACTICA_MARKERS]
        made["model"]["ignore_merges"] = True
    elif settings.model in ("bpe_byte_fallback", "unigram"):
        _add_bytes(made, len(settings.special(eos)) + 1)
    text = json.dumps(made, ensure_ascii=False, indent=2)
    return str(type(tokenizer).from_str(text).to_str())


def _add_bytes(made: dict[str, Any], first: int) -> None:
    """Put the byte tokens behind the special tokens and the unknown token; what comes after moves up."""
    model = made["model"]
    model["byte_fallback"] = True
    if model["type"] == "Unigram":
        vocabulary = [pair for pair in model["vocab"] if pair[0] not in BYTE_TOKENS]
        model["vocab"] = [*vocabulary[:first], *([token, FAR_BELOW_ALL] for token in BYTE_TOKENS), *vocabulary[first:]]
    else:
        vocabulary = sorted(model["vocab"], key=model["vocab"].__getitem__)
        if taken := [token for token in vocabulary if token in BYTE_TOKENS]:
            raise ValueError(f"the texts taught the token {taken[0]}, which stands for a byte; leave such documents out")
        model["vocab"] = {token: i for i, token in enumerate([*vocabulary[:first], *BYTE_TOKENS, *vocabulary[first:]])}
    for token in made["added_tokens"]:
        if token["id"] >= first:
            token["id"] += BYTES
