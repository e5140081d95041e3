"""Filters: named lists of rules, each a bound on a signal."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import field_validator, model_validator

from gristmill.stages.language_codes import language_of, matching_key
from gristmill.stages.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch


_FOR_ALL_LANGUAGES = frozenset({"name", "checkpoint", "evaluate", "per_language", "when_missing"})
"""Settings that are those of the stage and not of its rules."""


@dataclass(frozen=True)
class Rule:
    """A bound on a signal. A bound that is None is off; 0 is a value. NaN (signal not applicable) passes."""

    name: str
    """Drop reason in the ledger, e.g. `too_few_words`."""
    signal: str
    """Name of the signal, in the catalogue or computed by the filter itself."""
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    switches: Mapping[str, Any] = field(default_factory=dict)
    """How published code differs in computing the signal (word splitter, what counts as a line, ...)."""
    by_language: Mapping[str, Rule] = field(default_factory=dict)
    """Rules on the same signal that take this one's place for documents in these languages; the keys are told from a
    document's language by `matching_key`."""

    @property
    def is_on(self) -> bool:
        """Whether it has a bound, for some language at least."""
        return self.threshold is not None or any(rule.threshold is not None for rule in self.by_language.values())

    @property
    def bound(self) -> str | None:
        """Which of `at_least`, `at_most`, `above`, `below` is set, here or for some language; None when the rule is off."""
        for rule in (self, *self.by_language.values()):
            for name in ("at_least", "at_most", "above", "below"):
                if getattr(rule, name) is not None:
                    return name
        return None

    def in_language(self, number: float) -> Rule:
        """The rule for documents in a language, which is given as `language_number` does; NaN: no language."""
        if not self.by_language or number != number:
            return self
        key = matching_key(language_of(number), tuple(self.by_language))
        return self if key is None else self.by_language[key]

    @property
    def threshold(self) -> float | None:
        """The bound that is set, None when the rule is off."""
        bounds = [bound for bound in (self.at_least, self.at_most, self.above, self.below) if bound is not None]
        if len(bounds) > 1:
            raise ValueError(f"rule {self.name} has {len(bounds)} bounds; make it {len(bounds)} rules")
        return float(bounds[0]) if bounds else None

    @property
    def switch_items(self) -> tuple[tuple[str, Any], ...]:
        """The switches as a sorted, hashable key."""
        return tuple(sorted(self.switches.items()))

    def failed(self, values: np.ndarray, languages: np.ndarray | None = None) -> np.ndarray:
        """Which documents break the bound.

        Args:
            values: the signal, float64 of shape (n_documents,).
            languages: for each document its language as `language_number` has it, NaN where it has none; float64 of the same
                shape. Without it nothing is asked by language.

        Returns:
            bool of shape (n_documents,).
        """
        import numpy as np

        failed = self._failed(values)
        if not self.by_language or languages is None:
            return failed
        for number in np.unique(languages[~np.isnan(languages)]):
            rule = self.in_language(number)
            if rule is not self:
                rows = languages == number
                failed[rows] = rule._failed(values[rows])
        return failed

    def _failed(self, values: np.ndarray) -> np.ndarray:
        import numpy as np

        failed: np.ndarray = np.zeros(len(values), dtype=bool)
        if self.at_least is not None:
            failed = np.less(values, self.at_least)
        elif self.at_most is not None:
            failed = np.greater(values, self.at_most)
        elif self.above is not None:
            failed = np.less_equal(values, self.above)
        elif self.below is not None:
            failed = np.greater_equal(values, self.below)
        return failed


LANGUAGE_NUMBER = "language_number"
"""Signal of a filter whose bounds depend on the language: the document's language as `language_number` makes it a number."""


