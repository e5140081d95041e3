"""JSON lines, Parquet and text: each line, row and file is a document or a removal."""

import gzip
import json
from datetime import UTC, datetime

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.readers.reader import ReadSettings, check, read, split
from gristmill.stages.documents import DOCUMENTS

FS = fsspec.filesystem("file")


def read_all(path, start=0, stop=None, batch_bytes=1 << 20, **options):
    rows, removals = [], []
    for batch in read(FS, str(path), path.name, "books", start, stop, ReadSettings(paths="x", **options), batch_bytes):
        assert batch.documents.schema.equals(DOCUMENTS)
        assert batch.other_records == {}
        rows += batch.documents.to_pylist()
        removals += batch.removals
    return rows, removals


def read_lines(tmp_path, data, name="a.jsonl", **options):
    (tmp_path / name).write_bytes(data)
    return read_all(tmp_path / name, format="jsonl", **options)


def read_table(tmp_path, columns, name="a.parquet", row_group_size=None, **options):
    pq.write_table(pa.table(columns), tmp_path / name, row_group_size=row_group_size)
    return read_all(tmp_path / name, format="parquet", **options)


def lines_of(*rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


# JSON lines


def test_a_line_becomes_a_document_with_all_its_columns(tmp_path):
    line = {"id": 7, "text": "Größe", "url": "http://x.org/", "date": "2020-01-02", "lang": "de", "b": [1], "a": {"c": None}}
    ((row,), removals) = read_lines(tmp_path, lines_of(line), id="column", language_column="lang")
    assert removals == []
    assert row == {
        "id": "7",
        "text": "Größe",
        "source": "books",
        "file": "a.jsonl",
        "position": 0,
        "url": "http://x.org/",
        "date": datetime(2020, 1, 2, tzinfo=UTC),
        "content_type": None,
        "language": "de",
        "language_score": None,
        "meta": '{"a": {"c": null}, "b": [1]}',
    }


def pack(data, kind):
    return {"plain": lambda: data, "gzip": lambda: gzip.compress(data), "zstd": lambda: zstandard.compress(data)}[kind]()


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
def test_positions_are_bytes_of_the_uncompressed_lines_and_blank_lines_are_no_records(tmp_path, kind):
    data = b'\xef\xbb\xbf{"text": "a"}\r\n\r\n  \n{"text": "b"}\n{"text": "c"}'
    rows, removals = read_lines(tmp_path, pack(data, kind), "a.json.gz")
    assert [(row["id"], row["text"], row["position"]) for row in rows] == [
        ("books/a.json.gz#0", "a", 0),
        ("books/a.json.gz#23", "b", 23),
        ("books/a.json.gz#37", "c", 37),
    ]
    assert removals == []


@pytest.mark.parametrize(
    ("line", "rule", "detail"),
    [
        (b'{"text": "a"', "unreadable_record", "no JSON: Expecting ',' delimiter: line 1 column 13 (char 12)"),
        (b'["text"]', "unreadable_record", "no JSON object but '[\"text\"]'"),
        (b'{"text": "\xff"}', "unreadable_record", "no UTF-8 at byte 10 of the line"),
        (b'{"text":' + b"[" * 100_000, "unreadable_record", "nested too deep"),
        (b'{"body": "a"}', "no_text_field", "text is missing or null, not a string"),
        (b'{"text": null}', "no_text_field", "text is missing or null, not a string"),
        (b'{"text": 5}', "no_text_field", "text is a number, not a string"),
        (b'{"text": ["a"]}', "no_text_field", "text is a list, not a string"),
    ],
)
def test_a_line_that_is_no_document_leaves_with_its_reason(tmp_path, line, rule, detail):
    good = b'{"text": "good"}\n'
    rows, (removal,) = read_lines(tmp_path, good + line + b"\n" + good)
    assert [row["text"] for row in rows] == ["good", "good"]
    assert (removal.rule, removal.detail, removal.position, removal.is_record) == (rule, detail, len(good), True)
    assert (removal.id, removal.bytes) == (f"books/a.jsonl#{len(good)}", len(line))


def test_a_missing_id_is_a_removal_where_ids_are_asked_for(tmp_path):
    rows, (removal,) = read_lines(tmp_path, lines_of({"id": "a", "text": "x"}, {"text": "y"}), id="column")
    assert [row["id"] for row in rows] == ["a"]
    assert (removal.rule, removal.detail) == ("no_id", "id is missing or null, not a string or number")


def test_what_utf8_cannot_write_is_replaced(tmp_path):
    data = b'{"text": "a\\ud800b \\ud83d\\ude00", "url": "\\udfff", "k\\ud801": NaN, "z": "\\ud802"}\n'
    ((row,), _) = read_lines(tmp_path, data)
    assert (row["text"], row["url"], row["meta"]) == ("a\ufffdb \U0001f600", "\ufffd", '{"z": "\ufffd"}')


def test_meta_objects_are_not_nested_again(tmp_path):
    rows, _ = read_lines(tmp_path, lines_of({"text": "a", "meta": {"x": 1}, "y": 2}, {"text": "b", "meta": '{"x": 3}'}))
    assert [row["meta"] for row in rows] == ['{"x": 1, "y": 2}', '{"x": 3}']


def test_a_date_that_is_none_stays_in_meta(tmp_path):
    ((row,), _) = read_lines(tmp_path, lines_of({"text": "a", "date": "blue monday"}))
    assert (row["date"], row["meta"]) == (None, '{"date": "blue monday"}')


def test_a_line_over_the_limit_is_named_and_not_held(tmp_path):
    rows, (removal,) = read_lines(
        tmp_path, lines_of({"text": "a"}, {"text": "b" * 3_000_000}, {"text": "c"}), max_record_bytes=1000
    )
    assert [row["text"] for row in rows] == ["a", "c"]
    assert (removal.rule, removal.value, removal.threshold) == ("too_large", 3_000_012, 1000)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_compressed_file_cut_in_the_middle_gives_what_it_held_and_one_gap(tmp_path, kind):
    data = lines_of(*({"text": f"{at * at * 7919}" * 40} for at in range(20_000)))
    packed = pack(data, kind)
    rows, (gap,) = read_lines(tmp_path, packed[: len(packed) // 2])
    assert 1000 < len(rows) < 19_000
    assert [row["text"] for row in rows] == [f"{at * at * 7919}" * 40 for at in range(len(rows))]
    assert (gap.rule, gap.is_record) == ("unreadable_bytes", False)
    assert "the file ends in the middle" in gap.detail


def test_damage_in_one_gzip_member_leaves_the_others(tmp_path):
    members = [gzip.compress(lines_of(*({"text": f"{part}-{at}"} for at in range(100)))) for part in range(3)]
    members[1] = members[1][:100] + b"\xff" * 30 + members[1][130:]
    rows, removals = read_lines(tmp_path, b"".join(members))
    texts = [row["text"] for row in rows]
    assert texts[:100] == [f"0-{at}" for at in range(100)]
    assert texts[-99:] == [f"2-{at}" for at in range(1, 100)]  # where the damage ends in the middle of a line, so does the next
    assert [one.is_record for one in removals if one.rule == "unreadable_bytes"] == [False]
    assert {one.rule for one in removals} <= {"unreadable_bytes", "unreadable_record"}  # what broken data inflates to is no JSON


def test_bytes_behind_a_gzip_file_are_one_gap_and_cost_no_line(tmp_path):
    rows, (gap,) = read_lines(tmp_path, gzip.compress(lines_of({"text": "a"}, {"text": "b"})) + b"\0" * 100)
    assert [row["text"] for row in rows] == ["a", "b"]
    assert (gap.value, gap.is_record) == (100, False)


@pytest.mark.parametrize("target", [10, 100, 1000, 10**6])
def test_ranges_of_lines_give_the_same_records(tmp_path, target):
    data = b"\n".join(b"broken" if at % 7 == 3 else b'{"text": "%d"}' % (10**at) for at in range(60))
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    ranges = split(FS, str(path), ReadSettings(format="jsonl", paths="x"), target)
    parts = [read_all(path, start, stop, format="jsonl", batch_bytes=50) for start, stop in ranges]
    whole = read_all(path, format="jsonl")
    assert [row for part in parts for row in part[0]] == whole[0]
    assert [one for part in parts for one in part[1]] == whole[1]
    assert len(ranges) == {10: 59, 100: 19, 1000: 3, 10**6: 1}[target] or target < 1000


def test_lines_appended_move_no_boundary(tmp_path):
    options = ReadSettings(format="jsonl", paths="x")
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines_of(*({"text": str(at)} for at in range(50))))
    before = split(FS, str(path), options, 100)
    path.write_bytes(lines_of(*({"text": str(at)} for at in range(90))))
    assert [start for start, _ in split(FS, str(path), options, 100)][: len(before)] == [start for start, _ in before]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(st.sampled_from(["text", "id", "url", "date", "x"]), st.from_type(object) | st.text())))
