"""The child process in which pages are parsed, because parsers hang and crash: it can be killed without harm.

Started by `gristmill.stages.extraction_process` as `python -m gristmill.stages.extraction_worker`. Frames go in on standard input
and come out on standard output: first a job, then pages; for each one answer, in their order. It ends when its input ends.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import logging
import os
import resource
import signal
import struct
import sys
import warnings
from collections.abc import Callable
from typing import BinaryIO, TypedDict, cast

HEADER = struct.Struct("<BI")
"""Before each frame: its kind, and its length in bytes."""

PAGE = 0  # text of a page, or a job
READY, UNAVAILABLE, TEXT, NO_TEXT, FAILED = range(5)  # answers

OUT_OF_MEMORY = 70
"""Exit status of a child that ran into its memory limit where Python noticed it."""

SAMPLE = (
    "<!DOCTYPE html><html><head><title>On mills</title></head><body><article><h1>On mills</h1>"
    + "<p>A gristmill grinds grain into flour, and what it grinds well depends on how the stones are dressed. The miller "
    + "listens to the sound of the stones, feels the meal between thumb and finger, and sets the gap by it.</p>" * 3
    + "</article></body></html>"
)
"""A page from which every engine must get some text."""

Engine = Callable[[str], str | None]


class Job(TypedDict):
    """What a child is started for."""

    engine: str
    options: dict[str, object]
    cpu_seconds: float
    memory_bytes: int
    parent: int


def read_frame(stream: BinaryIO) -> bytes | None:
    """Next frame, None where the stream has ended."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    length = HEADER.unpack(header)[1]
    payload = stream.read(length)
    return payload if len(payload) == length else None


def write_frame(stream: BinaryIO, kind: int, payload: bytes) -> None:
    """Write a frame into an unbuffered stream."""
    left = memoryview(HEADER.pack(kind, len(payload)) + payload)
    while left:
        left = left[stream.write(left) :]


def trafilatura_engine(options: dict[str, object]) -> Engine:
    """Trafilatura with fixed options, so that a page's text depends on nothing but the page."""
    from trafilatura import extract

    def run(html: str) -> str | None:
        # deduplicate would compare a page with those that happened to come before it in this process
        text: str | None = extract(
            html,
            output_format="txt",
            fast=bool(options["fast"]),
            favor_precision=options["favour"] == "precision",
            favor_recall=options["favour"] == "recall",
            include_comments=bool(options["comments"]),
            include_tables=bool(options["tables"]),
            include_images=False,
            include_links=False,
            include_formatting=False,
            deduplicate=False,
            with_metadata=False,
        )
        return text

    return run


def resiliparse_engine(options: dict[str, object]) -> Engine:
    """Resiliparse's plain text; of the main content unless recall is favoured."""
    from resiliparse.extract.html2text import extract_plain_text

    def run(html: str) -> str | None:
        text = extract_plain_text(
            html,
            preserve_formatting=True,
            main_content=options["favour"] != "recall",
            list_bullets=True,
            alt_texts=False,
            links=False,
            form_fields=False,
            noscript=False,
            comments=bool(options["comments"]),
            skip_elements=None if options["tables"] else ["table"],
        )
        return cast("str | None", text)

    return run


def justext_engine(options: dict[str, object]) -> Engine:
    """JusText's paragraphs that are no boilerplate, by the stop words of one language or of all it knows."""
    import justext

    language = options["stop_words"]
    names = sorted(justext.get_stoplists()) if language is None else [str(language)]
    stop_words = frozenset[str]().union(*(justext.get_stoplist(name) for name in names))

    def run(html: str) -> str | None:
        # bytes, because lxml refuses text that names an encoding
        paragraphs = justext.justext(html.encode("utf-8", "replace"), stop_words, encoding="utf-8")
        return "\n".join(paragraph.text for paragraph in paragraphs if not paragraph.is_boilerplate)

    return run


ENGINES: dict[str, Callable[[dict[str, object]], Engine]] = {
    "trafilatura": trafilatura_engine,
    "resiliparse": resiliparse_engine,
    "justext": justext_engine,
}


def load_engine(name: str, options: dict[str, object]) -> Engine:
    """An engine by its name, or a function of the user's own by `module:function`.

    Raises:
        ImportError: its module cannot be imported, or holds no such function.
    """
    if name in ENGINES:
        return ENGINES[name](options)
    module, _, function = name.partition(":")
    found = getattr(importlib.import_module(module), function, None)
    if not callable(found):
        raise ImportError(f"module {module} has no function {function}")
    return cast(Engine, found)


def tried_engine(job: Job) -> Engine:
    """The job's engine after it has done the sample page.

    Raises:
        ImportError: it cannot be loaded.
        ValueError: it does not do what an engine does.
    """
    engine = load_engine(job["engine"], job["options"])
    text = engine(SAMPLE)
    if not isinstance(text, str | None):
        raise ValueError(f"an engine takes the HTML of a page and returns its text or None; it returned {type(text).__name__}")
    if job["engine"] in ENGINES and not text:
        raise ValueError("it found no text in a plain sample page")
    return engine


def end_with_parent(parent: int) -> None:
    """Have this process killed when its parent dies (Linux; elsewhere the end of its input ends it)."""
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None, use_errno=True).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(0)


def limit_memory(n_bytes: int) -> None:
    """Let no more than `n_bytes` of address space be taken."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        n_bytes = min(n_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(engine: Engine, page: bytes, cpu_seconds: float) -> tuple[int, bytes]:
    """Extract one page; past the limit on processor time the default action of SIGPROF ends the process, whatever runs."""
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        text = engine(page.decode())
        if not text:
            return NO_TEXT, b""
        return TEXT, text.encode("utf-8", "replace")
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception as error:
        return FAILED, type(error).__name__.encode()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    """Take a job, then answer page after page."""
    # Copies that no process an engine starts inherits; and what an engine prints must not get between the frames.
    incoming = os.fdopen(os.dup(0), "rb", buffering=1 << 16)
    outgoing = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends our input
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    frame = read_frame(incoming)
    if frame is None:
        return
    job: Job = json.loads(frame)
    end_with_parent(job["parent"])
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    try:
        limit_memory(job["memory_bytes"])
        engine = tried_engine(job)
    except Exception as error:
        write_frame(outgoing, UNAVAILABLE, f"{type(error).__name__}: {error}".encode("utf-8", "replace"))
        return
    write_frame(outgoing, READY, b"")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # parsers complain about pages; nobody reads that
    os.dup2(2, 1)
    while (page := read_frame(incoming)) is not None:
        kind, payload = answer(engine, page, job["cpu_seconds"])
        write_frame(outgoing, kind, payload)


if __name__ == "__main__":
    main()
