"""C4's page rules, alone and after the line rules, as in the published code."""

import gzip
import json
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.c4 import C4
from gristmill.stages.c4_lines import C4Lines
from gristmill.stages.documents import Batch
from gristmill.stages.filter import Verdict
from gristmill.stages.stage import StageUnavailable

B = "This is a fine sentence here.\nAnother good sentence stands here.\nA third one ends right here."
OFF = dict.fromkeys(("max_page_chars", "max_lorem_ipsum", "max_curly_brackets", "min_sentences"))


def batch(texts: list[str], languages: list[str | None] | None = None) -> Batch:
    columns = {"id": [str(row) for row in range(len(texts))], "text": pa.array(texts, pa.large_string())}
    return Batch(pa.table(columns | {"language": pa.array(languages or ["en"] * len(texts), pa.string())}))


def judge(stage: C4, texts: list[str]) -> Verdict:
    return stage.judge(batch(texts))


def drop_reasons(lines: C4Lines, page: C4, texts: list[str]) -> list[str | None]:
    """What the recipe `c4_lines`, `c4` says about each page; all that are kept are not empty."""
    edited = lines.edit(batch(texts))
    return page.judge(Batch(edited.table)).first_failed_rule


FLAVOURS = pytest.mark.parametrize("flavour", ["tfds", "datatrove", "paper"])


@FLAVOURS
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (B, None),
        (B.rpartition("\n")[0], "too_few_sentences"),
        (B.replace("\n", " "), None),
        (B + "\nThis line has no terminal mark", None),
        (B + "\nLorem ipsum dolor sit amet here.", "lorem_ipsum"),
        (B + "\nLorem ipsum and JavaScript stand here.", "lorem_ipsum"),
        (B + "\nA brace { appears in this line.", "curly_bracket"),
        (B + "\nUse cookies { in this one line.", "curly_bracket"),
        ("", "too_few_sentences"),
    ],
)
def test_worked_cases_after_the_line_rules(flavour, text, reason):
    assert drop_reasons(C4Lines(flavour=flavour), C4(), [text]) == [reason]


@pytest.mark.parametrize(
    ("line", "in_paper"),
    [
        ("if (x) { return y", "curly_bracket"),
        ("Lorem ipsum dolor", "lorem_ipsum"),
        ("This JavaScript has a { brace.", "curly_bracket"),
    ],
)
def test_a_mark_in_a_line_that_goes_removes_the_page_only_in_the_papers_wording(line, in_paper):
    texts = [B + "\n" + line]
    assert drop_reasons(C4Lines(), C4(), texts) == drop_reasons(C4Lines(flavour="datatrove"), C4(), texts) == [None]
    assert drop_reasons(C4Lines(flavour="paper"), C4(), texts) == judge(C4(), texts).first_failed_rule == [in_paper]


@pytest.mark.parametrize(
    ("rule", "kept", "dropped"),
    [
        ({"max_page_chars": 5}, " ab \n\n c\n", "ab\ncde\n"),
        ({"max_page_chars": 5}, "éééé", "éééééé"),
        ({"max_lorem_ipsum": 1}, "lorem IPSUM lorem  ipsum", "Lorem ipsumlorem ipsum"),
        ({"max_curly_brackets": 2}, "{}{}}", "{{{"),
        ({"min_sentences": 2}, "One. Two", "One, two."),
    ],
)
def test_the_bounds_themselves_are_kept(rule, kept, dropped):
    verdict = judge(C4(**{**OFF, **rule}), [kept, dropped])
    assert verdict.kept.tolist() == [True, False]


@pytest.mark.parametrize(
    ("lengths", "third", "kept"),
    [
        ((200, 200, 200), 200, True),
        ((200, 200, 199), 199, False),
        ((600,), 0, False),
        ((300, 10, 250, 0, 200), 200, True),
        ((200, 200), 0, False),
    ],
)
def test_worked_cases_of_mc4(lengths, third, kept):
    # é: characters are counted, not bytes
    verdict = judge(C4(**OFF, min_third_line_chars=200), ["\n".join("é" * length for length in lengths)])
    assert verdict.values[0].tolist() == [third]
    assert verdict.first_failed_rule == [None if kept else "too_few_long_lines"]


def test_a_rule_that_is_none_is_off():
    assert judge(C4(**OFF), ["", "{ lorem ipsum"]).kept.tolist() == [True, True]


def write(folder, name: str, text: str) -> str:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["words.txt", "words.txt.gz"])
def test_bad_words_are_whole_words_in_any_case(tmp_path, name):
    stage = C4(**OFF, bad_words=write(tmp_path, name, "Foo\nbar baz\n\nx-y\ns&m\n"))
    texts = [
        "a FOO.",
        "food",
        "foo_d",
        "foo",
        "bar\nbaz",
        "an x-y",
        "xay",
        "é:bar baz!",
        "éfoo",
        "s&m",
        "",
        "fo\u0301o foo\u0301",
    ]
    verdict = judge(stage, texts)
    assert verdict.kept.tolist() == [False, True, True, False, True, False, True, False, True, False, True, False]
    details = stage.details(batch(texts), verdict.rules[0], (~verdict.kept).nonzero()[0])
    assert details == ["foo", "foo", "x-y", "bar baz", "s&m", "foo"]


