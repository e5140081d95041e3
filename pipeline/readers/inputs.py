"""Which files a source has: folders, patterns, URLs and lists, as files with stable names and fingerprints."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.readers.reader import ReadSettings

_WILD = re.compile(r"[*?\[]")
_COMPRESSED = ("", ".gz", ".zst")
_ENDINGS = {
    "warc": (".warc",),
    "wet": (".wet",),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet", ".pq"),
    "text": (".txt", ".text"),
}


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file."""

    fs: Any
    """The fsspec filesystem it is on."""
    path: str
    """Where, on `fs`."""
    file: str
    """Its name relative to the source's root: the `file` column, part of ids, and the order of the files."""
    size: int
    """Stored bytes."""
    fingerprint: str
    """Changes when the file does: modification time in ns, or what the storage says (etag)."""

    @property
    def mark(self) -> str:
        """What tells one content of the file from the next."""
        return f"{self.size} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class _Found:
    """A file before it has a name."""

    fs: Any
    path: str
    root: str
    """Folder that the pattern began in."""
    info: dict[str, Any]
    pattern: str


def list_files(paths: list[str], settings: ReadSettings) -> list[InputFile]:
    """Find the files of a source.

    A path is a file, a folder (all files below it with the format's endings, but for hidden ones and those that begin with
    `_`), a pattern (`*`, `?`, `[...]`, `**` for any depth), a URL of any protocol that fsspec knows, or `@LIST`: a file with one
    such path a line, relative ones counting from the list's folder. A file that exists under exactly this name is taken
    literally.

    Names are relative to the source's root: the deepest folder that holds the beginnings of all paths (a file's folder, a
    folder itself, the part of a pattern before its first wildcard). So a file that is added to a folder changes no other name.

    Args:
        paths: of the source.
        settings: how they are read; its format decides which files of a folder count.

    Returns:
        The files, sorted by name; never empty.

    Raises:
        UserError: nothing there, nothing that matches, no permission, a file named twice, an unknown protocol.
    """
    found = [file for path in paths for file in _find(path, settings.format)]
    seen: dict[tuple[str, str], _Found] = {}
    for file in found:
        other = seen.setdefault((_protocol(file.fs), file.path), file)
        if other is not file:
            raise UserError(
                f"{file.path} is named twice, by {other.pattern} and by {file.pattern}; its records would be read twice"
            )
    named = _named(found)
    return sorted(named, key=lambda one: one.file)


def _named(found: list[_Found]) -> list[InputFile]:
    protocols = {_protocol(file.fs) for file in found}
    roots = {(_protocol(file.fs), file.root) for file in found}
    common = {}
    for protocol in protocols:
        common[protocol] = _common_folder([root for of, root in roots if of == protocol])
    files = []
    for file in found:
        protocol = _protocol(file.fs)
        name = file.path[len(common[protocol]) :].lstrip("/")
        if len(protocols) > 1:
            name = f"{protocol}/{file.path.lstrip('/')}"
        files.append(InputFile(file.fs, file.path, name, int(file.info.get("size") or 0), _fingerprint(file)))
    return files


def _common_folder(roots: list[str]) -> str:
    """The deepest folder that all of these are or lie in."""
    parts = [root.rstrip("/").split("/") for root in roots]
    same = 0
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        same += 1
    return "/".join(parts[0][:same])


def _find(path: str, format: str) -> Iterator[_Found]:
    """The files that one path of the recipe stands for."""
    if path.startswith("@"):
        for line, inner in _listed(path[1:]):
            try:
                if inner.startswith("@"):
                    raise UserError(f"{inner}: a list names no further lists; write its paths here")
                yield from _find(inner, format)
            except UserError as error:
                raise UserError(f"{path[1:]}:{line}: {error}") from None
        return
    fs, stripped = _filesystem(path)
    try:
        yield from _found(fs, stripped, path, format)
    except PermissionError:
        raise UserError(f"{path} may not be read by this user; change its permissions or give another path") from None


