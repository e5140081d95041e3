"""Rules for files of source code, of Codex (arXiv:2107.03374) and StarCoder (arXiv:2305.06161)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.gopher_quality import SIGNAL_CODE, Fraction

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch

HTML = ("html", "htm", "xhtml")
DATA = ("json", "yaml", "yml")

_PATH = r'"(?:path|file_path|filepath|file_name|filename|max_stars_repo_path)"\s*:\s*"[^"]*\.(?P<extension>[A-Za-z0-9_+-]+)"'
_URL = r"^[^?#]*://[^/?#]+/[^?#]*\.(?P<extension>[A-Za-z0-9_+-]+)(?:[?#].*)?$"

# Signals that only files of some kinds have: signal of the rule -> signal of the catalogue, extensions
_OF_KIND: dict[str, tuple[str, tuple[str, ...]]] = {
    "html_visible_fraction": ("html_visible_fraction", HTML),
    "html_visible_character_count": ("html_visible_character_count", HTML),
    "data_file_character_count": ("character_count", DATA),
    "data_file_letter_fraction": ("letter_fraction", DATA),
}


class Code(Filter):
    """Drop files of source code that are too long, minified, generated, or data.

    The rules on HTML, JSON and YAML hold for files of these kinds, by the extension of their name; other files pass them.
    """

    kind: ClassVar[str] = "code"

    extension: str | None = None
    """Extension of the documents' file names, such as `py`; without it that of a path in `meta` (`path`, `file_path`, `file_name`
    and their like), else in `url`."""

    line_ends: Literal["ignored", "counted"] = "ignored"
    """Whether the mean length of lines counts their ends (`counted`: RedPajama 1)."""

    max_bytes: PositiveInt | None = 1_000_000
    """Files of so many bytes and more are dropped (Codex)."""

    max_line_length: NonNegativeInt | None = 1000
    """Most characters of the longest line."""

    max_mean_line_length: NonNegativeFloat | None = 100
    """Greatest mean length of the lines."""

    min_alphanumeric: Fraction | None = 0.25
    """Least share of alphanumeric characters (StarCoder; Codex gives no number)."""

    drop_generated: bool = True
    """Drop files that say in their first 5 lines that they are auto-generated (Codex, which does not give its rule)."""

    drop_xml: bool = True
    """Drop files that begin with an XML declaration (StarCoder)."""

    min_html_text: Fraction | None = 0.2
    """HTML files are dropped if no greater share of them is text that shows (StarCoder)."""

    min_html_text_characters: NonNegativeInt | None = 100
    """HTML files are dropped if they have no more characters of text that shows (StarCoder)."""

    min_data_characters: NonNegativeInt | None = 100
    """Fewest characters of a JSON or YAML file (StarCoder's code; its paper has 50)."""

    max_data_characters: NonNegativeInt | None = 5000
    """Most characters of a JSON or YAML file (StarCoder)."""

    min_data_letters: Fraction | None = 0.5
    """Least share of letters in a JSON or YAML file (StarCoder)."""

    def rules(self) -> Iterator[Rule]:
        """The rules for all files, then those for some kinds."""
        yield Rule("too_many_bytes", "byte_count", below=self.max_bytes)
        yield Rule("long_line", "longest_line_length", at_most=self.max_line_length)
        yield Rule(
            "long_lines_on_average",
            "mean_line_length",
            at_most=self.max_mean_line_length,
            switches={"line_ends": self.line_ends},
        )
        yield Rule("too_few_alphanumerics", "alphanumeric_fraction", at_least=self.min_alphanumeric)
        yield Rule("generated", "says_it_is_generated", at_most=0 if self.drop_generated else None)
        yield Rule("xml", "has_xml_declaration", at_most=0 if self.drop_xml else None)
        yield Rule("little_html_text", "html_visible_fraction", above=self.min_html_text)
        yield Rule("short_html_text", "html_visible_character_count", above=self.min_html_text_characters)
        yield Rule("short_data_file", "data_file_character_count", at_least=self.min_data_characters)
        yield Rule("long_data_file", "data_file_character_count", at_most=self.max_data_characters)
        yield Rule("too_few_letters_in_data", "data_file_letter_fraction", at_least=self.min_data_letters)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The signals; those that only files of some kinds have are NaN for other files."""
        import numpy as np

        signals: dict[str, np.ndarray] = {}
        kinds: dict[tuple[str, ...], np.ndarray] = {}
        for rule in self.active_rules():
            name, extensions = _OF_KIND.get(rule.signal, (rule.signal, ()))
            if extensions and extensions not in kinds:
                kinds[extensions] = self._has_extension(batch, extensions)
            if extensions and not kinds[extensions].any():
                signals[rule.signal] = np.full(len(batch), np.nan)
                continue
            values = batch.signal(name, rule.switch_items)
            signals[rule.signal] = np.where(kinds[extensions], values, np.nan) if extensions else values
        return signals

    def _has_extension(self, batch: Batch, extensions: tuple[str, ...]) -> np.ndarray:
        """bool of shape (n_documents,)."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.extension is not None:
            return np.full(len(batch), self.extension.lower().lstrip(".") in extensions)
        found = pc.is_in(pc.utf8_lower(_extensions(batch.table)), value_set=pa.array(extensions))
        return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)

    def code(self) -> list[str]:
        """The signals and what they are made of."""
        modules = ("signals.code", "code_kernels", "character_kernels", "character_classes")
        return [*SIGNAL_CODE, *(f"gristmill.stages.{module}" for module in modules)]


def _extensions(table: pa.Table) -> pa.Array:
    """Extension of each document's file name, null where neither `meta` nor `url` names a file."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pa.nulls(table.num_rows, pa.string())
    for column, pattern in (("meta", _PATH), ("url", _URL)):
        if column in table.column_names and table[column].null_count < table.num_rows:
            parts = pc.extract_regex(table[column].cast(pa.string()).combine_chunks(), pattern=pattern)
            found = pc.coalesce(found, pc.struct_field(parts, "extension"))
    return found
