"""Text to token ids, a batch of documents at a time."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from gristmill.tokenizers.loss_mask import masked_tokens, runs_of
from gristmill.tokenizers.model_settings import END_OF_TEXT
from gristmill.tokenizers.training import fingerprint

if TYPE_CHECKING:
    import pyarrow as pa

    Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | None]

UINT16_BELOW = 65_500
"""Vocabularies below this size are stored in 2 bytes a token, others in 4 (Megatron-LM's rule)."""

# the library keeps offsets and byte maps of everything it encodes at once, some 50 times the text
CHARACTERS_AT_A_TIME = 1_000_000


def token_dtype(vocab_size: int) -> Literal["uint16", "uint32"]:
    """How token ids of this vocabulary are stored: "uint16" or "uint32".

    Raises:
        ValueError: an id would not fit the signed 32 bits that other readers of the shards use.
    """
    if vocab_size > 1 << 31:
        raise ValueError(f"vocab_size is {vocab_size}; ids must stay below 2^31")
    return "uint16" if vocab_size < UINT16_BELOW else "uint32"


class Encoder:
    """Turns texts into token ids; each document ends with the end-of-text token, and begins with another where one is asked for.

    A text that spells a special token out gets ordinary tokens for it: only the encoder itself ends a document.
    """

    def __init__(self, tokenizer_json: str, eos: str = END_OF_TEXT, bos: str | None = None) -> None:
        """Load a tokenizer.

        Args:
            tokenizer_json: contents of a tokenizer.json.
            eos: the token that ends every document.
            bos: the token that begins every document; None for none.

        Raises:
            ValueError: the JSON is no tokenizer, or its vocabulary has no such token.
        """
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"not the contents of a tokenizer.json: {error}") from error
        for token in (eos, bos):
            if token is not None and tokenizer.token_to_id(token) is None:
                special = sorted(one.content for one in tokenizer.get_added_tokens_decoder().values() if one.special)
                raise ValueError(f"the tokenizer has no token {token}; its special tokens are {', '.join(special) or 'none'}")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # as text; the name reads the other way round
        self._tokenizer = tokenizer
        self.tokenizer_json = tokenizer_json
        self.sha256 = fingerprint(tokenizer_json)
        self.eos_id = int(tokenizer.token_to_id(eos) or 0)
        self.bos_id = None if bos is None else int(tokenizer.token_to_id(bos) or 0)
        self.vocab_size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())
        self.dtype = token_dtype(self.vocab_size)
        # a worker is one thread; without this the library starts one a core in each of them
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    def encode(self, texts: Texts) -> pa.LargeListArray:
        """Encode documents.

        Args:
            texts: strings; null counts as empty.

        Returns:
            One list a document, of uint16 or uint32, in order. A document without a token is an empty list, with no
            end-of-text token either: such documents are not written.
        """
        return self.encode_masked(texts, {})[0]

    def encode_masked(
        self, texts: Texts, spans: Mapping[int, Sequence[tuple[int, int]]]
    ) -> tuple[pa.LargeListArray, pa.LargeListArray]:
        """Encode documents of which some have characters that do not count in the loss.

        Args:
            texts: strings; null counts as empty.
            spans: by number of the document, characters [start, end) that are masked.

        Returns:
            The tokens as of `encode`; and for each document where runs of masked tokens begin and end in its list, one after the
            other, null where all count. The end-of-text token and the one before all always do.
        """
        import numpy as np
        import pyarrow as pa

        lengths: list[int] = []
        pieces = []
        runs: list[list[int] | None] = []
        for batch in _small_batches(texts):
            for text, encoding in zip(batch, self._encoded(batch, len(lengths), spans), strict=True):
                ids = encoding.ids
                own = spans.get(len(lengths)) if ids else None
                runs.append(self._runs(text, own, encoding) if own else None)
                if ids:
                    if self.bos_id is not None:
                        ids.insert(0, self.bos_id)
                    ids.append(self.eos_id)
                    # `array` takes Python's numbers twice as fast as NumPy does; "I" is what a C compiler calls unsigned int
                    pieces.append(np.frombuffer(array("I", ids), dtype=np.uintc).astype(self.dtype))
                lengths.append(len(ids))
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        values = np.concatenate(pieces) if pieces else np.empty(0, self.dtype)
        tokens = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
        return tokens, pa.array(runs, pa.large_list(pa.int32()))

    def _encoded(self, batch: list[str], first: int, spans: Mapping[int, Any]) -> Iterator[Any]:
        """The texts of a batch as the library encodes them, in order; places of tokens, which take longer, only where they are
        asked for. `first` is the number of the first text."""
        told = [first + at in spans for at in range(len(batch))]
        plain = iter(
            self._tokenizer.encode_batch_fast(
                [text for text, asked in zip(batch, told, strict=True) if not asked], add_special_tokens=False
            )
        )
        placed = iter(
            self._tokenizer.encode_batch(
                [text for text, asked in zip(batch, told, strict=True) if asked], add_special_tokens=False
            )
        )
        return (next(placed if asked else plain) for asked in told)

    def _runs(self, text: str, spans: Sequence[tuple[int, int]], encoding: Any) -> list[int] | None:
        import numpy as np

        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        return runs_of(masked_tokens(text, spans, offsets), 0 if self.bos_id is None else 1) or None

    def decode(self, ids: Sequence[int]) -> str:
        """The text behind token ids; special tokens are spelled out."""
        return str(self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False))


def _small_batches(texts: Texts) -> Iterator[list[str]]:
    """The texts as Python strings, a bounded number of characters at a time."""
    import pyarrow as pa

    rows = (row.as_py() for row in texts) if isinstance(texts, pa.Array | pa.ChunkedArray) else iter(texts)
    batch: list[str] = []
    characters = 0
    for row in rows:
        batch.append(row or "")
        characters += len(batch[-1])
        if characters >= CHARACTERS_AT_A_TIME:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
