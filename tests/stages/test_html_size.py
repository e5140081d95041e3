import gzip
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.html_size import html_size, html_size_plainly


@pytest.mark.parametrize(
    ("html", "elements", "depth"),
    [
        (b"", 0, 0),
        (b"<", 0, 0),
        (b"1 < 2 <3 </ >", 0, 0),
        (b"<div><b>x</b></div><i>y</i>", 3, 2),
        (b"<DIV><div></DIV></div><p>", 3, 2),
        (b"<p><p><li><td><br><img>", 6, 0),  # none of them needs an end tag
        (b"<b><b><b></i></b></u>", 3, 3),  # an end tag that closes nothing is passed over
        (b"<div><b><i></div><u>", 4, 3),  # one that closes an outer element closes the inner ones
        (b"<path/><path /><g><path d='/'/></g>", 4, 1),
        (b"<a title='<b>>' href=\"<i>\"><u>", 2, 2),
        (b"<!-- <b> --><!doctype html><?php <b> ?>", 0, 0),
        (b"<!-- never ends <b>", 0, 0),
        (b"<script>if (a<b) '<i>'</SCRIPT><u>", 2, 1),
        (b"<script><b>", 1, 0),
        (b"<a href='never ends><b>", 1, 1),
    ],
)
def test_elements_and_depth_are_those_of_the_markup(html, elements, depth):
    assert html_size(html) == (elements, depth)
    assert html_size_plainly(html) == (elements, depth)


PIECES = [
    b"<",
    b">",
    b"/",
    b"!",
    b"--",
    b"-",
    b"=",
    b" ",
    b"\n",
    b'"',
    b"'",
    b"<div>",
    b"</div>",
    b"<b ",
    b"</B>",
    b"<script>",
    b"</script>",
]
PIECES += [
    b"<p>",
    b"<br/>",
    b"<x-y/>",
    b"<!--",
    b"-->",
    b"<?",
    b"<title",
    b"</TITLE ",
    b"text",
    b"\x00",
    b"\xc3\xa9",
    b"a=b",
    b"<a",
    b"</a",
]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))
def test_the_kernel_equals_its_plain_twin_on_broken_markup(html):
    assert html_size(html) == html_size_plainly(html)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_the_kernel_equals_its_plain_twin_on_any_bytes(html):
    assert html_size(html) == html_size_plainly(html)


def test_the_kernel_equals_its_plain_twin_on_real_pages(shared_data):
    with gzip.open(shared_data / "web" / "wcxb-dev-00000.warc.gz") as file:
        data = file.read(8_000_000)
    start = random.Random(0)
    for _ in range(20):
        at = start.randrange(len(data) - 300_000)
        piece = data[at : at + 300_000]  # cut anywhere, in the middle of tags too
        assert html_size(piece) == html_size_plainly(piece)


def test_tangled_pages_take_time_in_proportion_to_their_length():
    html = b"<b>" * 1_000_000 + b"</i>" * 1_000_000  # a search through the open elements at each end tag would take days
    assert html_size(html) == (1_000_000, 1_000_000)
