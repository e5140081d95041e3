"""Recipes: which sources are read, what is done to their documents, and what is written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any, Literal, Self

from annotated_types import Gt
from pydantic import BeforeValidator, ByteSize, Field, NonNegativeInt, PositiveFloat, field_validator, model_validator

from gristmill.pipeline.readers.reader import ReadSettings
from gristmill.pipeline.recipe_errors import Problem, shown_path
from gristmill.pipeline.yaml_lines import Loc
from gristmill.stages.filter import Filter
from gristmill.stages.registry import STAGES
from gristmill.stages.settings import Settings
from gristmill.stages.stage import Stage
from gristmill.tokenizers.model_settings import TokenizerModel

Bytes = Annotated[ByteSize, Gt(0)]
"""A number of bytes: 256MB (10^6), 64MiB (2^20), or an int."""
Fraction = Annotated[float, Field(ge=0, le=1)]

HTML_FORMATS = frozenset({"warc"})
"""Formats whose documents come as pages, without text before `extract`."""
STEPS_OF_OUR_OWN = frozenset({"read", "tokenize"})
"""Names in the ledger and the funnel that no stage may take."""


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class SourceRead(ReadSettings):
    """Where the documents of a source are, and how they are read."""

    paths: Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)] = Field(
        default_factory=list
    )
    """Files, folders, patterns such as `crawl/*.warc.gz`, URLs, or `@list.txt`; none where `--input` is to name them."""

    @model_validator(mode="before")
    @classmethod
    def _from_read_settings(cls, value: Any) -> Any:
        return value.model_dump() if isinstance(value, ReadSettings) and not isinstance(value, cls) else value


class Source(Settings):
    """One source of documents."""

    read: SourceRead
    """Where the documents come from, and in which format."""
    stages: list[Stage] = Field(default_factory=list)
    """What is done to this source's documents, in this order."""


class TrainTokenizer(TokenizerModel):
    """A tokenizer trained on a hash sample of the curated documents."""

    sample_bytes: Bytes = ByteSize(100_000_000)
    """Most bytes of text to learn from."""
    fewer: bool = True
    """Take a smaller vocabulary where the documents offer no more tokens; else stop there."""


class Tokenize(Settings):
    """Token shards of the curated documents, with a tokenizer of the run's own or one that exists."""

    train: TrainTokenizer | None = None
    """Train a tokenizer, then use it."""
    tokenizer: str | None = None
    """Use this one: a tokenizer.json, or a file of ranks as tiktoken reads them."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Fingerprint that the tokenizer must have; pins one that was trained elsewhere."""
    eos: str | None = None
    """Token after each document; `<|endoftext|>` unless given."""
    bos: str | None = None
    """Token before each document; none unless given."""
    shard_bytes: Bytes = ByteSize(512 * 2**20)
    """Most bytes of tokens in a shard file; where a source needs several, each holds more than about half of that."""
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0
    """Share of the documents, by hash of their ids, that go to shards of their own in `held_out/` and never into `shards/`. A
    document's side depends on its id alone: it stays there when the corpus grows, and in other runs."""

    @model_validator(mode="after")
    def _one_tokenizer(self) -> Self:
        if (self.train is None) == (self.tokenizer is None):
            given = "neither" if self.train is None else "both"
            raise ValueError(f"names {given} of train and tokenizer; give one: {{train: {{}}}} or {{tokenizer: PATH}}")
        if self.sha256 is not None and self.tokenizer is None:
            raise ValueError("sha256 pins a tokenizer that is given; a trained one is what it is")
        return self


class Output(Settings):
    """What a run writes."""

    file_bytes: Bytes = ByteSize(256_000_000)
    """Bytes of text after which a Parquet file of documents ends."""
    signals: bool = True
    """Also write the values of all signals, of kept documents and removed ones."""
    edits: bool = False
    """Also write the text that editors cut."""


