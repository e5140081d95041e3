"""What held-out documents cost a model, nats a token and bits a byte by source, and how it answers questions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.manifest import ShardError, TokenizerEntry
from gristmill.tokenizers.shards import ShardSet, TokenStream, open_shards, read_manifest
from gristmill.tokenizers.training import fingerprint
from gristmill.trainer.config import ConfigError
from gristmill.trainer.loader import Sources
from gristmill.trainer.losses import IGNORED
from gristmill.trainer.model import Decoder
from gristmill.trainer.multiple_choice import Task
from gristmill.trainer.positions import positions_in_documents
from gristmill.trainer.settings import DocumentSettings, EvaluationSettings
from gristmill.trainer.world import World


@dataclass(frozen=True)
class HeldOutSource:
    """The documents of a source that are predicted."""

    stream: TokenStream
    tokens: int
    """How many, from the first on; they end with a document."""
    bytes: int
    """Of their text, in UTF-8."""


class Evaluation:
    """Held-out documents, predicted from their first token to their last, and multiple-choice questions.

    Windows stand end to end and in order, so each token is predicted once; the first one of a source, after an end-of-text token,
    as every first token of a document in training is. What a window begins with has little before it, so the loss falls with
    longer windows: compare only runs of one `seq_len`.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        tokenizer: TokenizerEntry,
        length: int,
        documents: DocumentSettings | None = None,
        *,
        encoder: Encoder | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Open the shards and choose documents; read the questions.

        Args:
            settings: which documents.
            tokenizer: of the training.
            length: tokens of an input.
            documents: what the model is told of documents in training, and so here.
            encoder: of that tokenizer, where there are tasks.
            say: takes what the user should know.

        Raises:
            FileNotFoundError: no such folder or file.
            ConfigError: the shards cannot be read, are of another tokenizer, or hold no document; or a task cannot be read.
        """
        self.settings, self.length, self.documents = settings, length, documents or DocumentSettings()
        self.sources: dict[str, HeldOutSource] = {}
        self.eos = 0
        if settings.data is not None:
            self._open(settings.data, tokenizer)
        self.tasks: list[Task] = []
        if settings.tasks:
            if encoder is None:
                raise ConfigError("tasks need the tokenizer.json of the training's shards")
            self.tasks = [Task(each, encoder, length, self.documents, say) for each in settings.tasks]

    def _open(self, data: str, tokenizer: TokenizerEntry) -> None:
        try:
            shards = open_shards(data)
        except ShardError as error:
            raise ConfigError(str(error)) from error
        if shards.tokenizer.sha256 != tokenizer.sha256:
            raise ConfigError(
                f"{data}: its tokenizer is {shards.tokenizer.sha256[:12]}, "
                f"the training data's is {tokenizer.sha256[:12]}; "
                "give shards that the same tokenizer made, held_out/ of the same run say"
            )
        self.eos = shards.manifest.eos_id
        self.sources = {
            name: source for name in sorted(shards.streams) if (source := _chosen(shards, name, self.settings.tokens)).tokens
        }
        if not self.sources:
            raise ConfigError(f"{data}: holds no document; tokenize with a larger held_out, or leave evaluation out")

    def row(
        self,
        model: Decoder,
        device: torch.device,
        precision: Callable[[], AbstractContextManager[Any]],
        world: World | None = None,
    ) -> dict[str, Any]:
        """What a row of metrics says of all this: `held_out` as of `measure`, `tasks` by name, and the seconds of each."""
        row: dict[str, Any] = {}
        started = time.perf_counter()
        if self.sources:
            row["held_out"] = self.measure(model, device, precision, world)
            row["held_out_seconds"] = time.perf_counter() - started
        started = time.perf_counter()
        if self.tasks:
            most = self.settings.micro_windows * self.length
            row["tasks"] = {task.name: task.measure(model, device, precision, most, world) for task in self.tasks}
            row["tasks_seconds"] = time.perf_counter() - started
        return row

    def measure(
        self,
        model: Decoder,
        device: torch.device,
        precision: Callable[[], AbstractContextManager[Any]],
        world: World | None = None,
    ) -> dict[str, dict[str, float]]:
        """Predict all that was chosen.

        Args:
            model: as it stands; nothing of it, nor of the random state, changes.
            device: where it is.
            precision: makes the context in which the model is called.
            world: the processes of the run, which share the windows and all come to the same result; this one alone when None.

        Returns:
            `loss`, nats a token, and `bits_per_byte` (where there is text) of each source, and of `all` of them together.
        """
        world = world or World()
        totals = torch.zeros(len(self.sources), dtype=torch.float64, device=device)
        starts = ((number, start) for number, one in enumerate(self.sources.values()) for start in self.starts(one))
        held_out = list(self.sources.values())
        with torch.no_grad():
            for (number, start), mine in world.dealt(starts):
                batch = self.batch(held_out[number], start)
                ids, targets, documents, positions = (None if one is None else one.to(device) for one in batch)
                with precision():
                    losses = model(ids, targets, documents=documents, positions=positions)
                if mine:
                    totals[number] += losses.per_token.double().sum()
        sums = dict(zip(self.sources, world.sum(totals).tolist(), strict=True))
        result = {name: _costs(sums[name], source.tokens, source.bytes) for name, source in self.sources.items()}
        tokens, size = (sum(getattr(source, what) for source in self.sources.values()) for what in ("tokens", "bytes"))
        return result | {"all": _costs(sum(sums.values()), tokens, size)}

    def starts(self, source: HeldOutSource) -> range:
        """The first token of each batch of windows."""
        return range(0, source.tokens, self.settings.micro_windows * self.length)

    def batch(self, source: HeldOutSource, start: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Inputs, targets, and documents and positions where the model is told of them; each of shape (windows, length)."""
        stop = min(start + self.settings.micro_windows * self.length, source.tokens)
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
        return ids, targets, documents, positions


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


