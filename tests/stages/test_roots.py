"""ROOTS's rules: the worked cases, the languages' thresholds, lists of words, and kernels against plain definitions."""

import gzip
import json
from itertools import product

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.features import TextFeatures
from gristmill.stages.roots import DEFAULT, THRESHOLDS, Roots
from gristmill.stages.signals import compute, plain_definition
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.word_lists import JUSTEXT_NAMES, stop_words

BOUNDS = [name for name in Roots.model_fields if name.startswith(("min_", "max_"))]


def only(**given: object) -> Roots:
    return Roots(**{**dict.fromkeys(BOUNDS), **given})


def table(texts: list[str], **columns: list[object]) -> pa.Table:
    return pa.table({"text": pa.array(texts, pa.large_string()), **columns})


def value(name: str, text: str, **switches: object) -> float:
    return float(compute(name, TextFeatures(pa.array([text], pa.large_string())), switches)[0])


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("abcabcabcabc", 0.4), ("abcdefghij", 0), ("aaaaaaaaaa", 1.0), ("abababababxyz", 8 / 11), ("ab", 0), ("äöäöäöäö", 0.5)],
)
def test_worked_cases_of_character_repetition(text, ratio):
    assert value("character_repetition_ratio", text, n=3) == pytest.approx(ratio, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("a b c d e f a b c d e f", 0.5),
        ("a b c d e a b c d e", 2 / 6),
        ("a b c d e f g", 0),
        ("A, (b) c! d e\n\tf - a b 12 c d E f.", 0.5),
    ],
)
def test_worked_cases_of_word_repetition(text, ratio):
    assert value("word_repetition_ratio", text) == pytest.approx(ratio, abs=1e-12)


@pytest.mark.parametrize(("bound", "kept"), [(0.4, True), (0.3999, False)])
def test_the_bound_itself_is_kept(bound, kept):
    stage = only(character_ngram=3, max_character_repetition=bound)
    assert stage.judge(table(["abcabcabcabc"])).kept.tolist() == [kept]


def test_english_keeps_106_thousandths_of_character_repetition_and_drops_107():
    # 10-grams of n letters a and then all different characters: n - 9 equal ones, the rest once; floor(sqrt(different)) >= 1
    def text(equal: int, grams: int) -> str:
        return "a" * (equal + 9) + "".join(chr(0x4E00 + at) for at in range(grams - equal))

    assert value("character_repetition_ratio", text(106, 1000)) == 0.106
    assert only(max_character_repetition=Roots().max_character_repetition).judge(
        table([text(106, 1000), text(107, 1000)])
    ).kept.tolist() == [True, False]


def test_special_characters_and_words_of_nothing_else():
    text = "Ab, 1 – €"  # A b are not special; , blank 1 blank – blank € are
    assert value("special_character_fraction", text) == 7 / 9
    assert value("roots_word_count", text) == 1
    assert only(max_special_characters=0.4).judge(table([text])).first_failed_rule == ["special_characters"]


def test_rules_stand_in_the_order_of_roots(tmp_path):
    flagged = tmp_path / "flagged.txt"
    flagged.write_text("barn\n")
    assert [rule.name for rule in Roots(flagged_words=str(flagged)).active_rules()] == [
        "too_few_words",
        "too_many_words",
        "character_repetition",
        "word_repetition",
        "special_characters",
        "too_few_stop_words",
        "flagged_words",
        "uncertain_language",
    ]


def test_settings_that_are_not_given_are_those_of_the_language():
    assert Roots(language="ur").word_ngram == 7
    assert Roots(language="zh").model_dump(include={"words", "pairs", "character_ngram", "max_words"}) == {
        "words": "uax29",
        "pairs": "joined",
        "character_ngram": 3,
        "max_words": 1_000_000,
    }
    assert Roots(language="fr", min_words=5, max_word_repetition=None).model_dump(
        include={"min_words", "max_word_repetition", "max_flagged_words"}
    ) == {"min_words": 5, "max_word_repetition": None, "max_flagged_words": 0.008}
    assert Roots(language="de").min_words == DEFAULT.min_words
    assert Roots() == Roots(**THRESHOLDS["en"]._asdict())
    shown = {name: field.default for name, field in Roots.model_fields.items()}
    assert {name: shown[name] for name in DEFAULT._asdict()} == THRESHOLDS["en"]._asdict()


