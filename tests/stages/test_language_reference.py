import pytest

from gristmill.stages.language_reference import language_rows, least_score


@pytest.fixture
def model(tmp_path, fasttext_model):
    words = {"mill": "en", "stone": "en", "flour": "en", "Mühlenrad": "de", "Mahlstein": "de"}
    return fasttext_model(tmp_path / "own.bin", words, ["en", "de"])


def test_bounds_follow_the_languages_words(model):
    texts = {"en": ["mill stone flour"] * 60, "de": ["Mühlenrad Mahlstein"] * 60, "fr": ["la farine"] * 60, "sv": ["mjöl"] * 9}
    rows = language_rows(texts, model)
    # words of 14/3 characters against words of 9; a score that never varies is its own median
    assert rows["en"]["gopher_quality"] == {"min_word_length": 3, "max_word_length": 10, "min_words_with_a_letter": 0.8}
    assert rows["de"]["gopher_quality"] == {
        "min_word_length": 5.8,
        "max_word_length": 19.3,
        "min_words_with_a_letter": 0.8,
        "min_stop_words": None,
    }
    assert rows["en"]["language"] == {"min_score": 0.9}
    # no label for French, too few texts of Swedish
    assert sorted(rows) == ["de", "en"]


def test_the_least_score_is_the_median_less_a_deviation_of_the_texts_that_are_recognised(model):
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.language_model import predict

    texts = ["mill", "mill stone Mahlstein", "mill", "Mahlstein"]
    scores = predict(model, pa.array(texts)).scores[:3]
    assert least_score("en", texts, model) == round(float(min(0.9, np.median(scores) - np.std(scores))), 3)
    assert least_score("en", ["Mahlstein"], model) is None
    assert least_score("en", [], model) is None


def test_without_english_there_is_nothing_to_compare_with(model):
    with pytest.raises(ValueError, match="no texts of English"):
        language_rows({"de": ["Mahlstein"] * 60}, model)
