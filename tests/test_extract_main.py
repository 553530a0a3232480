"""The engine's three kernels give what their steps give one after the other."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from html_oracle import ExactWriter, gold_pages
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_extract import main_text

from stages.extract.blocks import BlocksEngine
from stages.extract.json_ld import read_json_ld
from stages.extract.page import Scanner

WAYS = [
    BlocksEngine(),
    BlocksEngine(format="markdown", comments="keep"),
    BlocksEngine(related="keep"),
]
LINE = "The ferry over the lake leaves at nine in the morning, and again at noon. "
PARTS = [
    "<p>", "</p>", "<div>", "</div>", "<div class=comments>", "<div class=related>", "<h2>",
    "</h2>", "Related", LINE, LINE * 8, "Home", "<a href=/>A story about the old town</a>",
    "<ul class=grid>", "</ul>", "<li>", "<pre>", "a = 1\n b", "</pre>", "<table>", "<tr>", "<td>",
    "cell", "</table>", "<script type=application/ld+json>{\"@type\": \"FAQPage\"}</script>",
]  # fmt: skip


def assert_same(html: bytes) -> None:
    for engine in WAYS:
        page = engine.scanner.scan(html)
        if not len(page.blocks):
            return
        json_ld = read_json_ld(page)
        text, expected, kept, kind = main_text(engine, page, json_ld)
        found = engine.extract(page, json_ld)
        assert (found.score, found.kind) == (expected, kind)
        assert np.array_equal(engine.writer._desk.kept[: len(kept)], kept)  # type: ignore[union-attr]
        assert found.text == text or found.rescued


def test_real_pages_get_the_text_that_the_steps_give(shared_data: Path) -> None:
    for _, html in itertools.islice(gold_pages(shared_data, 12), 120):
        assert_same(html)


@given(st.lists(st.sampled_from(PARTS), max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_page_gets_the_text_that_the_steps_give(parts: list[str]) -> None:
    assert_same("".join(parts).encode())


def test_a_page_too_large_for_the_room_gets_room_of_its_own() -> None:
    engine = BlocksEngine()
    small = engine(f"<p>{LINE * 3}".encode())
    large = engine(b"".join(b"<p>%d. %s" % (k, LINE.encode() * 40) for k in range(2_000)))
    assert large.text.count("\n") == 1_999
    assert engine(f"<p>{LINE * 3}".encode()) == small


@pytest.mark.parametrize("way", [0, 1])
def test_a_room_without_a_byte_to_spare_gives_the_same(shared_data: Path, way: int) -> None:
    exact = BlocksEngine(format=WAYS[way].format, writer=ExactWriter(), scanner=Scanner())
    plain = BlocksEngine(format=WAYS[way].format)
    for _, html in itertools.islice(gold_pages(shared_data, 40), 30):
        assert exact(html) == plain(html)
