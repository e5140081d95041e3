"""The report and the picture in it."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import fsspec
import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.inspect import why
from gristmill.pipeline.report import funnel_svg, write_report


class Page(HTMLParser):
    """Tags, attributes and the text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def report(published_run):
    write_report(*fsspec.core.url_to_fs(str(published_run)))
    return (published_run / "report.html").read_text(encoding="utf-8")


def test_markup_in_documents_urls_and_names_stays_text(report):
    page = Page(report)
    assert "script" not in page.tags
    assert "b" not in re.findall(r"<h1>.*?<(\w+)", report)
    assert "<script>alert('now')</script>" in page.text
    assert "https://a.example/<script>" in page.text
    assert "small <b>run</b>" in page.text
    assert "\x1b" not in report


def test_the_page_asks_for_nothing_from_outside(report):
    page = Page(report)
    loading = [value for name, value in page.attributes if name in ("src", "href", "data", "action", "poster", "srcset")]
    assert all(value.startswith("#") for value in loading)
    assert not {"link", "iframe", "img", "object", "embed"} & set(page.tags)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "url(" not in report
    assert "@import" not in report
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_each_rule_is_shown_with_a_document_its_value_and_its_threshold(report):
    text = Page(report).text
    for rule in (
        "unreadable_bytes",
        "blocked_domain",
        "empty_text",
        "too_few_words",
        "too_few_alphabetic_words",
        "near_duplicate",
    ):
        assert rule in text
    assert "word_count 12, at least 50" in text
    assert "words_with_a_letter_fraction 0.5, at least 0.8" in text


def test_a_duplicate_is_shown_with_the_id_that_was_kept_and_the_similarity(report):
    assert "kept in its place: <urn:uuid:00000000-0000-0000-0000-000000000001> , similarity 0.93" in Page(report).text


def test_it_says_what_made_the_run_and_where_its_inputs_are_damaged(report):
    text = Page(report).text
    for fact in ("Gristmill 0.1.0", "seed 7", "request records, not documents 12", "crawl.warc.gz 4.3 kB", "min_words: 50"):
        assert fact in text
    assert "web crawl.warc.gz 900 120 bytes are no gzip member" in text
    assert "2 20.0% of the records" in text


def test_links_inside_the_page_lead_somewhere(report):
    page = Page(report)
    targets = {value for name, value in page.attributes if name == "id"}
    assert {value[1:] for name, value in page.attributes if name == "href"} <= targets


def test_the_same_run_gives_the_same_bytes(published_run, report):
    write_report(*fsspec.core.url_to_fs(str(published_run)))
    assert (published_run / "report.html").read_text(encoding="utf-8") == report


def test_at_most_five_documents_a_rule_are_shown(published_run, report):
    assert report.count('class="example"') == 8


def test_a_run_that_removed_nothing_has_a_report(published_run):
    row = json.loads((published_run / "funnel.json").read_text())["rows"][6]
    (published_run / "funnel.json").write_text(json.dumps({"rows": [row]}))
    for file in (published_run / "removed").iterdir():
        file.unlink()
    write_report(*fsspec.core.url_to_fs(str(published_run)))
    assert "No stage removed anything." in (published_run / "report.html").read_text()


def test_no_report_without_a_funnel(published_run):
    (published_run / "funnel.json").unlink()
    with pytest.raises(UserError, match="published nothing yet"):
        write_report(*fsspec.core.url_to_fs(str(published_run)))


def _row(stage, source, kept, rules):
    removed = sum(rules.values())
    row = {"stage": stage, "source": source, "in": kept + removed, "kept": kept, "removed": removed, "edited": 0, "rules": rules}
    return row | dict.fromkeys(("bytes_in", "bytes_kept", "words_in", "words_kept"), 0)


def _boxes(svg, style):
    """x and width of the bars of a class, without the small squares of the legend."""
    root = ElementTree.fromstring(svg)
    boxes = [box for box in root.iter("{http://www.w3.org/2000/svg}rect") if box.get("class") == style and box.get("rx") is None]
    return [(float(box.get("x")), float(box.get("width"))) for box in boxes]


def test_bars_are_as_long_as_their_counts():
    # 912 units wide: 100 documents read, so 9.12 a document
    svg = funnel_svg([_row("read", "web", 75, {"http_status": 20, "not_text": 5}), _row("exact", "web", 50, {"duplicate": 25})])
    assert _boxes(svg, "k") == [(24.0, 684.0), (24.0, 456.0)]
    assert _boxes(svg, "r0") == [(708.0, 182.4), (480.0, 228.0)]
    assert _boxes(svg, "r1") == [(890.4, 45.6)]


def test_many_rules_share_the_last_colour():
    rules = {f"rule_{number}": 10 - number for number in range(9)}
    svg = funnel_svg([_row("read", "web", 0, rules)])
    assert "4 other rules" in svg
    # rules 5 to 8 removed 5 + 4 + 3 + 2 of 54
    assert _boxes(svg, "r5")[0][1] == pytest.approx(912 * 14 / 54, abs=0.01)


def test_sources_that_go_through_other_stages_are_drawn_apart():
    rows = [_row("read", "web", 5, {}), _row("extract", "web", 4, {"empty_text": 1}), _row("read", "books", 2, {})]
    titles = [text.text for text in ElementTree.fromstring(funnel_svg(rows)).iter("{http://www.w3.org/2000/svg}text")]
    assert [title for title in titles if title in ("web", "books")] == ["web", "books"]
    same = [_row("read", "web", 5, {}), _row("read", "books", 2, {})]
    assert _boxes(funnel_svg(same), "k") == [(24.0, 912.0)]


def test_names_in_the_picture_are_escaped():
    svg = funnel_svg([_row("<b>&", "web", 1, {'"quoted"<i>': 1})])
    assert "&lt;b&gt;&amp;" in svg
    assert ElementTree.fromstring(svg) is not None


def test_an_empty_funnel_is_a_picture_too():
    assert ElementTree.fromstring(funnel_svg([])) is not None
    assert ElementTree.fromstring(funnel_svg([_row("read", "web", 0, {})])) is not None


def test_a_run_on_other_storage_is_read_and_written_there(published_run):
    memory = fsspec.filesystem("memory")
    memory.put(str(published_run), "/bucket/run", recursive=True)
    write_report(memory, "/bucket/run")
    write_report(*fsspec.core.url_to_fs(str(published_run)))
    assert memory.cat_file("/bucket/run/report.html") == (published_run / "report.html").read_bytes()
    assert [fate["outcome"] for fate in why("memory://bucket/run", "shelf-0")] == ["kept"]
    memory.rm("/bucket", recursive=True)
