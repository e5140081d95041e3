"""What lies in the folder of a source: documents, their signals, token shards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.mixture.meta_columns import is_meta, meta_fields, with_meta_columns
from gristmill.pipeline.mixture.reading import ReadMixture
from gristmill.pipeline.mixture.where import Where, unknown_column
from gristmill.pipeline.recipe_errors import nearest_first
from gristmill.tokenizers.manifest import FILE_NAME, Manifest, ShardError, SourceEntry

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_COLUMNS = {"language": "lang", "url": "url_or_path"}
"""Names of documents' columns, and what `.docs.parquet` of token shards calls them."""


@dataclass(frozen=True)
class Folder:
    """A source, found."""

    path: Path
    documents: tuple[Path, ...]
    """Parquet files of documents; none where only shards are known."""
    signals: tuple[Path, ...]
    shards: Path | None
    """Folder of token shards."""
    manifest: Manifest | None
    entries: tuple[SourceEntry, ...]
    """Sources of the shards that are meant."""
    columns: pa.Schema
    """What `where` may name, under the names it uses."""
    only: tuple[str, ...] | None = None
    """Sources of the documents that are meant."""


def open_folder(read: ReadMixture, name: str) -> Folder | None:
    """Find the documents or shards of a source, and check that its conditions can be asked of them.

    Returns:
        None where the mixture names no folder for the source.

    Raises:
        UserError: there is no such folder, it holds nothing to read, or has no such source or column.
    """
    source = read.mixture.sources[name]
    key = "documents" if source.documents is not None else "shards"
    given = getattr(source, key)
    if given is None:
        return None
    loc = ("sources", name, key)
    if "://" in given:
        raise read.error(loc, f"{given}: a mixture reads local folders; copy it here first")
    path = Path(given)
    if not path.exists():
        raise read.error(loc, f"{given}: there is no such folder; give {_wanted(key)}")
    try:
        folder = _shards_only(path) if key == "shards" else _documents(path, source.only)
    except (ShardError, FileNotFoundError, ValueError, OSError) as error:
        raise read.error(loc, str(error)) from error
    if folder.manifest is None and read.mixture.shards is not None:
        folder = _with_made_shards(read, name, folder)
    elif folder.manifest is not None and source.only:
        folder = _narrowed(read, name, folder, source.only)
    folder = _with_meta(folder, columns_named(read, name))
    _check_columns(read, name, folder)
    return folder


def _wanted(key: str) -> str:
    return "a run folder, or a folder of documents" if key == "documents" else "a folder of token shards"


def _shards_only(path: Path) -> Folder:
    from gristmill.tokenizers.shard_writer import documents_schema
    from gristmill.tokenizers.shards import read_manifest

    manifest = read_manifest(path)
    return Folder(path, (), (), path, manifest, manifest.sources, shard_columns(documents_schema()))


def shard_columns(schema: pa.Schema) -> pa.Schema:
    """The columns of `.docs.parquet` under the names that `where` uses; `doc_id` is a hash and left out."""
    import pyarrow as pa

    names = {there: here for here, there in SHARD_COLUMNS.items()}
    fields = [field for field in schema if field.name != "doc_id"]
    return pa.schema([*fields, *(field.with_name(names[field.name]) for field in fields if field.name in names)])


def _documents(path: Path, only: tuple[str, ...] | None) -> Folder:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gristmill.tokenizers.shards import read_manifest

    files = _parquet_files(path)
    if not files:
        return _of_lines(path, only)
    run, below = _run_of(path)
    signals = tuple(sorted((run / "signals").glob("**/*.parquet"))) if run else ()
    shards = run / "shards" if run and (run / "shards" / FILE_NAME).is_file() else None
    manifest = read_manifest(shards) if shards else None
    entries = tuple(entry for entry in manifest.sources if below in (None, entry.name)) if manifest else ()
    schemas = [pq.read_schema(file) for file in files]
    for file, schema in zip(files, schemas, strict=True):
        if missing := [column for column in ("id", "text") if column not in schema.names]:
            raise ValueError(f"{file}: has no column {' and no column '.join(missing)}; it has {', '.join(schema.names)}")
    fields = {field.name: field for schema in schemas for field in schema if field.name != "text"}
    for file in signals:
        fields |= {field.name: field for field in pq.read_schema(file) if field.name not in fields and field.name != "version"}
    if only is not None and manifest is None and "source" not in fields:
        raise ValueError("its documents have no column source, so `only` cannot choose any")
    return Folder(path, files, signals, shards, manifest, entries, pa.schema(list(fields.values())), only)


