"""How a quality classifier is trained: settings alone, which load nothing, and those that published recipes used."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from gristmill.stages.settings import Settings

RecipeName = Literal["gpt3", "glam", "pile", "llama", "dclm"]

# GPT-3 and GLaM: a linear classifier of hashed words; n-grams of words are not told of (neither has public code)
_WORDS_ALONE = {"word_ngrams": 1}
# the library's defaults, which RedPajama took for LLaMA's classifier
_LIBRARY = {"dimensions": 100, "learning_rate": 0.1, "epochs": 5, "word_ngrams": 1}
RECIPES: dict[str, dict[str, Any]] = {
    "gpt3": _WORDS_ALONE,
    "glam": _WORDS_ALONE,
    "pile": {"word_ngrams": 2, "min_characters": 101, "max_characters": 4000, "last_characters": 1500},
    "llama": _LIBRARY | {"min_characters": 1000},
    # two million buckets and 200,000 documents of each kind: from memory
    "dclm": _LIBRARY | {"word_ngrams": 2, "buckets": 2_000_000, "documents": 200_000},
}
"""What each recipe sets; the rest is the default."""
KEEPING = {"gpt3": "pareto: 9", "glam": "pareto: 9", "pile": "pareto: 3", "llama": "at_least: 0.25", "dclm": "top: 0.1"}
"""What each recipe then kept, as a setting of `quality_classifier`; GLaM gives no alpha, so it has GPT-3's."""


class ClassifierTraining(Settings):
    """A fastText classifier of two kinds of documents."""

    recipe: RecipeName | None = None
    """Settings of a published classifier; what is given beside it wins."""
    dimensions: PositiveInt = 16
    """Numbers a word is described by; two kinds are told apart with few."""
    word_ngrams: Annotated[int, Field(ge=1, le=5)] = 2
    """Most words of an n-gram; 1 looks at words alone."""
    buckets: PositiveInt = 1 << 20
    """Rows that all n-grams of two words and more share by their hash; 64 MB of the file with 16 dimensions."""
    epochs: PositiveInt = 5
    """Times that each document is learned from."""
    learning_rate: PositiveFloat = 0.5
    """Of the first document; it falls to 0 with the last."""
    min_count: PositiveInt = 1
    """Fewest occurrences of a word that is learned."""
    min_characters: PositiveInt = 1
    """Fewest characters of a document to learn from."""
    max_characters: PositiveInt | None = None
    """Characters from the start of a text that are looked at; all of them unless given. Give the stage the same."""
    last_characters: NonNegativeInt = 0
    """With `max_characters`: characters at the end of a longer text that are looked at too. Give the stage the same."""
    documents: PositiveInt = 100_000
    """Most documents of each kind, those with the lowest hashes; they are held in memory."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the documents, by their hash, that nothing is learned from and the tables are made with."""
    seed: NonNegativeInt = 0
    """Of the hashes that choose and order documents, and of the first numbers."""

    @model_validator(mode="before")
    @classmethod
    def _with_recipe(cls, given: Any) -> Any:
        return RECIPES.get(given.get("recipe") or "", {}) | given if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _ends_need_a_beginning(self) -> Self:
        if self.last_characters and self.max_characters is None:
            raise ValueError("last_characters are looked at besides max_characters; set max_characters too")
        return self
