"""The folder that a training run writes."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gristmill.trainer.config import ConfigError

RUN_FILE = "train.json"
METRICS_FILE = "metrics.jsonl"
LOCK_FILE = ".lock"


@contextmanager
def claimed(output: Path) -> Iterator[None]:
    """Make or take the folder, and keep others out until the block ends.

    Raises:
        ConfigError: it holds something else, cannot be written, or another command is at work in it.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output}: is a file; choose another --output")
    try:
        strangers = output.is_dir() and any(file.name != LOCK_FILE for file in output.iterdir())
        if strangers and not (output / RUN_FILE).is_file():
            raise ConfigError(f"{output}: holds files but no {RUN_FILE}, so it is no training run; choose another --output")
        output.mkdir(parents=True, exist_ok=True)
        lock = (output / LOCK_FILE).open("w")
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror}; choose another --output") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{output}: another command is training there; wait for it or choose another --output") from None
        yield


def write_run_file(output: Path, content: dict[str, Any]) -> None:
    """Say what this run is, whole or not at all."""
    temporary = output / f".{RUN_FILE}.partial"
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    temporary.replace(output / RUN_FILE)


def metrics_up_to(output: Path, step: int) -> list[dict[str, Any]]:
    """Cut off what a run wrote after the checkpoint that it goes on from, so that each step has one line; return the rest."""
    file = output / METRICS_FILE
    kept = []
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                break  # a line that was being written when the run was killed
            if row["step"] <= step:
                kept.append(row)
    temporary = file.with_name(f".{METRICS_FILE}.partial")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    temporary.replace(file)
    return kept
