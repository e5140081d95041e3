import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.documents import DOCUMENTS, WITH_HTML, Batch
from gristmill.stages.opt_out import OptOut
from gristmill.stages.rights import directives, license_code
from gristmill.stages.rights_kernels import find_tags_plainly, tags_of

BY_SA = "https://creativecommons.org/licenses/by-sa/4.0/"


def batch(*pages: str | bytes | None, metas: list[dict | None] | None = None) -> Batch:
    rows = []
    for index, page in enumerate(pages):
        row = dict.fromkeys(WITH_HTML.names) | {"id": str(index), "text": "", "source": "web", "file": "f", "position": index}
        meta = metas[index] if metas else None
        row |= {"html": page.encode() if isinstance(page, str) else page, "url": "https://mill.example/a/b"}
        rows.append(row | {"meta": json.dumps(meta) if meta is not None else None})
    return Batch(pa.Table.from_pylist(rows, schema=WITH_HTML))


def first_rule(page: str | bytes | None, meta: dict | None = None, **settings: object) -> str | None:
    return OptOut(**settings).judge(batch(page, metas=[meta])).first_failed_rule[0]


def noted(page: str | bytes | None, meta: dict | None = None, **settings: object) -> dict:
    annotated = OptOut(**settings).annotate(batch(page, metas=[meta]))
    return json.loads(annotated.table["meta"][0].as_py() or "{}")


@pytest.mark.parametrize(
    ("page", "rule"),
    [
        ("<meta name=robots content=noai>", "noai"),
        ('<META CONTENT="NoAI, noindex" NAME="Robots" />', "noai"),
        ("<meta name='CCBot' content='noai'>", "noai"),
        ('<meta name="googlebot" content="noai">', None),
        ('<meta name="robots" content="noindex, nofollow">', None),
        ('<meta name="robots" content="noaino">', None),
        ('<!-- <meta name="robots" content="noai"> -->', None),
        ('<script>"<meta name=robots content=noai>"</script>', None),
        ('<script>"<"</SCRIPT ><meta name=robots content=noai>', "noai"),
        ('<p title="<meta name=robots content=noai>">', None),
        ('<meta name="tdm-reservation" content="1">', "tdm_reservation"),
        ('<meta name="tdm-reservation" content="0">', None),
        ('<meta http-equiv="X-Robots-Tag" content="otherbot: noindex, noai">', None),
        ('<meta http-equiv="X-Robots-Tag" content="noai">', "noai"),
        ("plain", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_page_says(page, rule):
    assert first_rule(page) == rule


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ("noai", "noai"),
        ("max-snippet: 50, noai", "noai"),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST, noai", "noai"),
        ("googlebot: noindex, noai", None),
        ("googlebot: noindex\nnoai", "noai"),
        ("googlebot: noindex, ccbot: noai", "noai"),
        ("", None),
    ],
)
def test_what_the_header_says(header, rule):
    assert first_rule("<p>", {"x_robots_tag": header}) == rule


def test_each_directive_is_a_setting_and_none_stands_for_two():
    page = '<meta name="robots" content="none">'
    assert first_rule(page) is None
    assert first_rule(page, noindex=True) == "noindex"
    assert first_rule(page, nofollow=True) == "nofollow"
    assert first_rule('<meta name="robots" content="noimageai">', noimageai=True) == "noimageai"
    assert first_rule('<meta name="robots" content="noai">', noai=False) is None
    assert first_rule('<meta name="GPTBot" content="noai">', agents=("GptBot",)) == "noai"
    assert first_rule("<p>", {"tdm_reservation": "1"}, tdm_reservation=False) is None
    assert first_rule("<p>", {"tdm_reservation": " 1 "}) == "tdm_reservation"


def test_what_is_said_is_noted_in_meta_beside_what_stands_there():
    page = (
        '<meta name="robots" content="noindex, NoAI"><meta name="tdm-reservation" content="1">'
        f'<meta name="tdm-policy" content="https://mill.example/p"><a rel="license nofollow" href="{BY_SA}">'
    )
    assert noted(page, {"http_status": 200, "x_robots_tag": "noarchive"}) == {
        "http_status": 200,
        "x_robots_tag": "noarchive",
        "robots": ["noai", "noarchive", "noindex"],
        "tdm_reserved": True,
        "tdm_policy": "https://mill.example/p",
        "license": "cc-by-sa-4.0",
        "license_url": BY_SA,
    }
    assert noted("<p>", {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("page", "meta", "expected"),
    [
        (f'<link rel=license href="{BY_SA}">', None, {"license": "cc-by-sa-4.0", "license_url": BY_SA}),
        ('<a rel="license" href="/terms?a=1&amp;b">', None, {"license_url": "https://mill.example/terms?a=1&b"}),
        (f"<a href='{BY_SA}'><a href='{BY_SA}'>", None, {"license_links": ["cc-by-sa-4.0"]}),
        (f'<meta name="dcterms.rights" content="{BY_SA}">', None, {"license": "cc-by-sa-4.0", "license_url": BY_SA}),
        ('<meta name="copyright" content="All rights reserved">', None, {}),
        ("<p>", {"link": f'<a>; rel=x, <{BY_SA}>; rel="license"'}, {"license": "cc-by-sa-4.0", "license_url": BY_SA}),
        ('<a rel="license" href="https://[">', None, {}),
    ],
)
def test_licences_are_noted(page, meta, expected):
    assert noted(page, meta) == (meta or {}) | expected


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (BY_SA, "cc-by-sa-4.0"),
        ("http://creativecommons.org/licenses/by-nc-nd/3.0/de/deed.en", "cc-by-nc-nd-3.0"),
        ("//creativecommons.org/licenses/BY", "cc-by"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "pdm-1.0"),
        ("https://creativecommons.org/about", None),
    ],
)
def test_codes_of_creative_commons(url, code):
    assert license_code(url) == code


