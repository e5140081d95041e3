"""A folder on any file system that fsspec knows; what the pipeline reads and writes goes through it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem


@dataclass(frozen=True)
class Storage:
    """A folder, local or remote (`s3://bucket/folder`); cheap to pickle."""

    url: str
    options: dict[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def _opened(self) -> tuple[fsspec.AbstractFileSystem, str]:
        # listings of a cached directory would miss what other workers wrote
        fs, root = fsspec.core.url_to_fs(self.url, **({"use_listings_cache": False} | self.options))
        return fs, root.rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "options": self.options}

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The file system."""
        return self._opened[0]

    @property
    def local(self) -> bool:
        """Whether the folder is on a local file system."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, name: str = "") -> str:
        """Path on the file system of a name relative to this folder."""
        root = self._opened[1]
        return f"{root}/{name}" if name else root

    def exists(self, name: str = "") -> bool:
        """Whether there is a file or folder of that name."""
        return bool(self.fs.exists(self.path(name)))

    def size(self, name: str) -> int | None:
        """Bytes of a file, None where there is none."""
        try:
            return int(self.fs.info(self.path(name))["size"])
        except FileNotFoundError:
            return None

    def make_folder(self, name: str = "") -> None:
        """Create a folder and those above it."""
        self.fs.makedirs(self.path(name), exist_ok=True)

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        return self.fs.open(self.path(name), "rb")  # type: ignore[no-any-return]

    def create(self, name: str) -> IO[bytes]:
        """Open a new file for writing; it may be seen half-written, so only for names that a manifest records later."""
        path = self.path(name)
        self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        return self.fs.open(path, "wb")  # type: ignore[no-any-return]

    def put(self, name: str, content: bytes) -> None:
        """Write a small file so that readers see all of it or nothing."""
        path = self.path(name)
        self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        if not self.local:
            self.fs.pipe_file(path, content)
            return
        draft = f"{path}.{uuid4().hex[:8]}.part"
        try:
            with open(draft, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise

    def put_json(self, name: str, value: Any) -> None:
        """Write JSON (keys in the order given), whole or not at all."""
        self.put(name, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())

    def get_json(self, name: str) -> Any:
        """Read a JSON file."""
        with self.open(name) as file:
            return json.loads(file.read())

    def find(self, name: str = "") -> list[str]:
        """Names of all files below a folder, relative to this storage, sorted."""
        root = self.path()
        if not self.exists(name):
            return []
        return sorted(path[len(root) + 1 :] for path in self.fs.find(self.path(name)))

    def delete(self, name: str) -> None:
        """Remove a file or a folder with all in it; nothing happens where there is none."""
        with suppress(FileNotFoundError):
            self.fs.rm(self.path(name), recursive=True)


def place(origin: Storage, name: str, target: Storage, target_name: str) -> None:
    """Let `target_name` hold what `name` holds: a hard link where both are local and on one device, else a copy."""
    target_path = target.path(target_name)
    target.fs.makedirs(target_path.rsplit("/", 1)[0], exist_ok=True)
    if origin.local and target.local:
        with suppress(FileNotFoundError):
            os.unlink(target_path)
        try:
            os.link(origin.path(name), target_path)
        except OSError:
            target.fs.copy(origin.path(name), target_path)
        return
    if type(origin.fs) is type(target.fs):
        target.fs.copy(origin.path(name), target_path)
        return
    with origin.open(name) as source, target.create(target_name) as sink:
        while block := source.read(1 << 22):
            sink.write(block)
