"""Kept blocks as text and Markdown, and what is kept or dropped as one.

The pages of `rendered` stand beside what they give. To write that anew after a change that is
meant: `python tests/test_render.py`, then read the difference.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_oracle import CHECKED, index_checks_are_on
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.extract.page import ScannedPage, Scanner
from stages.extract.render import Format, lay_out, render_page, whole_groups
from stages.kernels import html_render
from stages.kernels import html_text as h

GOLDEN = Path(__file__).parent / "rendered"
PAGES = sorted(path.stem for path in GOLDEN.glob("*.html"))
FORMATS: tuple[tuple[Format, str], ...] = (("text", ".txt"), ("markdown", ".md"))

EVERY_NTH = 40
"""Of the real pages one in so many is looked at."""


def scanned(html: str | bytes) -> ScannedPage:
    """A page in a room of its own."""
    return Scanner().scan(html if isinstance(html, bytes) else html.encode())


def rendered(html: str, format: Format, *dropped: str) -> str:
    """The page without the blocks whose text is among `dropped`."""
    page = scanned(html)
    texts = [page.block_text(row) for row in range(len(page.blocks))]
    assert set(dropped) <= set(texts), f"no such block: the page has {texts}"
    return render_page(page, np.array([text not in dropped for text in texts], bool), format)


# --- Golden pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("format", "suffix"), FORMATS)
def test_our_pages_give_what_stands_beside_them(name: str, format: Format, suffix: str) -> None:
    html = (GOLDEN / f"{name}.html").read_text("utf-8")
    assert rendered(html, format) + "\n" == (GOLDEN / f"{name}{suffix}").read_text("utf-8")


# --- Text -----------------------------------------------------------------------------------------


def test_a_block_is_a_line_and_a_line_break_stays() -> None:
    assert rendered("<p>one<br>two</p><div>three</div>", "text") == "one\ntwo\nthree"


def test_only_the_first_kept_block_of_an_entry_has_a_mark() -> None:
    html = "<ul><li><p>a</p><p>b</p><p>c</p></li></ul>"
    assert rendered(html, "text") == "• a\nb\nc"
    assert rendered(html, "text", "a") == "• b\nc"


def test_numbers_count_entries_that_are_dropped() -> None:
    html = "<ol><li>a</li><li>b</li><li>c</li></ol>"
    assert rendered(html, "text", "b") == "1. a\n3. c"
    assert rendered(html, "markdown", "a") == "2. b\n3. c"


def test_a_row_is_a_line_and_an_empty_cell_keeps_its_place() -> None:
    html = "<table><tr><td><td>b<td>c<tr><td>d<td><td>f</table>"
    assert rendered(html, "text") == "\tb\tc\nd\t\tf"
    assert rendered(html, "text", "c", "d", "f") == "\tb"


def test_code_stays_as_it_is_but_for_blanks_at_the_end_of_lines() -> None:
    html = "<pre>  a  \n\n\tb \n</pre>"
    assert rendered(html, "text") == "  a\n\n\tb"


def test_a_block_of_blanks_only_is_left_out_with_its_mark() -> None:
    html = "<ul><li>\u3000</li><li>a\u2003</li></ul><p>\u3000\u3000b"
    assert rendered(html, "text") == "• a\nb"


def test_nothing_kept_is_an_empty_text() -> None:
    for format, _ in FORMATS:
        assert rendered("<p>a</p>", format, "a") == rendered("", format) == ""


def test_a_flag_for_each_block_is_asked_for() -> None:
    with pytest.raises(ValueError, match="a flag for each of 1 blocks expected, got 2"):
        render_page(scanned("<p>a"), np.ones(2, dtype=bool), "text")


# --- Markdown -------------------------------------------------------------------------------------


def test_the_first_kept_row_is_the_header_and_as_wide_as_the_widest() -> None:
    html = "<table><tr><td>a<td>b<tr><td>c<td>d<td>e</table>"
    assert rendered(html, "markdown") == "| a | b | |\n| --- | --- | --- |\n| c | d | e |"
    assert rendered(html, "markdown", "a", "b").startswith("| c | d | e |\n| --- |")


def test_a_fence_is_longer_than_any_run_of_backticks_in_its_code() -> None:
    assert rendered("<pre>a</pre>", "markdown") == "```\na\n```"
    assert rendered("<pre><p>a<p>`````</pre>", "markdown") == "``````\na\n`````\n``````"


def test_no_line_of_text_opens_a_fence() -> None:
    html = "<p>```<br>~~~~ x<br>``</p><ul><li>```py</li></ul>"
    assert rendered(html, "markdown") == "\\```\n\\~~~~ x\n``\n\n- \\```py"


def test_a_nested_list_that_does_not_begin_with_one_stands_behind_a_blank_line() -> None:
    """Right behind a line of text, `2.` would be read as part of it."""
    html = "<ul><li>a<ol><li>b</li><li>c</li></ol></li></ul>"
    assert rendered(html, "markdown", "b") == "- a\n\n  2. c"


def test_an_entry_whose_own_text_is_dropped_does_not_indent_what_it_holds() -> None:
    """Four blanks without an entry above would be read as code."""
    html = "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li></ul>"
    assert rendered(html, "markdown", "a", "b") == "- c"


def test_indents_end_at_the_deepest_level_and_no_entry_loses_its_mark() -> None:
    lines = rendered("<ul><li>x" * 200, "markdown").split("\n")
    assert [line.strip() for line in lines] == ["- x"] * 200
    assert max(line.index("-") for line in lines) == 16


def test_only_the_first_block_of_a_heading_that_was_never_closed_is_one() -> None:
    assert rendered("<h2>a<p>b<p>c", "markdown") == "## a\n\nb\n\nc"


# --- Tables of data, tables of layout -------------------------------------------------------------


def cells(rows: list[list[str]]) -> str:
    """A table, as HTML."""
    inside = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return f"<table>{inside}</table>"


@pytest.mark.parametrize(
    ("reason", "html"),
    {
        "a single row": cells([["a", "b", "c"]]),
        "a single column": cells([["a"], ["b"], ["c"]]),
        "a second column without text": cells([["a", ""], ["b", ""], ["c", "d"]]),
        "a long cell": cells([["a", "b"], ["c", "word " * 41]]),
        "a long cell of Han": cells([["a", "b"], ["c", "水" * 41]]),
        "several blocks in many cells": cells([["a", "<p>b<p>c"], ["d", "<p>e<p>f"]]),
        "code in a cell": cells([["a", "b"], ["c", "<pre>d</pre>"]]),
        "text outside of the cells": "<table><tr><td>a<td>b<tr>c<td>d<td>e</table>",
        "rows without cells": "<table><td>a<td>b<tr><td>c<td>d</table>",
    }.items(),
)
def test_a_table_of_layout_is_read_as_if_there_were_no_table(reason: str, html: str) -> None:
    assert "\t" not in rendered(html, "text"), reason
    assert "|" not in rendered(html, "markdown"), reason


def test_a_table_around_a_table_is_layout_and_the_inner_one_may_be_data() -> None:
    html = cells([["a", "b"], ["c", cells([["1", "2"], ["3", "4"]])]])
    assert rendered(html, "text") == "a\nb\nc\n1\t2\n3\t4"


# --- Whole groups ---------------------------------------------------------------------------------


HIGH, LOW = np.float32(0.75), np.float32(0.25)


def whole(html: str, kept: str) -> list[str]:
    """What is kept of the page if blocks with these texts, blanks between them, were before."""
    page = scanned(html)
    texts = [page.block_text(row) for row in range(len(page.blocks))]
    flags = np.array([text in kept.split() for text in texts])
    words = np.array([len(re.findall(r"\w+", text)) for text in texts], dtype=np.float32)
    before = flags.copy()
    after = whole_groups(lay_out(page), np.where(flags, HIGH, LOW), words, flags)
    assert np.array_equal(flags, before), "the argument was changed"
    return [text for text, keep in zip(texts, after, strict=True) if keep]


def test_a_table_of_data_is_kept_if_half_of_its_words_are() -> None:
    html = "<p>before" + cells([["a", "b"], ["c", "d"]]) + "<p>after"
    assert whole(html, "before a b") == ["before", "a", "b", "c", "d"]
    assert whole(html, "a after") == ["after"]


def test_code_is_kept_as_one_whatever_elements_stand_in_it() -> None:
    html = "<pre><div>a</div><pre>b</pre>" + cells([["c", "d"], ["e", "f"]]) + "</pre><pre>g</pre>"
    assert whole(html, "a b c") == ["a", "b", "c", "d", "e", "f"]
    assert whole(html, "a b") == []


def test_cells_of_a_table_of_layout_are_kept_one_by_one() -> None:
    assert whole(cells([["a", "b", "c"]]), "a b") == ["a", "b"]


def test_a_group_without_words_is_kept_by_its_mean_probability() -> None:
    html = cells([["+", "-"], ["*", "/"]])
    assert whole(html, "+ -") == ["+", "-", "*", "/"]
    assert whole(html, "+") == []


# --- What holds for any page ----------------------------------------------------------------------

MARKUP = [
    "<table>", "<tr>", "<td>", "</td>", "</tr>", "</table>", "<caption>", "<form>", "<ul>", "</ul>",
    "<ol>", "</ol>", "<li>", "</li>", "<blockquote>", "</blockquote>", "<pre>", "</pre>", "<h2>",
    "</h2>", "<p>", "<div>", "</div>", "<br>", "a", "b c", " ", "\n", "\t", "\u3000", "`", "```",
    "~~~", "|", "漢", "•", "1.", "<table><tr><td>a<td>b<tr><td>c<td>",
]  # fmt: skip


@cache
def real_pages(folder: Path) -> list[bytes]:
    """Some of the gold pages; empty without them."""
    found = []
    for file in sorted((folder / "extraction_gold").glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            chosen = [json.loads(line)["html"] for line in islice(lines, 0, None, EVERY_NTH)]
        found += [html.encode("utf-8", "replace") for html in chosen]
    return found


def check_rendering(page: ScannedPage, kept: Any) -> None:
    """Fails with a plain sentence where a rendering breaks what its readers rely on."""
    expected = [
        word
        for row in np.flatnonzero(kept).tolist()
        for word in page.block_text(row).replace("\\", "").split()
    ]
    for format, _ in FORMATS:
        text = render_page(page, kept, format)
        assert text == render_page(page, kept, format), "the second time it is another"
        for line in text.split("\n"):
            assert line == line.rstrip(), f"white space at the end of {line[-20:]!r}"
        found = {c for c in text if unicodedata.category(c) == "Cc"} - {"\n", "\t"}
        assert not found, f"control characters {found}"
        assert text == text.strip("\n"), "an empty line around the text"
        mark = r"•|\d+\." if format == "text" else r"-|\d+\.|>|#+|\||---|`{3,}"
        words = text.replace("\\", "").split()
        assert _without(words, mark, expected), f"other words than those of the blocks ({format})"


def _without(words: list[str], mark: str, expected: list[str]) -> bool:
    """True if the words are those expected, with marks among them."""
    at = 0
    for word in words:
        if at < len(expected) and word == expected[at]:
            at += 1
        elif not re.fullmatch(mark, word):
            return False
    return at == len(expected)


def subset(page: ScannedPage, seed: int, share: float) -> Any:
    """Some of the blocks, the same for the same seed."""
    return np.random.default_rng(seed).random(len(page.blocks)) < share


shares = st.sampled_from([0.1, 0.5, 0.9, 1.0])


@given(st.lists(st.sampled_from(MARKUP), max_size=40), st.integers(0, 99), shares)
@settings(max_examples=500, deadline=None)
def test_the_words_of_any_page_are_those_of_its_kept_blocks(
    pieces: list[str], seed: int, share: float
) -> None:
    page = scanned("".join(pieces))
    kept = subset(page, seed, share)
    check_rendering(page, kept)
    prob, words = np.full(len(kept), 0.5, np.float32), np.ones(len(kept), np.float32)
    groups = whole_groups(lay_out(page), prob, words, kept)
    again = whole_groups(lay_out(page), prob, words, groups)
    assert np.array_equal(groups, again), "groups are no longer whole the second time"


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_words_of_real_pages_are_those_of_their_kept_blocks(
    shared_data: Path, data: st.DataObject
) -> None:
    if not real_pages(shared_data):
        pytest.skip("no gold pages in the shared data")
    page = scanned(data.draw(st.sampled_from(real_pages(shared_data))))
    check_rendering(page, subset(page, data.draw(st.integers(0, 999)), data.draw(shares)))


TRAPS = {
    "lists in lists": "<ul><li>a",
    "quotes in quotes": "<blockquote>a",
    "code in quotes": "<blockquote><pre>`\n`\n",
    "tables in tables": "<table><tr><td>a<td>b<tr><td>c<td>d",
    "one row of many cells": "<td>|",
    "rows": "<tr><td>|<td>b",
    "line breaks deep down": "a<br>b<br>c<p>",
}


@pytest.mark.parametrize("name", TRAPS)
def test_the_output_stays_in_proportion_to_the_page(name: str) -> None:
    """Within the room that is reckoned before, and that room within so many bytes a byte."""
    start = "<table><tr><td>x<td>y<tr>" if name in ("one row of many cells", "rows") else ""
    start = start or "<ul><li>x" * 8
    page = scanned(start + TRAPS[name] * 20_000)
    for format, _ in FORMATS:
        text = render_page(page, np.ones(len(page.blocks), dtype=bool), format)
        assert len(text.encode()) < 3 * len(page.html) + html_render.FREE_INDENTS


def test_a_page_whose_indents_would_outweigh_its_text_is_written_without_them() -> None:
    start = "<blockquote>" * 8
    assert rendered(start + "<p>a<br>b" * 100, "markdown").startswith("> " * 8 + "a\n> > ")
    assert rendered(start + "<p>a<br>b" * 10_000, "markdown") == "\n\n".join(["a\nb"] * 10_000)


def test_all_this_holds_where_the_kernels_check_every_index() -> None:
    if index_checks_are_on():
        pytest.skip("they do here")
    command = [sys.executable, "-m", "pytest", __file__]
    found = subprocess.run(command, env=CHECKED, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-2000:]


@pytest.mark.skipif("NUMBA_BOUNDSCHECK" not in os.environ, reason="checks are off")
def test_index_checks_are_on_in_the_checked_run() -> None:
    """A block that ends behind the text raises: without this that run would prove nothing."""
    page = scanned("<p>a")
    blocks = page.blocks.copy()
    blocks[0, h.END] = 1_000_000
    with pytest.raises(IndexError):
        render_page(replace(page, blocks=blocks), np.ones(1, dtype=bool), "text")


if __name__ == "__main__":
    for stem in PAGES:
        source = (GOLDEN / f"{stem}.html").read_text("utf-8")
        for kind, ending in FORMATS:
            (GOLDEN / f"{stem}{ending}").write_text(rendered(source, kind) + "\n", "utf-8")