def test_only_wanted_licences_are_kept():
    page = f'<a rel=license href="{BY_SA}">'
    for licenses, rule in (("cc-by-sa",), None), (("cc-by-sa-4.0",), None), (("cc-by", "cc-by-sa-3.0"), "other_license"):
        assert first_rule(page, licenses=licenses) == rule
    assert first_rule("<p>", licenses=("cc-by",)) == "other_license"


def test_a_licence_without_a_version_is_not_a_freer_one():
    page = "<a rel=license href=//creativecommons.org/licenses/by-nc>"
    assert first_rule(page, licenses=("cc-by",)) == "other_license"
    assert first_rule(page, licenses=("CC-BY-NC",)) is None


def test_what_is_no_licence_is_told():
    with pytest.raises(ValidationError, match="no licence is called mit here"):
        OptOut(licenses=("cc0-1.0", "pdm", "cc-by-nc-sa-3.0", "mit"))


def test_a_document_that_is_no_page_any_more_is_judged_by_its_meta():
    first = OptOut().annotate(batch('<meta name="robots" content="noai"><meta name="tdm-reservation" content="1">'))
    table = first.table.drop_columns("html")
    assert table.schema.equals(DOCUMENTS)
    assert OptOut().judge(Batch(table)).first_failed_rule == ["noai"]
    assert OptOut(noai=False).judge(Batch(table)).first_failed_rule == ["tdm_reservation"]


def test_signals_are_stored_for_what_is_not_ruled_by_and_details_say_where():
    stage = OptOut()
    pages = batch(
        '<meta name="robots" content="noindex">', f'<a href="{BY_SA}">', "<p>", metas=[None, None, {"x_robots_tag": "noai"}]
    )
    verdict = stage.judge(pages)
    assert {name: values.tolist() for name, values in verdict.signals.items() if values.any()} == {
        "noindex": [1, 0, 0],
        "links_to_cc_license": [0, 1, 0],
        "noai": [0, 0, 1],
    }
    assert stage.details(pages, verdict.rules[0], verdict.failed[0].nonzero()[0]) == ["X-Robots-Tag"]


def test_pages_in_utf16_and_with_broken_bytes_are_read():
    page = '<html><meta name="robots" content="noai">'
    assert first_rule(page.encode("utf-16")) == "noai"
    assert first_rule(b"\xff\xfe\xfa <meta name=robots content='\xff, noai'>") == "noai"


PIECES = st.one_of(
    st.sampled_from(
        ["<", ">", "<meta ", "name=robots", " content=noai", "<a ", "rel=license", '"', "'", "=", "/", "</", "script"]
    ),
    st.sampled_from(
        ["<script>", "<!--", "-->", "--", "<title>", "</title>", "<style ", "</style", " ", "\n", "x", "é", "<LINK "]
    ),
    st.sampled_from(["ROBOTS", "<metax ", "<iframes robots>", "robots>"]),
)


@given(st.lists(st.lists(PIECES, max_size=15).map("".join), max_size=3))
def test_tags_are_those_of_the_plain_definition(pages):
    words = [b"robots", b"licen"]
    found = list(tags_of(pa.chunked_array([pa.array([page.encode() for page in pages], pa.large_binary())]), words))
    assert found == [(index, tag) for index, page in enumerate(pages) for tag in find_tags_plainly(page.encode(), words)]


@given(st.text(max_size=30), st.booleans())
def test_directives_are_words_in_lower_case(value, named):
    assert all(word == word.strip().lower() and word for word in directives(value, ("ccbot",), named))


@given(st.lists(PIECES, max_size=20).map("".join))
def test_any_page_gets_a_verdict(page):
    stage = OptOut()
    pages = stage.annotate(batch(page))
    assert set(stage.judge(pages).values[0]) <= {0.0, 1.0}


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<meta robots ", "<a rel=license ", "<meta robots content=", "</script", "<a robots", " ="]
)
def test_a_megabyte_of_anything_is_done(piece):
    assert first_rule("<script>" * 2 + "</script>" + piece * (1_000_000 // len(piece))) is None
