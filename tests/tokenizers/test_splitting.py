import pytest

from gristmill.tokenizers.model_settings import TokenizerModel
from gristmill.tokenizers.splitting import pieces


def cut(text, **settings):
    return pieces(TokenizerModel(**settings), text)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["It", "'s", " 12345", ",", " x", "\n", "\n", "y"]),
        ({"digits": "single"}, ["It", "'s", " ", "1", "2", "3", "4", "5", ",", " x", "\n", "\n", "y"]),
        ({"digits": "triples"}, ["It", "'s", " ", "123", "45", ",", " x", "\n", "\n", "y"]),
        ({"split": "gpt4"}, ["It", "'s", " ", "123", "45", ",", " x", "\n\n", "y"]),
        ({"split": "gpt4", "digits": "none"}, ["It", "'s", " ", "12345", ",", " x", "\n\n", "y"]),
        ({"model": "wordpiece", "digits": "triples"}, ["It", "'", "s", "123", "45", ",", "x", "y"]),
    ],
)
def test_digits_and_patterns(settings, expected):
    assert cut("It's 12345, x\n\ny", **settings) == expected


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_the_two_forms_of_the_gpt2_pattern_cut_alike(model):
    text = "  two  spaces\t tab 1a2 naïve 漢字 12.5% don't\r\n end  "
    assert cut(text, model=model) == [
        " ", " two", " ", " spaces", "\t", " tab", " 1", "a", "2", " naïve", " 漢字", " 12", ".", "5", "%", " don", "'t", "\r\n",
        " end", "  ",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x [START_DNA]CGT[END_DNA] y", ["x", " ", "[START_DNA]", "C", "G", "T", "[END_DNA]", " y"]),
        ("[START_SMILES]C(C(=O)O)N[END_SMILES]", ["[START_SMILES]", *"C(C(=O)O)N", "[END_SMILES]"]),
        ("[START_I_SMILES]C@[END_I_SMILES]", ["[START_I_SMILES]", "C", "@", "[END_I_SMILES]"]),
        ("[START_AMINO]MKV[END_AMINO]", ["[START_AMINO]", "M", "K", "V", "[END_AMINO]"]),
        # no matching end mark on the line: left as it is
        ("[START_DNA]CG\nTA[END_DNA]", ["[START_DNA]", "CG", "\n", "TA", "[END_DNA]"]),
        ("[START_DNA]CGT[END_AMINO]", ["[START_DNA]", "CGT", "[END_AMINO]"]),
        ("CGT[END_DNA]", ["CGT", "[END_DNA]"]),
        ("as [START_REF] On mills[END_REF]", ["as", " ", "[START_REF]", " On", " mills", "[END_REF]"]),
        ("<work>12+3=(15)</work>.", ["<work>", "1", "2", "+", "3", "=", "(", "1", "5", ")", "</work>", "."]),
    ],
)
def test_galacticas_rules(text, expected):
    assert cut(text, split="galactica") == expected
