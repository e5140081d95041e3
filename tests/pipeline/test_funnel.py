"""The funnel, its sums, and how it is printed."""

import json

import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.funnel import by_rule, by_source, by_stage, print_funnel
from gristmill.pipeline.inspect import funnel


def test_funnel_is_what_the_run_published(published_run):
    assert funnel(published_run) == json.loads((published_run / "funnel.json").read_text())
    assert funnel(str(published_run))["rows"][3]["rules"] == {"too_few_alphabetic_words": 1, "too_few_words": 1}


def test_stages_are_summed_over_sources_in_the_order_in_which_documents_meet_them(published_run):
    stages = by_stage(funnel(published_run)["rows"])
    assert [(row["stage"], row["in"], row["kept"], row["removed"]) for row in stages] == [
        ("read", 10, 9, 1),
        ("url_filter", 7, 6, 1),
        ("extract", 6, 5, 1),
        ("gopher_quality", 5, 3, 2),
        ("exact", 5, 3, 2),
        ("minhash", 3, 2, 1),
    ]


def test_a_stage_of_one_source_comes_before_the_shared_stages_whatever_source_is_listed_first(published_run):
    rows = funnel(published_run)["rows"]
    books_first = [row for row in rows if row["source"] == "books"] + [row for row in rows if row["source"] == "web"]
    order = [row["stage"] for row in by_stage(books_first)]
    assert order == ["read", "url_filter", "extract", "gopher_quality", "exact", "minhash"]


def test_shares_are_of_what_the_sources_of_the_stage_read(published_run):
    stages = {row["stage"]: row for row in by_stage(funnel(published_run)["rows"])}
    assert stages["gopher_quality"]["read"] == 8
    assert stages["minhash"]["read"] == 10
    # web's 600 words at extraction, books' 400 at reading
    assert stages["minhash"]["words_read"] == 1000


def test_words_are_unknown_where_those_of_one_source_are(published_run):
    stages = {row["stage"]: row for row in by_stage(funnel(published_run)["rows"])}
    assert stages["read"]["words_kept"] is None
    assert stages["extract"]["words_kept"] == 600
    assert stages["exact"]["words_kept"] == 411


def test_sources_end_with_what_is_published(published_run):
    assert by_source(funnel(published_run)["rows"])[1] == {
        "source": "books",
        "in": 2,
        "kept": 1,
        "removed": 1,
        "bytes_kept": 1000,
        "words_kept": 200,
        "stages": {"read": 0, "exact": 1, "minhash": 0},
    }


def test_rules_are_listed_by_stage_largest_first(published_run):
    rows = by_rule(funnel(published_run)["rows"])
    assert {"stage": "exact", "rule": "duplicate", "removed": 2, "in": 5, "read": 10} in rows
    assert sum(row["removed"] for row in rows) == 8


def test_the_table_is_plain_text_with_one_line_a_stage_when_stdout_is_no_terminal(published_run, capsys):
    print_funnel(published_run)
    lines = capsys.readouterr().out.splitlines()
    assert "\x1b" not in "".join(lines)
    assert lines[4].split(maxsplit=10) == [
        *["gopher_quality", "5", "3", "2", "60.0%", "37.5%", "0", "1.5", "kB", "301"],
        "too_few_alphabetic_words 1, too_few_words 1",
    ]
    assert lines[-2] == "2 of 10 records read are kept (20.0%); 320 words (32.0% of those read); 1.5 kB of text"
    assert lines[-1] == "records that are no documents: request 12, warcinfo 1"


@pytest.mark.parametrize(("by", "line"), [("source", "books"), ("rule", "minhash")])
def test_a_row_can_stand_for_a_source_or_a_rule(published_run, capsys, by, line):
    print_funnel(published_run, by=by)
    assert any(printed.startswith(line) for printed in capsys.readouterr().out.splitlines())


def test_large_counts_are_grouped(published_run, capsys):
    counts = {
        "in": 1_234_567,
        "kept": 1_234_567,
        "removed": 0,
        "edited": 0,
        "rules": {},
        "bytes_in": 10**10,
        "bytes_kept": 10**10,
    }
    row = {"stage": "read", "source": "web"} | counts | {"words_in": None, "words_kept": None}
    (published_run / "funnel.json").write_text(json.dumps({"rows": [row]}))
    print_funnel(published_run)
    assert "1,234,567" in (printed := capsys.readouterr().out)
    assert "10.0 GB" in printed


def test_a_run_that_read_nothing_can_be_shown(published_run, capsys):
    (published_run / "funnel.json").write_text('{"rows": []}')
    print_funnel(published_run)
    assert "0 of 0 records read are kept (-)" in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_refused_with_what_would_be_right(tmp_path):
    with pytest.raises(UserError, match="no such folder; give a folder that `gristmill run --output` wrote"):
        funnel(tmp_path / "absent")
    with pytest.raises(UserError, match=r"holds no run\.json"):
        funnel(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no run")
    with pytest.raises(UserError, match=r"notes\.txt.*give a folder"):
        funnel(tmp_path / "notes.txt")


def test_an_unfinished_run_says_how_to_continue(published_run):
    (published_run / "funnel.json").unlink()
    with pytest.raises(UserError, match=r"published nothing yet.*same `gristmill run` command again"):
        funnel(published_run)


def test_a_foreign_run_json_is_named(published_run):
    (published_run / "run.json").write_text("not json")
    with pytest.raises(UserError, match=r"run\.json: is not JSON"):
        funnel(published_run)
