"""Which changes of a recipe stored signals can answer for: bounds of filters, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.overrides import apply_set
from gristmill.pipeline.recipe import Recipe
from gristmill.pipeline.stored_signals import StoredSignals
from gristmill.pipeline.yaml_lines import Loc
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.stage import Stage


@dataclass
class Changes:
    """Filters of a recipe with other bounds."""

    _filters: dict[int, Filter] = field(default_factory=dict)

    def add(self, old: Filter, new: Filter) -> None:
        """Note what a filter of the recipe becomes."""
        self._filters[id(old)] = new

    def concerns(self, stage: Filter) -> bool:
        """Whether a change was asked for that filter, though it be to what it was."""
        return id(stage) in self._filters

    def new(self, stage: Filter) -> Filter:
        """The filter with its bounds as they would be."""
        return self._filters.get(id(stage), stage)


def changed_stages(stored: StoredSignals, sets: Sequence[str]) -> Changes:
    """The filters of a run's recipe that are asked about.

    Args:
        stored: the run.
        sets: `PATH=VALUE` each, in the grammar of `--set`.

    Raises:
        UserError: a change is no valid setting, or changes more than bounds of filters.
    """
    from gristmill.pipeline.recipe_file import parse_recipe

    if not sets:
        raise UserError("nothing is changed; give --set, e.g. --set gopher_quality.min_words=40")
    data = copy.deepcopy(dict(stored.published.facts["recipe"]))
    asked: dict[Loc, str] = {}
    for assignment in sets:
        loc = apply_set(data, assignment, Recipe.model_fields)
        step = next((loc[: place + 1] for place, part in enumerate(loc) if isinstance(part, int)), None)
        if step is None:
            raise UserError(f"--set {assignment}: sets no bound of a filter{_run_it(stored)}")
        asked[step] = assignment
    told = "; ".join(f"--set {assignment}" for assignment in sets)
    recipe = parse_recipe(data, lambda loc: next((f"--set {asked[at]}" for at in asked if loc[: len(at)] == at), told))
    changes = Changes()
    for step, assignment in asked.items():
        old, new = _stage_at(stored.recipe, step), _stage_at(recipe, step)
        if not isinstance(old, Filter) or not isinstance(new, Filter):
            raise UserError(f"--set {assignment}: {old.label} is no filter{_run_it(stored)}")
        _check_bounds_only(stored, old, new, assignment)
        changes.add(old, new)
    return changes


def _stage_at(recipe: Recipe, step: Loc) -> Stage:
    stages = recipe.sources[str(step[1])].stages if step[0] == "sources" else recipe.stages
    return stages[int(step[-1])]


def _check_bounds_only(stored: StoredSignals, old: Filter, new: Filter, assignment: str) -> None:
    """Raise where the signals of the run are not those that the changed filter looks at."""
    for name in type(old).model_fields:
        if getattr(old, name) == getattr(new, name):
            continue
        if why_not := _why_no_bound(old, old.model_copy(update={name: getattr(new, name)})):
            raise UserError(
                f"--set {assignment}: {name} of {old.label} is no mere bound on what the run measured: {why_not}{_run_it(stored)}"
            )
    if new.asks_language and not old.asks_language:
        raise UserError(f"--set {assignment}: {old.label} had no bound by language, and stored none{_run_it(stored)}")
    if unknown := [rule for rule in new.active_rules() if not stored.holds(old, rule)]:
        raise UserError(
            f"--set {assignment}: {unknown[0].signal} was not measured, as {old.label} had no rule on it{_run_it(stored)}"
        )


def _why_no_bound(old: Filter, new: Filter) -> str | None:
    """Why stored signals do not tell what a filter with one other setting does; None where they do."""
    before, after = old.possible_rules(), new.possible_rules()
    ways = {rule.signal: (rule.switch_items, _other_ways(rule)) for rule in before}
    for rule in after:
        if ways.get(rule.signal, (rule.switch_items, _other_ways(rule))) != (rule.switch_items, _other_ways(rule)):
            return f"{rule.signal} would be measured in another way{_switched(ways[rule.signal][0], rule.switch_items)}"
    # what no rule follows from decides something else: a list, a model, a name
    if _bounds(before) == _bounds(after) and _bounds(old.all_rules()) == _bounds(new.all_rules()):
        return "no bound of a rule follows from it; it decides what is measured or written"
    return None


def _switched(before: tuple[tuple[str, Any], ...], after: tuple[tuple[str, Any], ...]) -> str:
    """The switches of a signal that differ, in brackets."""
    told = [
        f"{name}: {dict(before).get(name, 'its default')}, then {dict(after).get(name, 'its default')}"
        for name in sorted({*dict(before), *dict(after)})
        if dict(before).get(name) != dict(after).get(name)
    ]
    return f" ({'; '.join(told)})" if told else ""


def _other_ways(rule: Rule) -> list[tuple[Any, ...]]:
    """The languages whose documents are measured in another way."""
    ways = [(language, other.switch_items) for language, other in rule.by_language.items()]
    return sorted(way for way in ways if way[1] != rule.switch_items)


def _bounds(rules: Any) -> list[tuple[Any, ...]]:
    """What rules ask, in which order; rules that are off have their place too."""

    def bounds(rule: Rule) -> tuple[Any, ...]:
        by_language = sorted((language, bounds(other)) for language, other in rule.by_language.items())
        return (rule.name, rule.signal, rule.at_least, rule.at_most, rule.above, rule.below, by_language)

    return [bounds(rule) for rule in rules]


def _run_it(stored: StoredSignals) -> str:
    folder = stored.published.folder.rstrip("/")
    return (
        "; stored signals cannot answer that: give the recipe to `gristmill run` with this --set, another --output and "
        f"--work {folder}/work (it reuses what is finished there)"
    )