class Ledger(Settings):
    """How much of the removed documents is kept."""

    text: Literal["sample", "all", "none"] = "sample"
    """Which removed documents keep their text in the ledger."""
    sample_size: NonNegativeInt = 100
    """Removed documents that keep their text under `sample`: the lowest id hashes of each stage, rule and source."""


class Guardrails(Settings):
    """Where a run stops because a stage removes more than it should; a deduplication that removes 98% is usually a bug."""

    enabled: bool = True
    """Stop there; else only say so."""
    at_most_removed: Fraction = 0.98
    """Largest share of its documents that a stage may remove."""
    at_most_unextracted: Fraction = 0.5
    """Largest share of its pages that `extract` may lose."""
    from_documents: NonNegativeInt = 1000
    """Fewest documents into a stage, of one source, for its share to be judged."""
    stages: dict[str, Fraction] = Field(default_factory=dict)
    """Largest share for single steps, by the name of the step."""

    def limit(self, label: str, extracts: bool = False) -> float:
        """Largest share of its documents that a step may remove; `extracts` says that it makes text of pages."""
        return self.stages.get(label, self.at_most_unextracted if extracts else self.at_most_removed)


class Recipe(Settings):
    """How a corpus is made."""

    name: str
    """What the corpus is called; a run folder holds runs of one recipe."""
    seed: int = 0
    """Decides everything that is drawn: samples, orders, hash functions."""
    sources: dict[str, Source] = Field(min_length=1)
    """The sources by name, each with its own stages."""
    stages: list[Stage] = Field(default_factory=list)
    """What is done to the documents of all sources together, after that."""
    tokenize: Tokenize | None = None
    """Write token shards; none unless given."""
    mixture: dict[str, PositiveFloat] | None = None
    """Weight of each source among the training tokens; equal to its tokens unless given."""
    output: Output = Output()
    """What is written."""
    ledger: Ledger = Ledger()
    """What is kept of removed documents."""
    guardrails: Guardrails = Guardrails()
    """When a run stops by itself."""
    partition_bytes: Bytes = ByteSize(64_000_000)
    """Bytes of text that one task works on; decides memory and speed, never the output."""
    cluster_bytes: Bytes = ByteSize(1_000_000_000)
    """Memory for one task that joins pairs of duplicates to clusters. Where they need more, pairs change hands in rounds
    instead, which takes longer; decides memory and speed, never the output."""

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"is {name!r}; it names a folder: use letters, digits, ., - and _ only")
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        read = {name: (source.read.format, source.stages) for name, source in self.sources.items()}
        problems = [
            *arrangement_problems(read, self.stages),
            *name_problems(list(self.sources), read, self.stages, self.mixture, self.guardrails.stages),
        ]
        if problems:
            raise ValueError("; ".join(f"{shown_path(problem.loc)}: {problem.message}" for problem in problems))
        return self


Read = Mapping[str, tuple[str | None, Sequence[Stage]]]
"""For each source its format (None where it is not known) and its stages."""


def arrangement_problems(read: Read, across: Sequence[Stage]) -> Iterator[Problem]:
    """Find steps that cannot stand where they do, and names that two steps share.

    A bare `Stage` stands for an entry that could not be read; what hangs on it is not judged.

    Args:
        read: the sources.
        across: stages across all sources.
    """
    problems: list[Problem] = []
    taken: dict[str, str] = {}
    for name, (format_, stages) in read.items():
        loc: Loc = ("sources", name, "stages")
        taken = _labels(stages, loc, {}, problems) | taken
        if format_ is not None:
            problems += _text_problems(format_, stages, loc, bool(across))
        problems += _impossible_rules(stages, loc)
    problems += _mask_problems(read, across)
    _labels(across, ("stages",), taken, problems)
    problems += _impossible_rules(across, ("stages",))
    for index, stage in enumerate(across):
        if stage.needs in ("html", "page"):
            problems.append(
                Problem(("stages", index), f"{stage.label} works on pages; move it to the stages of a source that has them")
            )
    yield from problems