def _of_lines(path: Path, only: tuple[str, ...] | None) -> Folder:
    """Documents in JSON lines or plain text: of their columns id, source and language are known."""
    from gristmill.tokenizers.documents import document_files, schema

    try:
        files = tuple(Path(file.removeprefix("file://")) for file in document_files(str(path)))
    except ValueError:
        raise ValueError(f"{path} holds no file of documents (.parquet, .jsonl, .txt); give {_wanted('documents')}") from None
    columns = schema()
    return Folder(path, files, (), None, None, (), columns.remove(columns.get_field_index("text")), only)


def _parquet_files(path: Path) -> tuple[Path, ...]:
    """The Parquet files behind a path, sorted: itself, or those below it; of a run its documents only."""
    if path.is_file():
        return (path,) if path.suffix == ".parquet" else ()
    below = path / "documents" if (path / "documents").is_dir() else path
    return tuple(sorted(below.glob("**/*.parquet")))


def _run_of(path: Path) -> tuple[Path | None, str | None]:
    """The run folder that documents belong to, and which of its sources they are (None: all)."""
    full = Path(os.path.abspath(path))
    for run, below in ((full, None), (full.parent, None), (full.parent.parent, full.name)):
        if (run / "run.json").is_file() and (run == full or full.relative_to(run).parts[0] == "documents"):
            return run, below
    return None, None


def _with_made_shards(read: ReadMixture, name: str, folder: Folder) -> Folder:
    """The folder with the token shards that `gristmill mixture tokenize` has made of it, if it has."""
    from gristmill.tokenizers.shards import read_manifest

    shards = Path(read.mixture.shards or "") / name / "shards"
    if not (shards / FILE_NAME).is_file():
        return folder
    try:
        manifest = read_manifest(shards)
    except ShardError as error:
        raise read.error(("shards",), str(error)) from error
    entries = tuple(entry for entry in manifest.sources if entry.name == name)
    return replace(folder, shards=shards, manifest=manifest, entries=entries)


def _narrowed(read: ReadMixture, name: str, folder: Folder, only: tuple[str, ...]) -> Folder:
    """The folder with the named sources alone."""
    held = [entry.name for entry in folder.entries]
    for wanted in only:
        if wanted not in held:
            raise read.error(
                ("sources", name, "only"), f"{folder.path} has no source {wanted}; it has {nearest_first(wanted, held)}"
            )
    entries = tuple(entry for entry in folder.entries if entry.name in only)
    return Folder(folder.path, folder.documents, folder.signals, folder.shards, folder.manifest, entries, folder.columns, only)


def _with_meta(folder: Folder, named: set[str]) -> Folder:
    """The folder with the keys of `meta` that conditions name among its columns."""
    keys = sorted(name for name in named - set(folder.columns.names) if is_meta(name))
    files = [file for file in folder.documents if file.suffix == ".parquet"]
    if not keys or not files:
        return folder
    columns = folder.columns
    for field in meta_fields(files, keys):
        columns = columns.append(field)
    return replace(folder, columns=columns)


def _check_columns(read: ReadMixture, name: str, folder: Folder) -> None:
    source = read.mixture.sources[name]
    if source.where is not None:
        try:
            Where(source.where).expression(folder.columns)
        except ValueError as error:
            raise read.error(("sources", name, "where"), f"{error} (in {folder.path})") from None
    if source.quality_buckets is not None:
        import pyarrow as pa

        loc = ("sources", name, "quality_buckets", "column")
        column = source.quality_buckets.column
        if column not in folder.columns.names:
            raise read.error(loc, f"{unknown_column(column, folder.columns.names)} (in {folder.path})")
        type_ = folder.columns.field(column).type
        type_ = type_.value_type if pa.types.is_dictionary(type_) else type_
        number = pa.types.is_integer(type_) or pa.types.is_floating(type_)
        text = pa.types.is_string(type_) or pa.types.is_large_string(type_)
        if not (number if source.quality_buckets.at_least is not None else text):
            wanted = "at_least takes numbers" if source.quality_buckets.at_least is not None else "equals takes text"
            raise read.error(loc, f"column {column} is {type_}; {wanted}")


