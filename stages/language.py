"""Language identification with fastText (Joulin et al. 2016, arXiv:1607.01759): of whole documents, and of their lines."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self
from weakref import WeakKeyDictionary

from pydantic import Discriminator, Field, PositiveInt, Tag, field_validator, model_validator

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.language_codes import matching_key, scripts_of
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch
    from gristmill.stages.language_lines import LineLanguages
    from gristmill.stages.language_model import Predictions

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

ANY_OTHER = "*"
"""Key of `keep` for all languages that it does not name."""

Score = Annotated[float, Field(ge=0, le=1)]


def _name_or_table(given: object) -> str:
    # a union without it tells of a wrong score that it is no name either
    return "<name>" if isinstance(given, str) else "<table>"


class Languages(NamedTuple):
    """What the model says about a batch."""

    codes: list[str | None]
    """Most likely language of each document, the model's label as it is; None where the text is blank."""
    scores: np.ndarray
    """Its probability, float64 of shape (n_documents,), rounded to 6 decimals; 0 where the text is blank."""


class Language(Filter):
    """Find the language of each document, and keep those in the languages that are asked for.

    Sets the columns `language` (the model's label as it is: `de` of lid.176, `deu_Latn` of GlotLID) and `language_score`, with
    `top_k` above 1 also `languages` in `meta`. A key of `keep` is the model's label, or its language without the script, or
    another ISO code of the same language.
    """

    kind: ClassVar[str] = "language"
    libraries: ClassVar[tuple[str, ...]] = ("fasttext",)

    keep: (
        Annotated[Annotated[str, Tag("<name>")] | Annotated[dict[str, Score], Tag("<table>")], Discriminator(_name_or_table)]
        | None
    ) = None
    """Languages to keep, each with its least score, e.g. `{en: 0.65, "*": 0.8}`, where `*` is every other language; or the name
    of a shipped table of languages (`fineweb2`), or the path of one. Without it nothing is dropped for its language."""

    bound: Literal["above", "at_least"] = "above"
    """Whether a document right at the least score goes (`above`, as in FineWeb) or stays (`at_least`, as in RefinedWeb)."""

    model: str = "lid.176"
    """Name of a model (`gristmill models list`), or the path of any fastText file with labels (.ftz, .bin)."""

    max_characters: PositiveInt | None = None
    """Judge only so many characters from the start; without it the whole text, which costs little (20 MB/s)."""

    by: Literal["text", "lines"] = "text"
    """What gives the language of a document: its text, or its lines as in OSCAR 22.01: the language of most bytes, with the bytes
    times the probability of its lines over all bytes as score; no language where most bytes are in lines below `line_score`."""

    top_k: PositiveInt = 1
    """Languages stored for each document: above 1 the list of `[label, score]` goes to `meta` as `languages`, and the signals
    `second_score` and `score_margin` (first less second) are measured."""

    min_script_share: Score | None = None
    """Least share of letters in scripts that the language is written in; 0 measures and drops nothing, 0.5 catches obvious
    errors such as `ru` on Latin text. Languages whose scripts are not known here pass."""

    lines: bool = False
    """Ask the model about each line too, and measure `own_line_share`, `unknown_line_share`, `line_languages` and
    `is_multilingual`; the rules below need it and set it off by themselves."""

    line_score: Score = 0.8
    """Score from which a line counts as identified. [code: ungoliant]"""

    min_line_share: Score = 0.1
    """Share of the bytes of a document's lines from which `line_languages` counts a language."""

    min_own_lines: Score | None = None
    """Least share of the bytes of lines that are identified as the document's language."""

    max_line_languages: PositiveInt | None = None
    """Most languages among the lines."""

    multilingual: Literal["keep", "drop"] = "keep"
    """Whether documents that OSCAR 22.01 calls multilingual go: 10 lines or more, over 0.8 of them identified, 2 to 5 languages,
    each with an even share of the bytes or more."""

    @field_validator("per_language")
    @classmethod
    def _keep_is_the_table(cls, given: Any) -> Any:
        if given is not None:
            raise ValueError("the stage that finds the language takes no settings by language; give scores in keep")
        return given

    @field_validator("keep")
    @classmethod
    def _read_keep(cls, given: str | dict[str, float] | None) -> dict[str, float] | None:
        if not isinstance(given, str):
            return given
        from gristmill.stages.language_tables import rows_for

        rows = rows_for(given, cls.kind)
        if wrong := [language for language, row in rows.items() if not isinstance(row.get("min_score"), int | float)]:
            raise ValueError(f"{given}: {wrong[0]}: language has no number min_score")
        return {language: float(row["min_score"]) for language, row in rows.items()}

    @model_validator(mode="after")
    def _known_languages(self) -> Self:
        if self.model in ("lid.176", "lid.176.ftz", "lid.176.bin"):
            for code in self._unknown(LID_176):
                near = get_close_matches(code, sorted(LID_176), n=1, cutoff=0.3)
                meant = f"; did you mean {near[0]}?" if near else "; it takes codes such as en, de, zh"
                raise ValueError(f"{code}: lid.176 knows no such language{meant}")
        return self

    @property
    def kept(self) -> dict[str, float]:
        """`keep` as a table, the row for every other language left out."""
        return {code: least for code, least in self.keep.items() if code != ANY_OTHER} if isinstance(self.keep, dict) else {}

    def _unknown(self, labels: frozenset[str]) -> list[str]:
        """Keys of `keep` that no label of a model is meant by."""
        return sorted(set(self.kept) - {matching_key(label, self.kept) for label in labels})

    def rules(self) -> Iterator[Rule]:
        """The language, its score, then scripts and lines."""
        if isinstance(self.keep, dict):
            # what is a kept language is measured, not a bound
            yield Rule("other_language", "is_kept_language", at_least=1, switches={"keep": tuple(sorted(self.keep))})
            by_language = {code: self._low_score(least) for code, least in self.kept.items()}
            low = self._low_score(self.keep.get(ANY_OTHER))
            yield Rule(low.name, low.signal, at_least=low.at_least, above=low.above, by_language=by_language)
        yield Rule("other_script", "script_share", at_least=self.min_script_share)
        switches = {"score": self.line_score}
        yield Rule("foreign_lines", "own_line_share", at_least=self.min_own_lines, switches=switches)
        counted = switches | {"share": self.min_line_share}
        yield Rule("too_many_languages", "line_languages", at_most=self.max_line_languages, switches=counted)
        drop = 0 if self.multilingual == "drop" else None
        yield Rule("multilingual", "is_multilingual", at_most=drop, switches=switches)

    def _low_score(self, least: float | None) -> Rule:
        if self.bound == "above":
            return Rule("low_score", "language_score", above=least)
        return Rule("low_score", "language_score", at_least=least)

    @property
    def _asks_lines(self) -> bool:
        return self.lines or self.min_own_lines is not None or self.max_line_languages is not None or self.multilingual == "drop"

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The signals of the rules that are on and those that were asked for; NaN where a document has no language."""
        import numpy as np

        signals: dict[str, np.ndarray] = {}
        if isinstance(self.keep, dict) or self.top_k > 1:
            codes, scores = self.identify(batch)
            signals["language_score"] = np.where(_blank(codes), np.nan, scores)
        if isinstance(self.keep, dict):
            kept = {code: ANY_OTHER in self.keep or matching_key(code, self.kept) is not None for code in set(codes) if code}
            signals["is_kept_language"] = np.array([kept.get(code, False) if code else False for code in codes], dtype=np.float64)
        if self.top_k > 1:
            found = self._asked(batch).found
            first, second = found.nth_scores(0), found.nth_scores(1)
            signals["second_score"] = np.where(found.known, second, np.nan)
            signals["score_margin"] = np.where(found.known, np.round(first - second, 6), np.nan)
        if self.min_script_share is not None:
            signals["script_share"] = self._script_shares(batch)
        if self._asks_lines:
            lines = self._asked_lines(batch)
            signals["own_line_share"] = lines.own_share
            signals["unknown_line_share"] = lines.unknown_share
            signals["line_languages"] = lines.languages
            signals["is_multilingual"] = lines.multilingual
        return signals

    def _script_shares(self, batch: Batch) -> np.ndarray:
        """Share of each document's letters in the scripts of its language; NaN without letters or known scripts."""
        import numpy as np

        from gristmill.stages.scripts import SCRIPTS, letter_shares

        codes = self.identify(batch).codes
        scripts = {code: scripts_of(code) for code in set(codes) if code is not None}
        told = {code for code, names in scripts.items() if set(names) & set(SCRIPTS)}
        shares = letter_shares(batch.features, [scripts[code] if code in told else () for code in codes])
        return np.where(np.array([code in told for code in codes], dtype=bool), shares, np.nan)

    def language_numbers(self, batch: Batch) -> np.ndarray:
        """The languages found, not those that stand in the column so far."""
        import pyarrow as pa

        from gristmill.stages.language_tables import numbers_of

        return numbers_of(pa.array(self.identify(batch).codes, pa.string()))

    def annotate(self, batch: Batch) -> Batch:
        """Set the columns `language` and `language_score`; both null where the text is blank. `meta` takes the top k."""
        import pyarrow as pa

        codes, scores = self.identify(batch)
        table = batch.table
        columns = {
            "language": pa.array(codes, pa.string()),
            "language_score": pa.array(scores, pa.float64(), mask=_blank(codes)),
        }
        if self.top_k > 1:
            columns["meta"] = _with_languages(table["meta"], self._asked(batch).found)
        for name, values in columns.items():
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
        annotated = batch.with_table(table)
        _identified[annotated] = _identified.setdefault(batch, {})
        return annotated

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """The language that was found."""
        codes = self.identify(batch).codes
        return [codes[row] for row in rows]

    def identify(self, batch: Batch) -> Languages:
        """Ask the model about each document, once a batch."""
        if self.by == "lines":
            lines = self._asked_lines(batch)
            return Languages(lines.largest, lines.confidence)
        return self._asked(batch).languages

    def _asked(self, batch: Batch) -> _Asked:
        """What the model says of the texts."""
        known = _identified.setdefault(batch, {})
        question = ("texts", self.model, self.max_characters, self.top_k)
        if question not in known:
            from gristmill.stages.language_model import predict

            found = predict(self.model, self._texts(batch), self.top_k)
            known[question] = _Asked(found, Languages(found.first_labels(), found.nth_scores(0)))
        asked: _Asked = known[question]
        return asked

    def _asked_lines(self, batch: Batch) -> LineLanguages:
        """What the model says of the lines."""
        from gristmill.stages.language_lines import lines_of, summarize
        from gristmill.stages.language_model import predict

        known = _identified.setdefault(batch, {})
        question = ("lines", self.model, self.max_characters, self.by, self.line_score, self.min_line_share)
        if question not in known:
            lines = lines_of(self._texts(batch))
            found = predict(self.model, lines.texts)
            nobody: list[str | None] = [None] * len(batch)
            summary = summarize(lines, found, nobody, self.line_score, self.min_line_share)
            own = summary.largest if self.by == "lines" else self._asked(batch).languages.codes
            known[question] = summarize(lines, found, own, self.line_score, self.min_line_share)
        answer: LineLanguages = known[question]
        return answer

    def _texts(self, batch: Batch) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = batch.table["text"]
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.chunk(0) if texts.num_chunks == 1 else texts.combine_chunks()
        return texts if self.max_characters is None else pc.utf8_slice_codeunits(texts, 0, self.max_characters)

    def set_up(self) -> None:
        """Load the model.

        Raises:
            StageUnavailable: the library or the model is missing, or the model does not know a language that is to be kept.
        """
        from gristmill.stages.language_model import labels_of

        labels = labels_of(self.model)
        if unknown := self._unknown(frozenset(labels)):
            near = get_close_matches(unknown[0], labels, n=1, cutoff=0.3)
            its = ", ".join(sorted(labels)[:5])
            raise StageUnavailable(
                f"{self.label}.keep: the model {self.model} knows no language {', '.join(unknown)}; "
                f"its labels are {its}, ...{f'; did you mean {near[0]}?' if near else ''}"
            )
        if self.min_script_share is not None:
            from gristmill.stages import scripts

            scripts.script_table()

    def files(self) -> list[str]:
        """The model file."""
        from gristmill.stages.language_model import model_file

        return [model_file(self.model)]

    def code(self) -> list[str]:
        """What asks the model, and what adds the answers up."""
        modules = ("language_model", "language_lines", "language_codes", "language_tables", "scripts", "features")
        return [f"gristmill.stages.{module}" for module in modules]


class _Asked(NamedTuple):
    found: Predictions
    languages: Languages


_identified: WeakKeyDictionary[Batch, dict[tuple[Any, ...], Any]] = WeakKeyDictionary()
"""Answers for the batches in work: rules, columns and details ask for the same ones."""


def _blank(codes: list[str | None]) -> np.ndarray:
    import numpy as np

    return np.array([code is None for code in codes], dtype=bool)


def _with_languages(metas: pa.ChunkedArray, found: Predictions) -> pa.Array:
    """The column `meta` with each document's languages, the likeliest first."""
    import json

    import pyarrow as pa

    names = found.labels.dictionary.to_pylist()
    numbers, scores, offsets = found.labels.indices.to_pylist(), found.scores.tolist(), found.offsets.tolist()
    filled = []
    for meta, start, end in zip(metas.to_pylist(), offsets[:-1], offsets[1:], strict=True):
        languages = [[names[numbers[place]], scores[place]] for place in range(start, end)]
        told = json.loads(meta or "{}") | ({"languages": languages} if languages else {})
        filled.append(json.dumps(told, ensure_ascii=False, sort_keys=True) if told else meta)
    return pa.array(filled, pa.string())
