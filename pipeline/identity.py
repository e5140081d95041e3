"""What decides the result of a stage: its settings, the code it reaches, the versions of its libraries, the files it names."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from typing import Any

import numpy
import pyarrow

from gristmill.pipeline.code_hash import code_hash, library_versions
from gristmill.stages.filter import Filter
from gristmill.stages.signals import MODULES
from gristmill.stages.stage import Stage


def stage_identity(stage: Stage) -> dict[str, Any]:
    """JSON that changes when the stage would compute something else."""
    kind = type(stage)
    modules = [base.__module__ for base in kind.__mro__ if issubclass(base, Stage)] + stage.code()
    if isinstance(stage, Filter):
        modules += signal_modules(stage)
    return {
        "class": f"{kind.__module__}:{kind.__qualname__}",
        "settings": stage.model_dump(mode="json", exclude={"checkpoint"}),
        "label": stage.label,
        "code": code_hash(*dict.fromkeys(modules)),
        "libraries": library_versions(stage.library_names()),
        "files": [_file_hash(path) for path in stage.files()],
    }


def signal_modules(stage: Filter) -> list[str]:
    """Modules that compute the catalogue signals which a filter's rules name."""
    found = {
        MODULES.get(rule.signal, rule.signal.partition(":")[0])
        for rule in stage.active_rules()
        if rule.signal in MODULES or ":" in rule.signal
    }
    return ["gristmill.stages.features", *sorted(found)] if found else []


@cache
def _hashed(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_hash(path: str) -> str:
    status = os.stat(path)
    return _hashed(path, status.st_size, status.st_mtime_ns)


@cache
def platform_identity() -> dict[str, str]:
    """Versions that every step stands on."""
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        "pyarrow": pyarrow.__version__,
        "numpy": numpy.__version__,
        "numba": library_versions(("numba",))["numba"],
    }
