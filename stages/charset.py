"""Bytes of a page to text: what the server said, what the page says of itself, and what the bytes look like."""

from __future__ import annotations

import codecs
import re

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

# Labels resolve as in the WHATWG Encoding Standard; the codecs named here are Python's nearest to what browsers do,
# tried in this order: browsers' Shift_JIS is Windows-31J, their EUC-KR is UHC, their GBK decodes as GB18030, and so on.
_CODECS = {
    "shift_jis": ("cp932", "shift_jis_2004"),
    "euc_jp": ("euc_jp", "euc_jis_2004"),
    "iso2022_jp": ("iso2022_jp", "iso2022_jp_ext"),
    "euc_kr": ("cp949",),
    "big5": ("big5hkscs", "cp950"),
    "gbk": ("gb18030",),
    "iso8859-11": ("cp874",),
}
_EXTRA_LABELS = {
    "utf8mb4": "utf-8",
    "win-1250": "cp1250",
    "win-1251": "cp1251",
    "win-1252": "cp1252",
    "cp-1251": "cp1251",
    "windows1251": "cp1251",
    "x-mac-cyrillic": "mac_cyrillic",
    "hz-gb-2312": "hz",
    "iso-2022-kr": "iso2022_kr",
    "cp932": "shift_jis",
    "cp949": "euc_kr",
    "uhc": "euc_kr",
    "cp936": "gbk",
}
_SEVERAL_BYTES = {"utf-8", "shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "big5", "gbk", "gb18030", "hz", "iso2022_kr"}
_HEADER_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,>]+)", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta\b[^>]{0,400}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:+-]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']\s*([A-Za-z0-9_.:+-]+)", re.IGNORECASE)
_EMPTY_IN_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_BEYOND_ASCII = bytes(range(128, 256))
_MANY = 3  # characters of several bytes each that are valid UTF-8 and nothing else: no accident
_META_BYTES = 4096  # browsers look at 1024 bytes; pages with long comments at the top carry it later


def decode_html(html: bytes, content_type: str | None) -> str:
    """Decode the bytes of a page (or of plain text) as a browser would, and better where servers are known to lie.

    A byte order mark decides. Then come the charset of `content_type` and the one the page names in its first 4 KB, where the
    bytes decode without an error; bytes that are UTF-8 with several non-ASCII characters are UTF-8, whatever was declared; a
    declared ISO-8859-1 (the default of servers that do not know) gives way to the page's own word. Undeclared or wrongly
    declared bytes are UTF-8 where valid, else what the detector says, else Windows-1252. Never raises.

    Args:
        html: the body, with content and transfer encodings undone.
        content_type: value of the Content-Type header, or None.

    Returns:
        The text, without byte order mark and without surrogates; U+FFFD stands for bytes that mean nothing in the encoding.

    Source: labels and their meaning, https://encoding.spec.whatwg.org/#names-and-labels.
    """
    for bom, codec in _BOMS:
        if html.startswith(bom):
            return html[len(bom) :].decode(codec, "replace")
    declared = _declared(html, content_type)
    utf8 = _strict(html, "utf-8")
    if utf8 is not None and _is_surely_utf8(html, utf8, declared):
        return utf8
    for name in declared:
        if name == "cp1252" and _EMPTY_IN_CP1252.search(html):
            continue  # no text in Windows-1252 uses its five empty places, so another encoding is more likely
        text = _strict(html, name)
        if text is None and name in _SEVERAL_BYTES:
            text = _with_few_losses(html, name)
        if text is not None:
            return text
    if utf8 is not None:
        return utf8
    return _with_few_losses(html, "utf-8") or _detected(html, declared)


def _declared(html: bytes, content_type: str | None) -> list[str]:
    """Encodings that header and page name, most trusted first, each once."""
    header = _HEADER_CHARSET.search(content_type) if content_type else None
    names = [_resolve(header[1])] if header else []
    start = html[:_META_BYTES]
    for pattern in (_XML_ENCODING, _META_CHARSET):
        if found := pattern.search(start):
            name = _resolve(found[1].decode("ascii"))
            # a page that could be read this far as ASCII is not UTF-16 (also the standard's rule)
            names.append("utf-8" if name in ("utf-16-le", "utf-16-be") else name)
    if not names and (sniffed := _utf16_without_mark(start)):
        names = [sniffed]
    if len(names) > 1 and names[0] == "cp1252":
        names = [*names[1:], names[0]]  # what servers say that were never told
    return list(dict.fromkeys(name for name in names if name))


def _resolve(label: str) -> str | None:
    """The encoding a label stands for on the web, as a Python name; None when the label means nothing."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    label = label.strip().lower()
    name: str | None = _EXTRA_LABELS.get(label) or map_encoding_to_html5(label, fallback_utf8=False)
    return name


def _utf16_without_mark(start: bytes) -> str | None:
    """UTF-16 shows in the zero bytes of its markup, half of all bytes and all on one side."""
    if len(start) < 8 or 0 not in start:
        return None
    even, odd = start[0::2].count(0), start[1::2].count(0)
    half = len(start) // 2
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 * half and odd < 0.05 * half else None


def _is_surely_utf8(html: bytes, text: str, declared: list[str]) -> bool:
    """Whether valid UTF-8 overrules what was declared: it has non-ASCII characters enough that no other encoding looks so."""
    if not declared or declared[0] == "utf-8":
        return True
    if declared[0].startswith("utf-16"):
        return b"\0" not in html
    if declared[0] in ("iso2022_jp", "hz", "iso2022_kr") and html.isascii():
        return False  # these write everything in ASCII bytes
    bytes_beyond_ascii = len(html) - len(html.translate(None, _BEYOND_ASCII))
    return bytes_beyond_ascii - (len(html) - len(text)) >= _MANY


def _strict(html: bytes, name: str) -> str | None:
    """The text when every byte has a meaning in the encoding, else None."""
    for codec in _CODECS.get(name, (name,)):
        try:
            text = html.decode(codec, _ERRORS)
        except (UnicodeError, LookupError):
            continue
        return text
    return None


def _with_few_losses(html: bytes, name: str) -> str | None:
    """The text with U+FFFD where the encoding was broken, when that is rare among its characters beyond ASCII; else None."""
    text = html.decode(_CODECS.get(name, (name,))[0], "replace")
    lost = text.rstrip("\ufffd").count("\ufffd")  # a page cut off in the middle of a character has lost nothing else
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return text if 5 * lost <= beyond_ascii else None


def _detected(html: bytes, declared: list[str]) -> str:
    """The text in the encoding that its bytes look like."""
    from resiliparse.parse.encoding import detect_encoding

    for name in (detect_encoding(html) or "utf-8", *declared, "cp1252"):
        if (text := _strict(html, name)) is not None:
            return text
    return html.decode("cp1252", "replace")


def _control(error: UnicodeError) -> tuple[str, int]:
    """Map bytes 80-9F that a Windows code page leaves empty to the C1 controls, as the standard's tables do."""
    if isinstance(error, UnicodeDecodeError) and error.encoding == "charmap":
        bad = error.object[error.start : error.end]
        if all(0x80 <= byte <= 0x9F for byte in bad):
            return bad.decode("latin-1"), error.end
    raise error


_ERRORS = "gristmill_c1_controls"
codecs.register_error(_ERRORS, _control)
