"""RefinedWeb's line-wise corrections: the worked cases, the bounds, and the kernel held to its plain definition."""

import gzip
import json
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.documents import Batch
from gristmill.stages.editor import Edited, Loss
from gristmill.stages.line_correction_kernels import correct_lines_plainly
from gristmill.stages.line_corrections import LineCorrections

BEFORE, AFTER = "A line of prose before.", "A line of prose after."
LINES_ONLY = LineCorrections(max_removed_words=None)


def edit(stage: LineCorrections, texts: list[str]) -> Edited:
    return stage.edit(
        Batch(pa.table({"id": [str(row) for row in range(len(texts))], "text": pa.array(texts, pa.large_string())}))
    )


def corrected(line: str, stage: LineCorrections = LINES_ONLY) -> str | None:
    """What becomes of a line between two others; None where it goes."""
    text = edit(stage, [f"{BEFORE}\n{line}\n{AFTER}"]).table["text"][0].as_py()
    if text == f"{BEFORE}\n{AFTER}":
        return None
    assert text.startswith(BEFORE + "\n")
    assert text.endswith("\n" + AFTER)
    return str(text[len(BEFORE) + 1 : -len(AFTER) - 1])


NUMBERED = " ".join(f"{word}th" for word in range(11))


@pytest.mark.parametrize(
    "line",
    [
        "HELLO WORLD",
        "ÉCOLE ÉTÉ",
        "12345",
        "٣٤٥",
        "3 likes",
        "1,234 Likes",
        "12K followers",
        "5.5k views!",
        "* 7 comments *",
        "10 upvotes",
        "12\u212a \u2003 SHARES…",  # a Kelvin sign, whose lower case is k
        "Word",
        " ",
        "items in cart",
        "Read more...",
        "SIGN-IN items in cart read MORE...",
    ],
)
def test_a_line_goes(line):
    assert corrected(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "12 34",
        "room 101",
        "3 likes and counting",
        "likes 3",
        "4 replies",
        "3likes here",
        "3 likes_",
        "x3 likes",
        "3x likes",
        f"{NUMBERED} Read more...",
        f"{NUMBERED} items in cart",
        "Please Sign-in",
        "Read more... of it",
        "Read more now",
        "Mr. ABC DE f",
        "",
    ],
)
def test_a_line_stays_as_it_is(line):
    assert corrected(line) == line


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("3 items in cart", "3"),
        ("The story continues Read more...", "The story continues"),
        ("Sign-in to your account", "to your account"),
        ("sign-in  twice", " twice"),
        ("See Items In Cart and items in cart now", "See and now"),
        ("a b c d e f g items in cart", "a b c d e f g"),
        ("a b c d e f g h items in cart", "a b c d e f g h items in cart"),
        ("Sign-in: 3 items in cart Read more...", ": 3"),
    ],
)
def test_phrases_are_cut_from_short_lines(line, after):
    assert corrected(line) == after


@pytest.mark.parametrize(("line", "after"), [("ABcd", "ABcd"), ("ABCd", None), ("A b", "A b"), ("AB ", None), ("AB  ", "AB  ")])
def test_half_of_a_line_may_be_upper_case(line, after):
    assert corrected(line, LINES_ONLY.model_copy(update={"min_words": None})) == after


def test_five_words_of_a_hundred_may_go():
    def hundred(alone: int) -> str:
        return "\n".join(["word"] * alone + [" ".join(["prose"] * (100 - alone))])

    edited = edit(LineCorrections(), [hundred(5), hundred(6)])
    assert edited.losses == [Loss(1, "too_many_words_removed", 0.06, 0.05)]


def test_a_document_without_text_or_words_is_lost_with_its_reason():
    edited = edit(LineCorrections(), ["", "HOME\nABOUT\n3 likes\n\n", " \n ", "!!! ???", "A line of words."])
    assert edited.table["text"].to_pylist() == ["", "", "", "!!! ???", "A line of words."]
    assert edited.losses == [
        Loss(0, "empty"),
        Loss(1, "upper_case", 2.0, detail="lines cut: upper_case 2, counter 1"),
        Loss(2, "empty"),
        Loss(3, "no_words", 0.0),
    ]
    assert [loss.row for loss in edit(LINES_ONLY, ["", "HOME", "!!! ???"]).losses] == [0, 1]


def test_empty_lines_stay_between_others_and_go_at_the_ends():
    text = "\n\nHOME PAGE\n\nSome words here.\n\n\nMore words here.\n42\n"
    assert edit(LINES_ONLY, [text]).table["text"].to_pylist() == ["Some words here.\n\n\nMore words here."]