def test_every_json_object_is_a_document_or_a_removal(tmp_path, rows):
    def plain(value):
        return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)

    # a file that begins without any text is refused as a whole: its texts may stand in another column
    data = lines_of({"text": "the first"}, *({name: plain(value) for name, value in row.items()} for row in rows))
    documents, removals = read_lines(tmp_path, data)
    assert len(documents) + len(removals) == 1 + len(rows)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"hello\n", "its first line is no JSON"),
        (b'[\n{"text": "a"}\n]', "write one object a line"),
        (b'{\n"text": "a"\n}', "write one object a line"),
        ('{"text": "a"}'.encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04", "zip"),
    ],
)
def test_a_file_that_is_no_json_lines_is_refused_by_name(tmp_path, data, says):
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"x\.jsonl") as error:
        check(FS, str(path), ReadSettings(format="jsonl", paths="x"))
    assert says in str(error.value)


# Parquet


def test_a_row_becomes_a_document_with_all_its_columns(tmp_path):
    columns = {
        "id": ["a", "b", "c"],
        "text": ["one", None, "three"],
        "url": ["http://x.org/", None, None],
        "date": pa.array([datetime(2020, 1, 2), None, None], pa.timestamp("us")),
        "score": [0.5, None, float("nan")],
        "raw": [b"\xff", None, None],
    }
    rows, (removal,) = read_table(tmp_path, columns, id="column")
    assert [(row["id"], row["text"], row["position"], row["url"], row["meta"]) for row in rows] == [
        ("a", "one", 0, "http://x.org/", '{"raw": "/w==", "score": 0.5}'),
        ("c", "three", 2, None, '{"score": null}'),
    ]
    assert rows[0]["date"] == datetime(2020, 1, 2, tzinfo=UTC)
    assert (removal.id, removal.rule, removal.position) == ("b", "no_text_field", 1)


