"""What the corpus editors for lines, paragraphs and spans of sentences share: which copies stay, and what becomes too short."""

from __future__ import annotations

import re
from abc import abstractmethod
from hashlib import md5
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, NonNegativeInt, PositiveInt, TypeAdapter, model_validator

from gristmill.stages.corpus_editor import Copies, CorpusEditor
from gristmill.stages.indexed import Indexed
from gristmill.stages.keeper import LAST, Keep, ranks

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from gristmill.stages.documents import Batch
    from gristmill.stages.editor import Edited, Loss
    from gristmill.stages.features import TextFeatures

    Positions = NDArray[np.int64]

UNIT_POLICIES = ("first", "none", "url_hash")
_DOCUMENTS = TypeAdapter(Keep)

# of TFDS's normalize_url [code: TFDS text/c4_utils.py]: the URL by whose hash C4's code orders pages
_SCHEMES = re.compile(r"https?://(?:www\.)?")
_TRACKING = re.compile(r"\?(?:utm_|ref|feed).*")


def _checked(value: Any) -> str:
    if value in UNIT_POLICIES:
        return str(value)
    try:
        policy = _DOCUMENTS.validate_python(value)
    except ValueError:
        policy = "latest"
    if policy in ("earliest", "latest"):
        raise ValueError(
            f"is {value!r}; should be first, none, url_hash, longest, newest, oldest, highest:COLUMN, lowest:COLUMN or "
            "sources:FIRST,SECOND,..."
        )
    return policy


KeepCopies = Annotated[str, BeforeValidator(_checked), AfterValidator(str)]
"""Which copies of a unit stay: the `first` ones of the corpus, `none`, those on the pages with the lowest MD5 of the URL
(`url_hash`), or those in the documents that a policy of `Keep` puts first."""
Form = Literal["exact", "stripped", "lowercase", "ccnet", "loose"]


class Preset(NamedTuple):
    """What a flavour sets."""

    keep: str = "first"
    max_copies: int = 1
    compare: Form = "exact"
    min_characters: int = 1
    min_words_left: int | None = None
    min_sentences_left: int | None = None
    sha1: bool = False


def c4_url(url: str) -> str:
    """A URL as C4's code normalises it, before it is hashed [code: TFDS text/c4_utils.py]."""
    return _TRACKING.sub("", _SCHEMES.sub("", url)).rstrip("/")


