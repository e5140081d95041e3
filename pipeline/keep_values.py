"""Whether a policy that says which copy stays finds what it goes by: scores, dates, URLs, sources."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gristmill.pipeline.errors import UserError
from gristmill.stages.copies import UnitCopies
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.keeper import LAST

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.pipeline.recipe import Recipe
    from gristmill.pipeline.steps import Manifest
    from gristmill.stages.stage import Stage

GOES_BY = {"newest": "date", "oldest": "date", "url_hash": "URL"}
"""Policies that many flavours bring along: documents without what they go by are a doubt, not a mistake."""
MOST_KEYS = 20
"""Keys of the column `meta` that are named where the one asked for is not there."""
LOOKED_AT = 1000
"""Documents of a batch whose keys are looked at."""


def keep_of(stage: Stage) -> str | None:
    """The policy by which a stage keeps one of several copies; None where it has none."""
    if isinstance(stage, Deduplicator):
        return stage.keep
    return stage.resolved.keep if isinstance(stage, UnitCopies) else None


def check_sources(recipe: Recipe) -> None:
    """See that policies name sources that there are.

    Raises:
        UserError: one does not.
    """
    for stage in (*(stage for source in recipe.sources.values() for stage in source.stages), *recipe.stages):
        keep = keep_of(stage) or ""
        if not keep.startswith("sources:"):
            continue
        named = [name.strip() for name in keep.removeprefix("sources:").split(",")]
        if unknown := [name for name in named if name not in recipe.sources]:
            raise UserError(
                f"{stage.label}: keep: {keep}: no source is called {', '.join(unknown)}; there are {', '.join(recipe.sources)}"
            )


class KeepValues:
    """Counts, while documents or units are ranked, how many have what the policy goes by."""

    def __init__(self, keep: str | None) -> None:
        """Count for a policy; for one that goes by what every document has, nothing."""
        self._counts = keep is not None and (keep in GOES_BY or keep.startswith(("highest:", "lowest:")))
        self._of_meta = keep is not None and ":meta." in keep
        self._ranked = self._known = 0
        self._keys: set[str] = set()

    def see(self, documents: pa.Table, ranks: np.ndarray) -> None:
        """Take the ranks (int64) of a batch's documents or units."""
        if not self._counts:
            return
        self._ranked += len(ranks)
        self._known += int((ranks != LAST).sum())
        if self._of_meta and not self._known:
            for meta in documents["meta"].slice(0, LOOKED_AT).to_pylist():
                held = json.loads(meta) if meta else None
                self._keys |= held.keys() if isinstance(held, dict) else set()
            self._keys = set(sorted(self._keys)[:MOST_KEYS])

    def told(self) -> dict[str, Any]:
        """What a manifest says of it."""
        if not self._counts:
            return {}
        return {"values": {"ranked": self._ranked, "known": self._known, "keys": [] if self._known else sorted(self._keys)}}


def check_values(label: str, keep: str | None, manifests: Iterable[Manifest]) -> list[str]:
    """Doubts about a policy for which no document has what it goes by.

    Args:
        label: of the stage.
        keep: the policy.
        manifests: with what `KeepValues.told` says.

    Raises:
        UserError: the policy names a column or key that no document has a value in.
    """
    told: list[Mapping[str, Any]] = [manifest["values"] for manifest in manifests if "values" in manifest]
    if not any(one["ranked"] for one in told) or any(one["known"] for one in told):
        return []
    if keep in GOES_BY:
        return [f"{label}: keep: {keep}, but no document has a {GOES_BY[keep]}; the first in the corpus stays"]
    column = str(keep).partition(":")[2]
    if not column.startswith("meta."):
        raise UserError(f"{label}: keep: {keep}: no document has a value in the column {column}")
    keys = sorted({key for one in told for key in one["keys"]})[:MOST_KEYS]
    there = f"there are meta.{', meta.'.join(keys)}" if keys else "their meta is empty"
    raise UserError(f"{label}: keep: {keep}: no document has a number in {column}; {there}")
