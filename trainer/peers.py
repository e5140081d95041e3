"""What the processes of a run tell each other about work that one of them, or each for itself, does on the side."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from torch import distributed as dist

# writing a checkpoint of hundreds of gigabytes to slow storage
_TIMEOUT = timedelta(hours=2)


class Peers:
    """All processes, in a group of their own on the CPU, so that words here never meet those of the training; or one alone.

    All of them make it, one after another in the same order, and call it alike.
    """

    def __init__(self) -> None:
        """Find the others, if torch.distributed is at work."""
        self.size = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        self.rank = dist.get_rank() if self.size > 1 else 0
        self.group: Any = dist.new_group(backend="gloo", timeout=_TIMEOUT) if self.size > 1 else None

    @property
    def first(self) -> bool:
        """Whether this process does what one alone does."""
        return self.rank == 0

    def all(self, mine: bool) -> bool:
        """Whether something holds on all processes."""
        if self.group is None:
            return mine
        flag = torch.tensor(int(mine))
        dist.all_reduce(flag, dist.ReduceOp.MIN, group=self.group)
        return bool(flag.item())

    def together(self, work: Callable[[], None], *, first_only: bool = False) -> None:
        """Do a piece of work, which has failed on all processes where it has failed on one.

        Args:
            work: what to do.
            first_only: on the first process only; the others wait.

        Raises:
            Exception: what the work raised here or elsewhere, of the lowest rank.
        """
        error: Exception | None = None
        if self.first or not first_only:
            try:
                work()
            except Exception as raised:
                error = raised
        if self.group is None:
            if error is not None:
                raise error
            return
        errors: list[Exception | None] = [None] * self.size
        dist.all_gather_object(errors, _sendable(error), group=self.group)
        if error is not None:
            raise error
        for other in errors:
            if other is not None:
                raise other


def _sendable(error: Exception | None) -> Exception | None:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
