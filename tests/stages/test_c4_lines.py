"""C4's line rules: the worked cases, the flavours, what is recorded, and the kernel held to its plain definition."""

import gzip
import json
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.stages.c4_kernels import keep_lines_plainly
from gristmill.stages.c4_lines import C4Lines
from gristmill.stages.documents import Batch
from gristmill.stages.editor import Edited, Loss

B = "This is a fine sentence here.\nAnother good sentence stands here.\nA third one ends right here."


def edit(stage: C4Lines, texts: list[str]) -> Edited:
    return stage.edit(
        Batch(pa.table({"id": [str(row) for row in range(len(texts))], "text": pa.array(texts, pa.large_string())}))
    )


def left(stage: C4Lines, *texts: str) -> list[str]:
    texts_left: list[str] = edit(stage, list(texts)).table["text"].to_pylist()
    return texts_left


BOTH = pytest.mark.parametrize("flavour", ["tfds", "datatrove", "paper"])


@BOTH
@pytest.mark.parametrize(
    "line",
    [
        "This line has no terminal mark",
        "This line trails off slowly...",
        "Too short a line.",
        "Please enable JavaScript to view this.",
        "Read our Privacy Policy before you go.",
        "This one says it uses cooKies.",  # a Kelvin sign, whose lower case is k
        "a" * 1001 + " starts a line of words.",
        "",
        "   ",
    ],
)
def test_a_line_that_is_not_prose_goes(flavour, line):
    assert left(C4Lines(flavour=flavour), B + "\n" + line, line + "\n" + B) == [B, B]


@BOTH
@pytest.mark.parametrize(
    "line",
    [
        'He said it was "all done"',
        "a" * 1000 + " starts a line of words.",
        "Does this line stay here?",
        "Yes it does stay here!",
        "Five words are left. Here.",
    ],
)
def test_a_line_of_prose_stays(flavour, line):
    assert left(C4Lines(flavour=flavour), B + "\n" + line) == [B + "\n" + line]


@BOTH
def test_a_page_of_prose_is_unchanged_and_has_no_cuts(flavour):
    edited = edit(C4Lines(flavour=flavour), [B, B.replace("\n", " ")])
    assert edited.table["text"].to_pylist() == [B, B.replace("\n", " ")]
    assert edited.losses == []
    assert edited.cuts.num_rows == 0


@BOTH
def test_citation_marks_are_cut_before_the_end_mark_is_looked_for(flavour):
    stage = C4Lines(flavour=flavour)
    assert left(stage, B + "\nThe tower is tall and old.[12]") == [B + "\nThe tower is tall and old."]
    assert left(stage, "The tower[edit] is [1][]very [citation needed]tall.[[2]3]x.") == ["The tower is very tall.[3]x."]
    assert left(stage, "The tower is [a] tall[12 and [Edit] old.") == ["The tower is [a] tall[12 and [Edit] old."]
    assert left(stage.model_copy(update={"citations": False}), B + "\nThe tower is tall and old.[12]") == [B]


def test_datatrove_counts_words_before_it_cuts_citation_marks():
    text = B + "\nIt is tall [12] now."
    assert left(C4Lines(flavour="datatrove"), text) == [B + "\nIt is tall  now."]
    assert left(C4Lines(flavour="tfds"), text) == [B]


def test_datatrove_takes_a_single_quotation_mark_for_an_end_mark():
    text = B + "\nHe said it was 'all done'"
    assert left(C4Lines(flavour="datatrove"), text) == [text]
    assert left(C4Lines(flavour="tfds"), text) == [B]


LOREM = "Lorem ipsum dolor sit amet here."
BRACE = "A brace { appears in this line."


@BOTH
def test_lines_that_remove_their_page_stay_for_the_page_rules(flavour):
    stage = C4Lines(flavour=flavour)
    for line in (LOREM, BRACE, "Lorem ipsum without JavaScript says nothing.", "Our privacy policy has a { brace."):
        assert left(stage, B + "\n" + line) == [B + "\n" + line]
    # what comes first in the published code: javascript before the brace, so the page lives
    assert left(stage, B + "\nThis JavaScript has a { brace.") == [
        B + ("\nThis JavaScript has a { brace." if flavour == "paper" else "")
    ]


def test_only_in_the_papers_wording_a_line_without_end_mark_removes_its_page():
    text = B + "\nif (x) { return y"
    assert left(C4Lines(), text) == left(C4Lines(flavour="datatrove"), text) == [B]
    assert left(C4Lines(flavour="paper"), text) == [text]


def test_without_page_rules_a_line_is_left_only_for_what_it_is():
    stage = C4Lines(leave_page_marks=False)
    assert left(stage, B + "\nOur privacy policy has a { brace.", B + "\n" + BRACE) == [B, B + "\n" + BRACE]


def test_each_rule_can_be_turned_off():
    off = {"max_word_chars": None, "citations": False, "end_mark": False, "min_words": None, "javascript": False, "policy": False}
    text = "a" * 1001 + "\n[1] uses cookies\n\njavascript..."
    assert left(C4Lines(**off), text) == [text]
    for rule, after in {
        "max_word_chars": "[1] uses cookies\n\njavascript...",
        "citations": "a" * 1001 + "\n uses cookies\n\njavascript...",
        "end_mark": "",
        "min_words": "",
        "javascript": "a" * 1001 + "\n[1] uses cookies",
        "policy": "a" * 1001 + "\n\njavascript...",
    }.items():
        stage = C4Lines(**{name: value for name, value in off.items() if name != rule})
        assert left(stage, text) == [after], rule


