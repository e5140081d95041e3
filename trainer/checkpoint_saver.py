"""Writing checkpoints, by one process or many, at once or in the background."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict_saver import save as save_tensors
from torch.distributed.tensor import DTensor

from gristmill.trainer.checkpoint import FOLDER, FORMAT_VERSION, STATE_FILE, State, checkpoints, folder_name
from gristmill.trainer.config import ConfigError
from gristmill.trainer.peers import Peers
from gristmill.trainer.settings import CheckpointSettings
from gristmill.trainer.world import ToldElsewhere

_LEFT = re.compile(r"\.step-\d+.*\.(partial|old)")


class NotSaved(ConfigError):
    """A checkpoint could not be written; the message names the cause, and those before it are as they were."""


class Saver:
    """Saves a training, and removes what it need not keep. All processes of a run hold one and call it alike.

    Used as a context, the end of which waits for what is being written.
    """

    def __init__(self, output: Path, settings: CheckpointSettings, device: torch.device | None = None) -> None:
        """Save into the folder of a run.

        Args:
            output: gets `checkpoints/`; on storage that all processes share.
            settings: when, how many stay, and whether in the background.
            device: where the tensors are.
        """
        self.folder, self.output, self.settings = output / FOLDER, output, settings
        self.device = device or torch.device("cpu")
        self.peers = Peers()
        self._writing: Future[None] | None = None
        self._pool: ThreadPoolExecutor | None = None
        if settings.asynchronous:
            # the main thread and the background never speak in one group: their words would be taken for each other's
            self._between_steps = Peers()
            self._pool = ThreadPoolExecutor(1, "checkpoint")
            pinned = self.device.type == "cuda"
            self._stager = DefaultStager(
                StagingOptions(
                    use_pinned_memory=pinned, use_shared_memory=False, use_async_staging=False, use_non_blocking_copy=False
                )
            )
        if self.peers.first and self.folder.is_dir():
            for file in self.folder.iterdir():
                if _LEFT.fullmatch(file.name):
                    _remove(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self._writing is not None:
                self._writing.result()
        except (NotSaved, ToldElsewhere) as failed:
            if error is None:
                raise
            error.add_note(str(failed))
        finally:
            self._writing = None
            if self._pool is not None:
                self._pool.shutdown()
                self._stager.close()

    def check(self) -> None:
        """To be called after each step: raise what has failed in the background, on all processes after the same step.

        Raises:
            NotSaved: the checkpoint that was being written is not there.
        """
        if self._writing is not None and self._between_steps.all(self._writing.done()):
            writing, self._writing = self._writing, None
            writing.result()

    def save(self, state: State) -> None:
        """Save a training; in the background, once the tensors are copied to memory and the last write is over.

        Raises:
            NotSaved: it could not be written, or the one before that was in the background; or the weights are not finite.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()
        self._refuse_bad_weights(state)
        if self._pool is None:
            self._write(state)
            return
        staged = self._stager.stage(state.tensors)
        if not isinstance(staged, dict):
            raise TypeError("the stager was told to copy at once")
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        copied = State(state.step, staged, json.loads(json.dumps(state.plain)))
        self._writing = self._pool.submit(self._write, copied)

    def _refuse_bad_weights(self, state: State) -> None:
        if not self.peers.all(_finite([tensor for name, tensor in state.tensors.items() if name.startswith("model/")])):
            self._refuse(
                f"{self.folder / folder_name(state.step)}: not written: weights are not finite after step {state.step}; "
                f"{self._last()}; lower optimizer.learning_rate, or set optimizer.clip"
            )

    def _refuse(self, message: str, cause: BaseException | None = None) -> NoReturn:
        """Said once, by the first process."""
        if not self.peers.first:
            raise ToldElsewhere from cause
        raise NotSaved(message) from cause

    def _write(self, state: State) -> None:
        """Write, and drop what is not kept; the same outcome on all processes."""
        target = self.folder / folder_name(state.step)
        partial = target.with_name(f".{target.name}.partial")
        try:
            self.peers.together(lambda: _make_empty(partial), first_only=True)
            _write_tensors(state.tensors, partial, self.peers)
            self.peers.together(lambda: self._finish(state, partial, target), first_only=True)
        except (Exception, CheckpointException) as error:  # the latter is no Exception
            cause = _cause(error)
            if self.peers.first:
                shutil.rmtree(partial, ignore_errors=True)
            if not isinstance(cause, Exception):
                raise cause from None
            self._refuse(f"{target}: not written: {_told(cause)}; {self._last()}; {_advice(cause)}", error)
        self.peers.together(self._drop_old, first_only=True)

    def _finish(self, state: State, partial: Path, target: Path) -> None:
        names = {info.relative_path for info in FileSystemReader(partial).read_metadata().storage_data.values()}
        if absent := sorted(name for name in names if not (partial / name).is_file()):
            raise OSError(f"{absent[0]}, of another process, is not there; the output must be on storage that all of them share")
        files = {name: (partial / name).stat().st_size for name in sorted({".metadata", *names})}
        plain = {
            "format_version": FORMAT_VERSION,
            "step": state.step,
            "processes": self.peers.size,
            **state.plain,
            "files": files,
        }
        with (partial / STATE_FILE).open("w", encoding="utf-8") as stream:
            stream.write(json.dumps(plain) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        _flush(partial)
        if target.exists():  # of an earlier run to this step, whose later ones were removed by hand
            _remove(target)
        partial.replace(target)
        _flush(self.folder)

    def _drop_old(self) -> None:
        for step, old in checkpoints(self.output)[: -self.settings.keep]:
            if not self.settings.milestone(step):
                _remove(old)

    def _last(self) -> str:
        found = checkpoints(self.output)
        return f"{found[-1][1].name} stays the last good one" if found else "there is none before it"


def _write_tensors(tensors: dict[str, Tensor], folder: Path, peers: Peers) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        save_tensors(dict(tensors), storage_writer=_Writer(folder), process_group=peers.group, no_dist=peers.group is None)


class _Writer(FileSystemWriter):
    """Says what the system said, where torch speaks of positions in an archive."""

    def write_data(self, plan: Any, planner: Any) -> Any:
        """Write this process's share."""
        try:
            return super().write_data(plan, planner)
        except Exception as error:
            # made anew: on the way to the other processes an error loses what it came from
            cause = _cause(error)
            if isinstance(cause, OSError):
                raise OSError(cause.errno, cause.strerror, str(self.path)) from error
            raise


def _cause(error: BaseException) -> BaseException:
    """What the system said, if it did; else the error itself."""
    if isinstance(error, CheckpointException) and error.failures:
        failed = [one for one, _ in error.failures.values()]
        return _cause(next((one for one in failed if isinstance(one, OSError)), failed[0]))
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error


def _told(cause: Exception) -> str:
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return f"{type(cause).__name__}: {cause}" if not isinstance(cause, OSError) else str(cause)


def _advice(cause: Exception) -> str:
    full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return f"{'make room' if full else 'mend that'} and give the same command again"


def _finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers are, of this process's shards."""
    local = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    # a sum is finite only if all its terms are: one pass, no mask of the tensor's size, and one wait for the device
    return bool(torch.stack([part.sum(dtype=torch.float64) for part in local]).isfinite().all())


def _make_empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _remove(folder: Path) -> None:
    """Take a checkpoint away; a kill in the midst leaves no half of it under its name."""
    hidden = folder if folder.name.startswith(".") else folder.with_name(f".{folder.name}.old")
    if hidden != folder:
        shutil.rmtree(hidden, ignore_errors=True)
        folder.replace(hidden)
    if hidden.is_dir():
        shutil.rmtree(hidden)
    else:
        hidden.unlink()


def _flush(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
