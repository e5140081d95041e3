"""Finished steps: each is named by a hash of all that decides its result, and exists only once its manifest does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from gristmill.pipeline.storage import Storage

Manifest = dict[str, Any]
"""What a finished step recorded: `files` [{"file", "size", "sha256", ...}] and whatever its kind adds."""


def step_key(kind: str, **parts: Any) -> str:
    """Name of a step: SHA-256 (first 32 hex digits) over its kind and all that decides its result."""
    text = json.dumps({"kind": kind} | parts, sort_keys=True, ensure_ascii=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    raise TypeError(f"{value!r} cannot decide a step's name; make it JSON")


@dataclass(frozen=True)
class Task:
    """A piece of work for one worker: `function(work, attempt, **arguments)` returns its manifest."""

    key: str
    function: Callable[..., Manifest]
    arguments: dict[str, Any] = field(default_factory=dict, compare=False)
    about: str = ""
    """What it works on, for error messages: a file and its range, say."""
    documents: int | None = None
    """Documents that it will see, where known; for the progress display."""


def file_entry(work: Storage, name: str) -> dict[str, Any]:
    """`{"file", "size", "sha256"}` of a file that is there, for a manifest."""
    digest, size = hashlib.sha256(), 0
    with work.open(name) as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return {"file": name, "size": size, "sha256": digest.hexdigest()}


def attempt_name(key: str) -> str:
    """A fresh prefix for the files of one attempt: attempts never share names, so a dead one disturbs nobody."""
    return f"data/{key[:2]}/{key}-{uuid4().hex[:8]}"


def carry_out(work: Storage, task: Task) -> Manifest:
    """Run a task on this worker; its files are written under a name of their own and count for nothing yet."""
    import pyarrow as pa

    manifest = task.function(work, attempt_name(task.key), **task.arguments)
    pa.default_memory_pool().release_unused()
    return manifest


class StepStore:
    """The manifests of finished steps under `steps/`; only the driver writes them."""

    def __init__(self, work: Storage, verify: bool = False) -> None:
        """Know what is finished in `work`; `verify` also checks the files' SHA-256, not only their sizes."""
        self.work = work
        self.verify = verify
        self.used: dict[str, list[str]] = {}
        """Files by name of each step that was asked for and there, or was put: what the outcome of this run rests on."""
        self._finished = {name.rsplit("/", 1)[-1].removesuffix(".json") for name in work.find("steps")}

    def get(self, key: str) -> Manifest | None:
        """Manifest of a finished step whose files are all there as recorded, else None."""
        manifest = self._read(key)
        if manifest is not None:
            self._use(key, manifest)
        return manifest

    def has(self, key: str) -> bool:
        """Whether `get` would give a manifest; that alone is no use of the step."""
        return self._read(key) is not None

    def _read(self, key: str) -> Manifest | None:
        if key not in self._finished:
            return None
        try:
            manifest: Manifest = self.work.get_json(self._name(key))
        except (FileNotFoundError, ValueError):
            return None
        return manifest if all(self._holds(entry) for entry in manifest["files"]) else None

    def put(self, key: str, manifest: Manifest) -> None:
        """Record a finished step, last of all."""
        self.work.put(self._name(key), json.dumps(manifest, ensure_ascii=False).encode())
        self._finished.add(key)
        self._use(key, manifest)

    def _use(self, key: str, manifest: Manifest) -> None:
        self.used[key] = [str(entry["file"]) for entry in manifest["files"]]

    def _name(self, key: str) -> str:
        return f"steps/{key[:2]}/{key}.json"

    def _holds(self, entry: dict[str, Any]) -> bool:
        if self.work.size(entry["file"]) != entry["size"]:
            return False
        return not self.verify or file_entry(self.work, entry["file"])["sha256"] == entry["sha256"]
