"""The stages: what can be done to documents.

`gristmill.stages.GopherQuality(min_words=40).judge(table)` judges an Arrow table with a column `text`. Every stage of the
registry stands here under the name of its class, and is loaded when it is first asked for; type checkers know it from its own
module (`from gristmill.stages.gopher_quality import GopherQuality`).
"""

from importlib import import_module
from typing import Any


def _homes() -> dict[str, str]:
    """Class -> module of the stages in the registry."""
    from gristmill.stages.registry import STAGES

    return {name: module for module, _, name in (target.partition(":") for target in STAGES.values())}


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in (homes := _homes()):
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(homes[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_homes()])
