"""Numba with a cache on disk that never holds stale code."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

Kernel = TypeVar("Kernel", bound=Callable[..., object])

# at the beginning of a line: what a function imports, or the type checker, is in no kernel
_IMPORTED = re.compile(r"^(?:from|import) gristmill\.stages(?:\.([\w.]+)| import ([\w, ]+))", re.MULTILINE)


def kernel_sources(folder: Path) -> list[Path]:
    """Files that decide what the kernels compute: those that compile something, and all modules of the package they import.

    Args:
        folder: the folder `stages`.

    Returns:
        Paths, sorted.
    """
    texts = {path: path.read_text("utf-8") for path in sorted(folder.rglob("*.py"))}
    found: set[Path] = set()
    waiting = [path for path, text in texts.items() if "numba_cache import njit" in text]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        names = [name.split()[0] for found in _IMPORTED.findall(texts[path]) for name in ",".join(found).split(",") if name]
        modules = [folder.joinpath(*name.split(".")) for name in names]
        files = [file for module in modules for file in (module.with_suffix(".py"), module / "__init__.py")]
        waiting += [file for file in files if file in texts]
    return sorted(found)


def cache_folder(sources: list[Path]) -> Path:
    """Where the compiled kernels of exactly these sources lie, for this Numba and this processor.

    Numba alone looks only at the file of the function itself: after a change in a helper of another module it would go on
    using the old code.
    """
    import llvmlite.binding  # type: ignore[import-untyped]
    import numba

    digest = hashlib.sha256()
    for part in (numba.__version__, llvmlite.binding.get_host_cpu_name()):
        digest.update(part.encode() + b"\0")
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    name = digest.hexdigest()[:20]
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for base in (user_cache / "gristmill", Path(tempfile.gettempdir()) / f"gristmill-{os.getuid()}"):
        folder = base / "kernels" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        # compiled code is run as it lies there: never from a folder that somebody else made
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    return Path(tempfile.mkdtemp(prefix="gristmill-kernels-"))


def _use_cache_folder() -> None:
    """Point Numba to the folder, also when it was imported before us, and tell child processes by the environment."""
    folder = str(cache_folder(kernel_sources(Path(__file__).parent)))
    import numba

    os.environ["NUMBA_CACHE_DIR"] = folder
    numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]


_use_cache_folder()


def njit(signature: str | list[str], *, fastmath: bool = False, inline: bool = False) -> Callable[[Kernel], Kernel]:
    """Compile a kernel when its module is imported, or take it from the cache.

    Args:
        signature: types of result and arguments, e.g. `"int64(uint8[::1], int64[::1])"`; so nothing is compiled in the
            middle of a run.
        fastmath: let LLVM reorder floating point; not for values that are compared with a threshold.
        inline: let LLVM inline the kernel into its callers even where it would not by itself.

    Returns:
        A decorator. The kernel runs without the GIL and without bounds checks.
    """
    import numba

    def compiled(kernel: Kernel) -> Kernel:
        decorator = numba.njit(signature, cache=True, nogil=True, boundscheck=False, fastmath=fastmath, forceinline=inline)
        result: Any = decorator(kernel)
        return cast(Kernel, result)

    return compiled
