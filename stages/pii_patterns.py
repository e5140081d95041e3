"""Where personal data stands in a text: e-mail addresses, IP addresses, phone numbers, IBANs and credit cards.

Our own finders insist on check digits and on boundaries; those of FineWeb (datatrove) and of Dolma find what their published code
finds, errors included. All of them take time linear in the text whatever the text is: they look outwards from an `@` where the
published expressions, tried at every character, take hours for a megabyte without blanks.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

Span = tuple[int, int]
"""Characters [start, end)."""
Finder = Callable[[str], Iterator[Span]]

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LOOSE_OCTET = "(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"

# ---- our own ----

_LOCAL_BACKWARDS = re.compile(r"[\w.%+&'~-]{1,65}")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}(?:[^\W\d_]{2,63}|(?i:xn)--[A-Za-z0-9-]{2,59})(?!\w)")
_IPV4 = re.compile(rf"(?<![\w.-])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\w)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,8}(?:[0-9A-Fa-f]{1,4}|[0-9.]{7,16})?(?![\w:])")
_NUMBERS_SOMETHING = re.compile(r"(?:\b(?:version|ver|v|release|section|build|ec)[.:]?|§|[=~<>]=)\s{0,2}\Z", re.IGNORECASE)
"""What comes before the numbers of versions, sections and enzymes."""

_GAP = "[ \u00a0.()/\u2010-\u2013-]{0,2}"
_INTERNATIONAL = re.compile(rf"(?<![\w+)\]}}])(?:\+1(?:{_GAP}[0-9]){{10}}|\+\(?(?!1)[1-9](?:{_GAP}[0-9]){{7,14}})(?!\w)")
_NORTH_AMERICAN = re.compile(
    r"(?<![\w.+$-])(?<![0-9][ ,])(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ -]?|[2-9][0-9]{2}(?P<gap>[ .-]))"
    r"[2-9][0-9]{2}(?(gap)(?P=gap)|[ .-])[0-9]{4}(?!\w|[.,-][0-9]| [0-9])"
)
_PHONE_WORD = re.compile(
    r"(?<!\w)(?:tel|telephone|phone|ph|fax|mobile|mob|whatsapp|telefon|telefax|téléphone|tél|teléfono|telefono|тел|телефон|電話|电话)"
    r"(?:[ ](?:no|nr|number))?[.:]{0,2}\s{0,3}\Z",
    re.IGNORECASE,
)
_LONGEST_PHONE_WORD = 24
_SEVEN_DIGITS = re.compile(rf"[0-9](?:{_GAP}[0-9]){{6,}}")
_LOCAL_NUMBER = re.compile(rf"\(?\+?[0-9](?:{_GAP}[0-9]){{6,14}}(?!\w)")

_CARD = re.compile(
    r"(?<![\w.])(?:[0-9]{4}(?P<by4>[ -])[0-9]{4}(?P=by4)[0-9]{4}(?P=by4)[0-9]{4}(?:(?P=by4)[0-9]{3})?"
    r"|[0-9]{4}(?P<by6>[ -])[0-9]{6}(?P=by6)[0-9]{4,5}|[0-9]{13,19})(?![\w]|[.-][0-9])"
)
# Issuers' prefixes (ISO/IEC 7812): Visa 4; Mastercard 51-55, 2221-2720; American Express 34, 37; Diners 30, 36, 38, 39;
# Discover 6011, 644-65; JCB 3528-3589; UnionPay 62; Maestro 50, 56-58, 63, 67
_ISSUER = re.compile(
    r"4|5[0-8]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|3[0-9]|6011|64[4-9]|65|62|63|67",
)

_IBAN_START = re.compile(r"(?<![A-Za-z0-9])([A-Z]{2})[0-9]{2}")
_IBAN_LENGTHS = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG YE",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""Length of an IBAN by country (ISO 13616, the registry of SWIFT)."""
_IBAN_REST = {
    country: re.compile(rf"[A-Z]{{2}}[0-9]{{2}}(?: ?[A-Z0-9]){{{length - 4}}}(?![A-Za-z0-9])")
    for length, countries in _IBAN_LENGTHS.items()
    for country in countries.split()
}


def _positions(text: str, character: str) -> Iterator[int]:
    at = text.find(character)
    while at >= 0:
        yield at
        at = text.find(character, at + 1)


def find_emails(text: str) -> Iterator[Span]:
    """E-mail addresses, international ones too: a local part of at most 64 characters, a domain with a top level of letters."""
    done = 0
    for at in _positions(text, "@"):
        before = _LOCAL_BACKWARDS.match(text[max(done, at - 65) : at][::-1])
        if before is None or len(before[0]) > 64:
            continue
        start = at - len(before[0])
        start += len(before[0]) - len(before[0][::-1].lstrip(".%+&'~-"))
        if start < at and text[at - 1] not in ".&'" and (domain := _DOMAIN.match(text, at + 1)):
            done = domain.end()
            yield start, done