def shard_folders(shards: Sources) -> list[Path]:
    """The folders of token shards that training data lies in: one, or a mixture's."""
    files = [file for stream in shards.streams.values() for file in getattr(stream, "files", ())]
    return list(dict.fromkeys(file.parents[1] for file in files))


def encoder_of(folders: Sequence[Path], tokenizer: TokenizerEntry) -> Encoder:
    """The encoder that made the ids of token shards, from the first of some folders of shards that has its file.

    Raises:
        ConfigError: none of them has it.
    """
    for folder in folders:
        file = folder / tokenizer.file
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8")
        if fingerprint(text) != tokenizer.sha256:
            continue
        try:
            manifest = read_manifest(folder)
            return encoder(text, manifest.eos_id, manifest.bos_id)
        except (ShardError, ValueError) as error:
            raise ConfigError(f"{folder}: {error}") from error
    told = ", ".join(str(folder / tokenizer.file) for folder in folders)
    raise ConfigError(f"tasks need the tokenizer {tokenizer.sha256[:12]} of the training's shards; it is not at {told}")


def encoder(tokenizer_json: str, eos_id: int, bos_id: int | None = None) -> Encoder:
    """An encoder whose documents end and begin with the tokens of these ids.

    Raises:
        ValueError: it is no tokenizer, or has no such tokens.
    """
    from tokenizers import Tokenizer

    try:
        known = Tokenizer.from_str(tokenizer_json)
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"not the contents of a tokenizer.json: {error}") from error
    names = [None if each is None else known.id_to_token(each) for each in (eos_id, bos_id)]
    if names[0] is None or (bos_id is not None and names[1] is None):
        raise ValueError(f"the tokenizer has no token of id {eos_id if names[0] is None else bos_id}")
    return Encoder(tokenizer_json, eos=names[0], bos=names[1])
