"""Each record of a WARC file ends in exactly one place, whatever has happened to the file."""

import gzip
import io
import zlib
from collections import Counter
from datetime import UTC, datetime

import fsspec
import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.readers.reader import ReadSettings, check, read, split
from gristmill.stages.documents import WITH_HTML

FS = fsspec.filesystem("file")
PAGE = b"<!DOCTYPE html><title>t</title><p>page %d</p>"


def http(body=b"<p>hello</p>", status=b"200 OK", headers=(b"Content-Type: text/html; charset=utf-8",)):
    return b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", b""]) + body


def record(block, kind="response", *, number=1, url="http://example.com/", extra=(), length=None, newline="\r\n"):
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:{number}>",
        f"WARC-Target-URI: {url}",
        "WARC-Date: 2020-01-02T03:04:05Z",
        *extra,
        f"Content-Length: {len(block) if length is None else length}",
        "",
        "",
    ]
    return newline.join(lines).encode() + block + b"\r\n\r\n"


def plain(records):
    return b"".join(records)


def one_member(records):
    return gzip.compress(b"".join(records), mtime=0)


def one_frame(records):
    return zstandard.compress(b"".join(records))


def pages(count):
    return [record(http(PAGE % at), number=at, url=f"http://example.com/{at}") for at in range(count)]


def members(records):
    return b"".join(gzip.compress(one, mtime=0) for one in records)


def frames(records):
    return b"".join(zstandard.ZstdCompressor(write_checksum=True).compress(one) for one in records)


def read_all(path, start=0, stop=None, batch_bytes=1 << 20, **options):
    """Documents as rows, removals, and the counts of other records."""
    options.setdefault("format", "warc")
    rows, removals, other = [], [], Counter()
    settings = ReadSettings(paths=[str(path)], **options)
    for batch in read(FS, str(path), path.name, "web", start, stop, settings, batch_bytes):
        assert batch.documents.num_rows or batch.removals or batch.other_records
        rows += batch.documents.to_pylist()
        removals += batch.removals
        other.update(batch.other_records)
    positions = [row["position"] for row in rows], [one.position for one in removals]
    for ordered in positions:
        assert ordered == sorted(set(ordered))
    assert not set(positions[0]) & set(positions[1])
    return rows, removals, other