@dataclass(frozen=True)
class Verdict:
    """What a filter found in a batch."""

    rules: list[Rule]
    """Rules that are on, in the order in which they are tried."""
    values: list[np.ndarray]
    """For each rule the values of its signal, float64 of shape (n_documents,)."""
    failed: np.ndarray
    """bool of shape (n_rules, n_documents)."""
    signals: dict[str, np.ndarray] = field(default_factory=dict)
    """All that was measured, also signals that no rule bounds; float64 of shape (n_documents,) each."""

    def threshold(self, index: int, row: int) -> float | None:
        """The bound that a rule held against a document, in the document's language."""
        rule = self.rules[index]
        if rule.by_language:
            rule = rule.in_language(float(self.signals[LANGUAGE_NUMBER][row]))
        return rule.threshold

    @property
    def kept(self) -> np.ndarray:
        """bool of shape (n_documents,): no rule failed."""
        import numpy as np

        return np.asarray(~self.failed.any(axis=0))

    @property
    def judged(self) -> np.ndarray:
        """bool of shape (n_documents,): some rule had a bound and a value to hold against it; without rules, some signal had a
        value. What has neither rules nor signals of its own judges all."""
        import numpy as np

        count = self.failed.shape[1]
        if not self.rules:
            signals = [values for name, values in self.signals.items() if name != LANGUAGE_NUMBER]
            return np.asarray(~np.isnan(signals).all(axis=0)) if signals else np.ones(count, dtype=bool)
        judged = np.zeros(count, dtype=bool)
        for rule, values in zip(self.rules, self.values, strict=True):
            judged |= ~np.isnan(values) & self._bounded(rule, count)
        return judged

    def _bounded(self, rule: Rule, count: int) -> np.ndarray:
        """Documents for which a rule has a bound, by their language; bool of shape (n_documents,)."""
        import numpy as np

        bounded: np.ndarray = np.full(count, rule.threshold is not None)
        if rule.by_language:
            languages = self.signals[LANGUAGE_NUMBER]
            for number in np.unique(languages[~np.isnan(languages)]):
                bounded[languages == number] = rule.in_language(float(number)).threshold is not None
        return bounded

    @property
    def first_failed(self) -> np.ndarray:
        """int64 of shape (n_documents,): index of the first failed rule, -1 for kept documents."""
        import numpy as np

        if not self.rules:
            return np.full(self.failed.shape[1], -1, dtype=np.int64)
        return np.where(self.failed.any(axis=0), self.failed.argmax(axis=0), -1)

    @property
    def first_failed_rule(self) -> list[str | None]:
        """Name of the first failed rule of each document, None for kept ones."""
        return [None if index < 0 else self.rules[index].name for index in self.first_failed]


