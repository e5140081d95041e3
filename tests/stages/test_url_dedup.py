"""Documents of one address."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.documents import Batch
from gristmill.stages.normal_url import UrlRules
from gristmill.stages.url_dedup import UrlDedup


def normal(url: str, **settings) -> str:
    return UrlRules.of(UrlDedup(**settings)).normal(url)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://Example.COM/a", "https://example.com/a"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com/a/", "https://example.com/a"),
        ("https://example.com/a#part", "https://example.com/a"),
        ("https://example.com/a?utm_source=x&id=1&UTM_Medium=y", "https://example.com/a?id=1"),
        ("https://example.com/a?fbclid=1", "https://example.com/a"),
        ("https://example.com/a?b=2&a=1", "https://example.com/a?a=1&b=2"),
        ("https://example.com/a?", "https://example.com/a"),
        ("https://example.com/%7euser", "https://example.com/~user"),
        ("https://example.com/%e4", "https://example.com/%E4"),
        ("https://example.com/x/../a/./b", "https://example.com/a/b"),
        ("https://example.com/../a", "https://example.com/a"),
        ("https://example.com./a", "https://example.com/a"),
        ("  https://example.com/a\n", "https://example.com/a"),
    ],
)
def test_what_does_not_matter_does_not_count(one, other):
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other", "settings"),
    [
        ("https://example.com/A", "https://example.com/a", {"lowercase_path": True}),
        ("https://www.example.com/a", "https://example.com/a", {"strip_www": True}),
        ("https://example.com/a#x", "https://example.com/a#y", {"keep_fragment": False}),
        ("http://example.com/a", "https://example.com/a", {"ignore_scheme": True}),
        ("https://example.com/a/", "https://example.com/a", {"ignore_trailing_slash": True}),
        ("https://example.com/a?b=1&a=2", "https://example.com/a?a=2&b=1", {"sort_query": True}),
        ("https://example.com/a?x=1", "https://example.com/a?x=2", {"keep_query": False}),
        ("https://example.com/a?x=1", "https://example.com/a?x=2", {"drop_parameters": ["x"]}),
    ],
)
def test_each_setting_decides_what_matters(one, other, settings):
    (name, value), *_ = settings.items()
    assert normal(one, **settings) == normal(other, **settings)
    opposite = [] if name == "drop_parameters" else not value
    assert normal(one, **{name: opposite}) != normal(other, **{name: opposite})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a?id=1", "https://example.com/a?id=2"),
        ("https://example.com:8080/a", "https://example.com/a"),
        ("https://example.com/a%2Fb", "https://example.com/a/b"),
        ("https://example.com/a", "https://example.org/a"),
        ("ftp://example.com/a", "https://example.com/a"),
    ],
)
def test_what_matters_counts(one, other):
    assert normal(one) != normal(other)


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://a.b/", "//", "https://[", "https://a:99999/"]))
def test_any_text_has_a_normal_form_that_is_its_own(text, start):
    once = normal(start + text, ignore_scheme=False, sort_query=False)
    assert isinstance(once, str)
    if once.startswith(("http://", "https://")):
        assert normal(once, ignore_scheme=False, sort_query=False) == once


def test_documents_without_a_url_emit_nothing():
    table = pa.table({"text": ["a"] * 4, "url": ["https://x.example/?utm_a=1", None, "http://x.example", " "]})
    emitted = UrlDedup().emit(Batch.of(table)).to_pydict()
    assert emitted["row"] == [0, 2]
    assert emitted["key"][0] == emitted["key"][1]
    assert emitted["check"][0] == emitted["check"][1]
    assert UrlDedup().emit(Batch.of(table.slice(1, 1))).num_rows == 0
