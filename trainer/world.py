"""The processes of a training run, and how they stand to each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """This process among all of a run; one alone by default.

    Data-parallel ranks read different windows; tensor-parallel peers share a data rank and read the same ones.
    """

    rank: int = 0
    """Of this process, from 0."""
    size: int = 1
    """Processes of the run."""
    data_rank: int = 0
    data_ranks: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0
