"""What the code of a step hashes to: a changed line anywhere it reaches means that the step is computed again."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import uuid4

PACKAGE = "gristmill"
BY_NAME = {"gristmill.stages.features", "gristmill.stages.signals"}
"""Reached through a batch of documents, but only by stages that name signals, which add them by themselves.

If they hung on every batch, a changed kernel would extract again."""
_UNKNOWN = uuid4().hex
"""Stands for source that cannot be found (a stage defined in a notebook, say): nothing is reused by another process."""


def _file(module: str) -> str | None:
    """The file that a module comes from; None where it has none, or where there is no such module."""
    if module == "__main__":
        return getattr(sys.modules[module], "__file__", None)
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # packages on the way are imported, and may raise whatever they like
        return None
    return spec.origin if spec is not None and spec.has_location else None


@cache
def _parsed(path: str, size: int, mtime_ns: int, package: str) -> tuple[str, frozenset[str]]:
    """SHA-256 of a source file, and all that it may import: modules, and names in them that may be modules."""
    content = Path(path).read_bytes()
    found: set[str] = set()
    for node in _walk(ast.parse(content)) if path.endswith(".py") else ():
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                base = f"{above}.{base}".strip(".")
            found.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    return hashlib.sha256(content).hexdigest(), frozenset(found)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _asks_for_type_checking(child.test):
            for other in child.orelse:
                yield from _walk(other)
        else:
            yield from _walk(child)


def _asks_for_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def _source(module: str) -> tuple[str, frozenset[str]] | None:
    path = _file(module)
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    package = module if os.path.basename(path) == "__init__.py" else module.rpartition(".")[0]
    return _parsed(path, status.st_size, status.st_mtime_ns, package)


def _home(top: str) -> str | None:
    """Folder that a top-level module lies in; None for what is installed or comes with Python."""
    path = _file(top)
    if path is None:
        return None
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.basename(path) == "__init__.py":
        folder = os.path.dirname(folder)
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return None if folder in installed or os.path.basename(folder) in ("site-packages", "lib-dynload") else folder


def _own(module: str, imported: str) -> bool:
    """Whether what `module` imports is followed: its own package, ours, and a user's modules that lie beside it."""
    top, other = module.partition(".")[0], imported.partition(".")[0]
    return other in (top, PACKAGE) or (top != PACKAGE and (home := _home(top)) is not None and home == _home(other))


def reachable(modules: tuple[str, ...]) -> dict[str, str]:
    """Source hashes of modules and of all that they import, also inside functions; libraries stand for themselves."""
    hashes: dict[str, str] = {}
    seen = set(modules)
    queue = list(modules)
    while queue:
        module = queue.pop()
        source = _source(module)
        if source is None:
            # a name in a module, or a package without source of its own; unless it was asked for
            if module in modules:
                hashes[module] = _UNKNOWN
            continue
        hashes[module], imported = source
        for name in imported - seen:
            lazy = module == "gristmill.stages.documents" and any(name.startswith(known) for known in BY_NAME)
            if not lazy and _own(module, name):
                seen.add(name)
                queue.append(name)
    return hashes


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
