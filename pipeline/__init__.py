"""Recipes, plans, the engine, run folders and the command line.

`gristmill.pipeline.run("refinedweb-lite", input=["crawl/*.warc.gz"], output="out/web")` does what the command line does.
What stands here is loaded when it is first asked for, so that importing the package loads neither Arrow nor Dask.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.pipeline.errors import GuardrailStop, UserError
    from gristmill.pipeline.recipe import Recipe, load_recipe
    from gristmill.pipeline.runs import RunResult, run
    from gristmill.pipeline.single_stage import run_stage

__all__ = ["GuardrailStop", "Recipe", "RunResult", "UserError", "load_recipe", "run", "run_stage"]

_HOMES = {
    "GuardrailStop": "errors",
    "UserError": "errors",
    "Recipe": "recipe",
    "load_recipe": "recipe",
    "RunResult": "runs",
    "run": "runs",
    "run_stage": "single_stage",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
