"""What `run.json` says of a run before it begins: recipe, stages and their rules, versions, inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from gristmill.pipeline.driver import stage_labels
from gristmill.pipeline.passes import READ
from gristmill.pipeline.readers.inputs import InputFile
from gristmill.pipeline.recipe import Recipe, resolved
from gristmill.stages.corpus_stage import sees_corpus
from gristmill.stages.filter import Filter
from gristmill.stages.stage import Stage


def every_stage(recipe: Recipe) -> list[Stage]:
    """Those of the sources, then those across them."""
    return [*(stage for source in recipe.sources.values() for stage in source.stages), *recipe.stages]


def facts_of(recipe: Recipe, limit: int | None, sample: float | None, files: Mapping[str, list[InputFile]]) -> dict[str, Any]:
    """What `run.json` says of a run before it begins."""
    from importlib.metadata import version

    from gristmill.pipeline.code_hash import library_versions

    libraries = tuple(name for stage in every_stage(recipe) for name in stage.library_names())
    return {
        "gristmill": version("gristmill"),
        "recipe": resolved(recipe),
        "seed": recipe.seed,
        "limit": limit,
        "sample": sample,
        "versions": library_versions((*libraries, "pyarrow", "numpy", "numba", "dask", "tokenizers")),
        "stages": _stage_facts(recipe),
        "started_in": os.getcwd(),
        "inputs": [
            {
                "source": name,
                "file": file.file,
                "path": file.path,
                "size": file.size,
                "fingerprint": file.fingerprint,
                **({} if isinstance(file.fs, LocalFileSystem) else {"url": file.fs.unstrip_protocol(file.path)}),
            }
            for name, found in files.items()
            for file in found
        ],
    }


def _stage_facts(recipe: Recipe) -> list[dict[str, Any]]:
    """The stages in order; one that sources have with other rules stands once for each of them."""
    facts: list[dict[str, Any]] = [{"label": READ, "kind": READ, "sources": list(recipe.sources), "corpus": False, "rules": []}]
    pairs: list[tuple[list[str], Sequence[Stage]]] = [([name], source.stages) for name, source in recipe.sources.items()]
    pairs.append((list(recipe.sources), recipe.stages))
    for names, stages in pairs:
        for stage in stages:
            fact = {"label": stage.label, "kind": stage.kind, "corpus": sees_corpus(stage), "rules": _rules(stage)}
            same = next((one for one in facts if {name: one[name] for name in fact} == fact), None)
            if same is None:
                facts.append(fact | {"sources": names})
            else:
                same["sources"] = [*same["sources"], *names]
    order = stage_labels(recipe)
    return sorted(facts, key=lambda fact: order.index(fact["label"]))


def _rules(stage: Stage) -> list[dict[str, Any]]:
    if not isinstance(stage, Filter):
        return []
    return [
        {"rule": rule.name, "signal": rule.signal, "bound": rule.bound, "threshold": rule.threshold}
        | ({"by_language": {key: other.threshold for key, other in rule.by_language.items()}} if rule.by_language else {})
        for rule in stage.active_rules()
    ]