def test_cuts_are_the_places_in_the_text_before():
    text = "MENÜ\nÉté, 3 items in cart now\n12\nLast words. Read more...\n"
    edited = edit(LINES_ONLY, ["No cut here.", text])
    assert edited.table["text"].to_pylist() == ["No cut here.", "Été, 3 now\nLast words."]
    assert edited.cuts.to_pylist() == [
        {"row": 1, "start": 0, "end": 5, "text": "MENÜ\n"},
        {"row": 1, "start": 11, "end": 25, "text": " items in cart"},
        {"row": 1, "start": 30, "end": 33, "text": "12\n"},
        {"row": 1, "start": 44, "end": 58, "text": " Read more...\n"},
    ]


def test_each_correction_can_be_turned_off():
    off = {"max_upper_case": None, "max_digits": None, "counters": False, "min_words": None, "max_removed_words": None}
    stage = LineCorrections(**off, anywhere=(), at_end=(), at_start=())
    text = "SIGN-IN\n12\n3 likes\n3 items in cart\nRead more..."
    assert edit(stage, [text]).table["text"].to_pylist() == [text]
    only_digits = stage.model_copy(update={"max_digits": 0.999999})
    assert edit(only_digits, [text]).table["text"].to_pylist() == [text.replace("12\n", "")]


def test_phrases_are_the_users_own_and_never_empty():
    stage = LineCorrections(
        anywhere=("[x]", "ÉTÉ"), at_end=(), at_start=("b", "by", "by the"), max_edit_words=None, max_removed_words=None
    )
    assert corrected("by the été of [X] a" + " b" * 20, stage) == "y the of a" + " b" * 20
    with pytest.raises(ValidationError, match="at least 1 character"):
        LineCorrections(anywhere=("",))


def test_odd_texts_have_a_result():
    long_line = "word " * 2_000_000 + "end."
    texts = ["a", "\0", "\u0301", long_line, "x" * 10_000_000, "\n" * 1_000_000]
    assert edit(LINES_ONLY, texts).table["text"].to_pylist() == ["", "", "", long_line, "", ""]
    assert edit(LineCorrections(), []).table.num_rows == 0


WORDS = [
    "a",
    "É",
    "ABC",
    "12",
    "٣",
    "likes",
    "views",
    "K",
    "\u212a",
    "items in cart",
    "ITEMS in Cart",
    "read more...",
    "sign-in",
    "Sign-In",
]
SPACES = [" ", "", "  ", "\t", "\u2003", "\n", "\n", "\n\n", "_", "!"]
TEXTS = st.one_of(
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(SPACES)).map("".join), max_size=25).map("".join),
    st.text(max_size=30),
)
STAGES = st.builds(
    LineCorrections,
    max_upper_case=st.sampled_from([None, 0.5, 0.0]),
    max_digits=st.sampled_from([None, 0.999999, 0.3]),
    counters=st.booleans(),
    min_words=st.sampled_from([None, 0, 1, 2, 3]),
    anywhere=st.sampled_from([(), ("items in cart",), ("a", "items in")]),
    at_end=st.sampled_from([(), ("Read more...",), ("cart", "in cart", ".")]),
    at_start=st.sampled_from([(), ("Sign-in",), ("a", "É")]),
    max_edit_words=st.sampled_from([None, 3, 10]),
    max_removed_words=st.none(),
)


def assert_as_defined(stage: LineCorrections, texts: list[str]) -> None:
    edited = edit(stage, texts)
    numbers = [1.0 if share is None else share for share in (stage.max_upper_case, stage.max_digits)]
    words = (stage.min_words or 0, -1 if stage.max_edit_words is None else stage.max_edit_words)
    phrases = (stage.anywhere, stage.at_end, stage.at_start)
    corrections = stage._corrections().tolist()
    after = edited.table["text"].to_pylist()
    assert after == [correct_lines_plainly(text, corrections, *numbers, *words, phrases) for text in texts]
    cuts = edited.cuts.to_pylist()
    assert all(cut["text"] == texts[cut["row"]][cut["start"] : cut["end"]] for cut in cuts)
    for row, text in enumerate(texts):
        bounds = [0, *(place for cut in cuts if cut["row"] == row for place in (cut["start"], cut["end"])), len(text)]
        assert "".join(text[begin:end] for begin, end in list(pairwise(bounds))[::2]) == after[row]
    if stage.max_removed_words is None:
        assert [loss.row for loss in edited.losses] == [row for row, text in enumerate(after) if not text]


@settings(deadline=None, max_examples=1000)
@given(STAGES, st.lists(TEXTS, max_size=3))
def test_the_kernel_equals_its_plain_definition(stage, texts):
    # the last text is there so that the others have bytes behind them, as in a real batch
    assert_as_defined(stage, [*texts, "The last line of the batch."])


def test_the_kernel_equals_its_plain_definition_on_real_texts(shared_data):
    texts = []
    for path in sorted((shared_data / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"][:10_000] for line, _ in zip(lines, range(20), strict=False)]
    assert_as_defined(LineCorrections(), texts)