def name_problems(
    names: Sequence[str], read: Read, across: Sequence[Stage], mixture: Mapping[str, float] | None, guarded: Mapping[str, float]
) -> Iterator[Problem]:
    """Find names of sources and steps that do not exist or cannot be used."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            yield Problem(("sources", name), f"is {name!r}; it names a folder: use letters, digits, - and _ only")
    for name in mixture or ():
        if name not in names:
            yield Problem(("mixture", name), f"no such source; the recipe has {', '.join(names)}")
    if mixture is not None and (unweighted := [name for name in names if name not in mixture]):
        yield Problem(("mixture",), f"gives no weight to {', '.join(unweighted)}; name every source")
    stages = [stage for stages in (*(stages for _, stages in read.values()), across) for stage in stages]
    labels = list(dict.fromkeys(["read", *(stage.label for stage in stages)]))
    for label in guarded:
        if label not in labels:
            yield Problem(("guardrails", "stages", label), f"no such step; the recipe has {', '.join(labels)}")


def _labels(stages: Sequence[Stage], loc: Loc, taken: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    """Where each step's name stands first, beside those taken already; adds names that cannot be used to `problems`."""
    places = dict(taken)
    for index, stage in enumerate(stages):
        if type(stage) is Stage:
            continue
        here, label = (*loc, index), stage.label
        if not label:
            problems.append(Problem(here, f"{type(stage).__name__} has no name; give it one (name: ...)"))
        elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", label):
            problems.append(Problem(here, f"name is {label!r}; use letters, digits, - and _ only"))
        elif label in STEPS_OF_OUR_OWN:
            problems.append(Problem(here, f"name is {label!r}, which the ledger uses for a step of its own; choose another"))
        elif label in places:
            problems.append(
                Problem(here, f"a second step called {label}; the first is {places[label]}: give one a name (name: ...)")
            )
        else:
            places[label] = shown_path(here)
    return places


def _impossible_rules(stages: Sequence[Stage], loc: Loc) -> Iterator[Problem]:
    """Find filters whose own rules leave nothing that could be kept, and thresholds that are no numbers."""
    for index, stage in enumerate(stages):
        if not isinstance(stage, Filter):
            continue
        try:
            rules = stage.active_rules()
        except AttributeError:  # of settings that could not be read
            continue
        for rule in rules:
            thresholds = [one.threshold for one in (rule, *rule.by_language.values())]
            if any(threshold is not None and math.isnan(threshold) for threshold in thresholds):
                yield Problem((*loc, index), f"the threshold of {rule.name} is nan; should be a number")
        every = [rules, *(variant.active_rules() for variant in stage.variants().values())]
        for low, high in (pair for one in every for pair in combinations(one, 2)):
            if low.signal != high.signal or low.switch_items != high.switch_items:
                continue
            if high.at_least is not None or high.above is not None:
                low, high = high, low
            least, most = (low.at_least, low.above), (high.at_most, high.below)
            floor = least[0] if least[0] is not None else least[1]
            ceiling = most[0] if most[0] is not None else most[1]
            if (
                floor is not None
                and ceiling is not None
                and (floor > ceiling or (floor == ceiling and (least[1], most[1]) != (None, None)))
            ):
                yield Problem(
                    (*loc, index),
                    f"no document can pass both {low.name} ({low.signal} {floor:g} or more) and "
                    f"{high.name} ({high.signal} {ceiling:g} or less); move one threshold",
                )


def _mask_problems(read: Read, across: Sequence[Stage]) -> Iterator[Problem]:
    """Find stages that change texts after one that says which of their characters are masked."""
    masked = ""
    for loc, stages in (*((("sources", name, "stages"), stages) for name, (_, stages) in read.items()), (("stages",), across)):
        before = masked if stages is across else ""
        for index, stage in enumerate(stages):
            if before and stage.changes_text:
                told = f"{stage.label} changes texts of which {before} has masked characters; put it before {before}"
                yield Problem((*loc, index), told)
            before = stage.label if stage.masks_loss else before
        masked = masked or before


