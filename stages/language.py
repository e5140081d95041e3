"""Language identification of whole documents with fastText (Joulin et al. 2016, arXiv:1607.01759)."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self
from weakref import WeakKeyDictionary

from pydantic import Field, PositiveInt, model_validator

from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch

_LID_176_CODES = """
    af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de
    diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo
    io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms
    mt mwl my myv mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn
    sco sd sh si sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf
    yi yo yue zh
"""
LID_176 = frozenset(_LID_176_CODES.split())
"""Codes that the model lid.176 knows."""

_LABEL = "__label__"


class Languages(NamedTuple):
    """What the model says about a batch."""

    codes: list[str | None]
    """Most likely language of each document; None where the text is blank."""
    scores: np.ndarray
    """Its probability, float64 of shape (n_documents,), rounded to 6 decimals; 0 where the text is blank."""


class Language(Filter):
    """Find the language of each document, and keep those in the languages that are asked for."""

    kind: ClassVar[str] = "language"
    libraries: ClassVar[tuple[str, ...]] = ("fasttext",)

    keep: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = None
    """Languages to keep, each with its least score, e.g. `{en: 0.65}`; without it only the columns are set."""

    bound: Literal["above", "at_least"] = "above"
    """Whether a document right at the least score goes (`above`, as in FineWeb) or stays (`at_least`, as in RefinedWeb)."""

    model: str = "lid.176"
    """Name of a model (`gristmill models list`), or the path of a fastText file (.ftz, .bin) of one's own."""

    max_characters: PositiveInt | None = None
    """Judge only so many characters from the start; without it the whole text, which costs little (20 MB/s)."""

    @model_validator(mode="after")
    def _known_languages(self) -> Self:
        if self.model == "lid.176":
            for code in sorted(set(self.keep or {}) - LID_176):
                near = get_close_matches(code, sorted(LID_176), n=1, cutoff=0.3)
                meant = f"; did you mean {near[0]}?" if near else "; it takes codes such as en, de, zh"
                raise ValueError(f"{code}: lid.176 knows no such language{meant}")
        return self

    def rules(self) -> Iterator[Rule]:
        if self.keep is None:
            return
        yield Rule("other_language", "is_kept_language", at_least=1)
        for code, least in self.keep.items():
            if self.bound == "above":
                yield Rule("low_score", f"score_{code}", above=least)
            else:
                yield Rule("low_score", f"score_{code}", at_least=least)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """`is_kept_language` (0 or 1), and for each kept language its score, NaN for documents in another language."""
        import numpy as np

        if self.keep is None:
            return {}
        codes, scores = self.identify(batch)
        kept = self.keep
        signals = {"is_kept_language": np.array([code in kept for code in codes], dtype=np.float64)}
        for code in kept:
            signals[f"score_{code}"] = np.where(np.array([found == code for found in codes], dtype=bool), scores, np.nan)
        return signals

    def annotate(self, batch: Batch) -> Batch:
        """Set the columns `language` and `language_score`; both null where the text is blank."""
        import pyarrow as pa

        codes, scores = self.identify(batch)
        table = batch.table
        columns = {
            "language": pa.array(codes, pa.string()),
            "language_score": pa.array(scores, pa.float64(), mask=_blank(codes)),
        }
        for name, values in columns.items():
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
        annotated = batch.with_table(table)
        _identified.setdefault(annotated, {})[self._question] = Languages(codes, scores)
        return annotated

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """The language that was found."""
        codes = self.identify(batch).codes
        return [codes[row] for row in rows]

    def identify(self, batch: Batch) -> Languages:
        """Ask the model about each document, once a batch."""
        import numpy as np

        known = _identified.setdefault(batch, {})
        if self._question not in known:
            predict = _load(self.model).f.predict
            codes: list[str | None] = []
            scores = np.zeros(len(batch), dtype=np.float64)
            for row, text in enumerate(batch.table["text"].to_pylist()):
                if self.max_characters is not None:
                    text = text[: self.max_characters]
                # One line a call, ended by a newline. fastText takes a null byte for white space, so it does no harm.
                found = predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict") if text.strip(" \t\n\r\v\f\0") else []
                codes.append(found[0][1].removeprefix(_LABEL) if found else None)
                # The softmax table of fastText gives up to 1.00001.
                scores[row] = round(min(found[0][0], 1.0), 6) if found else 0.0
            known[self._question] = Languages(codes, scores)
        return known[self._question]

    def set_up(self) -> None:
        """Load the model.

        Raises:
            StageUnavailable: the library or the model is missing, or the model does not know a language that is to be kept.
        """
        known = {label.removeprefix(_LABEL) for label in _load(self.model).get_labels()}
        if unknown := sorted(set(self.keep or {}) - known):
            raise StageUnavailable(f"{self.label}.keep: the model {self.model} knows no language {', '.join(unknown)}")

    def files(self) -> list[str]:
        """The model file."""
        return [_model_file(self.model)]

    @property
    def _question(self) -> tuple[str, int | None]:
        """What decides the model's answer beside the text."""
        return self.model, self.max_characters


_identified: WeakKeyDictionary[Batch, dict[tuple[str, int | None], Languages]] = WeakKeyDictionary()
"""Answers for the batches in work: rules, columns and details ask for the same ones."""


def _blank(codes: list[str | None]) -> np.ndarray:
    import numpy as np

    return np.array([code is None for code in codes], dtype=bool)


def _model_file(model: str) -> str:
    """Path of a catalogue's model or of the user's own file.

    Raises:
        StageUnavailable: it is missing.
    """
    from pathlib import Path

    from gristmill.stages.models import locate

    if not model.endswith((".ftz", ".bin")):
        return str(locate(model))
    if not Path(model).is_file():
        raise StageUnavailable(f"{model}: no such file; give the path of a fastText model, or the name of one: lid.176")
    return model


@cached_by_files
def _load(model: str) -> Any:
    """The fastText model, read once a process.

    Raises:
        StageUnavailable: fastText or the model is missing, or the file holds none.
    """
    try:
        import fasttext
    except ImportError as error:
        raise StageUnavailable(
            f"the stage language needs the library fasttext ({error}); install it with: pip install fasttext"
        ) from error
    path = _model_file(model)
    try:
        return fasttext.load_model(path)
    except ValueError as error:
        raise StageUnavailable(f"{path}: no fastText model ({error})") from error
