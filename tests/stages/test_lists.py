"""Lists by name: fetched from an address, checked, found by stages, and told apart from what is not there."""

import gzip
import hashlib
import io
import json
import tarfile

import pyarrow as pa
import pytest

from gristmill.stages import lists
from gristmill.stages.documents import Batch
from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.lists import COLLECTIONS, MissingList, fetch, is_name, locate
from gristmill.stages.redpajama_v2 import RedPajamaV2
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.url_filter import UrlFilter
from gristmill.stages.word_lists import words_in_file


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lists"


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    """A folder that stands for the publishers' addresses."""
    folder = tmp_path / "publisher"
    folder.mkdir()
    monkeypatch.setattr(lists, "_UT1", folder.as_uri())
    monkeypatch.setattr(lists, "_LDNOOBW", folder.as_uri())
    return folder


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("blacklists/porn")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)


def test_a_category_is_fetched_and_used_by_its_name(publisher, cache):
    members = {"adult/domains": b"bad.com\n", "adult/urls": b"half.com/bad\n", "adult/usage": b"black"}
    archive(publisher / "adult.tar.gz", members)
    told = []
    assert fetch("ut1:adult", told.append) == [cache / "ut1" / "adult"]
    assert sorted(path.name for path in (cache / "ut1" / "adult").iterdir()) == ["domains", "urls"]
    digest = hashlib.sha256((publisher / "adult.tar.gz").read_bytes()).hexdigest()
    assert f"no sha256 is published for it, since it changes daily; what came has sha256 {digest}" in " ".join(told)
    table = Batch(pa.table({"url": ["http://a.bad.com/", "half.com/bad/x", "half.com/bad", "good.com"]}))
    assert UrlFilter(categories=("adult",)).judge(table).first_failed_rule == [
        "category_domain",
        "category_url",
        "category_url",
        None,
    ]
    named = UrlFilter(domains=("ut1:adult",), urls=("ut1:adult",))
    assert named.judge(table).first_failed_rule == ["listed_domain", None, "listed_url", None]
    assert named.files() == [str(cache / "ut1" / "adult" / kind) for kind in ("domains", "urls")]
    assert [path.name for path in (cache / "ut1").iterdir()] == ["adult"]  # nothing half done stays


def test_the_whole_collection_is_fetched_whatever_folder_it_is_packed_in(publisher, cache):
    members = {
        "blacklists/adult/domains": b"bad.com",
        "blacklists/bank/domains": b"bank.com",
        "../../evil/domains": b"x",
        "README": b"",
    }
    archive(publisher / "blacklists.tar.gz", members)
    assert fetch("ut1", str) == [cache / "ut1" / name for name in ("adult", "bank", "evil")]
    assert COLLECTIONS["ut1"].here() == ["adult", "bank", "evil"]
    assert locate("ut1:bank", "urls") is None
    assert UrlFilter(urls=("ut1:bank",)).judge(Batch(pa.table({"url": ["bank.com"]}))).kept.tolist() == [True]


def test_words_are_fetched_and_checked(publisher, cache, monkeypatch):
    (publisher / "en").write_text("darn\n")
    with pytest.raises(StageUnavailable, match=r"ldnoobw:en could not be fetched: .*another file than expected \(sha256"):
        fetch("ldnoobw:en", str)
    assert not list((cache / "ldnoobw").iterdir())
    monkeypatch.setitem(lists._LDNOOBW_SHA256, "en", hashlib.sha256(b"darn\n").hexdigest())
    assert fetch("ldnoobw:en", str) == [cache / "ldnoobw" / "en"]
    assert words_in_file("ldnoobw:en") == {"darn"}
    one = RedPajamaV2(bad_words="ldnoobw:en", max_bad_words=0)
    assert one.measure(Batch.of(pa.table({"text": ["well darn it"]})))["rps_doc_ldnoobw_words"].tolist() == [1]
    assert one.files() == [str(cache / "ldnoobw" / "en")]


def test_a_fetched_list_is_read_again_once_it_has_changed(cache):
    (cache / "ldnoobw").mkdir(parents=True)
    (cache / "ldnoobw" / "en").write_text("one")
    reads = []

    @cached_by_files
    def read(name: str) -> None:
        reads.append(name)

    read("ldnoobw:en")
    read("ldnoobw:en")
    (cache / "ldnoobw" / "en").write_text("three")
    read("ldnoobw:en")
    assert len(reads) == 2


