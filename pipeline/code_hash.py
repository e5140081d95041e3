"""What the code of a step hashes to: a changed line anywhere it reaches means that the step is computed again."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BY_NAME = {"gristmill.stages.features", "gristmill.stages.signals"}
"""Reached through a batch of documents only by stages that name signals; those stages add them (else a changed kernel would extract again)."""


@cache
def _source(module: str) -> tuple[str, tuple[str, ...]]:
    """SHA-256 of a module's source and the modules that it imports from its own top-level package."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return "", ()
    text = Path(spec.origin).read_bytes()
    top = module.partition(".")[0]
    found: set[str] = set()
    for node in _walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return hashlib.sha256(text).hexdigest(), tuple(sorted(name for name in found if name.partition(".")[0] == top))


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _walk(child)


@cache
def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, AttributeError, ValueError):
        return False


def reachable(modules: tuple[str, ...]) -> dict[str, str]:
    """Source hashes of modules and of all that they import from their own package, also inside functions."""
    hashes: dict[str, str] = {}
    queue = list(modules)
    while queue:
        module = queue.pop()
        if module in hashes or not _exists(module):
            continue
        hashes[module], imported = _source(module)
        if module == "gristmill.stages.documents":
            imported = tuple(name for name in imported if not any(name.startswith(lazy) for lazy in BY_NAME))
        queue.extend(imported)
    return {module: digest for module, digest in hashes.items() if digest}


def code_hash(*modules: str) -> str:
    """One hash over `reachable(modules)`."""
    lines = [f"{module} {digest}" for module, digest in sorted(reachable(modules).items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of installed distributions; `missing` where one is not installed."""
    versions = {}
    for name in sorted(set(names)):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    return versions
