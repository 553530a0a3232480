"""Charset of a page: what the bytes prove, then what is declared, then detection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.charset import decode_page, is_utf8, meta_charset, to_utf8

GERMAN = "Grüße aus Köln, schöne Straße"
CHINESE = "中文网页的内容是什么呢，我们来看一看"
JAPANESE = "日本語のページです。文字コードを調べます"
RUSSIAN = "Привет, это страница на русском языке, и она довольно длинная"
KOREAN = "한국어 페이지입니다. 문자 집합을 확인합니다"

UTF8_LIKE = st.lists(
    st.sampled_from(
        [b"a", b"\x7f", b"\x80", b"\x8f", b"\x90", b"\x9f", b"\xa0", b"\xbf", b"\xc0", b"\xc1",
         b"\xc2", b"\xe0", b"\xed", b"\xee", b"\xf0", b"\xf4", b"\xf5", b"\xff", b"\xed\xa0\x80",
         b"\xf0\x9f\x99\x82"]
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "codec", "header", "meta", "charset"),
    [
        (GERMAN, "utf-8", "utf-8", None, "utf-8"),
        (GERMAN, "cp1252", "iso-8859-1", None, "windows-1252"),
        (GERMAN, "cp1252", None, "latin1", "windows-1252"),
        ("price 5 \u20ac \u201cnow\u201d", "cp1252", "ISO-8859-1", None, "windows-1252"),
        (CHINESE, "gb2312", "gb2312", None, "gb18030"),
        (CHINESE, "gb18030", None, "gbk", "gb18030"),
        ("繁體中文網頁的內容是什麼", "big5", "big5", None, "big5"),
        (JAPANESE, "shift_jis", None, "Shift_JIS", "shift_jis"),
        (JAPANESE, "euc_jp", "euc-jp", None, "euc-jp"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp", None, "iso-2022-jp"),
        (KOREAN, "cp949", None, "euc-kr", "euc-kr"),
        (RUSSIAN, "cp1251", "windows-1251", None, "windows-1251"),
        (RUSSIAN, "koi8_r", None, "koi8-r", "koi8-r"),
        (RUSSIAN, "utf-16-le", "utf-16le", None, "utf-16le"),
        # Lies and gaps.
        (GERMAN, "utf-8", "iso-8859-1", None, "utf-8"),
        (CHINESE, "utf-8", "gb2312", None, "utf-8"),
        (GERMAN, "utf-8", None, "utf-16", "utf-8"),
        (GERMAN, "utf-8", "no-such-charset", None, "utf-8"),
        (GERMAN, "utf-8", None, None, "utf-8"),
        (GERMAN * 3, "cp1252", "utf-8", "windows-1252", "windows-1252"),
        (RUSSIAN, "cp1251", "utf-8", "windows-1251", "windows-1251"),
        (RUSSIAN * 5, "cp1251", None, None, "windows-1251"),
        (JAPANESE * 5, "euc_jp", None, None, "euc-jp"),
    ],
)
def test_the_charset_is_what_the_bytes_prove_then_what_is_declared(
    text: str, codec: str, header: str | None, meta: str | None, charset: str
) -> None:
    tag = f'<meta http-equiv="Content-Type" content="text/html; charset={meta}">' if meta else ""
    page = f"<html><head>{tag}</head><body>{text}</body></html>"
    content_type = f"text/html; charset={header}" if header else "text/html"
    html, name = to_utf8(page.encode(codec), content_type)
    assert html.decode() == page
    assert name == charset


@pytest.mark.parametrize(
    ("page", "header", "found"),
    [
        (b"\xef\xbb\xbf<p>x", "koi8-r", "bom"),
        (GERMAN.encode(), "koi8-r", "utf-8"),
        (b"<p>ascii", None, "utf-8"),
        (b"<p>ascii", "latin1", "http"),
        (b"<meta charset=latin1><p>ascii", None, "meta"),
        (GERMAN.encode("cp1252"), "latin1", "http"),
        (b"<meta charset=latin1>" + GERMAN.encode("cp1252"), "utf-8", "meta"),
        (b'<?xml version="1.0" encoding="euc-jp"?>' + JAPANESE.encode("euc_jp"), None, "meta"),
        ((RUSSIAN * 20).encode()[:-1], None, "utf-8"),
        ((RUSSIAN * 5).encode("cp1251"), None, "detected"),
        (b"\x81\x8d\x8f\x90\x9d" * 20, None, "default"),
    ],
)
def test_how_the_charset_was_found_is_told(page: bytes, header: str | None, found: str) -> None:
    assert decode_page(page, f"text/html; charset={header}" if header else None).found == found


def test_a_byte_order_mark_beats_every_declaration_and_is_removed() -> None:
    for codec, name in (("utf-8-sig", "utf-8"), ("utf-16", "utf-16le")):
        assert to_utf8(GERMAN.encode(codec), "text/html; charset=koi8-r") == (
            GERMAN.encode(),
            name,
        )


def test_one_broken_byte_does_not_turn_a_utf8_page_into_another_charset() -> None:
    page = (RUSSIAN * 20).encode()
    html, name = to_utf8(page[:-1], "text/html; charset=utf-8")
    assert name == "utf-8"
    assert html.decode()[:-1] == (RUSSIAN * 20)[:-1]


def test_a_meta_tag_in_a_comment_or_beyond_1024_bytes_does_not_count() -> None:
    assert meta_charset(b"<!-- <meta charset=koi8-r> --><meta charset=big5>") == "big5"
    assert meta_charset(b" " * 1024 + b"<meta charset=big5>") is None
    assert meta_charset(b'<meta name="description" content="charset=big5">') is None
    assert meta_charset(b'<?xml version="1.0" encoding="euc-jp"?><html/>') == "euc-jp"


@given(st.binary(max_size=200), st.sampled_from([None, "utf-8", "gb2312", "x", "utf-16", "big5"]))
def test_any_bytes_become_valid_utf8(page: bytes, label: str | None) -> None:
    html, _ = to_utf8(page, f"text/html; charset={label}" if label else None)
    html.decode()


@given(st.one_of(st.binary(max_size=12), st.text(max_size=6).map(lambda t: t.encode()), UTF8_LIKE))
def test_bytes_are_utf8_exactly_where_python_decodes_them(page: bytes) -> None:
    try:
        page.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert is_utf8(page) == valid
