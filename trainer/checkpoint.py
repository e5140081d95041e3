"""Checkpoints on the disk: which a run has, what one holds, and reading it.

A checkpoint is a folder, `checkpoints/step-00000100/`:

    .metadata, __<rank>_0.distcp    the tensors, as torch.distributed.checkpoint writes them
    state.json                      all else: step, settings, place in the data, sizes of the other files; written last

Tensors are named `<part>/<name>`, names as in the model without any parallelism, so that any number of processes in any parallel
form reads what any other wrote. The folder gets its name when it is whole (checkpoint_saver.py).
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_tensors

from gristmill.trainer.config import ConfigError

FORMAT_VERSION = 2
"""Of the folder and of state.json; format 1 was one file, `step-00000100.pt`."""
FOLDER = "checkpoints"
STATE_FILE = "state.json"
PARTS = ("model", "optimizer", "average", "rng", "cuda_rng")
"""Kinds of tensors; `rng` and `cuda_rng` hold one for each rank, named by its number."""

_NAME = re.compile(r"step-(\d+)")
_OLD_NAME = re.compile(r"step-\d+\.pt")


@dataclass(frozen=True)
class State:
    """What a training is at some step."""

    step: int
    tensors: dict[str, Tensor]
    """By `<part>/<name>`; of sharded ones this process's shards."""
    plain: dict[str, Any]
    """What JSON can hold, the same on every rank."""


def folder_name(step: int) -> str:
    """What the checkpoint of a step is called."""
    return f"step-{step:08d}"


def checkpoints(output: Path) -> list[tuple[int, Path]]:
    """The checkpoints of a run, oldest first: step and folder.

    Raises:
        ConfigError: the run was written by a version before 0.2, of which nothing is read.
    """
    folder = output / FOLDER
    if not folder.is_dir():
        return []
    found = sorted((int(match[1]), file) for file in folder.iterdir() if (match := _NAME.fullmatch(file.name)))
    old = [] if found else [file for file in folder.iterdir() if _OLD_NAME.fullmatch(file.name)]
    if old:
        raise ConfigError(f"{_old(max(old))}; choose another --output, or train on with the version that wrote it")
    return found


def _old(file: Path) -> str:
    return f"{file}: is a checkpoint of format 1, one file; this version reads format {FORMAT_VERSION}, a folder"


def newest(place: Path) -> Path:
    """A checkpoint, given itself or the run whose newest one it is.

    Raises:
        ConfigError: neither is there.
    """
    if place.suffix == ".pt" and place.is_file():
        raise ConfigError(_old(place))
    if (place / STATE_FILE).is_file() or _NAME.fullmatch(place.name):
        return place
    found = checkpoints(place)
    if not found:
        raise ConfigError(f"{place}: is no checkpoint and no run with one; give {FOLDER}/{folder_name(100)} of a run, or the run")
    return found[-1][1]


def read_plain(folder: Path) -> dict[str, Any]:
    """What state.json holds, once the checkpoint is known to be whole.

    Raises:
        ConfigError: there is none, it is of another format, or a file of it is missing or cut short.
    """
    if folder.suffix == ".pt" and folder.is_file():
        raise ConfigError(_old(folder))
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such checkpoint")
    try:
        plain: dict[str, Any] = json.loads((folder / STATE_FILE).read_bytes())
        version, files = plain["format_version"], plain["files"]
    except FileNotFoundError:
        raise _damaged(folder, f"{STATE_FILE} is missing") from None
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{STATE_FILE} cannot be read: {error}") from error
    if version != FORMAT_VERSION:
        raise ConfigError(f"{folder}: is a checkpoint of format {version}; this version reads format {FORMAT_VERSION}")
    for name, size in files.items():
        file = folder / name
        if not file.is_file():
            raise _damaged(folder, f"{name} is missing")
        if file.stat().st_size != size:
            raise _damaged(folder, f"{name} has {file.stat().st_size:,} bytes, {size:,} were written")
    return plain


