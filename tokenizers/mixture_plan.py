"""The plan of a mixture: a file that says how many tokens each source gives, bound to the token shards it was made on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from gristmill.tokenizers.manifest import Manifest, Sha256, ShardError, SourceEntry, TokenizerEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.tokenizers.shards import TokenStream

FORMAT_VERSION: Literal[1] = 1
MOST_DIFFERENCES_TOLD = 10


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PlannedShard(_Part):
    """One shard as it was when the plan was made."""

    path: str
    tokens: NonNegativeInt
    sha256: Sha256


class PlannedShards(_Part):
    """One source of a folder of token shards."""

    folder: str
    """Relative to the folder of the plan's file, unless absolute."""
    source: str
    shards: tuple[PlannedShard, ...]


class Spans(_Part):
    """Which documents are read: a NumPy file of int64, shape (n, 2), from token to token of the shards laid end to end."""

    file: str
    """Relative to the folder of the plan's file."""
    sha256: str


class PlannedSource(_Part):
    """What a source has, and what it gives."""

    source: str
    weight: NonNegativeFloat
    """Share of all tokens."""
    available_tokens: NonNegativeInt
    tokens: NonNegativeInt
    epochs: NonNegativeFloat
    effective_bytes: NonNegativeInt | None
    """Bytes of text times epochs; null where only tokens are known."""
    unique_share: NonNegativeFloat
    """Share of the source's tokens in training that are seen for the first time."""
    documents: NonNegativeInt | None
    bytes: NonNegativeInt | None
    """Of UTF-8 text."""
    counted: Literal["exact", "tokenizer", "estimated", "published"]
    """How the available tokens are known: from shards, by a given tokenizer, from bytes, or from the mixture's file."""
    max_epochs: PositiveFloat
    where: str | None = None
    shards: tuple[PlannedShards, ...] = ()
    """Empty where the documents are not tokenized; such a plan cannot be trained on."""
    spans: Spans | None = None
    """None: all of the shards."""


class PlannedPhase(_Part):
    """A stretch of the training with shares of its own."""

    name: str
    start: NonNegativeInt
    """Tokens before it."""
    tokens: PositiveInt
    sources: dict[str, NonNegativeInt]
    """Tokens that each source gives; they sum to `tokens`."""


