import gzip
import json
import re
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gristmill.stages import pii_kernels, pii_patterns
from gristmill.stages.documents import Batch
from gristmill.stages.editor import Edited, Loss
from gristmill.stages.features import TextFeatures
from gristmill.stages.pii import Pii

KINDS = ("emails", "ipv4", "ipv6", "phone_numbers", "ibans", "credit_cards")
FLAVOURS = ("gristmill", "datatrove", "datatrove_2024_04", "dolma")

PIECES = st.one_of(
    st.sampled_from(
        ["@", ".", " ", "\n", "a", "B", "é", "-", "_", "(", ")", ",", "?", "\t", "\xa0", "\x85", "\x1f", ":", "::", "+"]
    ),
    st.sampled_from(["1", "25", "8.8.8.8", "10.0.0.1", "a@b.c", ".com", "[1.2.3.", "4]", "2001:", "2a00::1", "GB29", "NWBK"]),
    st.sampled_from(
        ["123", "(206)", "555", "0100", " 206 555 0100", "4111 1111 1111 1111", "Tel. ", "x@y.org ", "!a", "1234567"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)


def edit(*texts: str, **settings: object) -> Edited:
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    return Pii(**settings).edit(Batch(table))


def edited(text: str, **settings: object) -> str:
    return edit(text, **settings).table["text"][0].as_py()


def only(kind: str) -> dict[str, bool]:
    return {name: name == kind for name in KINDS}


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # recipes.md §8.14
        ("mail me at jane.doe@corp.co.uk now", "mail me at email@example.com now"),
        ("a@b.com and c@d.org and e@f.net", "email@example.com and firstname.lastname@example.org and email@example.com"),
        ("foo@bar", "foo@bar"),
        ("8.8.8.8 and 192.168.0.1", "22.214.171.124 and 192.168.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("version 1.2.3.4 released", "version 22.214.171.124 released"),
        ("ip 999.1.1.1 ok", "ip 922.214.171.124 ok"),
        ("write to bob@x.com today", "write to email@example.com today"),
        ("write to bob@x.com", "write to email@example.com"),
    ],
)
def test_golden_cases_of_datatrove(text, expected):
    assert edited(text, flavour="datatrove") == expected


def test_the_first_fineweb_knew_addresses_in_lower_case_only():
    text = "to Jane.Doe@x.org and jane@x.org"
    assert edited(text, flavour="datatrove") == "to email@example.com and firstname.lastname@example.org"
    assert edited(text, flavour="datatrove_2024_04") == "to Jane.Doe@x.org and email@example.com"


@pytest.mark.parametrize(
    ("text", "spans"),
    [  # recipes.md §8.14
        ("mail me at jane.doe@corp.co.uk now", [" jane.doe@corp.co.uk "]),
        ("a@b.com and c@d.org and e@f.net\n", ["a@b.com ", " c@d.org ", " e@f.net\n"]),
        ("write to bob@x.com today", [" bob@x.com "]),
        ("write to bob@x.com", []),
        ("call (206) 555-0100 now", [" (206) 555-0100"]),
        ("206-555-0100 first", []),
        ("at 10.0.0.1", ["10.0.0.1"]),
    ],
)
def test_golden_cases_of_dolma(text, spans):
    assert edit(text, flavour="dolma").cuts["text"].to_pylist() == spans


def test_dolma_masks_five_and_drops_six():
    five, six = "x 8.8.8.8" * 5, "x 8.8.8.8" * 6
    result = edit(five, six, flavour="dolma")
    assert result.table["text"].to_pylist() == ["x  |||IP_ADDRESS||| " * 5, six]
    assert result.losses == [Loss(1, "too_many_spans", 6.0, 5.0)]
    assert result.cuts["row"].to_pylist() == [0] * 5
    assert edit(six, flavour="dolma", max_spans=6).losses == []


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("emails", "Jane.Doe+news@Corp.co.uk, <bob@x.com>; 'ann@x.org'", ["Jane.Doe+news@Corp.co.uk", "bob@x.com", "ann@x.org"]),
        ("emails", "mailto:bob@x.com. And jürgen@müller.de!", ["bob@x.com", "jürgen@müller.de"]),
        ("emails", "foo@bar @handle user@host1 a@b.c3 @@x.org " + "a" * 65 + "@x.org", []),
        ("ipv4", "8.8.8.8, 93.184.215.14:80 and 93.184.215.14.", ["8.8.8.8", "93.184.215.14", "93.184.215.14"]),
        ("ipv4", "10.0.0.1 127.0.0.1 192.168.1.1 169.254.0.1 0.0.0.0 224.0.0.1 192.0.2.1 255.255.255.255", []),
        ("ipv4", "999.1.1.1 version 1.2.3.4 v1.2.3.4 >= 1.4.5.0 EC 1.14.12.17 1.2.3.4.5 01.2.3.4 256.8.8.8 a8.8.8.8", []),
        ("ipv6", "[2a00:1450:4001:81b::200e]:443 or 2600:1406:bc00:53:0:0:b81e:94ce.", None),
        ("ipv6", "fe80::1 ::1 2001:db8::1 fd00::1 std::vector 12:30:45 2000:: 3000::\n ad::add 2:3:4:5:6:7:8", []),
        ("phone_numbers", "+44 20 7946 0958, +49 (0)30 123456, +1 (206) 555-0100", None),
        ("phone_numbers", "(206) 555-0100 or 206.555.0100 or 1-206-555-0100", None),
        ("phone_numbers", "Tel. 030 12345678, fax: (030) 1234567", ["030 12345678", "(030) 1234567"]),
        ("phone_numbers", "1990-1995 ISBN 978-3-16-148410-0 3.14159265 12345678 2012 2013 2014 106-555-0100 1+12345678", []),
        ("ibans", "GB29 NWBK 6016 1331 9268 19 or DE89370400440532013000, NO9386011117947", None),
        ("ibans", "GB29 NWBK 6016 1331 9268 18 XX89370400440532013000 DE893704004405320130001 DE8937040044053201300", []),
        ("credit_cards", "4111 1111 1111 1111, 4111-1111-1111-1111, 378282246310005, 3782 822463 10005", None),
        ("credit_cards", "card 4111 1111 1111 1111 123", ["4111 1111 1111 1111"]),
        (
            "credit_cards",
            "4111 1111 1111 1112, 9111111111111110, 41111111111111111111, 0000000000000000, 4111 1111-1111 1111",
            [],
        ),
    ],
)
def test_our_patterns_find_what_is_personal_and_nothing_else(kind, text, found):
    if found is None:  # all that stands between `, ` or ` or `
        found = [piece.strip("[].").removesuffix("]:443") for piece in re.split(", | or ", text)]
    assert edit(text, **only(kind)).cuts["text"].to_pylist() == found