def columns_named(read: ReadMixture, name: str) -> set[str]:
    """The columns that a source's conditions look at."""
    source = read.mixture.sources[name]
    named = set(Where(source.where).columns) if source.where is not None else set()
    if source.quality_buckets is not None:
        named.add(source.quality_buckets.column)
    return named


def check_tokenizers(read: ReadMixture, folders: dict[str, Folder | None]) -> str | None:
    """The one tokenizer of all shards, and of the mixture if it names one.

    Returns:
        Its sha256; None where nothing is tokenized.

    Raises:
        UserError: there are two.
    """
    found: dict[str, str] = {}
    for name, folder in folders.items():
        if folder is not None and folder.manifest is not None:
            found.setdefault(folder.manifest.tokenizer.sha256, name)
            if len(found) > 1:
                (sha_a, a), (sha_b, b) = found.items()
                raise read.error(
                    ("sources", b),
                    f"was tokenized by {sha_b[:12]}, source {a} by {sha_a[:12]}; a mixture has one tokenizer: "
                    "tokenize one of them again",
                )
    sha = next(iter(found), None)
    if read.mixture.tokenizer is not None and sha is not None and (given := given_tokenizer(read)[1]) != sha:
        raise read.error(("tokenizer",), f"is {given[:12]}, source {found[sha]} was tokenized by {sha[:12]}; a mixture has one")
    return sha


def given_tokenizer(read: ReadMixture) -> tuple[str, str]:
    """Contents and sha256 of the tokenizer.json that the mixture names.

    Raises:
        UserError: it cannot be read.
    """
    from gristmill.tokenizers.training import fingerprint

    try:
        content = Path(read.mixture.tokenizer or "").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
        raise read.error(("tokenizer",), f"{read.mixture.tokenizer}: {said}; give the path of a tokenizer.json") from error
    try:
        return content, fingerprint(content)
    except ValueError as error:
        raise read.error(("tokenizer",), f"{read.mixture.tokenizer}: {error}") from error


def document_batches(folder: Folder, columns: list[str]) -> Iterator[pa.Table]:
    """The documents, some thousands at a time, with these columns of theirs; of one that a file lacks, nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for file in folder.documents:
        if file.suffix != ".parquet":
            yield from _line_batches(folder, file, columns)
            continue
        with pq.ParquetFile(file) as parquet:
            held = parquet.schema_arrow.names
            keys = [name for name in columns if is_meta(name) and name not in held]
            plain = [name for name in columns if name not in keys]
            wanted = [*dict.fromkeys([*plain, *(["meta"] if keys else []), *(["source"] if folder.only is not None else [])])]
            for batch in parquet.iter_batches(batch_size=8192, columns=[name for name in wanted if name in held]):
                table = pa.table(batch.columns, names=batch.schema.names)
                table = with_meta_columns(table, [folder.columns.field(name) for name in keys])
                for name in wanted:
                    if name not in held and name in folder.columns.names:
                        table = table.append_column(
                            folder.columns.field(name), pa.nulls(len(table), folder.columns.field(name).type)
                        )
                if folder.only is not None:
                    table = table.filter(pc.field("source").isin(list(folder.only)))
                yield table


def _line_batches(folder: Folder, file: Path, columns: list[str]) -> Iterator[pa.Table]:
    """The documents of a file of JSON lines or text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from gristmill.tokenizers.documents import batches_of

    try:
        for batch in batches_of([str(file)]):
            table = pa.table(batch.columns, names=batch.schema.names)
            if folder.only is not None:
                table = table.filter(pc.field("source").isin(list(folder.only)))
            yield table.select([*dict.fromkeys(columns)])
    except ValueError as error:
        raise UserError(str(error)) from error
