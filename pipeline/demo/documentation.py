"""Pages of the documentation of what is installed here, as the sites that publish it might show them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import as_file, files

from gristmill.pipeline.demo.page import Page, furniture_above, furniture_below
from gristmill.pipeline.errors import UserError

MIRROR_EVERY, COPY_EVERY = 9, 17
"""One page in so many is also on a mirror under a banner, or copied letter by letter."""

RENDER_SECONDS = 600
BANNER = (
    "You are looking at a mirror of the documentation. It may be out of date. "
    "Please report problems with the mirror to the webmaster."
)

HOSTS = {"module": "docs.example.org/3/library", "topic": "docs.example.org/3/reference", "licence": "licences.example.org"}


def documentation_pages() -> Iterator[Page]:
    """The pages, their mirrors and their copies, in the order of the renderer."""
    for number, found in enumerate(rendered()):
        kind, name, markup = found["kind"], found["name"], found["html"]
        installed = kind == "module" and name.split(".")[0] not in sys.stdlib_module_names
        host = f"{name.split('.')[0].replace('_', '-')}.docs.example/en" if installed else HOSTS[kind]
        path = f"{name}.html"
        # two of three sites dress their pages up; the third publishes what the tool writes
        page = markup if number % 3 == 2 else dressed(markup, site=f"{found['title']} | Documentation")
        yield Page(f"https://{host}/{path}", page.encode("utf-8", "replace"))
        if number % MIRROR_EVERY == 4:
            mirrored = dressed(markup, site="Documentation mirror", banner=BANNER)
            yield Page(f"http://mirror.example.net/{kind}/{path}", mirrored.encode("utf-8", "replace"))
        if number % COPY_EVERY == 8:
            yield Page(f"http://offline-docs.test/{kind}/{path}", page.encode("utf-8", "replace"))


def dressed(markup: str, *, site: str, banner: str = "") -> str:
    """A page with the site's furniture around its body, and breaking spaces where pydoc writes others.

    Pages that are not dressed up keep theirs: whole sentences without a space, as some tools publish them.
    """
    markup = re.sub(r"(?:&nbsp;)+", " ", markup)
    start = re.search(r"<body[^>]*>", markup)
    end = markup.rfind("</body>")
    if start is None or end < 0:
        return markup
    above, below = furniture_above(site, banner), furniture_below(site)
    return f"{markup[: start.end()]}\n{above}\n{markup[start.end() : end]}\n{below}\n{markup[end:]}"


def rendered() -> list[dict[str, str]]:
    """What `render_pydoc.py` writes. A module whose import ends the process is left out, and the others are tried again.

    Raises:
        UserError: the renderer ends early again and again.
    """
    skip: list[str] = []
    for _ in range(5):
        pages, last_tried, finished = render(skip)
        if finished:
            return pages
        skip.append(last_tried)
    raise UserError(f"demo crawl: importing these modules to render their documentation ended Python: {', '.join(skip)}")


def render(skip: list[str]) -> tuple[list[dict[str, str]], str, bool]:
    """One attempt: the pages, the last module that it tried to import, and whether it came to the end."""
    with as_file(files(__package__) / "render_pydoc.py") as script, tempfile.TemporaryDirectory() as home:
        # nothing of the caller's environment may show in a page, and imports may write to HOME
        environment = {"HOME": home, "PATH": os.defpath, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC", "COLUMNS": "80"}
        if "PYTHONPATH" in os.environ:
            environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
        command = [sys.executable, "-P", str(script.resolve()), *skip]
        try:
            done = subprocess.run(
                command,
                env=environment,
                cwd=home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=RENDER_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            last_tried = (error.stderr or b"").decode().split()[-1:] or ["?"]
            raise UserError(f"demo crawl: rendering the documentation of {last_tried[0]} took over {RENDER_SECONDS} s") from None
    pages = [json.loads(line) for line in done.stdout.splitlines() if line.endswith(b"}")]
    tried = done.stderr.decode("utf-8", "replace").split()
    return pages, tried[-1] if tried else "?", done.returncode == 0