def test_what_is_out_of_reach_or_no_list_is_told_with_what_to_do(publisher):
    with pytest.raises(
        StageUnavailable, match=r"ut1:adult could not be fetched: .*adult\.tar\.gz.* put the files of .* at .*domains"
    ):
        fetch("ut1:adult", str)
    (publisher / "adult.tar.gz").write_bytes(b"<html>moved</html>")
    with pytest.raises(StageUnavailable, match="could not be fetched"):
        fetch("ut1:adult", str)
    archive(publisher / "adult.tar.gz", {"games/domains": b"x.com"})
    with pytest.raises(StageUnavailable, match="holds no adult"):
        fetch("ut1:adult", str)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ut2:adult", "ut2:adult: no such list; there is a category, e.g. ut1:adult, a language"),
        ("ut1:../../etc", "no such list; after the colon stands a category"),
        ("ut1:", "no such list"),
        ("ldnoobw:xx", "no such list; its languages are ar, cs, da"),
    ],
)
def test_names_that_mean_no_list_are_refused(name, message):
    with pytest.raises(StageUnavailable, match=message):
        fetch(name, str)


def test_a_list_of_the_wrong_kind_is_refused(cache):
    (cache / "ldnoobw").mkdir(parents=True)
    (cache / "ldnoobw" / "en").write_text("darn")
    with pytest.raises(StageUnavailable, match="ldnoobw:en: a list of domains is wanted here"):
        UrlFilter(domains=("ldnoobw:en",)).set_up()


def test_an_entry_with_a_port_is_no_name_of_a_list():
    assert [is_name(value) for value in ("ut1:adult", "bad.com:80", "ut1", "adult")] == [True, False, False, False]


def test_a_list_that_is_not_here_is_told_with_the_command_that_gets_it(tmp_path):
    for one, command in [
        (UrlFilter(categories=("adult",)), "gristmill lists fetch ut1:adult"),
        (UrlFilter(domains=("ut1:adult",)), "gristmill lists fetch ut1:adult"),
        (RedPajamaV2(bad_words="ldnoobw:en"), "gristmill lists fetch ldnoobw:en"),
        (UrlFilter(domains=(str(tmp_path / "no.txt"),)), "gristmill lists list"),
        (UrlFilter(categories=("adult",), categories_from=str(tmp_path)), "gristmill lists fetch ut1:adult"),
    ]:
        with pytest.raises(MissingList, match=command):
            one.set_up()
        assert one.without_missing() == (one, [])
        less, told = one.model_copy(update={"when_missing": "skip"}).without_missing()
        assert command in told[0]
        less.set_up()


def test_only_what_is_missing_is_left_out(tmp_path):
    (tmp_path / "here.txt").write_text("bad.com")
    one = UrlFilter(domains=("inline.com", str(tmp_path / "here.txt"), str(tmp_path / "gone.txt")), when_missing="skip")
    less, told = one.without_missing()
    assert less.domains == ("inline.com", str(tmp_path / "here.txt"))
    assert len(told) == 1
    assert told[0].startswith(f"url_filter.domains: {tmp_path}/gone.txt is not there and was left out")


def test_a_broken_list_stops_also_where_missing_ones_may_be_left_out(tmp_path):
    (tmp_path / "broken.txt.gz").write_bytes(b"no gzip")
    with pytest.raises(StageUnavailable, match=r"broken\.txt\.gz"):
        UrlFilter(domains=(str(tmp_path / "broken.txt.gz"),), when_missing="skip").without_missing()


def test_real_words_and_categories_in_the_layout_of_their_publishers(shared_data, cache):
    (cache / "ldnoobw").mkdir(parents=True)
    with gzip.open(shared_data / "lists" / "badwords_ldnoobw.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    english = [
        next(str(value) for key, value in row.items() if key not in ("lang", "language")) for row in rows if "en" in row.values()
    ]
    (cache / "ldnoobw" / "en").write_text("\n".join(english))
    assert len(words_in_file("ldnoobw:en")) == len(set(english)) > 300
    with gzip.open(shared_data / "lists" / "ut1_categories.tsv.gz", "rt", encoding="utf-8") as file:
        for category, kind, value in (line.rstrip("\n").split("\t") for line in file):
            if category in ("bank", "hacking"):
                folder = cache / "ut1" / category
                folder.mkdir(parents=True, exist_ok=True)
                with (folder / f"{kind}s").open("a", encoding="utf-8") as target:
                    target.write(value + "\n")
    one = UrlFilter(categories=("bank", "hacking"))
    assert len(one._read().sites) > 6_800
    assert one.judge(Batch(pa.table({"url": ["https://example.org/"]}))).kept.tolist() == [True]