def write(tmp_path, data, name="a.warc.gz"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def ids(rows):
    return [row["id"] for row in rows]


def uuids(*numbers):
    return [f"urn:uuid:{number}" for number in numbers]


def test_a_page_becomes_a_document_with_all_its_columns(tmp_path):
    extra = ["WARC-IP-Address: 1.2.3.4", "WARC-Payload-Digest: sha1:AAAA", "Content-Type: application/http; msgtype=response"]
    headers = (b"Content-Type: text/html; charset=latin-1", b"X-Robots-Tag: noindex")
    page = record(http(b"<p>caf\xe9", headers=headers), number=7, extra=extra)
    path = write(tmp_path, members([record(b"x", "warcinfo"), page]))
    settings = ReadSettings(format="warc", paths=str(path))
    (batch,) = read(FS, str(path), "crawl/a.warc.gz", "web", 0, None, settings)
    assert batch.documents.schema.equals(WITH_HTML)
    assert batch.other_records == {"warcinfo": 1}
    assert batch.documents.to_pylist() == [
        {
            "id": "urn:uuid:7",
            "text": "",
            "source": "web",
            "file": "crawl/a.warc.gz",
            "position": len(members([record(b"x", "warcinfo")])),
            "url": "http://example.com/",
            "date": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
            "content_type": "text/html; charset=latin-1",
            "language": None,
            "language_score": None,
            "meta": '{"http_status": 200, "ip_address": "1.2.3.4", "payload_digest": "sha1:AAAA", "x_robots_tag": "noindex"}',
            "html": b"<p>caf\xe9",
        }
    ]


@pytest.mark.parametrize("store", [plain, members, frames, one_member, one_frame])
def test_every_way_of_storing_gives_the_same_records(tmp_path, store):
    rows, removals, other = read_all(write(tmp_path, store([record(b"", "warcinfo"), *pages(5)])))
    assert [(row["id"], row["html"]) for row in rows] == [(f"urn:uuid:{at}", PAGE % at) for at in range(5)]
    assert (removals, other) == ([], {"warcinfo": 1})


def test_zstd_records_with_a_dictionary_in_the_file_are_read(tmp_path):
    all_pages = pages(50)
    dictionary = zstandard.train_dictionary(2048, all_pages * 4)
    packed = zstandard.ZstdCompressor().compress(dictionary.as_bytes())
    skippable = b"\x5d\x2a\x4d\x18" + len(packed).to_bytes(4, "little") + packed
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    path = write(tmp_path, skippable + b"".join(compressor.compress(one) for one in all_pages), "a.warc.zst")
    assert ids(read_all(path)[0]) == uuids(*range(50))
    ranges = split(FS, str(path), ReadSettings(format="warc", paths="x"), 2000)
    assert [row["id"] for start, stop in ranges for row in read_all(path, start, stop)[0]] == uuids(*range(50))
    assert len(ranges) > 3


@pytest.mark.parametrize(
    ("block", "kind", "extra", "rule", "value", "detail"),
    [
        (http(status=b"404 Not Found"), "response", [], "http_status", 404, None),
        (http(status=b"204 No Content"), "response", [], "http_status", 204, None),
        (b"hello", "response", [], "http_status", None, "no status line but b'hello'"),
        (http(headers=(b"Content-Type: image/png",)), "response", [], "not_text", None, "image/png"),
        (http(headers=(b"Content-Type: text/plain",)), "response", [], "not_text", None, "text/plain"),
        (http(b"\x89PNG", headers=()), "response", [], "not_text", None, "no content type, and nothing that looks like HTML"),
        (b"20080430 1.2.3.4", "response", ["Content-Type: text/dns"], "not_text", None, "text/dns"),
        (b"log", "resource", ["Content-Type: text/plain"], "not_text", None, "text/plain"),
    ],
)
def test_what_is_no_page_leaves_with_its_reason(tmp_path, block, kind, extra, rule, value, detail):
    rows, (removal,), _ = read_all(write(tmp_path, members([record(block, kind, extra=extra)])))
    assert rows == []
    assert (removal.rule, removal.value, removal.detail, removal.is_record) == (rule, value, detail, True)
    assert (removal.id, removal.url, removal.position) == ("urn:uuid:1", "http://example.com/", 0)


@pytest.mark.parametrize(
    ("block", "kind", "extra"),
    [
        (http(headers=(b"content-type:TEXT/HTML",)), "response", []),
        (http(headers=(b"Content-Type: application/xhtml+xml",)), "response", []),
        (http(b"\n <!DOCTYPE html><p>", headers=()), "response", []),
        (b"HTTP/1.0 200 OK\nContent-Type: text/html\n\n<p>", "response", []),
        (b"HTTP/2 200\r\nContent-Type: text/html\r\n\r\n<p>", "response", []),
        (b"<p>", "resource", ["Content-Type: text/html"]),
    ],
)
def test_pages_in_every_form_are_documents(tmp_path, block, kind, extra):
    rows, removals, _ = read_all(write(tmp_path, members([record(block, kind, extra=extra)])))
    assert (ids(rows), removals) == (uuids(1), [])


TEXT = b"<p>" + b"some words " * 50


def chunked(body, tail=b"0\r\n\r\n"):
    return b"%x\r\n%s\r\n%X;x=y\r\n%s\r\n" % (7, body[:7], len(body) - 7, body[7:]) + tail


def deflate_raw(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def brotli(body):
    import brotli

    return brotli.compress(body)


@pytest.mark.parametrize(
    ("headers", "stored", "expected"),
    [
        (b"Transfer-Encoding: chunked", chunked(TEXT), TEXT),
        (b"Transfer-Encoding: chunked", chunked(TEXT, b"0\r\nX-Trailer: yes\r\n\r\n"), TEXT),
        (b"Transfer-Encoding: chunked", TEXT, TEXT),
        (b"Transfer-Encoding: chunked", chunked(TEXT)[:300], TEXT[: 300 - len(b"7\r\n1234567\r\n21f;x=y\r\n") + 7]),
        (b"Content-Encoding: gzip", gzip.compress(TEXT), TEXT),
        (b"Content-Encoding: x-gzip\r\nTransfer-Encoding: chunked", chunked(gzip.compress(TEXT)), TEXT),
        (b"Content-Encoding: gzip", gzip.compress(TEXT) + gzip.compress(TEXT), TEXT * 2),
        (b"Content-Encoding: gzip", TEXT, TEXT),
        (b"Content-Encoding: deflate", zlib.compress(TEXT), TEXT),
        (b"Content-Encoding: deflate", deflate_raw(TEXT), TEXT),
        (b"Content-Encoding: br", brotli(TEXT), TEXT),
        (b"Content-Encoding: br", TEXT, TEXT),
        (b"Content-Encoding: zstd", zstandard.compress(TEXT), TEXT),
        (b"Content-Encoding: identity", TEXT, TEXT),
    ],
)
def test_transfer_and_content_encodings_are_undone_where_they_are_there(tmp_path, headers, stored, expected):
    ((row,), _, _) = read_all(write(tmp_path, members([record(http(stored, headers=(b"Content-Type: text/html", headers)))])))
    assert row["html"] == expected


def test_a_page_cut_off_inside_its_gzip_encoding_gives_its_beginning(tmp_path):
    packed = gzip.compress(b"".join(b"%d " % (at * at) for at in range(9999)))
    block = http(packed[: len(packed) // 2], headers=(b"Content-Type: text/html", b"Content-Encoding: gzip"))
    ((row,), _, _) = read_all(write(tmp_path, members([record(block)])))
    assert row["html"].startswith(b"0 1 4 9 16 ")


@pytest.mark.parametrize("store", [plain, members, frames])
def test_a_record_over_the_limit_is_named_and_its_neighbours_are_read(tmp_path, store):
    big = record(http(b"x" * 5000), number=9)
    bomb = record(http(gzip.compress(b"x" * 5000), headers=(b"Content-Type: text/html", b"Content-Encoding: gzip")), number=10)
    first, second = pages(2)
    rows, removals, _ = read_all(write(tmp_path, store([first, big, bomb, second])), max_record_bytes=4000)
    assert ids(rows) == uuids(0, 1)
    assert [(one.id, one.rule, one.threshold) for one in removals] == [
        ("urn:uuid:9", "too_large", 4000),
        ("urn:uuid:10", "too_large", 4000),
    ]
    assert removals[0].value == len(http(b"x" * 5000))


def test_line_feeds_alone_end_header_lines(tmp_path):
    data = b"".join(record(http(PAGE % at), number=at, newline="\n") for at in range(3))
    assert ids(read_all(write(tmp_path, data))[0]) == uuids(0, 1, 2)


def test_uris_lose_brackets_and_keep_spaces_and_a_record_without_id_is_called_by_its_place(tmp_path):
    nameless = record(http(), url="<http://example.com/a b>").replace(b"WARC-Record-ID: <urn:uuid:1>\r\n", b"")
    ((row,), _, _) = read_all(write(tmp_path, nameless, "a.warc"))
    assert (row["url"], row["id"]) == ("http://example.com/a b", "web/a.warc#0")


def test_an_id_by_position_is_taken_when_asked_for(tmp_path):
    assert ids(read_all(write(tmp_path, pages(1)[0], "a.warc"), id="position")[0]) == ["web/a.warc#0"]


# Damage


@pytest.mark.parametrize("store", [members, frames])
def test_a_flipped_bit_costs_the_record_it_hits(tmp_path, store):
    records = pages(5)
    data = bytearray(store(records))
    begin = len(store(records[:2]))
    data[begin + len(store(records[2:3])) // 2] ^= 0x10
    rows, removals, _ = read_all(write(tmp_path, bytes(data)))
    assert ids(rows) == uuids(0, 1, 3, 4)
    (removal,) = removals
    assert (removal.rule, removal.position) == ("unreadable_bytes", begin) or begin < removal.position < len(store(records[:3]))


def test_a_wrong_checksum_costs_the_record_it_belongs_to(tmp_path):
    records = [gzip.compress(one, mtime=0) for one in pages(3)]
    records[1] = records[1][:-8] + b"\0\0\0\0" + records[1][-4:]
    rows, (removal,), _ = read_all(write(tmp_path, b"".join(records)))
    assert ids(rows) == uuids(0, 2)
    assert (removal.id, removal.rule, removal.is_record) == ("urn:uuid:1", "unreadable_bytes", True)
    assert "incorrect data check" in removal.detail


@pytest.mark.parametrize("store", [plain, members, frames])
def test_a_file_cut_off_loses_its_last_record_by_name(tmp_path, store):
    records = [*pages(3), record(http(b"<p>" + bytes(range(256)) * 40), number=3)]
    rows, (removal,), _ = read_all(write(tmp_path, store(records)[:-200]))
    assert ids(rows) == uuids(0, 1, 2)
    assert (removal.rule, removal.position) == ("unreadable_bytes", len(store(records[:3])))
    assert "the file ends" in removal.detail


def test_a_hole_in_a_file_costs_what_it_touches(tmp_path):
    records = [record(http(b"<p>%d" % at + bytes((at * i * i) % 251 for i in range(3000))), number=at) for at in range(6)]
    stored = [gzip.compress(one) for one in records]
    hole = b"".join(stored[:2]) + stored[2][: len(stored[2]) // 2] + stored[3][len(stored[3]) // 2 :] + b"".join(stored[4:])
    rows, removals, _ = read_all(write(tmp_path, hole))
    assert ids(rows) == uuids(0, 1, 4, 5)
    assert {one.rule for one in removals} == {"unreadable_bytes"}


def test_a_member_cut_short_does_not_take_the_next_one_with_it(tmp_path):
    stored = [gzip.compress(one) for one in pages(4)]
    rows, (removal,), _ = read_all(write(tmp_path, stored[0] + stored[1][:-40] + stored[2] + stored[3]))
    assert ids(rows) == uuids(0, 2, 3)
    assert removal.rule == "unreadable_bytes"


def test_bytes_behind_the_last_member_are_one_gap(tmp_path):
    data = members(pages(2))
    rows, (gap,), _ = read_all(write(tmp_path, data + b"GARBAGE!" * 4))
    assert ids(rows) == uuids(0, 1)
    assert (gap.position, gap.value, gap.is_record, gap.id) == (len(data), 32, False, f"web/a.warc.gz#{len(data)}")


def test_garbage_between_records_is_one_gap(tmp_path):
    first, second = pages(2)
    rows, (gap,), _ = read_all(write(tmp_path, first + b"monkeys\r\nmore monkeys\r\n" + second))
    assert ids(rows) == uuids(0, 1)
    assert (gap.position, gap.value, gap.is_record) == (len(first), 23, False)
    assert "monkeys" in gap.detail


@pytest.mark.parametrize("store", [plain, members, frames])
@pytest.mark.parametrize("length", [500, 100_000, 10**12])
def test_a_length_that_is_too_large_swallows_no_other_record(tmp_path, store, length):
    first, second = pages(2)
    wrong = record(http(), number=9, length=length)
    rows, removals, _ = read_all(write(tmp_path, store([wrong, first, second])))
    assert ids(rows) == uuids(0, 1)
    assert [(one.id, one.rule) for one in removals] == [("urn:uuid:9", "unreadable_bytes")]


def test_a_length_that_is_too_small_leaves_a_gap_and_no_other_loss(tmp_path):
    first, second = pages(2)
    rows, (gap,), _ = read_all(write(tmp_path, record(http(), number=9, length=len(http()) - 5) + first + second))
    assert ids(rows) == uuids(9, 0, 1)
    assert (gap.rule, gap.is_record, gap.value) == ("unreadable_bytes", False, 5 + 4)


@pytest.mark.parametrize("length", ["", "very lengthy", "-5"])
def test_a_record_without_a_usable_length_is_removed_by_name(tmp_path, length):
    first, second = pages(2)
    rows, (removal,), _ = read_all(write(tmp_path, record(http(), number=9, length=length) + first + second))
    assert ids(rows) == uuids(0, 1)
    assert (removal.id, removal.is_record) == ("urn:uuid:9", True)


def test_damage_in_a_request_is_a_gap_and_the_request_is_counted(tmp_path):
    stored = [gzip.compress(one) for one in [record(b"GET / HTTP/1.0", "request", number=5), *pages(1)]]
    stored[0] = stored[0][:-8] + b"\0" * 8
    rows, (gap,), other = read_all(write(tmp_path, b"".join(stored)))
    assert (ids(rows), dict(other)) == (uuids(0), {"request": 1})
    assert (gap.rule, gap.is_record) == ("unreadable_bytes", False)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_byte_costs_more_than_the_record_it_lies_in(tmp_path_factory, data):
    store = data.draw(st.sampled_from([members, frames]))
    records = pages(5)
    stored = bytearray(store(records))
    at = data.draw(st.integers(0, len(stored) - 1))
    # this byte of a zstd frame says whether there is a checksum, and nothing protects it
    assume(store is members or at not in [len(frames(records[:one])) + 4 for one in range(5)])
    stored[at] = data.draw(st.integers(0, 255).filter(lambda value: value != stored[at]))
    path = write(tmp_path_factory.mktemp("damage"), bytes(stored), "a.warc")
    hit = max(one for one in range(5) if len(store(records[:one])) <= at)
    try:
        rows, removals, _ = read_all(path)
    except UserError:
        assert hit == 0
        return
    assert all(row["html"] == PAGE % int(row["id"].rpartition(":")[2]) for row in rows)
    if len(rows) == 5:
        return  # some bytes say nothing that matters: the time and the system of a gzip header
    left = set(uuids(*range(5))) - set(ids(rows))
    assert left == {f"urn:uuid:{hit}"}
    assert [one.rule for one in removals] == ["unreadable_bytes"]


# Splitting


@pytest.mark.parametrize("store", [plain, members, frames, one_member])
def test_ranges_give_the_same_records_as_the_whole(tmp_path, store):
    records = [*pages(40), record(b"", "warcinfo")]
    path = write(tmp_path, store(records))
    options = ReadSettings(format="warc", paths="x")
    whole = read_all(path)
    for target in (100, 1000, 5000, 10**9):
        ranges = split(FS, str(path), options, target)
        assert ranges[0][0] == 0
        assert ranges[-1][1] is None
        assert [stop for _, stop in ranges[:-1]] == [start for start, _ in ranges[1:]]
        parts = [read_all(path, start, stop, batch_bytes=300) for start, stop in ranges]
        assert [row for part in parts for row in part[0]] == whole[0]
        assert sum((part[2] for part in parts), Counter()) == whole[2]
        if store in (members, frames) and target == 1000:
            assert 8 < len(ranges) < 20


def test_ranges_around_damage_name_it_once(tmp_path):
    stored = [gzip.compress(one) for one in pages(20)]
    stored[7] = stored[7][:-30]
    stored[12] = stored[12][:30] + b"\xff" * 20 + stored[12][50:]
    path = write(tmp_path, b"".join(stored) + b"junk")
    whole = read_all(path)
    assert len(whole[0]) == 18
    for target in (100, 300, 700):
        ranges = split(FS, str(path), ReadSettings(format="warc", paths="x"), target)
        parts = [read_all(path, start, stop) for start, stop in ranges]
        assert [row for part in parts for row in part[0]] == whole[0]
        assert [one for part in parts for one in part[1]] == whole[1]


def test_what_is_appended_moves_no_boundary(tmp_path):
    options = ReadSettings(format="warc", paths="x")
    before = split(FS, str(write(tmp_path, members(pages(30)))), options, 1000)
    after = split(FS, str(write(tmp_path, members(pages(60)))), options, 1000)
    assert [start for start, _ in after][: len(before)] == [start for start, _ in before]


# Files that are no WARC


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\r\nThe monkeys are coming!\r\n", "no WARC file: it begins with b'The monkeys are coming!"),
        (b"<!DOCTYPE html><title>404</title>", "an HTML or XML page"),
        (b"filedesc://x.arc 0.0.0.0 20080430 text/plain 76\n", "ARC file"),
        (gzip.compress(b"filedesc://x.arc 0.0.0.0 20080430 text/plain 76\n"), "ARC file"),
        (b"WARC/1.2.3.4.5\r\n", "unknown version line"),
        (b"\x04\x22\x4d\x18d@\xa7", "compressed with lz4"),
        (b"BZh91AY&SY", "compressed with bzip2"),
        (b'{"text": "x"}\n', "JSON"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff\xff\xff\xff", "cannot be uncompressed"),
    ],
)
def test_a_file_that_is_no_warc_is_refused_by_name(tmp_path, data, says):
    path = write(tmp_path, data, "x.warc.gz")
    with pytest.raises(UserError, match=r"x\.warc\.gz") as error:
        check(FS, str(path), ReadSettings(format="warc", paths="x"))
    assert says in str(error.value)
    with pytest.raises(UserError):
        read_all(path)


@pytest.mark.parametrize("data", [b"", gzip.compress(b""), zstandard.compress(b"")])
def test_an_empty_file_has_no_records(tmp_path, data):
    path = write(tmp_path, data)
    check(FS, str(path), ReadSettings(format="warc", paths="x"))
    assert read_all(path) == ([], [], {})
    assert split(FS, str(path), ReadSettings(format="warc", paths="x"), 100) == [(0, None)]


# WET


def test_conversion_records_are_documents_in_wet_and_only_there(tmp_path):
    text = record("Größe\n".encode(), "conversion", extra=["Content-Type: text/plain", "WARC-Identified-Content-Language: deu"])
    path = write(tmp_path, members([record(b"", "warcinfo"), text, record(http(), number=2)]), "a.warc.wet.gz")
    rows, removals, other = read_all(path, format="wet")
    assert [(row["text"], row["meta"]) for row in rows] == [("Größe\n", '{"language": "deu"}')]
    assert (removals, other) == ([], {"warcinfo": 1, "response": 1})
    assert "html" not in rows[0]
    rows, _, other = read_all(path)
    assert (ids(rows), other) == (uuids(2), {"warcinfo": 1, "conversion": 1})


# Real files

REFUSED = {
    "block-sized-records.warc.lz4",
    "bad.arc",
    "example.arc.gz",
    "invalid-warcheaderversion-13.warc",
    "invalid-warcreader-diagnosis-1.warc",
}
MORE_THAN_WARCIO = {
    "corrupted-trailing-bytes.warc.gz": 30,
    "example-bad-non-chunked.warc.gz": 6,
    "example-wrong-chunks.warc.gz": 2,
    "invalid-warcrecord-3.warc": 6,
}
WITH_GAPS = {
    "HTTP204.warc": 2,
    "clipped.warc.gz": 1,
    "corrupted-trailing-bytes.warc.gz": 1,
    "example-bad-length.warc": 1,
    "invalid-warcfile-fields-empty.warc": 1,
    "invalid-warcfile-fields-invalidformat.warc": 1,
    "invalid-warcfile-record-then-garbage.warc": 1,
    "invalid-warcrecord-3.warc": 3,
}


def counted_by_warcio(path):
    """Records by type that warcio reads before it stops, and whether it reads to the end."""
    types = Counter()
    try:
        with path.open("rb") as file:
            for one in ArchiveIterator(file):
                types[one.rec_type or "without a type"] += 1
    except Exception:
        return types, False
    return types, True


def test_every_record_of_the_real_files_ends_in_one_place(shared_data):
    web = shared_data / "web"
    files = [path for path in sorted([*web.rglob("*.warc*"), *web.rglob("*.arc*")]) if path.is_file()]
    assert len(files) >= 50
    gaps = {}
    for path in files:
        if path.name in REFUSED:
            with pytest.raises(UserError, match=path.name):
                check(FS, str(path), ReadSettings(format="warc", paths="x"))
            continue
        rows, removals, other = read_all(path, format="wet" if ".wet." in path.name else "warc")
        records = len(rows) + sum(one.is_record for one in removals) + sum(other.values())
        types, whole = counted_by_warcio(path)
        expected = MORE_THAN_WARCIO.get(path.name, types.total())
        assert (path.name, records) == (path.name, expected)
        if whole:
            documents = ("conversion",) if ".wet." in path.name else ("response", "resource")
            assert other == Counter({name: number for name, number in types.items() if name not in documents})
        if found := sum(one.rule == "unreadable_bytes" for one in removals):
            gaps[path.name] = found
    assert gaps == WITH_GAPS


def test_the_evaluation_pages_are_read_byte_for_byte(shared_data):
    path = shared_data / "web" / "trafilatura-eval-00000.warc.gz"
    rows, removals, other = read_all(path)
    assert (len(rows), removals, other) == (495, [], {"warcinfo": 1})
    with path.open("rb") as file:
        expected = [one.content_stream().read() for one in ArchiveIterator(file) if one.rec_type == "response"]
    assert [row["html"] for row in rows] == expected


def test_ranges_of_a_real_file_give_the_same_records(shared_data):
    path = shared_data / "web" / "samples" / "IAH-20080430204825-00000-blackbook.warc.gz"
    ranges = split(FS, str(path), ReadSettings(format="warc", paths="x"), 1 << 20)
    assert len(ranges) > 3
    parts = [read_all(path, start, stop) for start, stop in ranges]
    whole = read_all(path)
    assert [row["id"] for part in parts for row in part[0]] == ids(whole[0])
    assert [one for part in parts for one in part[1]] == whole[1]
    assert sum((part[2] for part in parts), Counter()) == whole[2]


def test_odd_files_hold_what_their_pages_hold(shared_data):
    odd = shared_data / "web" / "odd"
    ((row,), _, _) = read_all(odd / "example-iana.org-chunked.warc")
    assert row["html"].lstrip().startswith(b"<!doctype html>")  # chunked and gzip undone
    rows, _, _ = read_all(odd / "variableSizedDates.warc")
    assert [row["date"] for row in rows] == [
        datetime(2014, 1, 1, tzinfo=UTC),
        datetime(2014, 2, 10, 0, 0, 1, tzinfo=UTC),
        datetime(2014, 2, 10, 0, 0, 1, 10_000, tzinfo=UTC),
        datetime(2014, 2, 10, 0, 0, 1, tzinfo=UTC),
    ]
    rows, _, _ = read_all(odd / "clueweb-quirk.warc.gz")
    assert {row["date"] for row in rows} == {None}  # 2008-10-294 is no day
    assert all(b"<" in row["html"] for row in rows)  # the header says gzip, the body is not
    assert io.BytesIO(rows[0]["html"]).read(1) != b"\x1f"