def _text_problems(format_: str, stages: Sequence[Stage], loc: Loc, text_wanted: bool) -> Iterator[Problem]:
    """Find stages that come before what they need, or after it is gone."""
    unread = any(type(stage) is Stage for stage in stages)
    has_text, has_html = format_ not in HTML_FORMATS, format_ in HTML_FORMATS
    for index, stage in enumerate(stages):
        if stage.needs == "html" and not has_html:
            why = f"{format_} documents carry text already" if format_ not in HTML_FORMATS else "the pages are text by then"
            yield Problem((*loc, index), f"{stage.label} needs pages, and {why}; remove it")
        elif stage.needs == "page" and not has_html and format_ in HTML_FORMATS:
            yield Problem((*loc, index), f"{stage.label} reads pages, and the pages are text by then; put it before extract")
        elif stage.needs == "text" and not has_text and type(stage) is not Stage and not unread:
            yield Problem(
                (*loc, index), f"{stage.label} needs text, and {format_} documents have none yet; put extract before it"
            )
        if stage.needs == "html":
            has_text, has_html = True, False
    if not has_text and not unread and not any(stage.needs == "text" for stage in stages):
        then = "the recipe's stages need text" if text_wanted else "nothing would be left to write"
        yield Problem(loc, f"hold no extract: {format_} documents are pages without text, and {then}; add extract")


def stage_entry(stage: Stage) -> dict[str, dict[str, Any]]:
    """A stage as it stands in a resolved recipe: its name, or `module:Class` of a user's own, with all its settings."""
    target = f"{type(stage).__module__}:{type(stage).__qualname__}"
    kind = next((name for name, known in STAGES.items() if known == target), target)
    return {kind: stage.model_dump(mode="json")}


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe with every default filled in, as JSON values; `recipe_from_resolved` reads it again."""
    data = recipe.model_dump(mode="json", exclude={"stages": True, "sources": True})
    data["sources"] = {
        name: {"read": source.read.model_dump(mode="json"), "stages": [stage_entry(stage) for stage in source.stages]}
        for name, source in recipe.sources.items()
    }
    data["stages"] = [stage_entry(stage) for stage in recipe.stages]
    return {key: data[key] for key in Recipe.model_fields}


def recipe_from_resolved(data: Mapping[str, Any], name: str = "resolved recipe") -> Recipe:
    """Make a recipe from what `resolved` gave, or from any mapping in the form of a recipe file.

    Args:
        data: the mapping; stages are names, `{name: settings}`, or stages.
        name: what error messages call it.

    Raises:
        UserError: it is no valid recipe; the message lists all mistakes.
    """
    from gristmill.pipeline.recipe_file import parse_recipe

    return parse_recipe(data, lambda loc: f"{name}: {shown_path(loc)}" if loc else name)


def load_recipe(
    name_or_path: str, sets: Sequence[str] = (), inputs: Sequence[str] = (), *, paths_required: bool = True
) -> Recipe:
    """Read a recipe file, or a shipped recipe by its name.

    Relative paths in the file (inputs, lists, the tokenizer) are sought beside the file first, then from the current folder;
    those in `sets` and `inputs` are relative to the current folder.

    Args:
        name_or_path: a name from `gristmill recipe list`, or a file.
        sets: changes, each `PATH=VALUE`.
        inputs: paths that replace those of the only source, or `NAME=PATH` for a named one.
        paths_required: a source without paths is an error.

    Raises:
        UserError: it cannot be read, or is no valid recipe; the message lists all mistakes, each with its line.
    """
    from gristmill.pipeline.recipe_file import load

    return load(name_or_path, sets, inputs, paths_required)