# from the right: 1 + 2 + 1 + 2 + ... + 1 + 8 = 8 * 1 + 7 * 2 + 8 = 30; and for 18: 8 + 2 * 1 = 10, for 59: 9 + (1 + 0) = 10
@pytest.mark.parametrize(
    ("digits", "holds"), [("4111111111111111", True), ("4111111111111112", False), ("18", True), ("59", True)]
)
def test_luhn(digits, holds):
    assert pii_patterns.luhn_holds(digits) is holds


# BE -> 11 14, moved to the end: 096123456769 1114 71. 96123456 mod 97 = 45; 45769111 mod 97 = 49; 49471 mod 97 = 1
@pytest.mark.parametrize(("iban", "holds"), [("BE71 0961 2345 6769", True), ("BE72 0961 2345 6769", False)])
def test_iban_check_digits(iban, holds):
    assert pii_patterns.iban_holds(iban) is holds


def test_cuts_are_places_in_the_text_before():
    text = "é a@b.com, call +44 20 7946 0958"
    result = edit("nothing", text)
    assert result.table["text"].to_pylist() == ["nothing", "é <EMAIL>, call <PHONE_NUMBER>"]
    assert result.cuts.to_pylist() == [
        {"row": 1, "start": 2, "end": 9, "text": "a@b.com", "put": "<EMAIL>"},
        {"row": 1, "start": 16, "end": 32, "text": "+44 20 7946 0958", "put": "<PHONE_NUMBER>"},
    ]