def test_bad_words_by_the_language_of_each_document(tmp_path):
    entries = [("en", "foo"), ("fr", "bar"), ("zh", "坏"), ("zh", "性"), ("ja", "sm")]
    path = write(tmp_path, "words.jsonl", "".join(json.dumps({"lang": lang, "term": term}) + "\n" for lang, term in entries))
    documents = batch(["foo", "foo", "bar", "很坏的", "性", "foo", "foo"], ["en", "fr", "fr", "zh", "zh", None, "de"])
    verdict = C4(**OFF, bad_words=path, bad_words_language=None).judge(documents)
    assert verdict.kept.tolist() == [False, True, False, False, True, True, True]
    assert [value for value in verdict.values[0].tolist() if value == value] == [1, 0, 1, 1, 0]
    assert C4(**OFF, bad_words=path, bad_words_language="fr").judge(documents).kept.tolist() == [True, True, False, *[True] * 4]


def test_a_fetched_list_is_one_of_its_language(tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path))
    stage = C4(**OFF, bad_words="ldnoobw:fr", bad_words_language="fr")
    with pytest.raises(StageUnavailable, match=r"gristmill lists fetch ldnoobw:fr$"):
        stage.set_up()
    (tmp_path / "lists" / "ldnoobw").mkdir(parents=True)
    path = write(tmp_path / "lists" / "ldnoobw", "fr", "Bar\n")
    assert stage.files() == [path]
    documents = batch(["un bar", "foo", "bar"], ["fr", "fr", "de"])
    assert stage.judge(documents).kept.tolist() == [False, True, False]
    assert stage.model_copy(update={"bad_words_language": None}).judge(documents).kept.tolist() == [False, True, True]
    with pytest.raises(StageUnavailable, match=r"ldnoobw:fr has no words for en; it has languages: fr"):
        C4(bad_words="ldnoobw:fr").set_up()


def test_a_run_may_do_without_the_list():
    stage, told = C4(bad_words="nowhere.txt", when_missing="skip").without_missing()
    assert stage.bad_words is None
    assert told == [
        "c4.bad_words: nowhere.txt is not there and was left out "
        "(nowhere.txt: no such file; lists that can be fetched by name: gristmill lists list)"
    ]


def test_a_list_that_does_not_serve_is_told(tmp_path):
    with pytest.raises(StageUnavailable, match=r"nowhere\.txt cannot be read"):
        C4(bad_words=str(tmp_path / "nowhere.txt")).set_up()
    path = write(tmp_path, "words.jsonl", '{"lang": "fr", "term": "bar"}\n')
    with pytest.raises(StageUnavailable, match=r"has no words for en; it has languages: fr"):
        C4(bad_words=path).set_up()
    path = write(tmp_path, "odd.jsonl", '{"lang": "fr", "term": "bar"}\n["en"]\n')
    with pytest.raises(StageUnavailable, match=r"odd\.jsonl:2 holds \[\"en\"\]"):
        C4(bad_words=path).files()
    with pytest.raises(ValidationError, match=r"ends in \.txt"):
        C4(bad_words="words.csv")
    with pytest.raises(ValidationError, match="does not tell languages"):
        C4(bad_words="words.txt", bad_words_language=None)


TEXTS = st.lists(st.sampled_from(["foo", "FOO", "bar", "é", "ß", "_", " ", ".", "1", "½", "\u0301", "中", "\n", "ǅ", "𝐀"])).map(
    "".join
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(TEXTS, st.text(max_size=5).map("foo{}foo".format)), max_size=4))
def test_bad_words_are_found_as_pythons_patterns_find_them(tmp_path_factory, texts):
    path = tmp_path_factory.getbasetemp() / "some_words.txt"
    path.write_text("foo\nbar", encoding="utf-8")
    found = [bool(re.search(r"(\W|^)(foo|bar)(\W|$)", text.lower())) for text in texts]
    assert judge(C4(**OFF, bad_words=str(path)), texts).kept.tolist() == [not one for one in found]


def test_the_published_list_is_read_and_found_in_real_texts_as_by_pythons_pattern(shared_data):
    path = str(shared_data / "lists" / "badwords_ldnoobw.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        terms = [entry["term"].lower() for entry in map(json.loads, lines) if entry["lang"] == "en"]
    pattern = re.compile(r"(?:\W|^)(?:{})(?:\W|$)".format("|".join(map(re.escape, terms))))
    texts = []
    for name in ("books", "qa", "encyclopedic"):
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"][:5_000] for line, _ in zip(lines, range(60), strict=False)]
    kept = judge(C4(**OFF, bad_words=path), texts).kept.tolist()
    assert kept == [not pattern.search(text.lower()) for text in texts]
    for language in ("ja", "th", "zh", "ru"):
        C4(bad_words=path, bad_words_language=language).judge(batch(["性 foo"]))


def test_odd_texts_have_a_value():
    texts = ["", "a", "\0", "\u0301", "{" * 1_000_000, "x" * 10_000_000]
    verdict = judge(C4(), texts)
    assert [values.tolist() for values in verdict.values] == [
        [0, 1, 1, 1, 1_000_000, 10_000_000],
        [0] * 6,
        [0, 0, 0, 0, 1_000_000, 0],
        [0, 1, 1, 1, 1, 1],
    ]
