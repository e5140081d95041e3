"""What kind of tokenizer is trained: settings alone, which load nothing."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

END_OF_TEXT = "<|endoftext|>"
BYTES = 256
LONGEST_SPACE_RUN = 24
GALACTICA_SEQUENCES = ("DNA", "SMILES", "I_SMILES", "AMINO")
"""What stands between `[START_X]` and `[END_X]` is split into characters."""
GALACTICA_MARKERS = (
    "[START_REF]",
    "[END_REF]",
    *(f"[{edge}_{kind}]" for kind in GALACTICA_SEQUENCES for edge in ("START", "END")),
    "<work>",
    "</work>",
)


class TokenizerModel(BaseModel):
    """A tokenizer to be trained."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: Literal["bpe", "bpe_byte_fallback", "unigram", "wordpiece"] = "bpe"
    """bpe: byte-level BPE, the same bytes on any machine. bpe_byte_fallback: BPE of characters, rare ones as bytes. unigram and
    wordpiece: as the library trains them, which varies from run to run: train once, and go on with the file."""
    vocab_size: Annotated[int, Field(ge=257)] = 8192
    """Tokens of the vocabulary, with bytes, special tokens and runs of spaces."""
    split: Literal["gpt2", "gpt4", "galactica", "bert"] | None = None
    """How text is cut before the model sees it; no token crosses a cut. gpt2 unless given, bert for wordpiece."""
    digits: Literal["none", "single", "triples"] | None = None
    """none: a number is one piece; single: each digit is; triples: three digits from the left. As the split has it unless given:
    none in gpt2 and bert, triples in gpt4, single in galactica."""
    space_runs: bool = False
    """Tokens for runs of 2 to 24 spaces, as in GPT-NeoX-20B: indented code takes far fewer tokens."""
    special_tokens: tuple[str, ...] = ()
    """Special tokens besides the end-of-text token, which comes first."""
    normalize: Literal["none", "nfc", "nfkc"] = "none"
    """Unicode normalisation before all else; what it changes does not come back when tokens are decoded."""
    min_frequency: Annotated[int, Field(ge=1)] = 2
    """Fewest occurrences of a pair that BPE merges."""
    character_coverage: Annotated[float, Field(gt=0, le=1)] = 0.9995
    """Share of the characters of the texts that get tokens of their own; not for bpe, whose alphabet are the bytes."""

    @property
    def split_name(self) -> Literal["gpt2", "gpt4", "galactica", "bert"]:
        """`split`, or what holds when it is not set."""
        return self.split or ("bert" if self.model == "wordpiece" else "gpt2")

    @property
    def digits_name(self) -> Literal["none", "single", "triples"]:
        """`digits`, or what holds when it is not set."""
        by_split: dict[str, Literal["none", "single", "triples"]] = {"gpt4": "triples", "galactica": "single"}
        return self.digits or by_split.get(self.split_name, "none")

    def reserved(self, eos: str = END_OF_TEXT) -> int:
        """Tokens of the vocabulary that are given and not learned."""
        given = len(self.special(eos)) + (LONGEST_SPACE_RUN - 1 if self.space_runs else 0)
        given += len(GALACTICA_MARKERS) if self.split_name == "galactica" else 0
        return given + (0 if self.model == "wordpiece" else BYTES) + (self.model != "bpe")

    def special(self, eos: str = END_OF_TEXT) -> list[str]:
        """The special tokens, end of text first."""
        return [eos, *self.special_tokens]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.split_name == "galactica" and self.model != "bpe":
            raise ValueError(f"split galactica needs model bpe, the model is {self.model}")
        if (self.split_name == "bert") != (self.model == "wordpiece"):
            raise ValueError(
                f"split {self.split_name} does not go with model {self.model}; wordpiece takes bert, and no other does"
            )
        if self.space_runs and self.model == "wordpiece":
            raise ValueError("space_runs: wordpiece drops white space; leave it out")
        if len(set(self.special_tokens)) < len(self.special_tokens):
            raise ValueError(f"special_tokens holds a token twice: {', '.join(self.special_tokens)}")
        if not all(self.special_tokens):
            raise ValueError("special_tokens holds an empty token")
        return self
