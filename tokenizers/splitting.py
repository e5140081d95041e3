"""Where text is cut before a tokenizer's model sees it: patterns as GPT-2 and GPT-4 have them, digits, Galactica's rules.

The patterns are those that tokenizers of the same names carry in their public files; what differs between settings is how
digits are cut. They are in the syntax of Oniguruma, the library that `tokenizers` searches with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gristmill.tokenizers.model_settings import GALACTICA_MARKERS, GALACTICA_SEQUENCES, LONGEST_SPACE_RUN, TokenizerModel

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

CONTRACTIONS = r"'s|'t|'re|'ve|'m|'ll|'d"
SPACES = r"\s+(?!\S)|\s+"
OPERATORS = r"\-+*/^=<>()"
"""Signs that stand alone under Galactica's rules: ASCII operators and parentheses, as Taylor et al. 2022 (arXiv:2211.09085, §3.1)
name them; the list of signs is ours."""
SPACE_RUN = f" {{2,{LONGEST_SPACE_RUN}}}"

_CASED = r"[^\r\n\p{L}\p{N}]?"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O_PATTERN = (
    rf"{_CASED}{_UPPER}*{_LOWER}+(?i:{CONTRACTIONS})?|{_CASED}{_UPPER}+{_LOWER}*(?i:{CONTRACTIONS})?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|{SPACES}"
)
"""For files of ranks of GPT-4o's kind; words end where lower case turns to upper case."""

_GPT2_DIGITS = {"none": r" ?\p{N}+", "single": r"\p{N}", "triples": r"\p{N}{1,3}"}
_GPT4_DIGITS = {"none": r"\p{N}+", "single": r"\p{N}", "triples": r"\p{N}{1,3}"}


def split_pattern(settings: TokenizerModel) -> str:
    """The pattern whose matches are the pieces of a text.

    Raises:
        ValueError: the split is no pattern (bert).
    """
    digits = settings.digits_name
    if settings.split_name == "gpt2":
        return rf"{CONTRACTIONS}| ?\p{{L}}+|{_GPT2_DIGITS[digits]}| ?[^\s\p{{L}}\p{{N}}]+|{SPACES}"
    if settings.split_name == "gpt4":
        word = r"[^\r\n\p{L}\p{N}]?\p{L}+"
        return rf"(?i:{CONTRACTIONS})|{word}|{_GPT4_DIGITS[digits]}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|{SPACES}"
    if settings.split_name == "galactica":
        signs = rf" ?(?:(?!{_markers()})[^\s\p{{L}}\p{{N}}{OPERATORS}])+"
        return rf"{_markers()}|{CONTRACTIONS}| ?\p{{L}}+|{_GPT2_DIGITS[digits]}|[{OPERATORS}]|{signs}|{SPACES}"
    raise ValueError(f"split {settings.split_name} has no pattern")


def pre_tokenizer(settings: TokenizerModel, *, training: bool = False) -> PreTokenizer:
    """What cuts texts for a model.

    Args:
        settings: of the tokenizer.
        training: leave out the runs of spaces that have tokens of their own, which encoding takes out before it cuts.
    """
    from tokenizers import Regex, pre_tokenizers

    steps: list[Any] = []
    if training and settings.space_runs:
        steps.append(pre_tokenizers.Split(Regex(SPACE_RUN), "removed"))
    if settings.split_name == "bert":
        steps.append(pre_tokenizers.BertPreTokenizer())
        if settings.digits_name != "none":
            steps.append(pre_tokenizers.Split(Regex(_GPT4_DIGITS[settings.digits_name]), "isolated"))
    elif settings.split_name == "gpt2" and settings.digits_name == "none" and settings.model == "bpe":
        # the library's own form of the pattern, which it searches faster
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True))
    else:
        if settings.split_name == "galactica":
            steps += [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in _sequence_patterns()]
        steps.append(pre_tokenizers.Split(Regex(split_pattern(settings)), "isolated"))
        if settings.model == "bpe":
            steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    return steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)


def pieces(settings: TokenizerModel, text: str) -> list[str]:
    """The pieces of a text, for people to look at; their concatenation is the text, unless the split is bert."""
    cutter = pre_tokenizer(settings)
    return [text[start:stop] for _, (start, stop) in cutter.pre_tokenize_str(text)]


def _markers() -> str:
    return "|".join(marker.replace("[", r"\[").replace("]", r"\]") for marker in GALACTICA_MARKERS)


def _sequence_patterns() -> tuple[str, str]:
    """Two cuts after which each character between matching markers stands alone; a line break or another end mark undoes it.

    The first isolates a sequence with its markers. The second walks through such a piece: `\\G` holds only where the last match
    ended, so that nothing matches in a piece that does not begin with a start mark.

    Source: the public code of Taylor et al. 2022, which marks the cuts in the text instead.
    """
    kinds = "|".join(GALACTICA_SEQUENCES)
    whole = rf"\[START_({kinds})\].*?\[END_\1\]"
    each = rf"\A\[START_({kinds})\](?=.*\[END_\1\]\z)|\G(?!\A)(?:\[END_(?:{kinds})\]\z|.)"
    return whole, each
