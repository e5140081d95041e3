import gzip

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.documents import Batch
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.url_filter import UrlFilter
from gristmill.stages.url_match import bare_url, host


def batch(*urls):
    return Batch(pa.table({"url": pa.array(urls, pa.string())}))


REFINEDWEB = UrlFilter(
    domains=("bad.com",), banned_words=("porn",), soft_banned_words=("webcam", "escort", "dating"), banned_subwords=("sexvideo",)
)


@pytest.mark.parametrize(
    ("url", "rule", "detail"),
    [
        ("bad.com/a", "listed_domain", "bad.com"),
        ("http://sub.bad.com/", "listed_domain", "bad.com"),
        ("https://user:word@WWW.Bad.com.:8080?x", "listed_domain", "bad.com"),
        ("http://notbad.com/bad.com", None, None),
        ("http://bad.com.good.com/", None, None),
        ("http://www.good.com/porn-video", "banned_word", "porn"),
        ("http://www.good.com/Porn", None, None),
        ("http://goodporn.com/x", None, None),
        ("http://good.com/webcam/escort", "too_many_soft_banned_words", "escort webcam"),
        ("http://good.com/webcam/webcam", None, None),
        ("http://good.com/webcam/chat", None, None),
        ("http://good.com/Sex-video", "banned_subword", "sexvideo"),
        (None, None, None),
        ("", None, None),
    ],
)
def test_golden_cases_of_refinedweb(url, rule, detail):
    one = batch(url)
    verdict = REFINEDWEB.judge(one)
    assert verdict.first_failed_rule == [rule]
    if rule:
        assert REFINEDWEB.details(one, verdict.rules[verdict.first_failed[0]], np.array([0])) == [detail]


def test_rules_are_tried_in_fineweb_s_order():
    verdict = UrlFilter(domains=("bad.com",), urls=("good.com/a",), banned_words=("porn",)).judge(
        batch("http://bad.com/porn", "https://www.Good.com/a/", "https://www.good.com/A", "http://x.com/porn")
    )
    assert verdict.first_failed_rule == ["listed_domain", "listed_url", None, "banned_word"]
    assert verdict.values[2].tolist() == [1, 0, 0, 1]


def test_a_document_without_url_has_no_signals():
    assert np.isnan(REFINEDWEB.judge(batch(None)).values).all()


def test_the_number_of_soft_banned_words_is_a_threshold():
    words = ("a", "b", "c")
    url = batch("http://x.com/a/b")
    for most, kept in [(0, False), (1, False), (2, True), (None, True)]:
        assert UrlFilter(soft_banned_words=words, soft_banned_words_at_most=most).judge(url).kept.tolist() == [kept]


def test_without_lists_there_is_no_rule():
    assert UrlFilter().judge(batch("http://bad.com")).rules == []


def test_lists_are_read_from_files_with_comments_and_in_the_format_of_hosts_files(tmp_path):
    plain, packed = tmp_path / "plain.txt", tmp_path / "packed.txt.gz"
    plain.write_text("# bad ones\n\n bad.com \n#good.com\n0.0.0.0 hosts.example # not ours\n*.wild.example\n")
    packed.write_bytes(gzip.compress("http://www.page.example/\nbücher.example".encode()))
    url_filter = UrlFilter(domains=(str(plain), "inline.com", str(packed)))
    urls = ["bad.com", "good.com", "a.hosts.example", "b.wild.example", "inline.com", "page.example", "xn--bcher-kva.example"]
    verdict = url_filter.judge(batch(*[f"http://{url}/" for url in urls]))
    assert verdict.kept.tolist() == [False, True, False, False, False, False, False]
    assert url_filter.files() == [str(plain), str(packed)]


def test_a_missing_or_broken_list_is_named(tmp_path):
    (tmp_path / "broken.txt.gz").write_bytes(b"no gzip")
    for name, reason in [("missing.txt", "no such file"), ("broken.txt.gz", "[Nn]ot a gzipped file")]:
        with pytest.raises(StageUnavailable, match=f"url_filter.domains: .*{name}: .*{reason}.*an entry a line"):
            UrlFilter(domains=(str(tmp_path / name),)).set_up()


def test_a_path_that_would_be_taken_for_an_entry_is_refused():
    with pytest.raises(ValidationError, match=r"lists/adult: neither an entry nor a list; the path of a list ends in .txt"):
        UrlFilter(domains=("lists/adult",))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a.b/c", "a.b"),
        ("//a.b", "a.b"),
        ("a.b:80/c", "a.b"),
        ("http://[::1]:80/", "::1"),
        ("http://[::1/", "::1"),
        ("http://a.b\\c", "a.b"),
        ("http://B%C3%BCcher.example/", "xn--bcher-kva.example"),
        ("http:///c", ""),
    ],
)
def test_the_host_of_odd_urls(url, name):
    assert host(url) == name


def test_a_bare_url_leaves_out_what_does_not_name_the_page():
    assert bare_url("HTTPS://www.A.com/B/?c#d") == "a.com/B/?c"
    assert bare_url("a.com/") == "a.com"


@given(st.text())
def test_no_url_is_too_odd(url):
    assert len(REFINEDWEB.judge(batch(url, f"http://{url}", f"http://x/{url}")).kept) == 3
