"""Saving a run and going on from there."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch

FORMAT_VERSION = 1
FOLDER = "checkpoints"
_NAME = re.compile(r"step-(\d+)\.pt")


def checkpoints(output: Path) -> list[tuple[int, Path]]:
    """The checkpoints of a run, oldest first: step and file."""
    folder = output / FOLDER
    if not folder.is_dir():
        return []
    return sorted((int(match[1]), file) for file in folder.iterdir() if (match := _NAME.fullmatch(file.name)))


def save(output: Path, step: int, state: dict[str, Any], *, keep: int) -> Path:
    """Write a checkpoint and drop the oldest ones beyond `keep`.

    A checkpoint is whole or absent: it is written beside its place, flushed to the disk, and moved there.
    """
    folder = output / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{step:08d}.pt"
    temporary = folder / f".{target.name}.partial"
    with temporary.open("wb") as stream:
        torch.save({"format_version": FORMAT_VERSION, "step": step, **state}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(target)
    for _, old in checkpoints(output)[:-keep]:
        old.unlink()
    return target


def load(file: Path) -> dict[str, Any]:
    """Read a checkpoint into the CPU's memory; no code in it is run.

    Raises:
        ValueError: it is damaged or of another format.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        raise ValueError(f"{file}: cannot be read as a checkpoint: {error}; remove it to go on from the one before") from error
    if not isinstance(state, dict) or state.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{file}: is no checkpoint of format {FORMAT_VERSION}; choose another output folder")
    return state