def test_replacements_take_turns_in_each_document():
    result = edit("a@b.com c@d.org e@f.net", "a@b.com", emails_replacement=("A", "B"))
    assert result.table["text"].to_pylist() == ["A B A", "A"]
    assert edited("a@b.com c@d.org", emails_replacement="[mail]") == "[mail] [mail]"


def test_removed_data_leaves_nothing_and_a_document_of_nothing_else_is_lost():
    result = edit("mail a@b.com now", "a@b.com", " a@b.com\n", mode="remove")
    assert result.table["text"].to_pylist() == ["mail  now", "", ""]
    assert result.losses == [Loss(1, "nothing_left"), Loss(2, "nothing_left")]


def test_a_kind_that_a_flavour_lacks_can_be_added_and_one_it_has_taken_away():
    text = "a@b.com 4111111111111111 8.8.8.8"
    result = edited(text, flavour="datatrove", credit_cards=True, emails=False)
    assert result == "a@b.com <CREDIT_CARD> 22.214.171.124"


def test_what_overlaps_is_replaced_once():
    assert edited("user+44207946095811@x.org") == "<EMAIL>"
    assert edited("root@[8.8.8.8]", flavour="datatrove") == "email@example.com"


@given(TEXTS)
@example("2001::1")
def test_candidates_are_those_of_the_plain_definition(text):
    features = TextFeatures(pa.array([text, "x", text], pa.large_string()))
    expected = pii_kernels.candidates_plainly(text)
    assert pii_kernels.candidates(features).tolist() == [expected, pii_kernels.candidates_plainly("x"), expected]


_FINDERS = {
    pii_kernels.EMAIL: ("find_emails", "find_emails_as_datatrove", "find_emails_as_datatrove_2024_04", "find_emails_as_dolma"),
    pii_kernels.IPV4: ("find_ipv4", "find_ipv4_as_datatrove", "find_ipv4_as_dolma"),
    pii_kernels.IPV6: ("find_ipv6",),
    pii_kernels.PHONE: ("find_phone_numbers", "find_phone_numbers_as_dolma"),
    pii_kernels.IBAN: ("find_ibans",),
    pii_kernels.CARD: ("find_credit_cards",),
}


@given(TEXTS)
def test_where_no_candidate_is_marked_nothing_would_be_found(text):
    marked = pii_kernels.candidates_plainly(text)
    for kind, finders in _FINDERS.items():
        for finder in finders if not marked & kind else ():
            assert list(getattr(pii_patterns, finder)(text)) == []


# The published expressions, tried at every character
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_BRACKETS = rf"\[(?:{_OCTET}\.){{3}}(?:{_OCTET}|[A-Za-z0-9-]*[A-Za-z0-9]:)\]"
_DATATROVE_EMAIL = re.compile(rf"\b{_ATOM}(?:\.{_ATOM})*@(?:(?:{_LABEL}\.)+{_LABEL}|{_BRACKETS})")
_DOLMA_EMAIL = re.compile(r"[.\s@,?!;:)(]*([^\s@]+@[^\s@,?!;:)(]+?)[.\s@,?!;:)(]?\s")
_DOLMA_PHONE = re.compile(r"\s+\(?[0-9]{3}\)?[-. ]*[0-9]{3}[-. ]?[0-9]{4}")


