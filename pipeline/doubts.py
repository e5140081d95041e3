"""Doubts: what looks like a mistake though a run went well. They are printed once, and stand in run.json and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.pipeline.counts import NOT_JUDGED
from gristmill.pipeline.passes import READ
from gristmill.pipeline.recipe import Recipe
from gristmill.stages.filter import LANGUAGE_NUMBER, Filter
from gristmill.stages.language_codes import matching_key
from gristmill.stages.stage import Stage

_LANGUAGES = 10
"""Languages that are named, those with the most documents."""


def doubts_of_stages(recipe: Recipe) -> list[str]:
    """What the stages say of their settings and files."""
    return [
        told
        for stages in (*(source.stages for source in recipe.sources.values()), recipe.stages)
        for one in stages
        for told in one.doubts()
    ]


def doubts_of_reading(recipe: Recipe, funnel: Mapping[str, Any], other_records: Mapping[str, int]) -> list[str]:
    """What looks like a mistake in how a source is read."""
    found = []
    for row in funnel["rows"]:
        if row["stage"] != READ or row["kept"]:
            continue
        settings = recipe.sources[row["source"]].read
        where = f"source {row['source']}: read as {settings.format}"
        if row["in"]:
            rules = ", ".join(f"{rule} {number:,}" for rule, number in sorted(row["rules"].items(), key=lambda item: -item[1]))
            found.append(f"{where}, all {row['in']:,} records are removed ({rules}); are its read settings right?")
        elif any(other_records.values()):
            others = ", ".join(f"{kind} {number:,}" for kind, number in other_records.items() if number)
            found.append(f"{where}, its files hold no documents, only records of other kinds ({others}); is read.format right?")
        else:
            found.append(f"{where}, its files hold no records")
    return found


def doubts_of_judging(recipe: Recipe, funnel: Mapping[str, Any]) -> list[str]:
    """Filters that could judge no document of a source, or none of a language."""
    found = []
    for row in funnel["rows"]:
        unjudged: Mapping[str, int] = row.get(NOT_JUDGED, {})
        if not unjudged or row["source"] not in recipe.sources:
            continue
        stage = _stage(row["stage"], [*recipe.sources[row["source"]].stages, *recipe.stages])
        if isinstance(stage, Filter):
            found += _of_filter(stage, row["source"], row["in"], unjudged)
    return found


def _stage(label: str, stages: Sequence[Stage]) -> Stage | None:
    return next((stage for stage in stages if stage.label == label), None)


def _of_filter(stage: Filter, source: str, documents: int, unjudged: Mapping[str, int]) -> list[str]:
    passed = "they passed unjudged"
    languages = stage.languages_judged()
    if languages is not None:
        others = {one: number for one, number in unjudged.items() if not one or matching_key(one, tuple(languages)) is None}
        if others:
            most = sorted(others.items(), key=lambda item: (-item[1], item[0]))
            named = ", ".join(f"{language or 'no language'} {number:,}" for language, number in most[:_LANGUAGES])
            more = f" and {len(most) - _LANGUAGES:,} more languages" if len(most) > _LANGUAGES else ""
            return [
                f"{stage.label}: {sum(others.values()):,} of {documents:,} documents of {source} are in languages that it has "
                f"nothing for ({named}{more}; it has {', '.join(languages)}); {passed}"
            ]
    if sum(unjudged.values()) < documents:
        return []
    signals = list(dict.fromkeys(rule.signal for rule in stage.active_rules() if rule.signal != LANGUAGE_NUMBER))
    hint = stage.when_nothing_is_judged()
    return [
        f"{stage.label}: none of the {documents:,} documents of {source} has a value"
        + (f" of {', '.join(signals)}" if signals and not hint else "")
        + f"; {passed}"
        + (f". {hint}" if hint else "")
    ]
