"""What the file of a mixture may say."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from gristmill.stages.settings import Settings

MAX_EPOCHS = 4.0
"""Up to here repeats are worth almost as much as new text (Muennighoff et al. 2023, arXiv:2305.16264)."""

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMBT]?)", re.IGNORECASE)
_POWERS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def amount(value: Any) -> Any:
    """A number of tokens or documents: 300B is 300 * 10^9; also K, M, T.

    Raises:
        ValueError: text that is no such number.
    """
    if not isinstance(value, str):
        return value
    found = _AMOUNT.fullmatch(value.strip().replace(",", "").replace("_", ""))
    if not found:
        raise ValueError(f"is {value!r}; should be a number such as 300B, 1.4T, 20M or 5000")
    whole, _, part = found[1].partition(".")
    power = _POWERS[found[2].upper()]
    scale: int = 10 ** len(part)
    if int(whole + part) * power % scale:
        raise ValueError(f"is {value!r}; should be a whole number")
    return int(whole + part) * power // scale


Amount = Annotated[PositiveInt, BeforeValidator(amount)]
SourceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class UniMax(Settings):
    """As even as an epoch cap allows (Chung et al. 2023, arXiv:2304.09151, alg. 1)."""

    epochs: PositiveFloat = MAX_EPOCHS
    """Most passes over a source."""


class Weights(Settings):
    """How shares come about: `given`, `proportional`, `{temperature: 0.3}` or `{unimax: {epochs: 4}}`."""

    way: Literal["given", "proportional"] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    """Shares go with size to this power: 1 is proportional, 0 is even; mT5 takes 0.3 (Xue et al. 2021, arXiv:2010.11934)."""
    of: Literal["tokens", "documents", "bytes"] = "tokens"
    """What the size is counted in, for the temperature."""
    unimax: UniMax | None = None

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return {"way": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one(self) -> Self:
        named = [name for name in ("way", "temperature", "unimax") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError("should be one of given, proportional, {temperature: 0.3}, {unimax: {epochs: 4}}")
        if self.temperature is None and self.of != "tokens":
            raise ValueError("of goes with temperature only")
        return self


class QualityBuckets(Settings):
    """Repeat counts by the value of a column: better documents are read more often."""

    column: str
    """Any column that `where` may name."""
    at_least: dict[float, NonNegativeFloat] | None = None
    """From this value on: so many times. Documents below the lowest value are not read."""
    equals: dict[str, NonNegativeFloat] | None = None
    """For this value: so many times. Documents with another value are not read."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = self.at_least if self.at_least is not None else self.equals
        if (self.at_least is None) == (self.equals is None):
            raise ValueError("should have either at_least, such as {0.8: 4, 0.5: 1}, or equals, such as {high: 4, medium: 1}")
        if not given or not any(given.values()):
            raise ValueError("no bucket is read; give at least one a repeat count above 0")
        return self

    def labels(self) -> list[tuple[str, float]]:
        """Name and repeat count of each bucket, the best first."""
        if self.at_least is not None:
            return [(f">={bound:g}", self.at_least[bound]) for bound in sorted(self.at_least, reverse=True)]
        return list((self.equals or {}).items())


class Size(Settings):
    """What a source is said to hold, where the table of a paper says it."""

    tokens: Amount | None = None
    bytes: ByteSize | None = None
    """Of text, e.g. 227.12GiB."""
    documents: Amount | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.tokens or self.bytes):
            raise ValueError("should have tokens or bytes")
        return self


class Source(Settings):
    """One source: where its documents are, and how much of the training it gives."""

    documents: str | None = None
    """A run folder, or a folder of document files (Parquet with columns id and text)."""
    shards: str | None = None
    """A folder of token shards."""
    only: tuple[str, ...] | None = None
    """Names of sources in that folder; all when null."""
    where: str | None = None
    """Which documents, e.g. language == "en" and quality > 0.3; all when null."""
    weight: NonNegativeFloat | None = None
    """Share of the training tokens, relative to the other sources."""
    epochs: PositiveFloat | None = None
    """Passes over its tokens, instead of a weight."""
    max_epochs: PositiveFloat | None = None
    """Most passes over its tokens; the mixture's when null."""
    quality_buckets: QualityBuckets | None = None
    size: Size | None = None
    """What it holds according to a publication, for --sizes published."""

    @field_validator("where")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            from gristmill.pipeline.mixture.where import Where

            Where(value)
        return value


class Phase(Settings):
    """A stretch of the training with shares of its own, e.g. a last one on the best sources."""

    name: SourceName
    tokens: Amount | None = None
    """Length; one phase may leave it out and takes the rest."""
    shares: dict[str, NonNegativeFloat] | None = None
    """Share of each source, relative to each other; sources not named give nothing. The mixture's own when null."""
    weights: Weights | None = None
    """Another way to the shares, for this phase."""


class Mixture(Settings):
    """How many tokens to train on, and from which sources."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    tokens: Amount | None = None
    """Tokens of the whole training, e.g. 300B; may be left out where epochs or phases say it."""
    weights: Weights = Weights(way="given")
    max_epochs: PositiveFloat = MAX_EPOCHS
    """Most passes over a source."""
    tokenizer: str | None = None
    """A tokenizer.json, to count the tokens of documents that have no shards; without it they are estimated."""
    shards: str | None = None
    """Where `gristmill mixture tokenize` writes token shards of sources whose documents have none."""
    bytes_per_token: PositiveFloat = 3.5
    """For that estimate: bytes of text per token."""
    sources: Annotated[dict[SourceName, Source], Field(min_length=1)]
    phases: tuple[Phase, ...] = ()
