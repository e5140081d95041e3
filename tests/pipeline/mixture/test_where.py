"""`where`: conditions on columns, and nothing else."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from gristmill.pipeline.mixture.where import Where

DOCUMENTS = pa.table(
    {
        "language": pa.array(["en", "de", None, "en"]).dictionary_encode(),
        "quality": pa.array([0.3, 0.9, 0.5, None], pa.float32()),
        "gopher_quality.word_count": pa.array([10.0, 20.0, 30.0, 40.0]),
        "clean": [True, False, None, True],
        "date": pa.array([datetime(2024, day, 1, tzinfo=UTC) for day in (1, 2, 3, 4)], pa.timestamp("us", "UTC")),
        "odd column": [1, 2, 3, 4],
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('language == "en" and quality > 0.3', []),  # 0.3 of 32 bits is not above 0.3, and null compares as neither
        ('language == "en" and quality >= 0.3', [0]),
        ("language != 'en'", [1]),
        ('not (language == "en")', [1]),
        ("language in ['en', 'fr'] or quality == 0.5", [0, 2, 3]),
        ("language not in ['en']", [1]),
        ("language is null", [2]),
        ("quality is not null and language is not null", [0, 1]),
        ("10 < gopher_quality.word_count <= 30", [1, 2]),
        ("25 > gopher_quality.word_count", [0, 1]),
        ("clean", [0, 3]),
        ("clean == false", [1]),
        ("date >= '2024-03-01'", [2, 3]),
        ("`odd column` == 4\n  or quality > -1 and `odd column` < 2", [0, 3]),
        ("`odd column` >= gopher_quality.word_count or language == '`x`'", []),
    ],
)
def test_which_documents_are_chosen(text, rows):
    condition = Where(text).expression(DOCUMENTS.schema)
    chosen = DOCUMENTS.append_column("row", pa.array([0, 1, 2, 3])).filter(condition)
    assert chosen["row"].to_pylist() == rows


@pytest.mark.parametrize(
    "text",
    [
        "",
        "__import__('os').system('true')",
        "language.upper() == 'EN'",
        "quality > 0.3 and print",
        "[x for x in quality]",
        "lambda: 1",
        "quality + 1 > 2",
        "1 == 1",
        "language = 'en'",
        "quality > null",
        "language in 'en'",
        "language in []",
        "language is 'en'",
        "quality > 0.3; quality",
        "f'{quality}' == 'x'",
        "(" * 500 + "quality > 1" + ")" * 500,
        "quality > 1 or " * 5000 + "quality > 1",
    ],
)
def test_what_is_no_comparison_of_columns_is_refused(text):
    if text == "quality > 0.3 and print":  # a column may be called so; that there is none is said later
        with pytest.raises(ValueError, match="no column print"):
            Where(text).expression(DOCUMENTS.schema)
        return
    with pytest.raises(ValueError, match="where"):
        Where(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("qualty > 1", "there is no column qualty; columns are quality, "),
        ("language > 3", "column language holds text; 3 is number"),
        ("quality == 'high'", "column quality holds numbers; 'high' is text"),
        ("quality", "column quality is float, not true or false"),
        ("date > 'May'", "column date holds dates; 'May' is none"),
        ("language == quality", "language and quality hold numbers and text"),
    ],
)
def test_a_condition_that_does_not_fit_the_columns_is_refused(text, told):
    with pytest.raises(ValueError, match="^" + told.replace("(", r"\(")):
        Where(text).expression(DOCUMENTS.schema)
