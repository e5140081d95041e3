"""Bytes of a page become the characters its author wrote, whatever the server said of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.charset import decode_html

JAPANESE = "日本語の文章です。これは漢字とひらがなとカタカナを含みます。"
RUSSIAN = "Съешь ещё этих мягких французских булок, да выпей же чаю."
FRENCH = "Voilà l’été : déjà vu, garçon, œuvre"


def page(body: str, meta: str = "") -> str:
    return f"<!DOCTYPE html><html><head>{meta}<title>t</title></head><body><p>{body}</p></body></html>"


@pytest.mark.parametrize(
    ("label", "codec", "body"),
    [
        ("EUC-JP", "euc_jp", JAPANESE),
        ("x-sjis", "shift_jis", JAPANESE),
        ("ISO-2022-JP", "iso2022_jp", JAPANESE),
        ("windows-1251", "cp1251", RUSSIAN),
        ("koi8-r", "koi8-r", RUSSIAN),
        ("iso-8859-1", "cp1252", FRENCH),  # a browser's ISO-8859-1 is Windows-1252, curly quote included
        ("gb2312", "gb18030", "汉字编码的网页，简体中文。"),
        ("big5", "big5", "繁體中文的網頁內容。"),
        ("euc-kr", "cp949", "한국어 페이지의 본문입니다. 뷁"),
        ("utf-8", "utf-8", JAPANESE + RUSSIAN + FRENCH),
    ],
)
@pytest.mark.parametrize("said_by", ["header", "meta", "http-equiv"])
def test_the_declared_encoding_is_read_without_loss(label, codec, body, said_by):
    meta = {
        "header": "",
        "meta": f'<meta charset="{label}">',
        "http-equiv": f"<META http-equiv=Content-Type content='text/html; charset={label}'>",
    }[said_by]
    text = page(body, meta)
    assert decode_html(text.encode(codec), f"text/html; charset={label}" if said_by == "header" else "text/html") == text


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_overrules_the_header_and_is_dropped(codec):
    assert decode_html(page(RUSSIAN).encode(codec), "text/html; charset=windows-1251") == page(RUSSIAN)


@pytest.mark.parametrize("lie", ["iso-8859-1", "windows-1251", "shift_jis", "utf-16", "no-such-charset"])
def test_utf8_is_recognised_under_a_lying_header(lie):
    assert decode_html(page(RUSSIAN).encode(), f"text/html; charset={lie}") == page(RUSSIAN)


def test_the_server_default_gives_way_to_what_the_page_says():
    text = page(JAPANESE, '<meta charset="EUC-JP">')
    assert decode_html(text.encode("euc_jp"), "text/html; charset=ISO-8859-1") == text


def test_a_header_that_says_utf8_over_another_encoding_is_not_believed():
    text = page(RUSSIAN, '<meta charset="windows-1251">')
    assert decode_html(text.encode("cp1251"), "text/html; charset=utf-8") == text


@pytest.mark.parametrize(("codec", "body"), [("shift_jis", JAPANESE * 4), ("euc_jp", JAPANESE * 4), ("cp1251", RUSSIAN * 8)])
def test_undeclared_bytes_are_recognised(codec, body):
    assert decode_html(page(body).encode(codec), None) == page(body)


def test_utf16_is_read_where_the_header_says_so():
    assert decode_html(JAPANESE.encode("utf-16-le"), "text/html; charset=utf-16le") == JAPANESE


def test_utf16_without_a_mark_or_a_word_is_recognised():
    assert decode_html(page(FRENCH).encode("utf-16-be"), None) == page(FRENCH)


def test_a_utf8_page_cut_in_a_character_loses_that_character_only():
    cut = page(RUSSIAN).encode()[: len("<!DOCTYPE html><html><head><title>t</title></head><body><p>") + 21]
    assert (
        decode_html(cut, "text/html; charset=utf-8")
        == "<!DOCTYPE html><html><head><title>t</title></head><body><p>Съешь ещё э\ufffd"
    )


def test_one_broken_byte_does_not_turn_a_utf8_page_into_another_encoding():
    html = page(RUSSIAN, '<meta charset="windows-1251">').encode().replace(b"<p>", b"<p>\xff")
    assert decode_html(html, "text/html; charset=utf-8") == page(RUSSIAN, '<meta charset="windows-1251">').replace(
        "<p>", "<p>\ufffd"
    )


def test_empty_places_of_windows_1252_are_controls_as_in_browsers():
    assert decode_html(b"caf\xe9 \x81", "text/html; charset=windows-1252") == "café \x81"


def test_characters_that_vendors_added_to_japanese_encodings_are_read():
    assert decode_html("①㈱".encode("cp932"), "text/html; charset=shift_jis") == "①㈱"
    assert decode_html(b"\xad\xa1", "text/html; charset=euc-jp") == "①"


@pytest.mark.parametrize("html", [b"", b"plain ascii"])
def test_nothing_and_ascii_come_through(html):
    assert decode_html(html, None) == html.decode()


LABELS = [
    "utf-8",
    "shift_jis",
    "euc-jp",
    "iso-2022-jp",
    "gbk",
    "gb18030",
    "big5",
    "euc-kr",
    "windows-1252",
    "windows-1255",
    "utf-16",
    "hz-gb-2312",
    "x",
]


@given(st.binary(max_size=200), st.sampled_from([None, "", "text/html", *(f"text/html; charset={label}" for label in LABELS)]))
def test_any_bytes_give_text_that_can_be_stored(html, content_type):
    text = decode_html(html, content_type)
    assert text.encode("utf-8").decode("utf-8") == text


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not text.startswith("\ufeff")))
def test_utf8_said_to_be_utf8_comes_back_as_it_was(text):
    assert decode_html(text.encode(), "text/html; charset=UTF-8") == text
