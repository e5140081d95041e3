"""A source's files: found, named and told apart the same way on every machine."""

import gzip
import os

import fsspec
import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.readers.batches import as_date, parse_date
from gristmill.pipeline.readers.inputs import list_files
from gristmill.pipeline.readers.reader import ReadSettings


def find(*paths, format="jsonl"):
    paths = [str(path) for path in paths]
    return list_files(paths, ReadSettings(format=format, paths=paths))


def names(*paths, format="jsonl"):
    return [file.file for file in find(*paths, format=format)]


@pytest.fixture
def crawl(tmp_path):
    for name in [
        "b.jsonl.gz",
        "a.jsonl",
        "deep/c.json.zst",
        "deep/er/d.ndjson",
        "deep/readme.md",
        ".hidden.jsonl",
        "_logs/x.jsonl",
    ]:
        path = tmp_path / "crawl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    return tmp_path / "crawl"


def test_a_folder_gives_the_files_of_the_format_at_any_depth(crawl):
    assert names(crawl) == ["a.jsonl", "b.jsonl.gz", "deep/c.json.zst", "deep/er/d.ndjson"]
    assert names(f"{crawl}/") == names(crawl)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jsonl*", ["a.jsonl", "b.jsonl.gz"]),
        ("?.jsonl", ["a.jsonl"]),
        ("[b-z].jsonl.gz", ["b.jsonl.gz"]),
        ("deep/**/*.ndjson", ["er/d.ndjson"]),
        ("*/c.json.zst", ["deep/c.json.zst"]),
    ],
)
def test_a_pattern_names_its_files_from_the_folder_before_the_first_wildcard(crawl, pattern, expected):
    assert names(crawl / pattern) == expected


def test_files_that_the_shell_expanded_are_named_as_by_the_pattern(crawl):
    assert names(crawl / "b.jsonl.gz", crawl / "a.jsonl") == names(crawl / "*.jsonl*")


def test_a_single_file_is_called_by_its_name_whatever_its_ending(crawl):
    (file,) = find(crawl / "deep" / "readme.md")
    assert (file.file, file.path, file.size) == ("readme.md", str(crawl / "deep" / "readme.md"), 2)
    assert file.fs.cat(file.path) == b"{}"


