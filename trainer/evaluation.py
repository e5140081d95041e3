"""What held-out documents cost a model: nats a token and bits a byte, by source."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.tokenizers.manifest import ShardError, TokenizerEntry
from gristmill.tokenizers.shards import ShardSet, TokenStream, open_shards
from gristmill.trainer.config import ConfigError
from gristmill.trainer.losses import IGNORED
from gristmill.trainer.model import Decoder
from gristmill.trainer.positions import positions_in_documents
from gristmill.trainer.settings import DocumentSettings, EvaluationSettings


@dataclass(frozen=True)
class HeldOutSource:
    """The documents of a source that are predicted."""

    stream: TokenStream
    tokens: int
    """How many, from the first on; they end with a document."""
    bytes: int
    """Of their text, in UTF-8."""


class Evaluation:
    """Held-out documents, predicted from their first token to their last.

    Windows stand end to end and in order, so each token is predicted once; the first one of a source, after an end-of-text token,
    as every first token of a document in training is. What a window begins with has little before it, so the loss falls with
    longer windows: compare only runs of one `seq_len`.
    """

    def __init__(
        self, settings: EvaluationSettings, tokenizer: TokenizerEntry, length: int, documents: DocumentSettings | None = None
    ) -> None:
        """Open the shards and choose documents.

        Args:
            settings: which documents.
            tokenizer: of the training.
            length: tokens of an input.
            documents: what the model is told of documents in training, and so here.

        Raises:
            FileNotFoundError: no such folder.
            ConfigError: the shards cannot be read, are of another tokenizer, or hold no document.
        """
        self.settings, self.length, self.documents = settings, length, documents or DocumentSettings()
        try:
            shards = open_shards(settings.data)
        except ShardError as error:
            raise ConfigError(str(error)) from error
        if shards.tokenizer.sha256 != tokenizer.sha256:
            raise ConfigError(
                f"{settings.data}: its tokenizer is {shards.tokenizer.sha256[:12]}, "
                f"the training data's is {tokenizer.sha256[:12]}; "
                "give shards that the same tokenizer made, held_out/ of the same run say"
            )
        self.eos = shards.manifest.eos_id
        self.sources = {
            name: source for name in sorted(shards.streams) if (source := _chosen(shards, name, settings.tokens)).tokens
        }
        if not self.sources:
            raise ConfigError(f"{settings.data}: holds no document; tokenize with a larger held_out, or leave evaluation out")

    def measure(
        self, model: Decoder, device: torch.device, precision: Callable[[], AbstractContextManager[Any]]
    ) -> dict[str, dict[str, float]]:
        """Predict all that was chosen.

        Args:
            model: as it stands; nothing of it, nor of the random state, changes.
            device: where it is.
            precision: makes the context in which the model is called.

        Returns:
            `loss`, nats a token, and `bits_per_byte` (where there is text) of each source, and of `all` of them together.
        """
        sums: dict[str, float] = {}
        with torch.no_grad():
            for name, source in self.sources.items():
                total = torch.zeros((), dtype=torch.float64, device=device)
                for batch in self.batches(source):
                    ids, targets, documents, positions = (None if one is None else one.to(device) for one in batch)
                    with precision():
                        losses = model(ids, targets, documents=documents, positions=positions)
                    total += losses.per_token.double().sum()
                sums[name] = total.item()
        result = {name: _costs(sums[name], source.tokens, source.bytes) for name, source in self.sources.items()}
        tokens, size = (sum(getattr(source, what) for source in self.sources.values()) for what in ("tokens", "bytes"))
        return result | {"all": _costs(sum(sums.values()), tokens, size)}

    def batches(self, source: HeldOutSource) -> Iterator[tuple[Tensor, Tensor, Tensor | None, Tensor | None]]:
        """Inputs, targets, and documents and positions where the model is told of them; each of shape (windows, length)."""
        step = self.settings.micro_windows * self.length
        for start in range(0, source.tokens, step):
            stop = min(start + step, source.tokens)
            # one token before: the window's first target is predicted from it
            tokens = source.stream.read(max(0, start - 1), stop).astype(np.int64)
            if not start:
                tokens = np.concatenate([[self.eos], tokens])
            count = -(-(stop - start) // self.length)
            ids, targets = _rows(tokens[:-1], count, self.length, 0), _rows(tokens[1:], count, self.length, IGNORED)
            documents = positions = None
            if self.documents.mask or self.documents.positions == "document":
                of = _rows(_numbers(source.stream, start - 1, stop - 1), count, self.length, -2)
                documents = of if self.documents.mask else None
                positions = positions_in_documents(of) if self.documents.positions == "document" else None
            yield ids, targets, documents, positions


def _rows(values: NDArray[np.int64], count: int, length: int, fill: int) -> Tensor:
    rows = np.full(count * length, fill, dtype=np.int64)
    rows[: len(values)] = values
    return torch.from_numpy(rows).view(count, length)


def _numbers(stream: TokenStream, start: int, stop: int) -> NDArray[np.int64]:
    """A number for the document of each token from start to stop; token -1, the end of text before all, has its own."""
    ends = stream.document_ends(start, stop)
    return np.searchsorted(np.union1d(ends, [0]), np.arange(start, stop), side="right").astype(np.int64)


def _costs(nats: float, tokens: int, size: int) -> dict[str, float]:
    """Bits a byte: nats / (ln 2 * bytes), as in Gao et al. 2020, arXiv:2101.00027, sec. 3.1 (from memory)."""
    return {"loss": nats / tokens} | ({"bits_per_byte": nats / (math.log(2) * size)} if size else {})


def _chosen(shards: ShardSet, name: str, most: int | None) -> HeldOutSource:
    """The first documents of a source with together at most so many tokens, at least one document."""
    import pyarrow.parquet as pq

    stream = shards.streams[name]
    if most is None or len(stream) <= most:
        return HeldOutSource(stream, len(stream), stream.entry.bytes_utf8)
    tokens = size = 0
    for entry, ends in zip(stream.entry.shards, stream.ends, strict=True):
        fitting = int(np.searchsorted(ends, np.uint64(max(0, most - tokens)), side="right"))
        rows = fitting if tokens or fitting else min(1, len(ends))
        if rows:
            lengths = pq.read_table(shards.folder / f"{entry.path}.docs.parquet", columns=["n_bytes"])["n_bytes"]
            size += int(lengths.slice(0, rows).to_numpy().sum())
            tokens += int(ends[rows - 1])
        if rows < len(ends):
            break
    return HeldOutSource(stream, tokens, size)
