"""Lists that a recipe names and that are not there: what a run goes on without, where the recipe allows it."""

from __future__ import annotations

from gristmill.pipeline.recipe import Recipe
from gristmill.stages.list_settings import WithLists
from gristmill.stages.stage import Stage


def without_missing_lists(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """The recipe without the lists that it may do without (`when_missing: skip`), and a line on each of them.

    Done once, before anything runs: the run's own recipe, its workers and what is reused later all mean the same lists.

    Raises:
        StageUnavailable: a stage names a list that cannot exist.
    """
    told: list[str] = []

    def present(stages: list[Stage]) -> list[Stage]:
        found: list[Stage] = []
        for stage in stages:
            if isinstance(stage, WithLists):
                stage, missing = stage.without_missing()
                told.extend(missing)
            found.append(stage)
        return found

    sources = {name: source.model_copy(update={"stages": present(source.stages)}) for name, source in recipe.sources.items()}
    across = present(recipe.stages)
    return (recipe.model_copy(update={"sources": sources, "stages": across}), told) if told else (recipe, [])