def _damaged(folder: Path, what: str) -> ConfigError:
    return ConfigError(f"{folder}: is damaged: {what}; {_way_out(folder)}")


def _way_out(folder: Path) -> str:
    earlier = [
        file.name for file in folder.parent.iterdir() if _NAME.fullmatch(file.name) and file.is_dir() and file.name < folder.name
    ]  # names sort as steps do
    if earlier:
        return f"remove {folder.name} to go on from {max(earlier)}"
    return f"there is none before it: remove {folder.name} to begin anew, or choose another --output"


def tensor_shapes(folder: Path) -> dict[str, torch.Size]:
    """The whole tensors of a checkpoint by `<part>/<name>`.

    Raises:
        ConfigError: its .metadata cannot be read.
    """
    held = _metadata(folder).state_dict_metadata
    return {name: of.size for name, of in held.items() if isinstance(of, TensorStorageMetadata)}


def read_into(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill tensors with what the checkpoint holds by their names; of sharded ones each process its own shards.

    Processes need not do so together.

    Raises:
        ConfigError: it cannot be read, or lacks one of them.
    """
    if not tensors:
        return
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            load_tensors(dict(tensors), storage_reader=_Reader(folder), no_dist=True)
    except KeyboardInterrupt:
        raise
    except (Exception, CheckpointException) as error:  # the latter is no Exception
        causes = list(getattr(error, "failures", {}).values())
        if causes and isinstance(causes[0][0], KeyboardInterrupt):
            raise causes[0][0] from None
        raise _damaged(folder, f"{causes[0][0] if causes else error}") from error


def load(folder: Path, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Read a checkpoint into the memory of one process, sharded tensors made whole.

    Args:
        folder: the checkpoint.
        parts: which kinds of tensors.

    Returns:
        What state.json holds, and for each part a dict of its tensors by name, on the CPU; tied weights under all their names.

    Raises:
        ConfigError: it is damaged or of another format.
    """
    plain = read_plain(folder)
    held = _metadata(folder).state_dict_metadata
    tensors = {
        name: torch.empty(of.size, dtype=of.properties.dtype)
        for name, of in held.items()
        if isinstance(of, TensorStorageMetadata) and name.split("/", 1)[0] in parts
    }
    read_into(folder, tensors)
    found = {part: dict(_of_part(tensors, part)) for part in parts}
    for part in {"model", "average"}.intersection(parts):
        found[part] |= {name: found[part][first] for name, first in plain.get("tied", {}).items() if first in found[part]}
    return plain | found


def _of_part(tensors: Mapping[str, Tensor], part: str) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        kind, _, inside = name.partition("/")
        if kind == part:
            yield inside, tensor


def _metadata(folder: Path) -> Metadata:
    try:
        return _Reader(folder).read_metadata()
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, AttributeError, TypeError) as error:
        raise _damaged(folder, f".metadata cannot be read: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Takes descriptions of tensors and nothing else: no code in a checkpoint is run."""

    _CLASSES = {  # noqa: RUF012
        "torch.distributed.checkpoint.metadata": {
            "BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta", "TensorProperties",
            "TensorStorageMetadata", "_MEM_FORMAT_ENCODING",
        },
        "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
        "torch.serialization": {"_get_layout"},
        "torch": {"Size"},
        "pathlib": {"PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"},
    }  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        """A class that a description may be made of."""
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if name not in self._CLASSES.get(module, ()):
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which no checkpoint needs")
        return super().find_class(module, name)


class _Reader(FileSystemReader):
    """Reads the descriptions by `_Unpickler`; the tensors themselves torch reads without running code."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The description of all tensors."""
        with (self.folder / ".metadata").open("rb") as stream:
            metadata = _Unpickler(stream).load()
        if not isinstance(metadata, Metadata):
            raise pickle.UnpicklingError(f"it holds a {type(metadata).__name__}")
        if metadata.storage_meta is not None:
            metadata.storage_meta.load_id = self.load_id
        return metadata