STRINGS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]


@pytest.mark.parametrize("kind", STRINGS, ids=str)
def test_text_of_any_string_type_is_read(tmp_path, kind):
    texts = pa.array(["a", "größe"]).cast(kind)
    assert [row["text"] for row in read_table(tmp_path, {"text": texts})[0]] == ["a", "größe"]


def test_a_string_that_is_no_utf8_is_a_removal(tmp_path):
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"ok", b"\xff\xfe", b"fine"]).buffers())
    rows, (removal,) = read_table(tmp_path, {"text": broken})
    assert [row["text"] for row in rows] == ["ok", "fine"]
    assert (removal.rule, removal.position, removal.detail) == ("unreadable_record", 1, "no UTF-8 in text")


def test_ranges_are_whole_row_groups_and_give_the_same_records(tmp_path):
    texts = [str(at) * 50 for at in range(100)]
    whole = read_table(tmp_path, {"text": texts}, row_group_size=7)
    path = tmp_path / "a.parquet"
    ranges = split(FS, str(path), ReadSettings(format="parquet", paths="x"), 2000)
    assert all(start % 7 == 0 for start, _ in ranges)
    assert len(ranges) > 2
    parts = [read_all(path, start, stop, format="parquet", batch_bytes=100) for start, stop in ranges]
    assert [row for part in parts for row in part[0]] == whole[0]
    assert [row["text"] for row in whole[0]] == texts