def find_ipv4(text: str) -> Iterator[Span]:
    """Public IPv4 addresses: four numbers of at most 255 that stand by themselves and do not number a version or a section."""
    for found in _IPV4.finditer(text):
        start = found.start()
        address = ipaddress.IPv4Address(found[0])
        if address.is_global and not address.is_multicast and not _NUMBERS_SOMETHING.search(text[max(0, start - 10) : start]):
            yield found.span()


def find_ipv6(text: str) -> Iterator[Span]:
    """Public IPv6 addresses, those of global unicast (2000::/3) that are not set aside for documentation and the like."""
    for found in _IPV6.finditer(text):
        token = found[0].rstrip(".")
        try:
            address = ipaddress.IPv6Address(token)
        except ValueError:
            continue
        groups = sum(map(bool, token.split(":")))  # `2000::` is rather a year, and the colons markup
        if groups > 1 and address.is_global and int(address) >> 125 == 1:
            yield found.start(), found.start() + len(token)


def find_phone_numbers(text: str) -> Iterator[Span]:
    """Phone numbers: with a country's prefix, in the North American form, or behind a word such as `Tel.`."""
    for digits in _SEVEN_DIGITS.finditer(text):
        start, end = digits.span()
        while start > 0 and text[start - 1] in "(+" and digits.start() - start < 2:
            start -= 1
        found = _INTERNATIONAL.match(text, start) or (start < digits.start() and _INTERNATIONAL.match(text, start + 1))
        if not found and _PHONE_WORD.search(text[max(0, start - _LONGEST_PHONE_WORD) : start]):
            found = _LOCAL_NUMBER.match(text, start)
        if found:
            yield found.span()
        for another in _NORTH_AMERICAN.finditer(text, found.end() if found else start, end + 3):
            yield another.span()


def find_credit_cards(text: str) -> Iterator[Span]:
    """Card numbers: 13 to 19 digits with an issuer's prefix and Luhn's check digit, in one piece or in the groups on cards."""
    for found in _CARD.finditer(text):
        number = found[0]
        lengths = [len(number), len(number) - 4] if len(number) == 23 else [len(number)]  # 16 digits, and another number of 3
        for length in lengths:
            digits = number[:length].replace(" ", "").replace("-", "")
            if _ISSUER.match(digits) and len(set(digits)) > 1 and luhn_holds(digits):
                yield found.start(), found.start() + length
                break


def find_ibans(text: str) -> Iterator[Span]:
    """International bank account numbers, of their country's length and with right check digits, with or without blanks."""
    for found in _IBAN_START.finditer(text):
        pattern = _IBAN_REST.get(found[1])
        whole = pattern.match(text, found.start()) if pattern else None
        if whole and iban_holds(whole[0]):
            yield whole.span()