def _found(fs: Any, path: str, pattern: str, format: str) -> Iterator[_Found]:
    if fs.isfile(path):
        _may_read(fs, path)
        yield _Found(fs, path, posixpath.dirname(path), fs.info(path), pattern)
        return
    if fs.isdir(path):
        _may_read(fs, path)
        # by default a folder that may not be entered is left out without a word
        inside = _sorted_files(fs.find(path, detail=True, **({"on_error": "raise"} if _is_local(fs) else {})))
        root = path.rstrip("/")
        inside = [(name, info) for name, info in inside if not _hidden(name[len(root) :])]
        chosen = [(name, info) for name, info in inside if _is_of(name, format)]
        if not chosen:
            endings = ", ".join(ending + more for ending in _ENDINGS[format] for more in _COMPRESSED)
            what = f"holds {len(inside)} files, none of which ends in {endings}" if inside else "is an empty folder"
            raise UserError(f"{pattern} {what}; give a folder with {format} files, or a pattern such as {pattern.rstrip('/')}/*")
    elif _WILD.search(path):
        first = _WILD.search(path)
        assert first is not None
        root = path[: first.start()].rpartition("/")[0]
        chosen = _sorted_files(fs.glob(path, detail=True))
        if "/." not in path[len(root) :]:
            # as in the shell, a wildcard stands for no hidden name
            chosen = [(name, info) for name, info in chosen if "/." not in name[len(root) :]]
        if not chosen:
            there = "" if not root or fs.exists(root) else f" (there is no folder {root})"
            raise UserError(f"{pattern} matches no file{there}; give a file, a folder or a pattern that matches some")
    else:
        raise UserError(f"{pattern} does not exist; give a file, a folder, or a pattern such as crawl/*.warc.gz")
    for name, info in chosen:
        _may_read(fs, name)
        yield _Found(fs, name, root, info, pattern)


def as_recorded(file: InputFile) -> str | None:
    """What keeps a file from being read again as it was when it was listed; None where nothing does."""
    try:
        info = file.fs.info(file.path)
        fingerprint = _fingerprint(_Found(file.fs, file.path, "", info, ""))
    except FileNotFoundError:
        return "is gone"
    return None if (int(info.get("size") or 0), fingerprint) == (file.size, file.fingerprint) else "has changed"


def _sorted_files(infos: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return sorted((name, info) for name, info in infos.items() if info.get("type") != "directory")


def _is_of(name: str, format: str) -> bool:
    return name.lower().endswith(tuple(ending + more for ending in _ENDINGS[format] for more in _COMPRESSED))


def _hidden(relative: str) -> bool:
    return any(part.startswith((".", "_")) for part in relative.strip("/").split("/"))


def _filesystem(path: str) -> tuple[Any, str]:
    """The filesystem of a path and the path on it."""
    import fsspec

    try:
        fs, stripped = fsspec.core.url_to_fs(os.path.expanduser(path) if "://" not in path else path)
    except (ImportError, ValueError) as error:
        raise UserError(
            f"{path}: {error}; give a local path or a URL of an installed protocol (s3:// needs the extra s3)"
        ) from None
    return fs, stripped if isinstance(stripped, str) else str(stripped)


def _listed(path: str) -> list[tuple[int, str]]:
    """Line numbers and paths of a list; blank lines and those that begin with # say nothing."""
    from gristmill.pipeline.readers.streams import Damage, open_pieces

    fs, stripped = _filesystem(path)
    if not fs.isfile(stripped):
        raise UserError(f"@{path}: there is no such list; give a text file with one path a line")
    _may_read(fs, stripped)
    with fs.open(stripped, "rb") as stored:
        pieces = list(open_pieces(stored, path)[1])
    broken = [piece for piece in pieces if isinstance(piece, Damage)]
    data = b"".join(piece.data for piece in pieces if not isinstance(piece, Damage))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        broken.append(Damage(0, 0, None, "no UTF-8"))
    if broken:
        raise UserError(f"@{path}: {broken[0].what}; a list is a text file with one path a line")
    folder = path.rpartition("/")[0]
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    paths = [(number, _beside(folder, line)) for number, line in lines if line and not line.startswith("#")]
    if not paths:
        raise UserError(f"@{path} names no path; write one a line")
    return paths


def _beside(folder: str, line: str) -> str:
    """A line of a list as a path: relative ones count from the list's folder."""
    if not folder or "://" in line or line.startswith(("/", "~", "@")):
        return line
    return f"{folder}/{line}"


def _protocol(fs: Any) -> str:
    return fs.protocol if isinstance(fs.protocol, str) else str(fs.protocol[0])


def _is_local(fs: Any) -> bool:
    return _protocol(fs) in ("file", "local")


def _may_read(fs: Any, path: str) -> None:
    """Raise PermissionError for a local file that this user may not read; other storages tell when it is read."""
    if _is_local(fs) and not os.access(path, os.R_OK):
        raise PermissionError(path)


def _fingerprint(file: _Found) -> str:
    """What tells one content of a file from the next."""
    if _is_local(file.fs):
        return f"mtime:{os.stat(file.path).st_mtime_ns}"
    for key in ("ETag", "etag", "md5", "checksum", "LastModified", "mtime", "last_modified", "created", "updated"):
        if file.info.get(key):
            return f"{key.lower()}:{str(file.info[key]).strip(chr(34))}"
    return f"size:{file.info.get('size')}"
