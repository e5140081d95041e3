"""Tokenizers of each kind, what they promise, and that other libraries load them."""

import json
import os
import random
import subprocess
import sys

import pytest
from pydantic import ValidationError

from gristmill.tokenizers.model_settings import END_OF_TEXT, GALACTICA_MARKERS, TokenizerModel
from gristmill.tokenizers.model_training import train_model
from tokenizers import Tokenizer

SENTENCE = (
    "the mill grinds grain while water turns and no wheel stands still where rivers run for bread which bakers bake each "
    "morning before dawn und das Rad dreht sich wenn Wasser aus dem Fluss kommt 漢字 مطحنة naïve 1234 5678 x+y=(z)"
)
WORDS = SENTENCE.split()
DRAW = random.Random(0)
TEXTS = [" ".join(DRAW.choices(WORDS, k=60)) + "\n        return  x" for _ in range(80)]
ODD = "never seen: \U0001f9ea ▁ <0x41> \t  tabs   and 98765 [START_DNA]CGT[END_DNA] <|endoftext|>"
LOSSLESS = [
    {},
    {"split": "gpt4", "space_runs": True, "digits": "single"},
    {"split": "galactica"},
    {"model": "bpe_byte_fallback", "vocab_size": 420},
    {"model": "bpe_byte_fallback", "vocab_size": 420, "space_runs": True},
    {"model": "unigram", "vocab_size": 420},
]


def train(texts=TEXTS, **settings):
    return train_model(lambda: texts, TokenizerModel(**{"vocab_size": 350} | settings))


def ids(content, text):
    tokenizer = Tokenizer.from_str(content)
    tokenizer.encode_special_tokens = True
    return tokenizer, tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("settings", LOSSLESS)
def test_text_comes_back_to_the_last_character(settings):
    content = train(**settings)
    for text in (*TEXTS, ODD):
        tokenizer, found = ids(content, text)
        assert tokenizer.decode(found, skip_special_tokens=False) == text


@pytest.mark.parametrize("settings", [one for one in LOSSLESS if one.get("model") != "unigram"])  # which stops earlier at times
def test_the_vocabulary_has_the_size_asked_for_and_end_of_text_comes_first(settings):
    tokenizer = Tokenizer.from_str(train(**settings))
    assert tokenizer.get_vocab_size() == settings.get("vocab_size", 350)
    assert sorted(tokenizer.get_vocab().values()) == list(range(settings.get("vocab_size", 350)))
    assert tokenizer.token_to_id(END_OF_TEXT) == 0


@pytest.mark.parametrize("settings", [one for one in LOSSLESS if one.get("model") != "unigram"])
def test_the_order_of_texts_changes_no_byte(settings):
    assert train(**settings) == train(TEXTS[::-1], **settings)


def test_the_number_of_threads_changes_no_byte():
    code = (
        "import sys\nfrom gristmill.tokenizers.model_settings import TokenizerModel\n"
        "from gristmill.tokenizers.model_training import train_model\n"
        "texts = [f'the mill number {i % 97} grinds {i * i % 89} grains' for i in range(2000)]\n"
        "sys.stdout.write(train_model(lambda: texts, TokenizerModel(vocab_size=400)))"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"RAYON_NUM_THREADS": threads}, capture_output=True, check=True
        ).stdout
        for threads in ("1", "5")
    }
    assert len(made) == 1
    assert len(made.pop()) > 1000


# the example of Black et al. 2022, arXiv:2204.06745
FIBONACCI = "def fibRec(n):\n    if n < 2:\n        return n\n    else:\n        return fibRec(n-1) + fibRec(n-2)"


def test_the_fibonacci_example_takes_39_tokens_with_runs_of_spaces_and_55_without():
    # all that is not white space is learned as in the paper's count: `fib` and `Rec` apart, spaces only before words
    texts = ["def fib Rec ): if n < else return", "if else return Rec ):", " fib if n < 2 2 else return + fib ( n"] * 9
    texts += ["x):", "Rec):", "x\n", "else", "return"] * 5
    counts = {}
    for runs in (False, True):
        tokenizer, found = ids(train(texts, vocab_size=400, space_runs=runs), FIBONACCI)
        counts[runs] = len(found)
        assert tokenizer.decode(found) == FIBONACCI
    assert counts == {False: 55, True: 39}


def test_runs_of_up_to_24_spaces_are_one_token():
    content = train(space_runs=True)
    assert [len(ids(content, "\n" + " " * length + "x")[1]) for length in (2, 4, 24)] == [3, 3, 3]


def test_galacticas_markers_are_one_token_each_wherever_they_stand():
    content = train(split="galactica")
    for marker in GALACTICA_MARKERS:
        tokenizer, found = ids(content, f"x {marker}y")
        assert found.count(tokenizer.token_to_id(marker)) == 1
    tokenizer, found = ids(content, "[START_DNA]the[END_DNA]")
    assert [tokenizer.id_to_token(i) for i in found] == ["[START_DNA]", "t", "h", "e", "[END_DNA]"]


def test_a_character_without_a_token_becomes_its_bytes():
    tokenizer, found = ids(train(model="bpe_byte_fallback", vocab_size=420), "é")
    assert [tokenizer.id_to_token(i) for i in found] == ["<0xC3>", "<0xA9>"]


def test_wordpiece_marks_what_continues_a_word_and_knows_no_unseen_character():
    tokenizer, found = ids(train(model="wordpiece", vocab_size=257), "the millgrinds \U0001f9ea")
    tokens = [tokenizer.id_to_token(i) for i in found]
    assert tokens[0] == "the"
    assert tokens[-1] == "[UNK]"
    assert all(token.startswith("##") for token in tokens[2:-1])


def test_normalisation_is_part_of_the_tokenizer():
    tokenizer, found = ids(train(normalize="nfc"), "nai\u0308ve")
    assert tokenizer.decode(found) == "naïve"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "unigram", "split": "galactica"}, "split galactica needs model bpe, the model is unigram"),
        ({"split": "bert"}, "split bert does not go with model bpe"),
        ({"model": "wordpiece", "space_runs": True}, "space_runs: wordpiece drops white space"),
        ({"special_tokens": ("<a>", "<a>")}, "special_tokens holds a token twice"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TokenizerModel(**settings)


def test_a_vocabulary_without_room_is_refused_with_what_it_must_hold():
    with pytest.raises(ValueError, match="256 bytes, 1 special tokens and 23 runs of spaces need at least 280"):
        train(vocab_size=270, space_runs=True)
    with pytest.raises(ValueError, match="special_tokens holds a token twice"):
        train(special_tokens=(END_OF_TEXT,))


@pytest.mark.parametrize("settings", [*LOSSLESS, {"model": "wordpiece", "vocab_size": 300}])
def test_transformers_loads_the_file_unchanged(settings, tmp_path):
    transformers = pytest.importorskip("transformers", reason="pip install 'gristmill[readers]'")
    content = train(**settings)
    (tmp_path / "tokenizer.json").write_text(content)
    loaded = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in TEXTS[:5]:
        assert loaded.encode(text, add_special_tokens=False) == ids(content, text)[1]


def test_the_file_is_json_that_the_library_writes_again_unchanged():
    for settings in LOSSLESS:
        content = train(**settings)
        assert Tokenizer.from_str(content).to_str() == content
        assert json.loads(content)["model"]["type"] in ("BPE", "Unigram")
