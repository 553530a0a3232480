"""Blocks that say again what other blocks said: a page's second copy of its article."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from slow_extract import without_retold

from stages.extract.blocks import BlocksEngine
from stages.kernels.html_repeats import EVERY, LEAST_SAMPLES, SHARE, WINDOW
from stages.kernels.html_text import BLOCK_COLUMNS, END, NODE, NODE_COLUMNS, PARENT, START

MASK = (1 << 64) - 1
FACTOR = 0x9E3779B97F4A7C15
Block = tuple[int, str]
"""A block's parent and its text."""


def paragraph(number: int, sentences: int = 12) -> str:
    """Text of its own for each number, some 700 bytes."""
    return " ".join(
        f"In year {number}{at} the {at}th ferry of line {number * 7} carried {number * at} people."
        for at in range(sentences)
    )


def kept(blocks: Sequence[Block]) -> list[bool]:
    texts = [text.encode() for _, text in blocks]
    ends = np.cumsum([len(text) for text in texts])
    rows = np.zeros((len(blocks), BLOCK_COLUMNS), dtype=np.int32)
    rows[:, START], rows[:, END] = ends - [len(text) for text in texts], ends
    rows[:, NODE] = np.arange(len(blocks))
    nodes = np.zeros((len(blocks), NODE_COLUMNS), dtype=np.int32)
    nodes[:, PARENT] = [parent for parent, _ in blocks]
    flags = np.ones(len(blocks), dtype=np.bool_)
    without_retold(np.frombuffer(b"".join(texts), dtype=np.uint8), nodes, rows, flags)
    return [bool(flag) for flag in flags]


def slow(blocks: Sequence[Block]) -> list[bool]:
    """The same by dictionaries and whole windows."""
    owners: dict[int, int] = {}
    flags = []
    for parent, text in blocks:
        data = bytes(byte for byte in text.encode() if byte > 32)
        samples = []
        for start in range(len(data) - WINDOW + 1):
            mixed = 0
            for byte in data[start : start + WINDOW]:
                mixed = (mixed * FACTOR + byte + 1) & MASK
            mixed ^= mixed >> 29
            mixed = mixed * 0xBF58476D1CE4E5B9 & MASK
            mixed ^= mixed >> 32
            if mixed % EVERY == 0 and mixed:
                samples.append(mixed)
        seen = sum(owners.setdefault(sample, parent) != parent for sample in samples)
        flags.append(not (len(samples) >= LEAST_SAMPLES and seen >= SHARE * len(samples)))
    return flags


def test_one_block_that_holds_all_paragraphs_before_it_is_dropped() -> None:
    parts = [paragraph(1), paragraph(2), paragraph(3)]
    blocks = [(5, parts[0]), (5, parts[1]), (5, parts[2]), (9, " ".join(parts))]
    assert kept(blocks) == [True, True, True, False]


def test_paragraphs_after_the_block_that_holds_them_are_dropped() -> None:
    parts = [paragraph(1), paragraph(2)]
    blocks = [(9, "\n".join(parts)), (5, parts[0]), (5, parts[1]), (5, paragraph(3))]
    assert kept(blocks) == [True, False, False, True]


def test_siblings_may_repeat_each_other() -> None:
    assert kept([(5, paragraph(1)), (5, paragraph(1))]) == [True, True]


def test_short_blocks_and_blocks_with_news_in_them_stay() -> None:
    short = paragraph(1, 4)
    longer = paragraph(1) + " " + paragraph(2, 3)
    assert kept([(5, paragraph(1)), (6, short), (7, longer)]) == [True, True, True]


def test_scripts_without_spaces_are_compared_too() -> None:
    text = "".join(chr(0x4E00 + (at * at) % 997) for at in range(400))
    assert kept([(5, text), (6, text[20:380])]) == [True, False]


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.lists(st.integers(0, 5), min_size=1, max_size=3)),
        max_size=7,
    )
)
def test_the_kernel_follows_the_slow_definition(drawn: list[tuple[int, list[int]]]) -> None:
    blocks = [(parent, "\n".join(paragraph(part, 9) for part in parts)) for parent, parts in drawn]
    assert kept(blocks) == slow(blocks)


def test_an_engine_writes_an_article_once_that_its_page_holds_twice() -> None:
    parts = [paragraph(number) for number in range(1, 6)]
    read = "".join(f"<p>{part}</p>" for part in parts)
    folded = "<br>".join(parts)
    page = f"<title>Ferries</title><main><article>{read}</article><div>{folded}</div></main>"
    text = BlocksEngine()(page.encode()).text
    assert [text.count(part) for part in parts] == [1] * 5
