"""The end of a forgetting: what the new outcome of a run does not rest on is deleted from the folder of finished steps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gristmill.pipeline.storage import Storage

STEPS, DATA = "steps", "data"


@dataclass(frozen=True)
class Purged:
    """What was deleted."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(self.files + other.files, self.bytes + other.bytes)


def purge(work: Storage, used: Mapping[str, Sequence[str]]) -> Purged:
    """Delete every manifest and file that is not `used`.

    A step's name is a hash, so nothing tells which input an unused step was made of, and token ids or sorted keys do not say
    which document they came from: all that the new outcome does not rest on goes. What it rests on was either made without the
    forgotten documents or never held them, for the name of a step covers all of its inputs.

    Args:
        work: folder of finished steps.
        used: name of a finished step -> its files.

    Returns:
        How much was deleted.
    """
    kept = {name for files in used.values() for name in files}
    # manifests first: a step whose files go must not look finished
    gone = [name for name in work.find(STEPS) if name.rsplit("/", 1)[-1].removesuffix(".json") not in used]
    gone += [name for name in work.find(DATA) if name not in kept]
    size = 0
    for name in gone:
        size += work.size(name) or 0
        work.delete(name)
    if work.local:
        for folder in (STEPS, DATA):
            for path, _, _ in os.walk(work.path(folder), topdown=False):
                with suppress(OSError):  # holds something still
                    os.rmdir(path)
    return Purged(len(gone), size)
