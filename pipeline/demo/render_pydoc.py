"""Render the documentation of installed modules as HTML, one JSON object a line: {"name", "kind", "title", "html"}.

Runs as a script in its own process (see `documentation.py`), because pydoc imports what it renders and imports can
print, start threads or end the process. It imports nothing of this package. On stderr it names each module that it is
about to import, so that the caller knows which one ended the process; arguments name modules to leave out.

The same Python environment gives the same bytes: memory addresses, paths and `file:` links are taken out, values that
depend on the machine (`os.environ`, `sys.argv`) are not shown, sets are printed in sorted order.
"""

from __future__ import annotations

import html
import importlib
import importlib.metadata
import inspect
import json
import os
import pkgutil
import pydoc
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NOTES = os.dup(2)
LEFT_OUT = frozenset(sys.argv[1:])

PAGE_BYTES = (2_500, 200_000)
"""Least and most bytes of a page; numpy's front page alone has 4 MB."""

DO_NOT_TOUCH = frozenset(
    {
        # open a window, a browser or a terminal, or print when imported
        *("antigravity", "curses", "idlelib", "readline", "rlcompleter", "this", "tkinter", "turtle", "turtledemo"),
        # start a program, change the interpreter, or are only there to be run
        *("__main__", "ensurepip", "lib2to3", "pydoc_data", "pip", "site", "sitecustomize", "test", "usercustomize", "venv"),
        # names of other platforms, which fail on this one at the best
        *("msilib", "msvcrt", "nt", "winreg", "winsound"),
        # change other modules when imported (setuptools puts its own distutils in place)
        *("distutils", "setuptools", "pkg_resources"),
    }
)

STANDARD_PACKAGES = (
    *("asyncio", "collections", "concurrent", "ctypes", "email", "email.mime", "encodings", "html", "http", "importlib", "json"),
    *("logging", "multiprocessing", "os", "sqlite3", "unittest", "urllib", "wsgiref", "xml", "xml.dom", "xml.etree", "xml.sax"),
)
"""Packages of the standard library whose modules get a page each."""

INSTALLED_PACKAGES = (
    *("attr", "charset_normalizer", "click", "cyclopts", "dask", "datasketch", "dateutil", "distributed", "docstring_parser"),
    *("fsspec", "idna", "jinja2", "justext", "markupsafe", "msgpack", "numpy.fft", "numpy.linalg", "numpy.polynomial"),
    *("packaging", "partd", "psutil", "pyarrow", "pydantic", "pygments", "rich", "ruamel.yaml", "sortedcontainers"),
    *("structlog", "tblib", "tld", "toolz", "tornado", "trafilatura", "urllib3", "warcio", "zict", "zipp"),
)
"""Dependencies whose modules get a page each, where they are installed."""

DO_NOT_IMPORT_SUBMODULES = re.compile(r"(^|\.)(_.*|tests?|testing|conftest|cli|cuda|orc|idlelib|win.*|nt.*|.*_cli|popen_.*)$")
"""Submodules that are private, made to be run, or need what may not be there."""


def standard_modules() -> Iterator[str]:
    """Public modules of the standard library, and those of its packages."""
    top = [name for name in sorted(sys.stdlib_module_names) if not name.startswith("_") and name not in DO_NOT_TOUCH]
    yield from top
    for package in STANDARD_PACKAGES:
        yield from submodules(package)


def installed_modules() -> Iterator[str]:
    """Modules of the installed dependencies."""
    for package in INSTALLED_PACKAGES:
        yield package
        yield from submodules(package)


def submodules(package: str) -> Iterator[str]:
    """Public modules one level below a package, in the order of their names; none where it cannot be imported."""
    module = import_quietly(package)
    names = sorted(found.name for found in pkgutil.iter_modules(getattr(module, "__path__", [])))
    for name in names:
        full = f"{package}.{name}"
        if full.split(".")[0] not in DO_NOT_TOUCH and not DO_NOT_IMPORT_SUBMODULES.search(name):
            yield full


def import_quietly(name: str) -> Any:
    """A module, or None where it cannot be imported."""
    if name in LEFT_OUT:
        return None
    os.write(NOTES, f"{name}\n".encode())
    try:
        return importlib.import_module(name)
    except BaseException:  # an import may also raise SystemExit; whatever it is, the page is left out
        return None


class Documentation(pydoc.HTMLDoc):
    """pydoc's own HTML, without what belongs to this machine."""

    def docother(self, object: Any, name: str | None = None, mod: Any = None, *ignored: Any) -> str:
        """A value: shown only where it is a plain constant."""
        shown = repr(object) if isinstance(object, (bool, int, float, str)) and len(repr(object)) < 100 else type(object).__name__
        before = f"<strong>{html.escape(name)}</strong> = " if name else ""
        return before + html.escape(shown)


