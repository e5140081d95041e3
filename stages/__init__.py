"""The stages: what can be done to documents.

`gristmill.stages.GopherQuality(min_words=40).judge(table)` judges an Arrow table with a column `text`. A stage is loaded when
it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.stages.exact import Exact
    from gristmill.stages.extract import Extract
    from gristmill.stages.gopher_quality import GopherQuality
    from gristmill.stages.gopher_repetition import GopherRepetition
    from gristmill.stages.language import Language
    from gristmill.stages.minhash import MinHash
    from gristmill.stages.url_filter import UrlFilter

__all__ = ["Exact", "Extract", "GopherQuality", "GopherRepetition", "Language", "MinHash", "UrlFilter"]


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        from gristmill.stages.registry import STAGES

        for target in STAGES.values():
            module, _, attribute = target.partition(":")
            if attribute == name:
                return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