class Filter(Stage):
    """A named list of rules. What judges, writes the ledger, prints help and answers what-if is written elsewhere, once."""

    evaluate: Literal["first", "all"] = "first"
    """`first`: the ledger names the first failed rule; `all`: it also lists every failed rule."""

    per_language: str | dict[str, dict[str, Any]] | None = None
    """Settings that other languages have, e.g. `{de: {max_word_length: 14}}`, by the column `language`; or the name of a shipped
    table (`fineweb2`), or the path of a YAML file of that form. The other settings are for the languages it does not name."""

    @field_validator("per_language")
    @classmethod
    def _read_table(cls, given: str | dict[str, dict[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
        # here and not where it is used: the run's own recipe then holds the thresholds it was run with
        if not isinstance(given, str):
            return given
        from gristmill.stages.language_tables import rows_for

        return rows_for(given, cls.kind)

    @model_validator(mode="after")
    def _rows_are_settings(self) -> Self:
        if self.per_language:
            self.all_rules()
        return self

    @abstractmethod
    def rules(self) -> Iterator[Rule]:
        """The rules in the order in which they are tried, for documents in a language without settings of its own."""

    def variants(self) -> dict[str, Filter]:
        """The filter with the settings of each language that has its own.

        Raises:
            ValueError: a row of `per_language` holds what is no setting of this filter, or no valid value.
        """
        if not isinstance(self.per_language, dict) or not self.per_language:
            return {}
        found, mistakes = {}, []
        for language, row in self.per_language.items():
            try:
                found[language] = self._variant(row)
            except ValueError as error:
                mistakes.append(f"per_language.{language}: {error}")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return found

    def _variant(self, row: dict[str, Any]) -> Filter:
        """The filter with these settings instead of its own.

        Raises:
            ValueError: one is no setting of this filter, is one for all languages, or has no valid value.
        """
        if wrong := sorted(set(row) & _FOR_ALL_LANGUAGES):
            raise ValueError(f"{wrong[0]} is one for all languages")
        takes = [name for name in type(self).model_fields if name not in _FOR_ALL_LANGUAGES]
        if unknown := sorted(set(map(str, row)) - set(takes)):
            near = get_close_matches(unknown[0], takes, n=3)
            there = ", ".join([*near, *(name for name in takes if name not in near)])
            raise ValueError(f"unknown key {unknown[0]}; a language can have {there}")
        # all of them, not those that were given: a resolved recipe gives all, and must mean the same
        own = {name: getattr(self, name) for name in type(self).model_fields if name != "per_language"}
        try:
            return type(self).model_validate(own | row)
        except ValueError as error:
            told = "; ".join(
                f"{'.'.join(str(part) for part in one['loc'])}: {one['msg'].removeprefix('Value error, ')}".removeprefix(": ")
                for one in getattr(error, "errors", list)()
            )
            raise ValueError(told or str(error)) from None

    def all_rules(self) -> list[Rule]:
        """The rules in the order in which they are tried, with those that take their place in other languages.

        Raises:
            ValueError: as `variants`, or the settings of a language make other rules, not other bounds.
        """
        rules = list(self.rules())
        for language, variant in self.variants().items():
            others = list(variant.rules())
            if [(one.name, one.signal) for one in others] != [(one.name, one.signal) for one in rules]:
                raise ValueError(
                    f"per_language.{language}: makes other rules, not other bounds; give such documents a step of their own"
                )
            rules = [
                replace(rule, by_language={**rule.by_language, language: other}) if _differ(rule, other) else rule
                for rule, other in zip(rules, others, strict=True)
            ]
        return rules

    def possible_rules(self) -> list[Rule]:
        """The rules, and those that other settings would add, with the bounds set here; what-if asks what a setting decides."""
        return self.all_rules()

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """Values of the signals that the rules name, float64 of shape (n_documents,) each.

        A filter whose signals are not in the catalogue (they need a model, a list, the URL) computes them here.
        """
        return {rule.signal: batch.signal(rule.signal, rule.switch_items) for rule in self.active_rules()}

    def language_numbers(self, batch: Batch) -> np.ndarray:
        """The languages of the documents, by the column `language`, as `language_number` makes them; NaN where it is null."""
        from gristmill.stages.language_tables import numbers_of

        return numbers_of(batch.table["language"])

    def annotate(self, batch: Batch) -> Batch:
        """Add what the filter learned to the documents' columns (the language, say); texts stay as they are."""
        return batch

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """A word more on why these rows failed `rule` (the word that was found, say), for the ledger's `detail`."""
        return [None] * len(rows)

    def reports(self, batch: Batch) -> pa.Table | None:
        """Places in documents that the run folder tells of though they stay (`reports/`): columns row int64, start int64, end
        int64 (characters of the text), text string, detail string, as of `Edited.cuts`; None: there is nothing to tell."""
        return None

    def languages_judged(self) -> list[str] | None:
        """The languages whose documents it can judge, by the column `language`; None: those of all.

        Documents in others pass. Here the languages with bounds, where there are none for the others.
        """
        rules = self.active_rules()
        if not rules or any(rule.threshold is not None for rule in rules):
            return None
        return sorted({key for rule in rules for key, other in rule.by_language.items() if other.threshold is not None})

    def when_nothing_is_judged(self) -> str:
        """What to look at where no document had a value, as a sentence; empty where there is nothing to say."""
        return ""

    def active_rules(self) -> list[Rule]:
        """The rules whose bound is set, for some language at least."""
        return [rule for rule in self.all_rules() if rule.is_on]

    @property
    def asks_language(self) -> bool:
        """Whether a bound depends on the language."""
        return any(rule.by_language for rule in self.active_rules())

    def judge(self, documents: Batch | pa.Table) -> Verdict:
        """Measure the documents and hold every rule against them.

        Args:
            documents: a batch, or any table with a column `text` (`url` for what looks at URLs).

        Raises:
            ValueError: the table has no such column.
        """
        import numpy as np

        from gristmill.stages.documents import Batch

        batch = documents if isinstance(documents, Batch) else Batch.of(documents)
        rules = self.active_rules()
        signals = self.measure(batch)
        languages = None
        if any(rule.by_language for rule in rules):
            languages = self.language_numbers(batch)
            signals = {**self._measured_by_language(batch, signals, languages), LANGUAGE_NUMBER: languages}
        values = [signals[rule.signal] for rule in rules]
        failed = np.zeros((len(rules), len(batch)), dtype=bool)
        for index, rule in enumerate(rules):
            failed[index] = rule.failed(values[index], languages)
        return Verdict(rules, values, failed, signals)

    def _measured_by_language(self, batch: Batch, signals: dict[str, np.ndarray], languages: np.ndarray) -> dict[str, np.ndarray]:
        """The signals, measured anew for documents in languages whose settings measure in another way (their own words, say)."""
        import numpy as np
        import pyarrow as pa

        from gristmill.stages.documents import Batch

        rules = {rule.signal: rule for rule in self.active_rules()}
        variants = self.variants()
        measured = dict(signals)
        for number in np.unique(languages[~np.isnan(languages)]):
            key = matching_key(language_of(number), tuple(variants))
            if key is None or all(
                rules[rule.signal].switch_items == rule.switch_items for rule in variants[key].rules() if rule.signal in rules
            ):
                continue
            rows = np.flatnonzero(languages == number)
            again = variants[key].measure(Batch(batch.table.take(pa.array(rows))))
            for name, values in again.items():
                if name in measured:
                    measured[name] = measured[name].copy()
                    measured[name][rows] = values
        return measured


def _differ(rule: Rule, other: Rule) -> bool:
    """Whether two rules of one name and signal judge differently."""
    return (rule.at_least, rule.at_most, rule.above, rule.below, rule.switch_items) != (
        other.at_least,
        other.at_most,
        other.above,
        other.below,
        other.switch_items,
    )