def test_cuts_are_the_places_in_the_text_before():
    text = "É menu\n  Où est le café [1] ici.  \n\nLa fin"
    edited = edit(C4Lines(min_words=3), [B, text])
    assert edited.table["text"].to_pylist() == [B, "Où est le café  ici."]
    assert edited.cuts.to_pylist() == [
        {"row": 1, "start": 0, "end": 9, "text": "É menu\n  "},
        {"row": 1, "start": 24, "end": 27, "text": "[1]"},
        {"row": 1, "start": 32, "end": len(text), "text": "  \n\nLa fin"},
    ]


def test_a_document_without_a_line_is_lost_with_the_rule_that_cut_most():
    edited = edit(C4Lines(), ["", "Menu\nHome\nAbout us.\nWe use cookies on this site.", B, " \n", "Some words.\nNo mark"])
    assert edited.table["text"].to_pylist() == ["", "", B, "", ""]
    assert edited.losses == [
        Loss(0, "empty"),
        Loss(1, "no_end_mark", 2.0, detail="lines cut: no_end_mark 2, too_few_words 1, policy 1"),
        Loss(3, "empty"),
        Loss(4, "no_end_mark", 1.0, detail="lines cut: no_end_mark 1, too_few_words 1"),
    ]
    only_citations = edit(C4Lines(end_mark=False, min_words=None), ["[1] [2]\n"])
    assert only_citations.losses == [Loss(0, "citations")]


def test_odd_texts_have_a_result():
    long_line = "word " * 2_000_000 + "end."
    assert left(C4Lines(), "a", "\0", "\u0301", long_line, "x" * 10_000_000) == ["", "", "", long_line, ""]
    assert edit(C4Lines(), []).table.num_rows == 0


WORDS = [
    "a",
    "É",
    "javascript",
    "JAVAscript",
    "lorem ipsum",
    "Lorem  Ipsum",
    "{",
    "use cookies",
    "uses COOKIES",
    "use of cooKies",
]
WORDS += [
    "terms of use",
    "cookie policy",
    "PRIVACY POLICY",
    "[1]",
    "[edit]",
    "[",
    "]",
    "[citation needed]",
    "[٣]",
    "12",
    "xxxxxx",
]
ENDS = [".", "...", "?", "!", '"', "'", "", ",", " "]
LINES = st.tuples(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), st.sampled_from(ENDS)).map("".join)
TEXTS = st.one_of(st.lists(LINES, max_size=6).map("\n".join), st.lists(LINES, max_size=4).map("\r\n".join), st.text(max_size=30))
STAGES = st.builds(
    C4Lines,
    flavour=st.sampled_from(["tfds", "datatrove", "paper"]),
    max_word_chars=st.sampled_from([None, 5, 1000]),
    min_words=st.sampled_from([None, 0, 3]),
    citations=st.booleans(),
    end_mark=st.booleans(),
    javascript=st.booleans(),
    policy=st.booleans(),
    leave_page_marks=st.booleans(),
)


def plainly(stage: C4Lines, text: str) -> str:
    longest = -1 if stage.max_word_chars is None else stage.max_word_chars
    return keep_lines_plainly(text, longest, stage.min_words or 0, stage.kernel_rules())


def without_cuts(text: str, cuts: list[tuple[int, int]]) -> str:
    bounds = [0, *(place for cut in cuts for place in cut), len(text)]
    return "".join(text[begin:end] for begin, end in list(pairwise(bounds))[::2])


def assert_as_defined(stage: C4Lines, texts: list[str]) -> None:
    edited = edit(stage, texts)
    after = edited.table["text"].to_pylist()
    assert after == [plainly(stage, text) for text in texts]
    assert [loss.row for loss in edited.losses] == [row for row, text in enumerate(after) if not text]
    cuts = edited.cuts.to_pylist()
    assert all(cut["text"] == texts[cut["row"]][cut["start"] : cut["end"]] for cut in cuts)
    for row, text in enumerate(texts):
        places = [(cut["start"], cut["end"]) for cut in cuts if cut["row"] == row]
        assert places == sorted(places)
        if set(text) & set("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029") == set():
            assert without_cuts(text, places) == after[row]


@settings(deadline=None, max_examples=500)
@given(STAGES, st.lists(TEXTS, max_size=3))
@example(C4Lines(min_words=0, end_mark=False), ["[1] a\n\n[1]\n"])
def test_the_kernel_equals_its_plain_definition(stage, texts):
    # the last text is there so that the others have bytes behind them, as in a real batch
    assert_as_defined(stage, [*texts, "The last line of the batch."])


def test_the_kernel_equals_its_plain_definition_on_real_texts(shared_data):
    texts = []
    for path in sorted((shared_data / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"][:10_000] for line, _ in zip(lines, range(20), strict=False)]
    for flavour in ("tfds", "datatrove", "paper"):
        assert_as_defined(C4Lines(flavour=flavour), texts)
    assert_as_defined(C4Lines(flavour="datatrove", end_mark=False, min_words=3), texts)
