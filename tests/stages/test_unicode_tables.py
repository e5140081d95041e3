"""The tables say what Python's own string methods say, for every code point."""

import re
import unicodedata

import pytest

from gristmill.stages import unicode_tables
from gristmill.stages.unicode_tables import tables

CHARACTERS = [chr(point) for point in range(0x110000)]


@pytest.mark.parametrize(
    ("flag", "has_it"),
    [
        (unicode_tables.LETTER, str.isalpha),
        (unicode_tables.WHITESPACE, str.isspace),
        (unicode_tables.WORD, re.compile(r"\w").match),
        (unicode_tables.ALPHANUMERIC, str.isalnum),
        (unicode_tables.PUNCTUATION, lambda character: unicodedata.category(character).startswith("P")),
        (unicode_tables.DECIMAL_DIGIT, str.isdecimal),
    ],
    ids=["letter", "whitespace", "word", "alphanumeric", "punctuation", "digit"],
)
def test_each_flag_is_set_exactly_where_python_says_so(flag, has_it):
    assert (tables().flags & flag != 0).tolist() == [bool(has_it(character)) for character in CHARACTERS]


def test_lower_case_is_pythons_where_that_is_one_code_point():
    lowered = [character.lower() for character in CHARACTERS]
    expected = [ord(low) if len(low) == 1 else ord(character) for character, low in zip(CHARACTERS, lowered, strict=True)]
    assert tables().lower.tolist() == expected


def test_the_tables_are_built_once():
    assert tables() is tables()