def luhn_holds(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = sum(int(digit) for digit in digits[-1::-2])
    total += sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return total % 10 == 0


def iban_holds(iban: str) -> bool:
    """Whether the check digits of an IBAN are right (ISO 13616; ISO/IEC 7064, MOD 97-10)."""
    compact = iban.replace(" ", "")
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


# ---- FineWeb's [code: datatrove formatters/pii.py] ----

_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"


class _EmailPatterns(NamedTuple):
    """An address in pieces: what stands before the `@`, read backwards; where it may begin; what stands behind it."""

    backwards: re.Pattern[str]
    first: re.Pattern[str]
    domain: re.Pattern[str]


def _email_patterns(atom: str, label: str) -> _EmailPatterns:
    last = rf"{_LOOSE_OCTET}|{label[: label.index('(')].replace(']', '-]')}*{label[: label.index('(')]}:"
    return _EmailPatterns(
        re.compile(rf"{atom}+(?:\.{atom}+)*"),
        re.compile(rf"\b{atom}"),
        re.compile(rf"(?:{label}\.)+{label}|\[(?:{_LOOSE_OCTET}\.){{3}}(?:{last})\]"),
    )


_ANY_CASE = _email_patterns(_ATOM, _LABEL)
_LOWER_CASE = _email_patterns(_ATOM.replace("A-Z", ""), _LABEL.replace("A-Z", ""))
_LOOSE_IPV4 = re.compile(rf"(?:{_LOOSE_OCTET}\.){{3}}{_LOOSE_OCTET}")


def find_emails_as_datatrove(text: str) -> Iterator[Span]:
    """E-mail addresses in ASCII; the domain may also be an address in brackets."""
    return _datatrove_emails(text, _ANY_CASE)


def find_emails_as_datatrove_2024_04(text: str) -> Iterator[Span]:
    """The same in lower case only, as when FineWeb 1.0 was made: of `Jane.doe@x.org` nothing is found."""
    return _datatrove_emails(text, _LOWER_CASE)


def _datatrove_emails(text: str, patterns: _EmailPatterns) -> Iterator[Span]:
    backwards = text[::-1]
    done = 0
    for at in _positions(text, "@"):
        if at < done:
            continue
        before = patterns.backwards.match(backwards, len(text) - at, len(text) - done)
        start = before and patterns.first.search(text, at - len(before[0]), at)
        domain = patterns.domain.match(text, at + 1)
        if start and domain:
            done = domain.end()
            yield start.start(), done


def find_ipv4_as_datatrove(text: str) -> Iterator[Span]:
    """Public IPv4 addresses, also inside longer numbers (in 999.1.1.1, 99.1.1.1)."""
    for found in _LOOSE_IPV4.finditer(text):
        try:
            public = ipaddress.ip_address(found[0]).is_global
        except ValueError:  # 01.2.3.4
            continue
        if public:
            yield found.span()


# ---- Dolma's [code: dolma taggers/pii.py, pii_regex_with_counts_fast_v2] ----

_PARAGRAPH = re.compile(r"[^\n]*\n|[^\n]+\Z")
_MARKS_BACKWARDS = re.compile(r"[.\s@,?!;:)(]*")
_WORD_BACKWARDS = re.compile(r"[^\s@]*")
_DOLMA_DOMAIN = re.compile(r"[^\s@,?!;:)(]+")
_TWO_AT_THE_END = re.compile(r"[.\s@,?!;:)(]\s|\s")
_LEADING_MARKS = re.compile(r"[.,?!;:)(]*")
_DOLMA_PHONE = re.compile(r"(?<=\s)\(?[0-9]{3}\)?[-. ]*[0-9]{3}[-. ]?[0-9]{4}")
_MOST_QUESTION_MARKS = 10_000


def _in_paragraphs(find: Callable[[str], Iterator[Span]], text: str) -> Iterator[Span]:
    if text.count("?") > _MOST_QUESTION_MARKS:
        return
    for paragraph in _PARAGRAPH.finditer(text):
        if not paragraph[0].isspace():
            for start, end in find(paragraph[0]):
                yield start + paragraph.start(), end + paragraph.start()


def find_emails_as_dolma(text: str) -> Iterator[Span]:
    """E-mail addresses with the marks before them and the blank behind them, without which there is no match."""
    return _in_paragraphs(_dolma_emails, text)


def find_phone_numbers_as_dolma(text: str) -> Iterator[Span]:
    """Numbers of 3, 3 and 4 digits behind white space, which is part of the match; digits of ASCII only."""
    return _in_paragraphs(_dolma_phone_numbers, text)


def find_ipv4_as_dolma(text: str) -> Iterator[Span]:
    """IPv4 addresses, private ones too, also inside longer numbers."""
    return _in_paragraphs(lambda paragraph: (found.span() for found in _LOOSE_IPV4.finditer(paragraph)), text)


def _dolma_phone_numbers(text: str) -> Iterator[Span]:
    for found in _DOLMA_PHONE.finditer(text):
        yield _blank_before(text, found.start()), found.end()


def _blank_before(text: str, at: int) -> int:
    while at > 0 and text[at - 1].isspace():
        at -= 1
    return at


def _dolma_emails(text: str) -> Iterator[Span]:
    # A match is marks, a word, `@`, a domain, perhaps a mark, and a blank. From a given start the marks reach as far as they can,
    # so of the `@` that could belong to one start the last one is taken.
    backwards, size = text[::-1], len(text)
    done = 0
    best: tuple[int, int, int, int] | None = None  # start, word, at, end of the domain
    for at in _positions(text, "@"):
        domain = _dolma_domain_end(text, at)
        if at < done or domain is None:
            continue
        word = at - len(_matched(_WORD_BACKWARDS, backwards, size - at, size - done))
        if word == at:
            continue
        start = word - len(_matched(_MARKS_BACKWARDS, backwards, size - word, size - done))
        if best and start > best[0]:
            end = _dolma_end(text, best[3])
            if _dolma_counts(text, best):
                yield best[0], end
            done, best = end, None
            if at < done:
                continue
            word, start = max(word, done), max(start, done)
            if word == at:
                continue
        best = start, word, at, domain
    if best and _dolma_counts(text, best):
        yield best[0], _dolma_end(text, best[3])


def _matched(pattern: re.Pattern[str], text: str, start: int, end: int) -> str:
    found = pattern.match(text, start, end)
    return found[0] if found else ""


def _dolma_domain_end(text: str, at: int) -> int | None:
    """Where the domain behind the `@` ends; None where no blank follows it, not even behind one mark."""
    found = _DOLMA_DOMAIN.match(text, at + 1)
    if not found:
        return None
    end = found.end()
    if found[0].endswith(".") and len(found[0]) > 1 and text[end : end + 1].isspace():
        return end - 1
    return end if _TWO_AT_THE_END.match(text, end) else None


def _dolma_end(text: str, domain_end: int) -> int:
    found = _TWO_AT_THE_END.match(text, domain_end)
    return found.end() if found else domain_end


def _dolma_counts(text: str, match: tuple[int, int, int, int]) -> bool:
    """The published check of a match: a full stop in the domain, more than an opening bracket before the `@`."""
    _, word, at, end = match
    marks = _matched(_LEADING_MARKS, text, word, at - 1)
    return "." in text[at + 1 : end] and text[word + len(marks) : at] != "("
