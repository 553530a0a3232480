"""What the scanner does 32 bytes at a time is what it would do one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from html_oracle import same_scan, scan_exactly
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.extract.page import Scanner
from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels import html_wide as wide
from stages.kernels.html_survey import survey
from stages.kernels.jit import jit_bare

SPACE = b" \t\n\f\r"
some_bytes = st.one_of(
    st.binary(min_size=wide.WIDE, max_size=150),
    st.text("aZ <>/=\t\r\n\0é€\x7f", min_size=wide.WIDE, max_size=150).map(str.encode),
)


@jit_bare
def _places(data: Any, i: Any, out: Any) -> Any:
    n = np.int64(len(data))
    out[0] = wide.find_byte(data, i, n, np.int64(0x3C))
    out[1] = wide.find_either(data, i, n, np.int64(0x3C), np.int64(0x3E))
    out[2] = wide.skip_blank(data, i, n)
    out[3] = wide.find_space(data, i, n)
    out[4] = wide.find_name_end(data, i, n, np.int64(0x3D))


@given(some_bytes, st.data())
@settings(max_examples=200, deadline=None)
def test_the_next_byte_of_a_kind_is_found_wherever_it_stands(page: bytes, draw: Any) -> None:
    i = draw.draw(st.integers(0, len(page)))
    found = np.empty(5, dtype=np.int64)
    _places(np.frombuffer(page, dtype=np.uint8), np.int64(i), found)
    kinds = [b"<", b"<>", bytes(range(0x21, 0x100)), SPACE, SPACE + b"/>="]
    for place, kind in zip(found.tolist(), kinds, strict=True):
        wanted = (k for k in range(i, len(page)) if page[k] in kind)
        assert place == next(wanted, len(page))


@jit_bare
def _hash(data: Any, start: Any, stop: Any, out: Any) -> Any:
    out[0] = wide.hash_name(data, start, stop)


@given(some_bytes, st.data())
@settings(max_examples=200, deadline=None)
def test_kernels_hash_names_as_the_tables_do(page: bytes, draw: Any) -> None:
    start = draw.draw(st.integers(0, len(page)))
    stop = draw.draw(st.integers(start, len(page)))
    found = np.empty(1, dtype=np.uint64)
    _hash(np.frombuffer(page, dtype=np.uint8), np.int64(start), np.int64(stop), found)
    assert found[0] == tags.name_hash(page[start:stop])


def test_no_two_names_of_the_tables_have_the_same_hash() -> None:
    names = {*tags.TAG_NAMES, *tags.ATTRIBUTES} - {""}
    assert len({tags.name_hash(name.encode()) for name in names}) == len(names)
    assert tags.name_hash(b"a") != tags.name_hash(b"a\0")


# --- Survey ---------------------------------------------------------------------------------------

EDGES = [0, 0x3C, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xED,
         0xEF, 0xF0, 0xF4, 0xF5, 0xFF]  # fmt: skip
characters = st.text(st.sampled_from("a<é߿ࠀ€\ud7ff\ue000\uffff𐀀\U0010ffff"), max_size=40)
changes = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(EDGES)), max_size=2)


@given(st.integers(0, 40), characters, changes)
@settings(max_examples=1000, deadline=None)
def test_a_survey_says_what_decode_and_count_say(blank: int, text: str, damage: Any) -> None:
    page = bytearray(b" " * blank + text.encode())
    for at, byte in damage:
        if at < len(page):
            page[at] = byte
    try:
        page.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert survey(bytes(page)) == (page.count(b"<"), valid)


# --- Text and tokens ------------------------------------------------------------------------------


@given(st.text("aé “，\t\n&", max_size=200))
@settings(max_examples=300, deadline=None)
def test_text_outside_of_pre_is_its_words_with_single_blanks(text: str) -> None:
    page = scan_exactly(text.encode())
    assert page.text.tobytes().decode() == " ".join(text.split())


@pytest.mark.parametrize("size", range(90))
def test_a_blank_before_the_end_of_a_data_section_is_held_back(size: int) -> None:
    html = f"<?xml version='1'><p><![CDATA[{'a' * size} ]]> b</p>"
    assert scan_exactly(html.encode()).text.tobytes().decode() == f"{'a' * size} b".strip()


def _tokens(page: Any) -> list[list[int]]:
    ranges = page.nodes[1:, [h.TOKENS_FROM, h.TOKENS_TO]].tolist()
    return [page.tokens[start:end].tolist() for start, end in ranges]


def test_a_name_has_the_same_tokens_whether_the_page_has_shown_it_or_not() -> None:
    """More names than the scanner knows, some longer than it can know, each in two attributes."""
    names = [f"col-{k % 7} postBody_{'x' * (k % 50)} n{k:x}" for k in range(1_500)]
    tagged = [f"<q {which}='{name}'>" for name in names for which in ("class", "id")]
    alone = [scan_exactly(tag.encode()) for tag in tagged]
    together = scan_exactly("</q>".join(tagged * 2).encode())
    assert _tokens(together) == [_tokens(page)[0] for page in alone * 2]
    signatures = together.nodes[1:, h.SIGNATURE].tolist()
    assert signatures == [int(page.nodes[1, h.SIGNATURE]) for page in alone * 2]
    scanner = Scanner()
    assert same_scan(scanner.scan(together.html), scanner.scan(together.html))