def url_ranks(urls: list[str | None]) -> NDArray[np.int64]:
    """Order of pages by the MD5 of their normalised URL (its first 64 bits, the sign bit turned); those without one come last."""
    import numpy as np

    digests = [
        LAST
        if url is None
        else int.from_bytes(md5(c4_url(url).encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()[:8]) - 2**63
        for url in urls
    ]
    return np.array(digests, dtype=np.int64)


class UnitCopies(CorpusEditor, Indexed):
    """Cuts units of text that the corpus has more than once. Settings that are not given are those of the flavour."""

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "numba")
    presets: ClassVar[dict[str, Preset]] = {}

    keep: KeepCopies | None = None
    """Which copies stay: `first` (in the order of the corpus), `none`, `url_hash` (the page whose normalised URL has the lowest
    MD5), `longest` (document), `newest` or `oldest` (its date), `highest:COLUMN` or `lowest:COLUMN` (a number, a date, or
    `meta.KEY`), `sources:A,B`. Of equal ones the first stay. Not given: as the flavour."""

    max_copies: PositiveInt | None = None
    """How many copies may stay; with `keep: none`, units with at most so many are left alone, and all copies of others go. Not
    given: as the flavour."""

    compare: Form | None = None
    """What makes units the same: `exact` (all bytes), `stripped` (but for white space at the ends), `lowercase` (stripped, in
    lower case), `ccnet` (so, digits 0, without control characters and much of Unicode's punctuation), `loose` (lower case, no
    punctuation, single blanks). Not given: as the flavour."""

    min_characters: NonNegativeInt | None = None
    """Fewest characters of a unit that is cut, without white space at its ends; 0: blank ones are units, too. Not given: as the
    flavour."""

    min_words_left: NonNegativeInt | None = None
    """Fewest words (parted by white space) of a document that was cut and stays. Not given: as the flavour."""

    min_sentences_left: NonNegativeInt | None = None
    """Fewest sentences of a document that was cut and stays. Not given: as the flavour."""

    memory: Annotated[ByteSize, Field(ge=1024)] | None = None
    """Use Bloom filters of so many bytes in all (e.g. 2GB) in place of exact counts; each task holds one of them, of 64 MB at
    most. Some units are cut then that were never seen (the funnel says how many are to be expected), and the ledger does not know
    where the first copy stands. Only for `keep: first`, `max_copies: 1`."""

    against: str | None = None
    """Folder of an index that an earlier run wrote with the same settings: copies there count as if its documents stood before
    those of this run."""

    index: str | None = None
    """Folder where an index of this run's units is written for later runs, or extended by them. It needs `keep: first`: then
    crawl A, and B against A's index, leave what A and B in one run would. With `memory`, that holds of a run with an index."""

    @model_validator(mode="after")
    def _an_index_holds_what_stood_before(self) -> Self:
        keep = self.resolved.keep
        if (self.index or self.against) and keep != "first":
            why = (
                "what an earlier run left alone would have to go where this one repeats it"
                if keep == "none"
                else "what an earlier run kept cannot be taken back where a document of this one goes before it"
            )
            raise ValueError(f"keep: {keep} with an index; {why}, so it must be keep: first")
        return self

    @model_validator(mode="after")
    def _a_filter_knows_one_copy(self) -> Self:
        if self.memory is not None and (self.resolved.keep, self.resolved.max_copies) != ("first", 1):
            raise ValueError(
                "memory: a Bloom filter knows only whether a unit was there before; it needs keep: first and max_copies: 1, "
                f"here they are keep: {self.resolved.keep}, max_copies: {self.resolved.max_copies}"
            )
        return self

    @property
    @abstractmethod
    def preset(self) -> Preset:
        """What the flavour sets."""

    @property
    def resolved(self) -> Preset:
        """The settings as they hold: those given, and else the flavour's."""
        given = {name: value for name in Preset._fields if (value := getattr(self, name, None)) is not None}
        return self.preset._replace(**given)

    @property
    def filter_bytes(self) -> int | None:
        return None if self.memory is None else int(self.memory)

    def index_settings(self) -> dict[str, Any]:
        """What makes units, and what makes them the same, with the flavour spelled out; what becomes of cut documents is free."""
        free = {"name", "checkpoint", "index", "against", "flavour", *Preset._fields}
        chosen = self.resolved._asdict()
        spelled = {name: chosen[name] for name in ("max_copies", "compare", "min_characters", "sha1")}
        return self.model_dump(mode="json", exclude=free) | spelled

    def index_probe(self, probe: Batch) -> Any:
        emitted = self.emit(probe)
        return [emitted[name].to_pylist() for name in ("key", "check", "start", "end")]

    def copies(self) -> Copies:
        """Which copies stay."""
        chosen = self.resolved
        return Copies(0 if chosen.keep == "none" else chosen.max_copies, chosen.max_copies)

    @abstractmethod
    def units(self, features: TextFeatures) -> tuple[Positions, Positions, Positions]:
        """Document, first byte and end (in `features.data`) of each unit, ascending."""

    @abstractmethod
    def without(
        self, features: TextFeatures, rows: Positions, starts: Positions, ends: Positions
    ) -> tuple[NDArray[np.uint8], Positions, Positions]:
        """The texts without units: their bytes, offsets, and rows of cuts as in `cut_kernels`."""

    def set_up(self) -> None:
        """Compile the kernels, or load them from the cache."""
        from gristmill.stages import unit_kernels, unit_normalisation  # noqa: F401

    def code(self) -> list[str]:
        """The kernels and what they are made of."""
        return [
            "gristmill.stages.copies",
            "gristmill.stages.keeper",
            "gristmill.stages.unit_kernels",
            "gristmill.stages.unit_normalisation",
            "gristmill.stages.features",
        ]

    def emit(self, batch: Batch) -> pa.Table:
        """A row for each unit: its hash in the form in which it is compared, and where it stands."""
        import pyarrow as pa

        from gristmill.stages.unit_normalisation import FORMS, unit_keys

        chosen = self.resolved
        features = batch.features
        rows, starts, ends = self.units(features)
        keys, checks, places = unit_keys(features.data, starts, ends, FORMS[chosen.compare], chosen.sha1, chosen.min_characters)
        rows = rows[places]
        begin = features.offsets[rows]
        columns = {"key": keys, "check": checks, "row": rows, "start": starts[places] - begin, "end": ends[places] - begin}
        order = self._document_ranks(batch)
        return pa.table(columns if order is None else columns | {"rank": order[rows]})

    def _document_ranks(self, batch: Batch) -> NDArray[np.int64] | None:
        keep = self.resolved.keep
        if keep in ("first", "none"):
            return None
        if keep == "url_hash":
            return url_ranks(batch.table["url"].to_pylist())
        import numpy as np

        return ranks(keep, batch.table, np.zeros(len(batch), dtype=np.uint64))

    def cut(self, batch: Batch, units: pa.Table) -> Edited:
        """Cut the units; a document that was cut and has too little left is a loss."""
        import numpy as np

        from gristmill.stages.cut_kernels import cuts_table, with_text
        from gristmill.stages.editor import Edited

        features = batch.features
        # copies: kernels take read-only arrays for another type
        rows, starts, ends = (np.array(units[name].to_numpy()) for name in ("row", "start", "end"))
        begin = features.offsets[rows]
        data, offsets, cuts = self.without(features, rows, begin + starts, begin + ends)
        table = with_text(batch.table, data, offsets)
        return Edited(table, self._losses(table, rows), cuts_table(features.data, cuts))

    def _losses(self, table: pa.Table, rows: Positions) -> list[Loss]:
        """The documents, of those with units cut (a row each), that have too little left."""
        import numpy as np
        import pyarrow as pa

        from gristmill.stages.editor import Loss
        from gristmill.stages.features import TextFeatures

        chosen = self.resolved
        edited, units = np.unique(rows, return_counts=True)
        features = TextFeatures(table["text"].take(pa.array(edited)))
        words = np.diff(features.words("whitespace").offsets).tolist()
        least = chosen.min_sentences_left
        sentences = [0] * len(words) if least is None else np.diff(features.sentences.offsets).tolist()
        losses = []
        for row, count, word_count, sentence_count in zip(edited.tolist(), units.tolist(), words, sentences, strict=True):
            detail = f"{self.unit}s cut: {count}"
            if word_count == 0:
                losses.append(Loss(row, "nothing_left", 0.0, 1.0, detail))
            elif chosen.min_words_left is not None and word_count < chosen.min_words_left:
                losses.append(Loss(row, "too_few_words_left", float(word_count), float(chosen.min_words_left), detail))
            elif least is not None and sentence_count < least:
                losses.append(Loss(row, "too_few_sentences_left", float(sentence_count), float(least), detail))
        return losses

    @property
    def unit(self) -> str:
        """What is cut, in the ledger's words."""
        return "unit"
