"""What every scan holds, whatever the bytes: on made-up pages, with and without index checks.

Numba checks no index. The tests of this file run twice: as they are, and in a process whose kernels
check every index (`html_oracle.CHECKED`). Compiling those takes a minute once.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from cpu_time import assert_time_in_proportion
from html_oracle import (
    CHECKED,
    check_scan,
    index_checks_are_on,
    lexbor_words,
    same_scan,
    scan_exactly,
    scanned_words,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.extract.page import Scanner
from stages.kernels import html_tags as tags

NAMES = [
    *tags.TAG_NAMES[1:], "x-y", "g", "path", "scriptx", "font", "marquee", "rt", "amp-img", "tbody",
]  # fmt: skip
ATTRIBUTES = [
    "", " class='a-b c1'", ' id="x"', " href=/", " hidden", " style='display:none'", " name=n",
    " class=ab", ' title="', " rel=author", " datetime=2020", " x='>'", " /",
    " content=c property=og:url",
]  # fmt: skip
CHARACTERS = [
    "\x00",
    "\u0080",
    "\u0085",
    "\u00a0",
    "\u00ad",
    "\u200b",
    "\u2028",
    "\ufeff",
    "漢",
    "𝄞",
    "\r",
]
markup = st.one_of(
    st.builds("<{}{}>".format, st.sampled_from(NAMES), st.sampled_from(ATTRIBUTES)),
    st.builds("</{}>".format, st.sampled_from(NAMES)),
    st.sampled_from(
        ["<", "</", "<!--", "-->", "<![CDATA[", "]]>", "<?xml", "&", "&#", "&nLt;", "&#0;"]
    ),
    st.sampled_from([*CHARACTERS, " ", "\n", "a", "wörd", "'", '"', ">", "/", "="]),
    st.text(max_size=4),
)
pages = st.one_of(
    st.lists(markup, max_size=60).map("".join).map(lambda text: text.encode("utf-8", "replace")),
    st.binary(max_size=200),
)  # fmt: skip


@given(pages)
@settings(max_examples=400, deadline=None)
def test_every_scan_holds_what_its_readers_rely_on(html: bytes) -> None:
    check_scan(scan_exactly(html))


@given(st.lists(pages, min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_a_used_room_gives_what_a_new_one_gives(htmls: list[bytes]) -> None:
    scanner = Scanner()
    for html in htmls:
        assert same_scan(scanner.scan(html), scan_exactly(html))


@given(st.lists(st.sampled_from([n for n in NAMES if not n.startswith("plain")]), max_size=20))
@settings(max_examples=100, deadline=None)
def test_text_outside_of_raw_elements_is_all_there(names: list[str]) -> None:
    """Whatever opens and does not close, no word between the tags is lost, doubled or moved."""
    visible = [name for name in names if not tags.FLAGS[tags.TAG.get(name, 0)] & tags.RAW]
    html = "".join(f" w{k} <{name}> x{k} </{name}>" for k, name in enumerate(visible))
    page = scan_exactly(html.encode())
    words = " ".join(page.block_text(row) for row in range(len(page.blocks))).split()
    assert words == [word for k in range(len(visible)) for word in (f"w{k}", f"x{k}")]


PIECES = [
    "<div>", "</div>", "<p>", "</p>", "<ul><li>", "<li>", "</ul>", "</li>", "<dl><dd>", "<dt>",
    "</dl>", "</dd>", "<h2>", "</h3>", "<button>", "</button>", "<blockquote>", "</blockquote>",
    "<table><tr><td>", "</td><td>", "<td>", "</tr><tr><td>", "<tr><td>", "</table>", "<pre>",
    "</pre>", "<svg><g></svg>", "<svg/>", "<script>x<p></script>", "<!-- <p> -->", "<span>",
    "</span>", "<section>", "</section>", "<x-y>", "</x-y>", "<hr>", "<br>", "</body>",
]  # fmt: skip
"""What the scanner treats otherwise by intent (docs/notes/scanner.md) is left out."""


@given(st.lists(st.sampled_from(PIECES), max_size=12))
@settings(max_examples=400, deadline=None)
def test_tags_in_any_order_make_the_tree_that_lexbor_makes(pieces: list[str]) -> None:
    html = "".join(f"{piece} w{k} " for k, piece in enumerate(pieces))
    page = scan_exactly(f"<!doctype html><body>{html}".encode())
    assert sorted(scanned_words(page)) == sorted(lexbor_words(page.html))


def test_all_this_holds_where_the_kernels_check_every_index() -> None:
    if index_checks_are_on():
        pytest.skip("they do here")
    command = [sys.executable, "-m", "pytest", __file__, "-k", "not eight_times"]
    found = subprocess.run(command, env=CHECKED, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-2000:]


def test_index_checks_are_on_where_they_should_be() -> None:
    """A scan in too small a room raises: without this the checked run would prove nothing."""
    assert index_checks_are_on() == ("NUMBA_BOUNDSCHECK" in os.environ)


# --- Linear time ----------------------------------------------------------------------------------

TRAPS = {
    "unclosed raw elements": "<svg><select><textarea><iframe><title><noembed>",
    "comments without an end": "<!-- a ",
    "quotes without an end": "<p a='b><p a=\"b>",
    "data sections without an end": "<?xml><![CDATA[",
    "end tags of nothing, deep down": "</q></x-y></li></td></h1>",
    "links and bold around blocks": "<a href=x><div></a><b><div></b>",
    "forms around blocks": "<form><div></form>",
    "paragraphs in a nest": "<p><button><span>",
    "tables in tables": "<table><tr><td><table></td></tr>",
    "names without an end": "<a<a<a",
    "scripts in commented scripts": "<script><!--<script",
    "drawings in drawings": "<svg><foreignObject></svg",
    "references": "&aaaaaaaa&#00000000",
    "attributes": "<p class='a b c d e f' style='displaydisplay:visibility:' class=x>",
}


@pytest.mark.parametrize("unit", TRAPS.values(), ids=TRAPS.keys())
def test_eight_times_the_page_takes_about_eight_times_as_long(unit: str) -> None:
    page = ("<div><x-y>" * 400 + unit * ((1 << 21) // len(unit))).encode()
    assert_time_in_proportion(scan_exactly, page)