class MixturePlan(_Part):
    """Tokens by source and phase."""

    format_version: Literal[1] = FORMAT_VERSION
    mixture: str
    tokens: PositiveInt
    tokenizer_sha256: str | None = None
    """Of the shards; null where there are none."""
    sources: tuple[PlannedSource, ...]
    phases: tuple[PlannedPhase, ...]
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _sums_hold(self) -> Self:
        names = [source.source for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError("a source stands twice")
        start = 0
        for phase in self.phases:
            if sum(phase.sources.values()) != phase.tokens or phase.start != start or set(phase.sources) - set(names):
                raise ValueError(f"phase {phase.name}: its tokens do not add up")
            start += phase.tokens
        for source in self.sources:
            if sum(phase.sources.get(source.source, 0) for phase in self.phases) != source.tokens:
                raise ValueError(f"source {source.source}: its tokens do not add up")
        if start != self.tokens:
            raise ValueError(f"the phases hold {start:,} tokens, the plan says {self.tokens:,}")
        return self

    def content_hash(self) -> str:
        """A sha256 that changes exactly when a token that may be read, or the name of a source, does."""
        content = {
            "tokenizer": self.tokenizer_sha256,
            "sources": [
                [
                    one.source,
                    [[part.source, [s.sha256.content() for s in part.shards]] for part in one.shards],
                    one.spans.sha256 if one.spans else None,
                ]
                for one in self.sources
            ],
        }
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_plan(file: str | Path) -> MixturePlan:
    """Read a plan.

    Raises:
        FileNotFoundError: no such file.
        ShardError: it is no plan, or its numbers contradict each other.
    """
    try:
        return MixturePlan.model_validate_json(Path(file).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = str(first["msg"]).removeprefix("Value error, ")
        raise ShardError(
            f"{file}: is no plan of a mixture: {f'{where}: ' if where else ''}{said}; "
            f"make one: gristmill mixture plan MIXTURE --output {file}"
        ) from None


class SelectedStream:
    """Some documents of a stream, end to end, read in place."""

    def __init__(self, base: TokenStream, spans: NDArray[np.int64]) -> None:
        """Choose from `base` the tokens of `spans`, shape (n, 2): ascending, none overlapping."""
        import numpy as np

        self.base = base
        self.name = base.name
        self.dtype = base.dtype
        self.spans = spans
        # where each span begins in what is chosen, and its end
        self.starts: NDArray[np.int64] = np.concatenate([[0], np.cumsum(spans[:, 1] - spans[:, 0])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Tokens start to stop, copied.

        Raises:
            IndexError: the span leaves the stream.
        """
        return self._over_spans(start, stop, self.base.read, self.dtype)

    def _over_spans(self, start: int, stop: int, read: Callable[[int, int], NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
        """What `read` gives of the stream's tokens, for those from start to stop of what is chosen."""
        import numpy as np

        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"tokens {start} to {stop} of {self.name}, of which {len(self)} are chosen")
        result = np.empty(stop - start, dtype=dtype)
        span = int(np.searchsorted(self.starts, start, side="right")) - 1
        done = 0
        while done < len(result):
            first = int(self.spans[span, 0]) + start + done - int(self.starts[span])
            count = min(int(self.spans[span, 1]) - first, len(result) - done)
            result[done : done + count] = read(first, first + count)
            done += count
            span += 1
        return result

    @property
    def is_masked(self) -> bool:
        """Whether there may be tokens that do not count in the loss."""
        return self.base.is_masked

    def counted(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Which of the tokens start to stop count in the loss.

        Raises:
            IndexError: the span leaves the stream.
        """
        import numpy as np

        return self._over_spans(start, stop, self.base.counted, np.dtype(np.bool_))

    def shard_at(self, token: int) -> tuple[int, int]:
        """Which shard holds a token of what is chosen, and its place there."""
        import numpy as np

        span = int(np.searchsorted(self.starts, token, side="right")) - 1
        return self.base.shard_at(int(self.spans[span, 0]) + token - int(self.starts[span]))

    @property
    def ends(self) -> list[NDArray[Any]]:
        """Where documents end in each shard, chosen or not."""
        return self.base.ends

    @property
    def files(self) -> list[Path]:
        """Paths of the shards, without their suffixes."""
        return self.base.files

    def document_ends(self, start: int, stop: int) -> NDArray[np.int64]:
        """Where documents end between two tokens of what is chosen, neither of them included; ascending."""
        import numpy as np

        found = [np.empty(0, dtype=np.int64)]
        span = max(0, int(np.searchsorted(self.starts, start, side="right")) - 1)
        while span < len(self.spans) and self.starts[span] < stop:
            moved = int(self.starts[span]) - int(self.spans[span, 0])
            # a span is whole documents, so that its end is one of a document
            low, high = max(int(self.spans[span, 0]), start - moved), min(int(self.spans[span, 1]), stop - moved)
            ends = np.append(self.base.document_ends(low, high) + moved, self.starts[span + 1])
            found.append(ends[(ends > start) & (ends < stop)])
            span += 1
        return np.concatenate(found)


@dataclass(frozen=True)
class MixtureShards:
    """The token shards of a plan, open for reading; the same face as `ShardSet`."""

    folder: Path
    """The plan's file, for messages."""
    plan: MixturePlan
    tokenizer: TokenizerEntry
    content: str
    streams: Mapping[str, TokenStream | SelectedStream]


def open_mixture(file: str | Path, *, verify: bool = False) -> MixtureShards:
    """Open the shards of a plan, if they hold what they held when it was made.

    Args:
        file: of `gristmill mixture plan --output`.
        verify: also compare the sha256 of every file of tokens, which reads everything once.

    Raises:
        FileNotFoundError: no such file, or a folder of shards is gone.
        ShardError: it is no plan, sources are not tokenized, or the shards hold something else now; what differs is named.
    """
    from gristmill.tokenizers.shards import TokenStream, open_shards

    path = Path(file)
    plan = read_plan(path)
    if bare := [source.source for source in plan.sources if source.tokens and not source.shards]:
        raise ShardError(
            f"{path}: {', '.join(bare)} {'has' if len(bare) == 1 else 'have'} no token shards, so the plan is only an estimate; "
            "tokenize the documents, name their shards in the mixture, and plan again"
        )
    used = [source for source in plan.sources if source.tokens]
    folders = sorted({part.folder for source in used for part in source.shards})
    sets = {folder: open_shards(path.parent / folder, verify=verify) for folder in folders}
    told = [line for folder, held in sets.items() for line in _tokenizer_differs(plan, path.parent / folder, held.manifest)]
    streams: dict[str, TokenStream | SelectedStream] = {}
    for source in used:
        differing = [line for part in source.shards for line in _differences(path.parent, part, sets[part.folder].manifest)]
        told += [f"source {source.source}: {line}" for line in differing]
        if differing:
            continue
        parts = [sets[part.folder].streams[part.source] for part in source.shards]
        entries = tuple(shard for part in parts for shard in part.entry.shards)
        sums = {what: sum(getattr(shard, what) for shard in entries) for what in ("tokens", "docs", "bytes_utf8")}
        joined = TokenStream(
            SourceEntry(name=source.source, shards=entries, **sums),
            [piece for part in parts for piece in part.pieces],
            parts[0].dtype,
            [ends for part in parts for ends in part.ends],
            [file for part in parts for file in part.files],
            [mask for part in parts for mask in part.masks],
        )
        streams[source.source] = joined if source.spans is None else _selected(path.parent, joined, source.spans)
    if told:
        more = [f"and {len(told) - MOST_DIFFERENCES_TOLD:,} more"] if len(told) > MOST_DIFFERENCES_TOLD else []
        raise ShardError("\n".join([f"{path}: was planned on other content; plan again", *told[:MOST_DIFFERENCES_TOLD], *more]))
    return MixtureShards(path, plan, sets[folders[0]].manifest.tokenizer, plan.content_hash(), streams)


def _tokenizer_differs(plan: MixturePlan, folder: Path, manifest: Manifest) -> list[str]:
    if manifest.tokenizer.sha256 == plan.tokenizer_sha256:
        return []
    return [f"{folder}: its tokenizer is {manifest.tokenizer.sha256[:12]}, planned was {str(plan.tokenizer_sha256)[:12]}"]


def _differences(beside: Path, part: PlannedShards, manifest: Manifest) -> list[str]:
    """What a folder has that was not planned, lacks, or has changed, a line each."""
    folder = beside / part.folder
    entry = next((source for source in manifest.sources if source.name == part.source), None)
    if entry is None:
        return [f"{folder}: has no source {part.source} any more"]
    now = {shard.path: shard for shard in entry.shards}
    then = {shard.path: shard for shard in part.shards}
    lines = [f"{folder}/{path}: is gone" for path in then if path not in now]
    lines += [f"{folder}/{path}: is new" for path in now if path not in then]
    for path in then:
        if path in now and now[path].sha256 != then[path].sha256:
            if (now[path].sha256.bin, now[path].sha256.ends) == (then[path].sha256.bin, then[path].sha256.ends):
                lines.append(f"{folder}/{path}: masks other tokens")
                continue
            lines.append(
                f"{folder}/{path}: holds other tokens (sha256 {now[path].sha256.bin[:12]}, planned {then[path].sha256.bin[:12]}; "
                f"{now[path].tokens:,} tokens, planned {then[path].tokens:,})"
            )
    if not lines and [shard.path for shard in entry.shards] != [shard.path for shard in part.shards]:
        lines.append(f"{folder}: the shards of {part.source} stand in another order")
    return lines


def _selected(beside: Path, base: TokenStream, spans: Spans) -> SelectedStream:
    import numpy as np

    file = beside / spans.file
    if not file.is_file():
        raise ShardError(f"{file}: is missing, the plan needs it; plan again")
    with file.open("rb") as stream:
        found = file_digest(stream, "sha256").hexdigest()
    if found != spans.sha256:
        raise ShardError(f"{file}: its sha256 is not the plan's; plan again")
    return SelectedStream(base, np.load(file, mmap_mode="r", allow_pickle=False))