def _dolma_plainly(text: str, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
    spans = []
    start = 0
    for paragraph in text.splitlines(keepends=True) if text.count("\n") else [text]:
        for found in pattern.finditer(paragraph) if paragraph.strip() else ():
            address, _, domain = (found[1] if pattern.groups else "x@y.z").partition("@")
            if address != "(" and "." in domain:
                spans.append((start + found.start(), start + found.end()))
        start += len(paragraph)
    return spans


@given(TEXTS)
def test_emails_are_found_as_by_the_expression_of_datatrove(text):
    assert list(pii_patterns.find_emails_as_datatrove(text)) == [found.span() for found in _DATATROVE_EMAIL.finditer(text)]
    lower = re.compile(_DATATROVE_EMAIL.pattern.replace("A-Z", ""))
    assert list(pii_patterns.find_emails_as_datatrove_2024_04(text)) == [found.span() for found in lower.finditer(text)]


@given(TEXTS.map(lambda text: re.sub(r"[\x0b\x0c\x1c-\x1e\x85\u2028\u2029\r]", " ", text)))
@example(".@. b@c.d ")
@example("x@y. a@b.c@d.e.f.")
def test_spans_are_those_of_the_expressions_of_dolma(text):
    assert list(pii_patterns.find_emails_as_dolma(text)) == _dolma_plainly(text, _DOLMA_EMAIL)
    assert list(pii_patterns.find_phone_numbers_as_dolma(text)) == _dolma_plainly(text, _DOLMA_PHONE)


@given(TEXTS, st.sampled_from(FLAVOURS), st.sampled_from(["mask", "remove"]))
def test_cuts_and_replacements_rebuild_both_texts(text, flavour, mode):
    result = edit(text, flavour=flavour, mode=mode, max_spans=1000)
    cuts = result.cuts.to_pylist()
    assert [text[cut["start"] : cut["end"]] for cut in cuts] == [cut["text"] for cut in cuts]
    assert all(before["end"] <= after["start"] for before, after in pairwise(cuts))
    if mode == "remove":
        bounds = [0, *(bound for cut in cuts for bound in (cut["start"], cut["end"])), len(text)]
        left = "".join(text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True))
        assert result.table["text"][0].as_py() == (left if left.strip() or not cuts else "")


@pytest.mark.parametrize("flavour", ["gristmill", "datatrove", "dolma"])
@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "@",
        "a@",
        "@a.",
        "a!",
        "?",
        ",",
        " ",
        "1",
        "1.",
        "1 ",
        "1-",
        ":",
        "1:",
        "2::",
        "GB29",
        "GB29 ",
        "+1",
        "(",
        "((206) ",
        ". @",
    ],
)
def test_a_megabyte_of_anything_is_done_at_once(flavour, piece):
    text = piece * (1_000_000 // len(piece)) + " a@b.com 8.8.8.8 4111111111111111"
    assert edit(text, flavour=flavour, max_spans=0, credit_cards=True).losses[0].rule == "too_many_spans"


def test_bytes_that_are_no_utf8_are_read_around():
    data = pa.array([b"mail a@b.com \xff\xc3", b"\xe2\x82"], pa.large_binary())
    broken = pa.Array.from_buffers(pa.large_string(), 2, data.buffers())
    result = Pii().edit(Batch(pa.table({"text": broken})))
    assert result.table["text"][0].as_py() == "mail <EMAIL> ��"


def test_addresses_in_real_texts_are_found_as_by_the_published_expression(shared_data):
    with gzip.open(shared_data / "text" / "docs.jsonl.gz") as lines:
        texts = [text for text in (json.loads(line)["text"] for line in lines) if "@" in text][:100]
    counts = [len(list(pii_patterns.find_emails_as_datatrove(text))) for text in texts]
    assert counts == [len(_DATATROVE_EMAIL.findall(text)) for text in texts]
    assert sum(counts) > 50
    features = TextFeatures(pa.array(texts, pa.large_string()))
    assert pii_kernels.candidates(features).tolist() == list(map(pii_kernels.candidates_plainly, texts))
