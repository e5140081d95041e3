"""Changes to the file of a mixture leave every other character as it is."""

import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.mixture.editing import add_source, remove_source, set_value

TEXT = """\
# a mixture   with a comment

name:   mine            # its name
tokens: 300B
sources:
  web:   {shards: "out/web/shards",   weight: 0.6 , max_epochs: 3}   # the crawl

  books:
      # kept with care
      documents: 'out/books'   # quoted
      weight:    0.3      # three tenths

  wiki: {documents: out/wiki, where: 'language == "en"', weight: 0.1}

# the end
phases:
  - {name: main}
  - name: anneal
    tokens: 20B
    shares: {wiki: 1}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_bytes(TEXT.encode())
    return path


def changed_lines(file):
    """Lines that are not as before, and their number; fails if lines came or went."""
    before, after = TEXT.split("\n"), file.read_bytes().decode().split("\n")
    assert len(before) == len(after)
    return [(number, b) for number, (a, b) in enumerate(zip(before, after, strict=True), 1) if a != b]


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("sources.books.weight=0.25", (11, "      weight:    0.25      # three tenths")),
        ("sources.web.weight=0.5", (6, '  web:   {shards: "out/web/shards",   weight: 0.5 , max_epochs: 3}   # the crawl')),
        ("tokens=1.5T", (4, "tokens: 1.5T")),
        ("name=other", (3, "name:   other            # its name")),
        ("phases.anneal.tokens=30B", (19, "    tokens: 30B")),
        ("phases.main.tokens=280B", (17, "  - {name: main, tokens: 280B}")),
        (
            "sources.web.where=lang == 'a' and n_tokens > 3",
            (
                6,
                '  web:   {shards: "out/web/shards",   weight: 0.6 , max_epochs: 3, '
                "where: lang == 'a' and n_tokens > 3}   # the crawl",
            ),
        ),
        (
            "sources.wiki.only=[a, b]",
            (13, "  wiki: {documents: out/wiki, where: 'language == \"en\"', weight: 0.1, only: [a, b]}"),
        ),
    ],
)
def test_set_changes_its_own_line_and_no_other_byte(file, assignment, line):
    set_value(str(file), assignment)
    assert changed_lines(file) == [line]


def test_a_new_key_of_a_block_gets_a_line_after_the_last(file):
    set_value(str(file), "sources.books.max_epochs=2")
    lines = TEXT.split("\n")
    assert file.read_text().split("\n") == [*lines[:11], "      max_epochs: 2", *lines[11:]]


def test_rescale_others_keeps_the_sum_and_the_proportions(file):
    set_value(str(file), "sources.books.weight=0.65", rescale=True)
    assert changed_lines(file) == [
        (6, '  web:   {shards: "out/web/shards",   weight: 0.3 , max_epochs: 3}   # the crawl'),
        (11, "      weight:    0.65      # three tenths"),
        (13, "  wiki: {documents: out/wiki, where: 'language == \"en\"', weight: 0.05}"),
    ]


def test_add_and_remove_leave_the_file_as_it_was(file):
    add_source(str(file), "code", {"shards": "out/code, new", "where": "a in [1]", "weight": 0.5}, rescale=True)
    lines = file.read_text().split("\n")
    assert lines[13] == "  code: {shards: 'out/code, new', where: 'a in [1]', weight: 0.5}"
    assert "weight: 0.3 ," in lines[5]
    remove_source(str(file), "code", rescale=True)
    assert file.read_bytes().decode() == TEXT


def test_a_block_is_removed_with_its_lines(file):
    remove_source(str(file), "books")
    lines = TEXT.split("\n")
    assert file.read_text().split("\n") == [*lines[:7], *lines[11:]]


def test_line_ends_and_permissions_stay(file):
    file.write_bytes(TEXT.replace("\n", "\r\n").encode())
    file.chmod(0o640)
    set_value(str(file), "sources.books.max_epochs=2")
    assert file.read_bytes().decode() == TEXT.replace("tenths\n", "tenths\n      max_epochs: 2\n").replace("\n", "\r\n")
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda f: set_value(f, "sources.books.weight=-1"),
            "m.yaml: sources.books.weight: is -1; should be greater than or equal to 0",
        ),
        (lambda f: set_value(f, "sources.boks.weight=1"), "sources.boks.weight=1: no key boks; there are books, web, wiki"),
        (lambda f: set_value(f, "sources.books.wieght=1"), "m.yaml: sources.books.wieght: unknown key; books takes weight, "),
        (lambda f: set_value(f, "sources.books.weight"), "sources.books.weight: should be KEY=VALUE, "),
        (lambda f: set_value(f, "tokens=5B", rescale=True), "tokens=5B: --rescale others goes with a weight, "),
        (lambda f: set_value(f, "sources.books.weight=1.5", rescale=True), "m.yaml: --rescale others: this weight is above 1, "),
        (lambda f: add_source(f, "web", {"weight": 1}), "m.yaml: there is a source web already; "),
        (lambda f: add_source(f, "code", {}), "m.yaml: sources.code: has neither weight nor epochs; "),
        (lambda f: remove_source(f, "wiki"), "m.yaml: phases[1].shares.wiki: there is no such source; "),
        (lambda f: remove_source(f, "wikis"), "m.yaml: there is no source wikis; sources are wiki, "),
        (lambda f: set_value("pile", "tokens=5B"), "pile: is shipped; copy it first: gristmill mixture show pile > pile.yaml"),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_the_file_stays(file, change, told):
    with pytest.raises(UserError) as caught:
        change(str(file))
    assert str(caught.value).replace(f"{file.parent}/", "").startswith(told)
    assert file.read_bytes().decode() == TEXT
