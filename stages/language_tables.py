"""Tables of settings by language: which ship with the package, and how they are read."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.language_codes import language_number

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Rows = dict[str, dict[str, Any]]


def shipped_tables() -> list[str]:
    """Names of the tables that ship with the package."""
    folder = files("gristmill.configs") / "languages"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def rows_for(table: str, kind: str) -> Rows:
    """What a table says to one kind of stage.

    Args:
        table: name of a shipped table, or path of a YAML file (.yaml, .yml): language -> stage -> setting -> value.
        kind: the stage, e.g. `gopher_quality`.

    Returns:
        Language -> settings, of the languages that have some for this stage.

    Raises:
        ValueError: there is no such table, it has another form, or it says nothing to this stage.
    """
    languages = _table(table)
    rows = {language: dict(stages[kind]) for language, stages in languages.items() if stages.get(kind)}
    if not rows:
        told = sorted({stage for stages in languages.values() for stage in stages})
        raise ValueError(f"{table}: says nothing to {kind}; it has settings of {', '.join(told) or 'no stage'}")
    return rows


def _table(table: str) -> dict[str, dict[str, dict[str, Any]]]:
    if table.endswith((".yaml", ".yml")):
        if not Path(table).is_file():
            raise ValueError(f"{table}: no such file")
        return _of_file(table)
    if table not in shipped_tables():
        raise ValueError(
            f"{table}: no such table of languages; there is {', '.join(shipped_tables())}, or give the path of a YAML file"
        )
    return _shipped(table)


@cache
def _shipped(name: str) -> dict[str, dict[str, dict[str, Any]]]:
    return _read((files("gristmill.configs") / "languages" / f"{name}.yaml").read_text("utf-8"), name)


@cached_by_files
def _of_file(path: str) -> dict[str, dict[str, dict[str, Any]]]:
    return _read(Path(path).read_text("utf-8"), path)


def _read(text: str, name: str) -> dict[str, dict[str, dict[str, Any]]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(f"{name}: no YAML: {error}") from None
    right = isinstance(data, dict) and all(
        isinstance(stages, dict) and all(isinstance(settings, dict) for settings in stages.values()) for stages in data.values()
    )
    if not right:
        raise ValueError(f"{name}: should be languages, each with stages and their settings: `de: {{gopher_quality: {{...}}}}`")
    return {str(language): stages for language, stages in data.items()}


def numbers_of(languages: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of languages as `language_number` makes them numbers.

    Returns:
        float64 of shape (n_documents,); NaN where it is null.
    """
    import numpy as np
    import pyarrow as pa

    if isinstance(languages, pa.ChunkedArray):
        languages = languages.combine_chunks()
    encoded = languages.dictionary_encode()
    numbers = np.array([*(language_number(code) for code in encoded.dictionary.to_pylist()), np.nan], dtype=np.float64)
    found: np.ndarray = numbers[encoded.indices.fill_null(len(numbers) - 1).to_numpy(zero_copy_only=False)]
    return found