def test_a_damaged_row_group_is_one_gap_that_names_its_rows(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [str(at) * 200 for at in range(30)]})
    pq.write_table(table, path, row_group_size=10, use_dictionary=False, write_page_checksum=True)
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    end = chunk.data_page_offset + chunk.total_compressed_size
    data[end - 60 : end - 40] = b"\xff" * 20
    path.write_bytes(data)
    rows, (gap,) = read_all(path, format="parquet")
    assert [row["position"] for row in rows] == [*range(10), *range(20, 30)]
    assert (gap.rule, gap.is_record, gap.position) == ("unreadable_bytes", False, 10)
    assert gap.detail.startswith("row group 1, rows 10 to 19: ")


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [
        ({"id": ["a"], "body": ["b"]}, {}, "has no column text; it has id, body. Set text_column: body"),
        ({"text": ["a"], "uuid": ["b"]}, {"id": "column"}, "has no column id; it has text, uuid. Set id_column: uuid"),
        ({"text": [1]}, {}, "column text holds int64; text_column must hold strings"),
    ],
)
def test_a_table_without_the_columns_is_refused_with_what_it_has(tmp_path, columns, options, says):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(UserError, match=r"x\.parquet") as error:
        check(FS, str(path), ReadSettings(format="parquet", paths="x", **options))
    assert says in str(error.value)


def test_a_file_that_is_no_table_or_half_of_one_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    options = ReadSettings(format="parquet", paths="x")
    path.write_bytes(b'{"text": "a"}')
    with pytest.raises(UserError, match="a Parquet file begins with PAR1"):
        check(FS, str(path), options)
    pq.write_table(pa.table({"text": ["a" * 1000]}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="its end is missing or damaged"):
        check(FS, str(path), options)


# Text


def read_text(tmp_path, data, name="a.txt", **options):
    (tmp_path / name).write_bytes(data)
    return read_all(tmp_path / name, format="text", **options)


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
def test_a_text_file_is_one_document(tmp_path, kind):
    ((row,), removals) = read_text(tmp_path, pack("Größe\n\nline".encode(), kind))
    assert (row["id"], row["text"], row["position"], removals) == ("books/a.txt#0", "Größe\n\nline", 0, [])


def test_a_text_in_another_encoding_is_recognised(tmp_path):
    text = "Съешь ещё этих мягких французских булок, да выпей же чаю. " * 5
    ((row,), _) = read_text(tmp_path, text.encode("cp1251"))
    assert row["text"] == text


def test_a_text_file_cut_off_or_too_large_is_a_removal(tmp_path):
    packed = gzip.compress(bytes(str([at * at for at in range(5000)]), "ascii"))
    _, (removal,) = read_text(tmp_path, packed[:-100])
    assert (removal.rule, removal.is_record, removal.position) == ("unreadable_bytes", True, 0)
    _, (removal,) = read_text(tmp_path, b"a" * 101, max_record_bytes=100)
    assert (removal.rule, removal.value, removal.threshold) == ("too_large", 101, 100)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"\x7fELF\0\0\0\0" + b"abcdefgh" * 20)
    with pytest.raises(UserError, match=r"x\.txt is no text"):
        check(FS, str(tmp_path / "x.txt"), ReadSettings(format="text", paths="x"))


# All


@pytest.mark.parametrize("format", ["jsonl", "parquet", "text"])
def test_an_empty_file_has_no_records(tmp_path, format):
    path = tmp_path / "empty"
    path.write_bytes(b"")
    check(FS, str(path), ReadSettings(format=format, paths="x"))
    assert read_all(path, format=format) == ([], [])
    assert split(FS, str(path), ReadSettings(format=format, paths="x"), 10) == [(0, None)]


@pytest.mark.parametrize(("format", "id"), [("jsonl", "record"), ("parquet", "record"), ("warc", "column"), ("text", "column")])
def test_an_id_that_a_format_does_not_have_is_a_mistake(format, id):
    with pytest.raises(ValidationError, match=f"id: {id} is for"):
        ReadSettings(format=format, paths="x", id=id)


def test_real_texts_are_read_whole(shared_data):
    path = shared_data / "text" / "textbooks.jsonl.gz"
    rows, removals = read_all(path, format="jsonl", id="column")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        expected = [json.loads(line) for line in file]
    assert [(row["id"], row["text"]) for row in rows] == [(one["id"], one["text"]) for one in expected]
    assert removals == []
