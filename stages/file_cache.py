"""Results that are remembered as long as the files they were read from stay as they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

from gristmill.stages.lists import path_of
from gristmill.stages.stage import StageUnavailable

P = ParamSpec("P")
R = TypeVar("R")


RESULTS = 64
"""Most results of a function that are remembered: workers that live on see many lists, some of them large."""


def cached_by_files(function: Callable[P, R]) -> Callable[P, R]:
    """`functools.lru_cache`, but a file that is named among the arguments is read again once its size or time has changed.

    Workers of a running scheduler outlive a run: a list that is edited between two runs changes the names of the steps,
    so a worker that still had the old list would write wrong results under the new names.
    """

    @lru_cache(maxsize=RESULTS)
    def held(marks: tuple[tuple[int, int], ...], args: tuple[Any, ...]) -> R:
        return function(*args)  # type: ignore[call-arg]

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs:
            raise TypeError(f"{function.__name__} takes its arguments by place")
        return held(tuple(_marks(args)), args)

    call.cache_clear = held.cache_clear  # type: ignore[attr-defined]
    return call


def _marks(values: tuple[Any, ...]) -> Iterator[tuple[int, int]]:
    """Size and time of each file that the values, or tuples among them, name; also by the name of a fetched list."""
    for value in values:
        if isinstance(value, tuple):
            yield from _marks(value)
        elif isinstance(value, str) and value:
            try:
                status = os.stat(path_of(value))
            except (OSError, ValueError, StageUnavailable):  # no file: a word, a domain, a language
                continue
            yield status.st_size, status.st_mtime_ns