def test_stop_words_are_those_of_the_library_or_of_a_file(tmp_path):
    assert {"the", "and"} <= stop_words("en")
    assert all(stop_words(code) for code in JUSTEXT_NAMES)
    assert stop_words("xx") == frozenset()
    assert value("stop_word_fraction", "The barn, (and) the owl") == 3 / 5
    own = tmp_path / "own.txt.gz"
    own.write_bytes(gzip.compress(b"Barn\n\nowl \n"))
    assert value("stop_word_fraction", "The barn, (and) the owl", path=str(own)) == 2 / 5
    stage = only(min_stop_words=0.5, stop_words=str(own))
    assert stage.files() == [str(own)]
    assert stage.judge(table(["The barn, (and) the owl"])).first_failed_rule == ["too_few_stop_words"]


def test_a_language_without_a_list_has_no_rule_on_stop_words():
    assert "too_few_stop_words" not in [rule.name for rule in Roots(language="zh").rules()]


def test_pairs_of_words_may_be_one_entry_of_a_list(tmp_path):
    entries = tmp_path / "list.txt"
    entries.write_text("a b\ncd\n")
    for pairs, expected in [("none", 0.0), ("spaced", 1 / 4), ("joined", 1 / 4)]:
        assert value("flagged_word_fraction", "A, b c d", path=str(entries), pairs=pairs) == expected
    entries.with_name("all.txt").write_text("a\na a\n")
    assert value("flagged_word_fraction", "a a a", path=str(entries.with_name("all.txt")), pairs="spaced") == 1.0


def test_flagged_words_are_a_rule_only_with_a_file(tmp_path):
    assert "flagged_words" not in [rule.name for rule in Roots().rules()]
    entries = tmp_path / "flagged.txt"
    entries.write_text("barn\n")
    stage = only(flagged_words=str(entries), max_flagged_words=0.01)
    assert stage.judge(table(["a barn", "a shed"])).first_failed_rule == ["flagged_words", None]
    with pytest.raises(StageUnavailable, match=r"nowhere\.txt: cannot be read as a list of words"):
        Roots(flagged_words="nowhere.txt").set_up()


def test_documents_in_another_language_pass_unless_they_are_to_be_judged():
    texts = table(["a", "b", "c"], language=pa.array(["en", "fr", None]), language_score=pa.array([0.5, 0.5, None]))
    assert only(min_words=2).judge(texts).first_failed_rule == ["too_few_words", None, "too_few_words"]
    assert only(min_words=2, other_languages="judge").judge(texts).kept.tolist() == [False] * 3
    assert only(min_language_score=0.8).judge(texts).first_failed_rule == ["uncertain_language", None, None]


@pytest.mark.parametrize("bounds", [{"max_word_repetition": 2}, {"character_ngram": 0}, {"words": "spacy"}, {"min_wrods": 5}])
def test_impossible_settings_are_refused(bounds):
    with pytest.raises(ValidationError):
        Roots(**bounds)


CASES = [
    ("roots_word_count", {"words": ["whitespace", "uax29"], "n": [2]}),
    ("character_repetition_ratio", {"n": [1, 2, 3, 10]}),
    ("word_repetition_ratio", {"words": ["whitespace", "uax29"], "n": [1, 2, 5]}),
    ("special_character_fraction", {}),
    ("stop_word_fraction", {"language": ["en", "vi", "xx"], "pairs": ["none", "joined", "spaced"], "words": ["whitespace"]}),
]
PIECES = st.sampled_from(["the", "And", "a", "é", "İ", "naïve", "12", "(x)", "...", "–", "có", "thể", "的", "\n", " ", "\u2028"])
TEXTS = st.one_of(st.lists(PIECES, max_size=40).map(" ".join), st.lists(PIECES, max_size=30).map("".join), st.text(max_size=30))


def assert_equal_to_plain(texts: list[str]) -> None:
    features = TextFeatures(pa.array(texts, pa.large_string()))
    for name, options in CASES:
        for chosen in product(*options.values()):
            switches = dict(zip(options, chosen, strict=True))
            expected = [plain_definition(name)(text, **switches) for text in texts]
            assert compute(name, features, switches).tolist() == expected, (name, switches)


@settings(deadline=None, max_examples=200)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_signals_equal_their_plain_definitions(texts):
    assert_equal_to_plain(texts)


def test_signals_equal_their_plain_definitions_on_real_texts(shared_data):
    texts = []
    for path in sorted((shared_data / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"][:1500] for line, _ in zip(lines, range(12), strict=False)]
    assert_equal_to_plain(texts)
