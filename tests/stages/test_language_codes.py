import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.language_codes import LONGEST, folded, language_number, language_of, matching_key, scripts_of


@pytest.mark.parametrize(
    ("label", "scripts"),
    [
        ("en", ("Latn",)),
        ("deu_Latn", ("Latn",)),
        ("sr", ("Cyrl", "Latn")),
        ("srp_Latn", ("Latn",)),
        ("ja", ("Hani", "Hira", "Kana")),
        ("zho_Hant", ("Hani",)),
        ("kor_Hang", ("Hang",)),
        ("klingon", ()),
    ],
)
def test_scripts_of_a_label(label, scripts):
    assert scripts_of(label) == scripts


@pytest.mark.parametrize(
    ("label", "keys", "key"),
    [
        ("deu_Latn", ["de", "deu", "deu_Latn"], "deu_Latn"),
        ("deu_Latn", ["de", "deu"], "deu"),
        ("deu_Latn", ["de", "en"], "de"),
        ("de", ["deu", "eng"], "deu"),
        ("cmn_Hani", ["zh", "yue"], "zh"),
        ("ekk_Latn", ["et"], "et"),
        ("nob_Latn", ["no", "nn"], "no"),
        ("als_Latn", ["sq"], "sq"),
        ("als", ["sq"], None),
        ("eng_Latn", ["eng_Cyrl"], None),
        ("en", ["de"], None),
        ("klingon", ["klingon"], "klingon"),
        ("xxx", [], None),
    ],
)
def test_a_key_means_the_label_itself_then_its_language_then_another_code_of_it(label, keys, key):
    assert matching_key(label, keys) == key


@given(st.text())
def test_a_number_says_the_code_again_and_fits_a_float(code):
    number = language_number(code)
    assert number == int(number) < 2**53
    assert language_of(number) == folded(code)
    assert len(folded(code)) == min(len(code.lower()[:LONGEST]), LONGEST)


def test_codes_that_models_use_have_numbers_of_their_own():
    codes = ["en", "de", "eng_Latn", "deu_Latn", "zho_Hans", "zho_Hant", "be-tarask"]
    assert len({language_number(code) for code in codes}) == len(codes)
    assert language_of(language_number("zho_Hant")) == "zho_hant"
