"""The kernel that leaves out URLs leaves out none that a list concerns; what is compiled agrees with what is plain."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.documents import Batch
from gristmill.stages.public_suffix import is_public_suffix, registered_domain
from gristmill.stages.url_filter import UrlFilter
from gristmill.stages.url_kernels import LONGEST_HOST, ROOM, after_scheme, host_of, write_bare_url
from gristmill.stages.url_lists import Hashed, ListFile, Origin, hash_file, hash_of, hash_values
from gristmill.stages.url_match import Matches, bare_url, host, listed_site, match, without_marks

PARTS = [
    "http://",
    "https://",
    "//",
    "www.",
    "WWW.",
    "bad",
    "Bad",
    ".com",
    ".co.uk",
    "/",
    "?",
    "#",
    "@",
    ":",
    "%62",
    "ü",
    "K",
    "-",
    "_",
    "sex",
]
PARTS += ["video", "porn", "a", "..", ".", "[::1]", " ", "\t", "\\", "&&", "🖕", "page", "1.2.3.4", "x=1"]
ODD_URLS = st.lists(st.sampled_from(PARTS), max_size=8).map("".join) | st.text(max_size=30)

FILTERS = [
    UrlFilter(domains=("bad.com", "co.uk", "ü.com", "1.2.3.4"), keep_list=("www.bad.com",), hosts=("sex.co.uk",)),
    UrlFilter(
        urls=("bad.com/page", "http://www.a.com", "porn?x=1"), banned_words=("porn", "Bad"), soft_banned_words=("sex", "a")
    ),
    UrlFilter(banned_subwords=("sexvideo", "abad", "&&")),
    UrlFilter(flavour="dclm", banned_words=("porn", "s-a", "🖕", "k"), soft_banned_words=("sex", "bad")),
    UrlFilter(flavour="dclm", banned_subwords=("sexvideo", "🖕", "a&b")),
    UrlFilter(flavour="dclm", banned_subwords=("&&",)),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(ODD_URLS, min_size=1, max_size=5))
def test_no_url_that_a_list_concerns_is_left_out(urls):
    table = Batch(pa.table({"url": pa.array(urls, pa.string())}))
    for one in FILTERS:
        lists = one._read()
        signals = one.measure(table)
        for row, url in enumerate(urls):
            plain = match(url, lists) if url else None
            for name, values in signals.items():
                if plain is None or (plain.keep_listed and name != "keep_listed"):
                    assert np.isnan(values[row])
                else:
                    assert values[row] == len(getattr(plain, name)), (url, name)


def both(url):
    data = np.array(bytearray(url.encode()), dtype=np.uint8)
    name, bare = np.zeros(LONGEST_HOST + ROOM, np.uint8), np.zeros(len(data) + ROOM, np.uint8)
    begin = after_scheme(data, 0, len(data))
    size, authority_end = host_of(data, begin, len(data), name)
    if size < 0:
        return None
    length, _ = write_bare_url(data, begin, authority_end, len(data), bare)
    return bytes(name[:size]).decode(), bytes(bare[:length]).decode()


@settings(max_examples=500)
@given(ODD_URLS)
def test_host_and_page_as_compiled_are_those_in_plain_python_or_left_to_it(url):
    found = both(url)
    assert found is None or found == (host(url), bare_url(url))


def test_plain_hosts_are_not_left_to_plain_python():
    assert both("https://WWW.Example.co.uk:8080/A/?b#c") == ("www.example.co.uk", "example.co.uk:8080/A/?b")


LINES = ["bad.com", " WWW.a.com ", "# no", "", "0.0.0.0 hosts.example", "127.0.0.1\ttabs.example # not ours", "0.0.0.0.example"]
LINES += [
    "::1 six.example",
    "*.wild.example",
    "bücher.example",
    "http://x.example/path",
    "a.com:80",
    "user@b.com",
    "c.com.",
    "1.2.3.4",
]


@pytest.mark.parametrize("pages", [False, True])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lists_are_hashed_as_plain_python_reads_them(tmp_path, pages, newline):
    path = tmp_path / "list.txt"
    path.write_bytes(newline.join(LINES).encode())
    plainly = bare_url if pages else listed_site
    expected = {plainly(line.strip()) for line in LINES if line.strip() and not line.startswith("#")} - {""}
    found = hash_file(ListFile(Origin("domains", "list"), str(path)), pages, plainly)
    assert set(found.tolist()) == {int(hash_of(value)) for value in expected}


def test_lists_longer_than_a_block_lose_no_line(tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill.stages.url_lists.BLOCK_BYTES", 16)
    names = [f"name-{number}.example.com" for number in range(50)]
    path = tmp_path / "list.txt.gz"
    path.write_bytes(gzip.compress("\n".join(names).encode()))
    found = hash_file(ListFile(Origin("domains", "list"), str(path)), False, listed_site)
    assert sorted(found.tolist()) == sorted(int(hash_of(name)) for name in names)


@given(st.lists(st.sets(st.text("abc", min_size=1, max_size=3)), max_size=4), st.text("abcd", min_size=1, max_size=3))
def test_a_hashed_set_finds_what_it_was_given_and_where_it_is_from(lists, value):
    origins = [Origin("domains", str(number)) for number in range(len(lists))]
    hashed = Hashed([(origin, hash_values(sorted(names), str)) for origin, names in zip(origins, lists, strict=True)])
    assert len(hashed) == sum(map(len, lists))
    assert hashed.find(value) == [origin for origin, names in zip(origins, lists, strict=True) if value in names]


def judged(one, *urls):
    batch = Batch(pa.table({"url": pa.array(urls, pa.string())}))
    verdict = one.judge(batch)
    rows = [int(row) for row in np.flatnonzero(~verdict.kept)]
    told = {row: one.details(batch, verdict.rules[verdict.first_failed[row]], np.array([row]))[0] for row in rows}
    return [(rule, told.get(row)) for row, rule in enumerate(verdict.first_failed_rule)]


def test_a_public_suffix_in_a_list_means_that_host_alone():
    one = UrlFilter(domains=("co.uk", "com", "github.io"))
    assert judged(one, "http://co.uk/", "http://a.co.uk/", "http://a.com/", "http://a.github.io/") == [
        ("listed_domain", "co.uk"), (None, None), (None, None), ("listed_domain", "github.io"),
    ]  # fmt: skip
    own = UrlFilter(domains=("github.io",), private_suffixes=True)
    assert judged(own, "http://a.github.io/", "http://github.io/") == [(None, None), ("listed_domain", "github.io")]


def test_datatrove_s_way_knows_the_host_and_its_registered_domain_only():
    one = UrlFilter(domains=("b.c.co.uk", "d.co.uk"), match_domains="registered")
    assert judged(one, "http://b.c.co.uk/", "http://a.b.c.co.uk/", "http://a.b.d.co.uk/") == [
        ("listed_domain", "b.c.co.uk"), (None, None), ("listed_domain", "d.co.uk"),
    ]  # fmt: skip


def test_hosts_mean_no_host_beneath_them():
    one = UrlFilter(hosts=("a.com",))
    assert judged(one, "http://a.com/", "http://www.A.com/", "http://b.a.com/") == [
        ("listed_host", "a.com"), ("listed_host", "a.com"), (None, None),
    ]  # fmt: skip


def test_an_address_is_no_domain():
    assert judged(UrlFilter(domains=("3.4", "1.2.3.4")), "http://9.2.3.4/", "http://1.2.3.4/x") == [
        (None, None), ("listed_domain", "1.2.3.4"),
    ]  # fmt: skip


def test_the_keep_list_rescues_from_every_rule():
    one = UrlFilter(keep_list=("good.com",), domains=("bad.good.com",), banned_words=("porn",))
    urls = "http://bad.good.com/porn", "http://bad.com/porn"
    assert judged(one, *urls) == [(None, None), ("banned_word", "porn")]
    signals = one.measure(Batch(pa.table({"url": pa.array(urls)})))
    assert signals["keep_listed"].tolist() == [1, 0]
    assert np.isnan(signals["listed_domain"][0])
    assert signals["banned_word_count"][1] == 1


@pytest.fixture
def ut1(tmp_path):
    files = {
        "adult/domains": "bad.com\nco.uk",
        "adult/urls": "half.com/bad/\nhalf.com/one?page=2",
        "games/domains": "fun.com\nbad.com",
    }
    for name, entries in files.items():
        path = tmp_path / "ut1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(entries)
    return tmp_path / "ut1"


def test_categories_name_the_category_that_lists_a_site_or_a_page(ut1):
    one = UrlFilter(categories=("adult", "games"), categories_from=str(ut1))
    urls = [
        "a.bad.com",
        "fun.com/x",
        "half.com",
        "half.com/bad",
        "www.half.com/bad/x?y",
        "half.com/badly",
        "half.com/one?page=2",
        "half.com/one",
    ]
    assert judged(one, *urls) == [
        ("category_domain", "bad.com in adult bad.com in games"),
        ("category_domain", "fun.com in games"),
        (None, None),
        ("category_url", "half.com/bad in adult"),
        ("category_url", "half.com/bad in adult"),
        (None, None),
        ("category_url", "half.com/one?page=2 in adult"),
        (None, None),
    ]
    assert one.measure(Batch(pa.table({"url": urls})))["category_domain"].tolist() == [2, 1, 0, 0, 0, 0, 0, 0]
    assert [path.removeprefix(str(ut1)) for path in one.files()] == ["/adult/domains", "/adult/urls", "/games/domains"]


def test_dclm_s_way_of_comparing_words():
    one = UrlFilter(
        flavour="dclm", banned_words=("porn", "g-spot"), soft_banned_words=("sex", "chat"), banned_subwords=("sexvideo",)
    )
    urls = [
        "x.com/Porn",
        "x.com/a_porn",
        "x.com/a.porn",
        "x.com/G-Spot",
        "x.com/sex-Chat",
        "x.com/sex_chat",
        "x.com/SEX-vid.eo",
        "x.com/sex/video",
    ]
    assert [rule for rule, _ in judged(one, *urls)] == [
        "banned_word", None, "banned_word", "banned_word", "too_many_soft_banned_words", None, "banned_subword", None,
    ]  # fmt: skip
    assert without_marks("s.e-x/Video_1", "dclm") == "sex/video_1"


@pytest.mark.parametrize(
    ("name", "suffix", "domain"),
    [("co.uk", True, None), ("a.b.co.uk", False, "b.co.uk"), ("com", True, None), ("x.github.io", False, "github.io")],
)
def test_registered_domains(name, suffix, domain):
    assert (is_public_suffix(name), registered_domain(name)) == (suffix, domain)


def test_real_lists_and_real_pages(shared_data):
    """Every URL of the pages, and every listed one, judged as by the plain definition."""
    lists = shared_data / "lists"
    one = UrlFilter(
        domains=(str(lists / "adult_domains.txt.gz"),),
        urls=(str(lists / "fineweb_urls.txt.gz"),),
        banned_words=(str(lists / "fineweb_banned_words.txt.gz"),),
        soft_banned_words=(str(lists / "fineweb_soft_banned_words.txt.gz"),),
        banned_subwords=(str(lists / "fineweb_banned_subwords.txt.gz"),),
    )
    with (shared_data / "web" / "gold.jsonl").open() as file:
        urls = [json.loads(line)["url"] for line in file]
    with gzip.open(lists / "fineweb_urls.txt.gz", "rt") as file:
        urls += [line.strip() for line in file][:300]
    signals = one.measure(Batch(pa.table({"url": pa.array(urls)})))
    plain = [match(url, one._read()) for url in urls]
    for name, values in signals.items():
        assert values.tolist() == [len(getattr(found, name)) for found in plain]
    assert signals["listed_url"][-300:].sum() == 300
    assert set(signals) == set(Matches._fields) - {"keep_listed", "listed_host", "category_domain", "category_url"}
