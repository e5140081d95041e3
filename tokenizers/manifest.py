"""What a folder of token shards says about itself: manifest.json."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

SCHEMA_VERSION: Literal[1] = 1
FILE_NAME = "manifest.json"
TOKENIZER_NAME = "tokenizer.json"


class ShardError(ValueError):
    """Token shards that cannot be read or written; the message says where, what is there, and what would be right."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Sha256(_Part):
    """Of a shard's files, in hexadecimal."""

    bin: str
    ends: str
    mask: str | None = None
    """None where all tokens count in the loss: there is no `.mask`."""

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = dump(self)
        return {name: value for name, value in told.items() if value is not None}

    def content(self) -> list[str]:
        """What changes when a token, a document's end or what counts of it does."""
        return [self.bin, self.ends] + ([] if self.mask is None else [self.mask])


class ShardEntry(_Part):
    """One shard."""

    path: str = Field(pattern=r"^[^/\\]+/[^/\\]+$")
    """`<source>/<nnnnn>`: the path of its files in the folder, without their suffixes."""
    tokens: NonNegativeInt
    docs: NonNegativeInt
    bytes_utf8: NonNegativeInt
    """Bytes of the documents' text, for bits per byte."""
    sha256: Sha256
    min_token: NonNegativeInt | None
    """Smallest id in the shard; null in a shard without documents."""
    max_token: NonNegativeInt | None
    megatron_index: bool = True
    """Whether `.idx` lies beside `.bin`."""
    masked: NonNegativeInt = 0
    """Tokens that do not count in the loss; written down where there are some."""

    @model_validator(mode="after")
    def _masked_by_a_file(self) -> Self:
        if (self.masked > 0) != (self.sha256.mask is not None) or self.masked > self.tokens:
            raise ValueError(f"{self.path}: {self.masked} of {self.tokens} tokens are masked; sha256.mask is {self.sha256.mask}")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = dump(self)
        return {name: value for name, value in told.items() if name != "masked" or value}


class SourceEntry(_Part):
    """One source: its shards, in the order in which their tokens are read as one stream."""

    name: str
    tokens: NonNegativeInt
    docs: NonNegativeInt
    bytes_utf8: NonNegativeInt
    shards: tuple[ShardEntry, ...]

    @property
    def masked(self) -> int:
        """Tokens that do not count in the loss."""
        return sum(shard.masked for shard in self.shards)

    @model_validator(mode="after")
    def _sums_hold(self) -> Self:
        for what in ("tokens", "docs", "bytes_utf8"):
            if (total := sum(getattr(shard, what) for shard in self.shards)) != getattr(self, what):
                raise ValueError(f"source {self.name} states {getattr(self, what)} {what}, its shards hold {total}")
        return self


class TokenizerEntry(_Part):
    """Which tokenizer made the ids."""

    file: str = TOKENIZER_NAME
    sha256: str
    vocab_size: PositiveInt
    """One more than the highest id."""


class Manifest(_Part):
    """All there is in a folder of token shards."""

    schema_version: Literal[1] = SCHEMA_VERSION
    tokenizer: TokenizerEntry
    dtype: Literal["uint16", "uint32"]
    eos_id: NonNegativeInt
    bos_id: NonNegativeInt | None = None
    pad_id: NonNegativeInt | None = None
    delimiter: Literal["eos_after_each_document"] = "eos_after_each_document"
    sources: tuple[SourceEntry, ...]
    recipe_hash: str | None = None
    seed: int = 0
    mixture: dict[str, PositiveFloat] | None = None
    """Weights that the recipe gives the sources, as shares of tokens relative to each other; None: each by its tokens."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [source.name for source in self.sources]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"sources named twice: {', '.join(repeated)}")
        paths = [shard.path for source in self.sources for shard in source.shards]
        if len(set(paths)) < len(paths):
            raise ValueError(f"shards listed twice: {', '.join(sorted({path for path in paths if paths.count(path) > 1}))}")
        if over := [s.path for source in self.sources for s in source.shards if (s.max_token or 0) >= self.tokenizer.vocab_size]:
            raise ValueError(f"{', '.join(over)}: holds ids beyond the vocabulary of {self.tokenizer.vocab_size}")
        return self

    @property
    def tokens(self) -> int:
        """Tokens of all sources."""
        return sum(source.tokens for source in self.sources)

    def content_hash(self) -> str:
        """A sha256 that changes exactly when a token, whether it counts, a document boundary, a source's name or an id's meaning
        does."""
        content = {
            "tokenizer": self.tokenizer.sha256,
            "dtype": self.dtype,
            "sources": [[s.name, [shard.sha256.content() for shard in s.shards]] for s in self.sources],
        }
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
