"""How word vectors are trained: settings alone, which load nothing."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ByteSize, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from gristmill.stages.settings import Settings


class EmbeddingsTraining(Settings):
    """Word vectors as fastText makes them, for texts' embeddings without a transformer."""

    model: Literal["skipgram", "cbow"] = "skipgram"
    """`skipgram`: a word tells its neighbours; `cbow`: the neighbours tell the word, which takes about twice the time here."""
    dimensions: PositiveInt = 100
    """Numbers of a vector."""
    epochs: PositiveInt = 5
    """Times that each text is learned from."""
    learning_rate: PositiveFloat = 0.05
    """At the beginning; it falls to 0."""
    window: PositiveInt = 5
    """Most words from a word to its neighbours."""
    negatives: PositiveInt = 5
    """Words drawn at random that a word is told from, for each neighbour."""
    sampling: PositiveFloat = 1e-4
    """Words with a larger share of all are left out at random, the more the more frequent."""
    min_count: PositiveInt = 5
    """Fewest occurrences of a word that gets a vector of its own."""
    shortest: PositiveInt = 3
    """Fewest characters of the parts of words that have vectors too, which is how unknown words get one."""
    longest: NonNegativeInt = 6
    """Most characters of these parts; 0: words alone have vectors."""
    buckets: PositiveInt = 1 << 18
    """Rows that all parts share by their hash; 105 MB of the file with 100 dimensions."""
    sample_bytes: ByteSize = ByteSize(100_000_000)
    """Most text to learn from, e.g. 100MB: the documents with the lowest hashes of their texts; memory holds it and its words."""
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Of the hashes that choose and order documents, of the first numbers and of what is drawn."""

    @model_validator(mode="after")
    def _parts_have_lengths(self) -> Self:
        if self.longest and self.shortest > self.longest:
            raise ValueError(f"shortest: {self.shortest} is more than longest: {self.longest}; give at most {self.longest}")
        return self
