"""The setting `words`: filters count words of languages without spaces, and nothing changes for those with spaces."""

import pyarrow as pa
import pytest
from pydantic import ValidationError

from gristmill.pipeline.identity import stage_identity
from gristmill.stages.fineweb import FineWeb
from gristmill.stages.gopher_quality import GopherQuality
from gristmill.stages.gopher_repetition import GopherRepetition
from gristmill.stages.roots import Roots
from gristmill.stages.word_choice import with_words

CHINESE = "我们在学校学习中文。"  # 5 words and a mark
THAI = "คนไทยกินข้าว"  # 4 words
FILTERS = (GopherQuality, GopherRepetition, FineWeb, Roots)


def table(*texts: str) -> pa.Table:
    return pa.table({"text": pa.array(texts, pa.large_string())})


def test_punctuation_counts_where_it_does_for_the_flavours_words():
    assert with_words({}, "whitespace", None) == {}
    assert with_words({"distinct": True}, "whitespace", "segmented") == {"distinct": True, "words": "segmented_alphanumeric"}
    assert with_words({"words": "uax29"}, "whitespace", "segmented_by_rules") == {"words": "segmented_by_rules"}
    assert with_words({}, "uax29_alphanumeric", "uax29") == {"words": "uax29_alphanumeric"}


@pytest.mark.parametrize(
    ("flavour", "words", "counts"),
    [
        ("dclm", None, [1, 1]),
        ("dclm", "segmented", [5, 4]),
        ("dclm", "segmented_by_rules", [9, 4]),
        ("datatrove", "segmented", [5, 4]),  # the mark is ignored there
        ("dolma", "segmented", [5, 4]),
    ],
)
def test_gopher_counts_the_words_that_are_chosen(flavour, words, counts):
    verdict = GopherQuality(flavour=flavour, words=words).judge(table(CHINESE, THAI))
    assert verdict.signals["word_count"].tolist() == counts


def test_mean_length_is_that_of_the_words_that_are_chosen():
    verdict = GopherQuality(words="segmented").judge(table(CHINESE))
    assert verdict.signals["mean_word_length"].tolist() == [9 / 5]


def test_repeated_ngrams_are_those_of_the_words_that_are_chosen():
    verdict = GopherRepetition(words="segmented").judge(table(THAI * 2))
    # กินข้าว is the longest of the pairs that occur twice: 7 of 12 characters
    assert verdict.signals["top_2gram_char_fraction"].tolist() == [pytest.approx(14 / 24)]
    assert GopherRepetition().judge(table("中文" * 2)).signals["top_2gram_char_fraction"].tolist() == [1.0]


def test_newlines_per_word_and_roots_count_the_words_that_are_chosen():
    assert FineWeb(words="segmented").judge(table(THAI + "\n")).signals["newlines_per_word"].tolist() == [0.25]
    assert Roots(language="th", words="segmented").judge(table(THAI)).signals["roots_word_count"].tolist() == [4]


@pytest.mark.parametrize("kind", FILTERS)
def test_text_with_spaces_is_judged_as_with_uax29(kind):
    texts = table("The quick brown fox, and that of the others. " * 20, "Größe – это 3.14…\n" * 9, "")
    ours, others = kind(words="segmented").judge(texts), kind(words="uax29").judge(texts)
    assert {name: str(values) for name, values in ours.signals.items()} == {
        name: str(values) for name, values in others.signals.items()
    }


@pytest.mark.parametrize("kind", FILTERS)
def test_the_dictionarys_version_is_part_of_the_steps_identity_only_where_it_is_used(kind):
    assert "icu4py" in stage_identity(kind(words="segmented"))["libraries"]
    assert "icu4py" not in stage_identity(kind(words="segmented_by_rules"))["libraries"]
    kind(words="segmented").set_up()


@pytest.mark.parametrize("kind", [GopherQuality, GopherRepetition])
def test_redpajamas_words_are_not_chosen(kind):
    with pytest.raises(ValidationError, match="rpv2 has words of its own"):
        kind(flavour="rpv2", words="segmented")