def test_equal_names_in_two_folders_stay_apart(tmp_path):
    for folder in ("en", "de"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part-0.jsonl").write_bytes(b"{}")
    assert names(tmp_path / "en", tmp_path / "de" / "*.jsonl") == ["de/part-0.jsonl", "en/part-0.jsonl"]


def test_an_added_file_changes_no_other_name_or_fingerprint(crawl):
    for number, path in enumerate([crawl, crawl / "*", crawl / "deep" / "*" / "*"]):
        before = {file.file: file.fingerprint for file in find(path)}
        (crawl / "deep" / "er" / f"new{number}.jsonl").write_bytes(b"{}")
        (crawl / f"0{number}.jsonl").write_bytes(b"{}")
        after = {file.file: file.fingerprint for file in find(path)}
        assert len(after) > len(before)
        assert before.items() <= after.items()


def test_a_fingerprint_changes_with_the_file(crawl):
    path = crawl / "a.jsonl"
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    (before,) = find(path)
    assert before.fingerprint == "mtime:1600000000123456789"
    os.utime(path, ns=(1, 1_600_000_000_123_456_790))
    (after,) = find(path)
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_a_list_names_one_path_a_line_from_its_own_folder(crawl, kind):
    text = f"# files\n\na.jsonl\n{crawl}/deep/*.zst\r\n  deep/er/d.ndjson  \n".encode()
    (crawl / "list.txt").write_bytes(gzip.compress(text) if kind == "gzip" else text)
    assert names(f"@{crawl}/list.txt") == ["a.jsonl", "deep/c.json.zst", "deep/er/d.ndjson"]


def test_a_url_of_any_protocol_is_read():
    fs = fsspec.filesystem("memory")
    fs.pipe({"/bucket/crawl/b.jsonl": b"{}", "/bucket/crawl/a.jsonl": b"{} "})
    files = find("memory://bucket/crawl/*.jsonl")
    assert [(file.file, file.size) for file in files] == [("a.jsonl", 3), ("b.jsonl", 2)]
    assert files[0].fingerprint != files[1].fingerprint


def test_a_name_with_wildcard_characters_is_taken_as_it_stands(tmp_path):
    path = tmp_path / "a[1].jsonl"
    path.write_bytes(b"{}")
    assert names(path) == ["a[1].jsonl"]


def mistake(*paths, format="jsonl"):
    with pytest.raises(UserError) as error:
        find(*paths, format=format)
    return str(error.value)


def test_a_missing_file_is_named(tmp_path):
    assert mistake(tmp_path / "no.jsonl").startswith(f"{tmp_path}/no.jsonl does not exist; give a file, a folder")


def test_an_empty_folder_and_one_of_other_files_are_told_apart(crawl):
    (crawl / "empty").mkdir()
    assert f"{crawl}/empty is an empty folder" in mistake(crawl / "empty")
    assert "holds 5 files, none of which ends in .warc, .warc.gz, .warc.zst" in mistake(crawl, format="warc")


def test_a_pattern_without_a_match_says_what_is_missing(crawl):
    assert mistake(crawl / "*.nope").startswith(f"{crawl}/*.nope matches no file;")
    assert f"there is no folder {crawl}/nope" in mistake(crawl / "nope" / "*.jsonl")


def test_a_file_named_twice_is_a_mistake_that_names_both_ways(crawl):
    message = mistake(crawl / "a.jsonl", crawl / "*.jsonl")
    assert message.startswith(f"{crawl}/a.jsonl is named twice, by {crawl}/a.jsonl and by {crawl}/*.jsonl")


def test_mistakes_in_a_list_are_told_with_their_line(crawl):
    (crawl / "list.txt").write_text("a.jsonl\nnope.jsonl\n")
    assert mistake(f"@{crawl}/list.txt").startswith(f"{crawl}/list.txt:2: {crawl}/nope.jsonl does not exist")
    (crawl / "list.txt").write_text("@list.txt\n")
    assert "a list names no further lists" in mistake(f"@{crawl}/list.txt")
    (crawl / "list.txt").write_text("\n")
    assert "names no path" in mistake(f"@{crawl}/list.txt")
    assert "there is no such list" in mistake(f"@{crawl}/nope.txt")


def test_an_unknown_protocol_is_a_mistake():
    assert "nope://x/y" in mistake("nope://x/y")


def test_a_file_that_may_not_be_read_is_a_mistake(crawl, monkeypatch):
    # permissions do not bind root, under which tests may run
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("a.jsonl"))
    assert f"{crawl}/a.jsonl may not be read by this user" in mistake(crawl / "a.jsonl")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016", "2016-01-01T00:00:00+00:00"),
        ("2016-02", "2016-02-01T00:00:00+00:00"),
        ("2016-02-03", "2016-02-03T00:00:00+00:00"),
        ("2016-02-03T04:05Z", "2016-02-03T04:05:00+00:00"),
        ("2016-02-03T04:05:06Z", "2016-02-03T04:05:06+00:00"),
        ("2016-02-03 04:05:06", "2016-02-03T04:05:06+00:00"),
        ("2016-02-03T04:05:06.123456789Z", "2016-02-03T04:05:06.123456+00:00"),
        ("2016-02-03T01:05:06+02:00", "2016-02-02T23:05:06+00:00"),
        ("20160203040506", "2016-02-03T04:05:06+00:00"),
        ("2008-10-294T05:21:46-0700", None),
        ("blue monday", None),
        ("2016-13-01", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("", None),
        (None, None),
    ],
)
def test_dates_of_any_precision_are_read_and_others_are_none(text, expected):
    found = parse_date(text)
    assert (found.isoformat() if found else None) == expected


@pytest.mark.parametrize("value", [5, True, [], 2016.0])
def test_what_is_no_date_is_none(value):
    assert as_date(value) is None
