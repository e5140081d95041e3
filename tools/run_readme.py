"""Run the code blocks of Markdown pages as they are written, and stop at the first that fails.

All ```bash and ```python blocks of a page run in order, in one new folder, with the folder of this Python's programs
first on PATH. Bash blocks share their folder, not their variables; a block with a line that begins with `make` or
`git clone` loses that line. A block preceded by `<!-- not run: why -->` is only shown.

    python tools/run_readme.py README.md docs/recipes.md
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"(?P<note><!-- not run:[^>]*-->\s*\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"^(make|git clone|cd gristmill)\b.*$", re.MULTILINE)
BLOCK_SECONDS = 600


class Block(NamedTuple):
    """A fenced block of a page."""

    line: int
    language: str
    code: str


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page that are to run, without the lines that are not."""
    for found in BLOCK.finditer(page):
        if found["note"] or found["language"] not in ("bash", "python"):
            continue
        code = NOT_RUN.sub("", found["code"]) if found["language"] == "bash" else found["code"]
        if code.strip():
            yield Block(page.count("\n", 0, found.start("language")) + 1, found["language"], code)


def run(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    """One block, in the folder; bash stops at the first command that fails."""
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", block.code] if block.language == "bash" else [sys.executable, "-c", block.code]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BLOCK_SECONDS,
        check=False,
    )


def main(pages: list[str]) -> int:
    """Exit status 0 when every block of every page ran to its end with status 0."""
    for page in pages:
        with tempfile.TemporaryDirectory(prefix="readme-") as folder:
            for block in blocks(Path(page).read_text(encoding="utf-8")):
                start = time.monotonic()
                done = run(block, Path(folder))
                print(
                    f"{page}:{block.line}: {block.language}, {time.monotonic() - start:.1f} s, status {done.returncode}",
                    flush=True,
                )
                if done.returncode != 0:
                    print(f"{block.code}\n--- it printed:\n{done.stdout}")
                    return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