def module_page(name: str) -> dict[str, str] | None:
    """pydoc's page of one module."""
    module = import_quietly(name)
    if module is None or not inspect.ismodule(module):
        return None
    documentation = Documentation()
    try:
        page = documentation.page(f"Python: module {name}", documentation.document(module, name))
    except Exception:  # pydoc stumbles over objects with odd attributes; such a page is left out
        return None
    return {"name": name, "kind": "module", "title": name, "html": page}


def topic_pages() -> Iterator[dict[str, str]]:
    """The chapters of the language reference that pydoc carries (`help("for")`)."""
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    for name, text in sorted(topics.items()):
        title = text.strip().partition("\n")[0].strip('"')
        yield {"name": name, "kind": "topic", "title": title, "html": prose_page(title, text)}


def licence_pages() -> Iterator[dict[str, str]]:
    """The licence of each installed distribution: texts that repeat but for a name and a year."""
    found = {distribution.metadata["Name"]: distribution for distribution in importlib.metadata.distributions()}
    for name in sorted(found, key=str.lower):
        for path in sorted(found[name].files or (), key=str):
            stem = path.name.upper()
            if ".dist-info" not in str(path) or not stem.startswith(("LICENSE", "LICENCE", "COPYING")):
                continue
            try:
                text = Path(str(path.locate())).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            yield {"name": name, "kind": "licence", "title": f"Licence of {name}", "html": prose_page(f"Licence of {name}", text)}
            break


def prose_page(title: str, text: str) -> str:
    """Plain text as a page: paragraphs, and `<pre>` where the lines are indented."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.splitlines()
        indented = sum(line.startswith("   ") for line in lines) > len(lines) / 2
        escaped = html.escape(block)
        blocks.append(f"<pre>{escaped}</pre>" if indented else f"<p>{escaped}</p>")
    body = "\n".join(blocks)
    head, heading = f"<head><title>{html.escape(title)}</title></head>", f"<h1>{html.escape(title)}</h1>"
    return f"<!DOCTYPE html>\n<html>{head}<body>\n{heading}\n{body}\n</body></html>"


def cleaned(page: str) -> str:
    """A page without memory addresses, paths of this machine, and sets in the order of their hashes."""
    page = re.sub(r'<a href="file:[^"]*">[^<]*</a>', "", page)
    page = re.sub(r"(?: |&nbsp;)at(?: |&nbsp;)0[xX][0-9a-fA-F]+", "", page)
    page = re.sub(r"environ\(\{[^{}]*\}\)", "environ({})", page)
    for path in MACHINE_PATHS:
        page = page.replace(path, "/usr/lib/python3")
    return re.sub(r"(?<=set\(\{)[^{}]*(?=\}\))|(?<==\{)[^{}]*(?=\})|(?<==&nbsp;\{)[^{}]*(?=\})", sorted_items, page)


def sorted_items(match: re.Match[str]) -> str:
    """What stands in a set's braces, sorted: it may hang on the hash of an address."""
    return ",&nbsp;".join(sorted(re.split(r",(?: |&nbsp;)", match[0])))


def machine_paths() -> list[str]:
    """Folders whose names would differ on another machine, longest first."""
    paths = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.getcwd(), os.path.expanduser("~"), *sysconfig.get_paths().values()}
    paths |= {os.path.realpath(path) for path in paths}
    # "/usr" and the like say nothing about the machine, and stand in ordinary text
    return sorted(
        (path for path in paths if path.count("/") > 1 or path.startswith("/root")), key=lambda path: (-len(path), path)
    )


MACHINE_PATHS = machine_paths()


def pages() -> Iterator[dict[str, str]]:
    """All pages, each name once."""
    seen: set[str] = set()
    makers: tuple[Callable[[], Iterator[str]], ...] = (standard_modules, installed_modules)
    for names in makers:
        for name in names():
            if name not in seen and name not in DO_NOT_TOUCH:
                seen.add(name)
                if page := module_page(name):
                    yield page
    yield from topic_pages()
    yield from licence_pages()


def main() -> None:
    # what an import prints must not land between the pages
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    warnings.simplefilter("ignore")
    sys.argv[:] = ["python"]  # some functions have it as a default, which pydoc shows
    for page in pages():
        page["html"] = cleaned(page["html"])
        if PAGE_BYTES[0] <= len(page["html"].encode("utf-8", "replace")) <= PAGE_BYTES[1] or page["kind"] != "module":
            print(json.dumps(page, sort_keys=True), file=out, flush=True)
    out.flush()
    os._exit(0)  # threads that an import left behind must not hold the process


if __name__ == "__main__":
    main()
