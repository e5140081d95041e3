"""A folder on any file system that fsspec knows; what the pipeline reads and writes goes through it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from gristmill.pipeline.errors import UserError

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "memory"})
"""Protocols without real folders: names begin with one, and nothing need be made before."""
CLIENTS = frozenset({"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "adlfs"})
"""Libraries whose errors tell that a remote storage cannot be reached or does not let us in."""
READ_AHEAD_BYTES = 1 << 20
"""s3fs itself would fetch 50 MB after each read, which readers of key ranges mostly throw away."""


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
        # a worker may have been started in another folder than the driver
        return {"url": self.path() if self.local else self.url, "options": self.options}

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The file system."""
        return self._opened[0]

    @property
    def local(self) -> bool:
        """Whether the folder is on a local file system."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def _has_folders(self) -> bool:
        protocol = self.fs.protocol
        return OBJECT_STORES.isdisjoint([protocol] if isinstance(protocol, str) else protocol)

    def path(self, name: str = "") -> str:
        """Path on the file system of a name relative to this folder."""
        root = self._opened[1]
        return f"{root}/{name}" if name else root

    def exists(self, name: str = "") -> bool:
        """Whether there is a file or folder of that name.

        Raises:
            UserError: the storage cannot be reached, or asks for credentials that are not there.
        """
        with _reached(self.url):
            return bool(self.fs.exists(self.path(name)))

    def size(self, name: str) -> int | None:
        """Bytes of a file, None where there is none."""
        try:
            return int(self.fs.info(self.path(name))["size"])
        except FileNotFoundError:
            return None

    def make_folder(self, name: str = "") -> None:
        """Create a folder and those above it, where there are such things; a bucket is never made."""
        if self._has_folders:
            self.fs.makedirs(self.path(name), exist_ok=True)

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        more = {} if self.local else {"block_size": READ_AHEAD_BYTES, "cache_type": "readahead"}
        return self.fs.open(self.path(name), "rb", **more)  # type: ignore[no-any-return]

    def create(self, name: str) -> IO[bytes]:
        """Open a new file for writing; it may be seen half-written, so only for names that a manifest records later."""
        self._make_room(name)
        return self.fs.open(self.path(name), "wb")  # type: ignore[no-any-return]

    def put(self, name: str, content: bytes) -> None:
        """Write a small file so that readers see all of it or nothing."""
        self._make_room(name)
        path = self.path(name)
        if not self.local:
            with _reached(self.url):
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

    def put_new(self, name: str, content: bytes) -> bool:
        """Write a small file where there is none; of several that try at once, one succeeds.

        That holds where the storage knows exclusive writes (S3 does); elsewhere two that try within the same moment can both
        be told that they succeeded.

        Returns:
            Whether it was written.
        """
        self._make_room(name)
        try:
            with _reached(self.url):
                self.fs.pipe_file(self.path(name), content, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            # how S3 says that somebody was first
            if "PreconditionFailed" in str(error) or "ConditionalRequestConflict" in str(error):
                return False
            raise
        return True

    def _make_room(self, name: str) -> None:
        if self._has_folders:
            self.fs.makedirs(self.path(name).rsplit("/", 1)[0], exist_ok=True)

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


@contextmanager
def _reached(url: str) -> Iterator[None]:
    """Tell in words of our own that a remote storage does not answer or does not let us in."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{url}: {str(error).lower()}; make the bucket first, or choose another place") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in CLIENTS and not isinstance(error, PermissionError):
            raise
        raise UserError(
            f"{url}: this storage cannot be used ({error}); check its address and credentials, which come from the environment "
            "or its own configuration files"
        ) from error


def place(origin: Storage, name: str, target: Storage, target_name: str) -> None:
    """Let `target_name` hold what `name` holds: a hard link where both are local and on one device, else a copy."""
    if origin.local and target.local:
        target.make_folder(os.path.dirname(target_name))
        with suppress(FileNotFoundError):
            os.unlink(target.path(target_name))
        try:
            os.link(origin.path(name), target.path(target_name))
        except OSError:
            target.fs.copy(origin.path(name), target.path(target_name))
        return
    # not merely of one type: buckets of two providers have nothing in common
    if origin.fs == target.fs:
        target.make_folder(os.path.dirname(target_name))
        target.fs.copy(origin.path(name), target.path(target_name))
        return
    with origin.open(name) as source, target.create(target_name) as sink:
        while block := source.read(1 << 22):
            sink.write(block)
