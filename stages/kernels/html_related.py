"""Groups of blocks that offer other pages: under a name or a heading that says so, made of links.

A group is found by what announces it (a container's name, or a short block that opens with a phrase
such as "related articles") and kept as one only if it looks like one: linked lines of several
words. All is linear in the page: sums over ranges of blocks are differences of running sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels.html_marks import LOW_BITS, is_in
from stages.kernels.html_nodes import P_BLOCK, link_share
from stages.kernels.html_text import ANCESTORS, KIND, NODE, PARENT, TOKENS_FROM, TOKENS_TO
from stages.kernels.jit import inner, jit_bare, leaf

# Columns of the running sums, of the blocks before each.
R_WORDS, R_LINKED, R_LINKS, R_PROSE = range(4)
RUNS = 4
# Columns of a node's range of blocks.
R_FIRST, R_LAST = range(2)

LINK = np.float32(0.5)
"""From this share of its bytes in links on a block is a link."""
LINKED_SHARE = np.float32(0.3)
"""Of a group's words so many are in links; teasers and dates are the rest."""
LINE_WORDS = np.float32(3.0)
"""Words of a group's links in the mean: headlines are longer than entries of a menu."""
MOST_BLOCKS = np.int64(60)
"""Blocks of a group under a heading."""
HEAD_WORDS, HEAD_BYTES = np.float32(9.0), np.int64(80)
"""A block that announces a group is at most so long."""
PHRASE_WORDS = np.int64(5)
CLIMB = np.int64(8)
"""Elements that a heading's list may be away from it, upwards."""
TEASER = np.float32(5.0)
"""Words from which on a link that opens with a phrase is a teaser itself: "Related: ..."."""
PROSE = np.float32(40.0)
"""A block of so many words outside links ends a group that shares its container."""
_A, _Z, _BLANK, _BEYOND, _LEAD = map(np.uint64, (0x41, 0x5A, 0x20, 0x80, 0xC0))
_HALF = np.uint64(32)


@jit_bare
def mark_related(
    text: Any, nodes: Any, blocks: Any, tokens: Any, words: Any, places: Any, names: Any,
    sieve: Any, phrases: Any, phrase_sieve: Any, runs: Any, ranges: Any, found: Any,
    lo: Any, hi: Any,
) -> Any:  # fmt: skip
    """Set for each block whether it is part of such a group; gives how many are.

    `names` and `phrases` are sorted, each with its `html_marks.sieve_of`, that of the phrases for
    all of their beginnings too; `places` is what `html_nodes.place_nodes` says. Room: `runs` has a
    row a block and one more, `ranges` a row a node. Groups that have no block from `lo` to `hi` are
    not looked for.
    """
    _sum_up(nodes, blocks, words, runs, ranges)
    found[:] = False
    _named(nodes, tokens, names, sieve, runs, ranges, found, lo, hi)
    b = lo - MOST_BLOCKS if lo > MOST_BLOCKS else np.int64(0)
    while b <= hi:
        last = b
        if not found[b] and _announces(text, nodes, blocks, words, phrases, phrase_sieve, b):
            last = _end_of_group(
                text, nodes, blocks, words, places, phrases, phrase_sieve, runs, ranges, b
            )
            for k in range(b, last + 1):
                found[k] = True
        b = last + 1 if last > b else b + 1
    count = np.int64(0)
    for b in range(len(blocks)):
        count += found[b]
    return count


@leaf
def _sum_up(nodes: Any, blocks: Any, words: Any, runs: Any, ranges: Any) -> Any:
    for k in range(RUNS):
        runs[0, k] = 0
    for n in range(len(nodes)):
        ranges[n, R_FIRST], ranges[n, R_LAST] = len(blocks), -1
    for b in range(len(blocks)):
        share, node = link_share(blocks, b), np.int64(blocks[b, NODE])
        runs[b + 1, R_WORDS] = runs[b, R_WORDS] + words[b]
        runs[b + 1, R_LINKED] = runs[b, R_LINKED] + words[b] * share
        runs[b + 1, R_LINKS] = runs[b, R_LINKS] + (share >= LINK)
        runs[b + 1, R_PROSE] = runs[b, R_PROSE] + (words[b] * (1 - share) >= PROSE)
        if ranges[node, R_LAST] < 0:
            ranges[node, R_FIRST] = b
        ranges[node, R_LAST] = b
    for n in range(len(nodes) - 1, 0, -1):
        up = np.int64(nodes[n, PARENT])
        if ranges[n, R_FIRST] < ranges[up, R_FIRST]:
            ranges[up, R_FIRST] = ranges[n, R_FIRST]
        if ranges[n, R_LAST] > ranges[up, R_LAST]:
            ranges[up, R_LAST] = ranges[n, R_LAST]


@leaf
def _named(
    nodes: Any, tokens: Any, names: Any, sieve: Any, runs: Any, ranges: Any, found: Any, lo: Any,
    hi: Any,
) -> Any:  # fmt: skip
    """Mark what stands under a name, if it is links and not half of the page."""
    half = runs[len(runs) - 1, R_WORDS] / 2
    done = np.int64(-1)
    for n in range(1, len(nodes)):
        first, last = np.int64(ranges[n, R_FIRST]), np.int64(ranges[n, R_LAST])
        if last <= done or last < lo or first > hi or nodes[n, ANCESTORS] & tags.NAV:
            continue
        for k in range(nodes[n, TOKENS_FROM], nodes[n, TOKENS_TO]):
            if sieve[tokens[k] & LOW_BITS] and is_in(names, tokens[k]):
                if runs[last + 1, R_WORDS] - runs[first, R_WORDS] < half and _is_group(
                    runs, first, last
                ):
                    for b in range(first, last + 1):
                        found[b] = True
                    done = last
                break


@inner
def _is_group(runs: Any, first: Any, last: Any) -> Any:
    """Whether a range of blocks is links of several words, with no prose."""
    all_ = runs[last + 1, R_WORDS] - runs[first, R_WORDS]
    linked = runs[last + 1, R_LINKED] - runs[first, R_LINKED]
    links = runs[last + 1, R_LINKS] - runs[first, R_LINKS]
    prose = runs[last + 1, R_PROSE] - runs[first, R_PROSE]
    return (
        links >= 1 and prose == 0 and linked >= LINKED_SHARE * all_ and linked >= LINE_WORDS * links
    )


@leaf
def _announces(
    text: Any, nodes: Any, blocks: Any, words: Any, phrases: Any, sieve: Any, b: Any
) -> Any:
    """Whether a block is short and opens with one of the phrases."""
    start, end = np.int64(blocks[b, h.START]), np.int64(blocks[b, h.END])
    if words[b] > HEAD_WORDS or end - start > HEAD_BYTES:
        return False
    if nodes[blocks[b, NODE], ANCESTORS] & tags.NAV:
        return False
    value, count, inside, skip = h._FNV, np.int64(0), False, np.int64(0)
    for i in range(start, end + 1):
        c = np.uint64(text[i]) if i < end else _BLANK
        if _A <= c <= _Z:
            c |= _BLANK
        if skip == 0:
            skip = _punctuation(text, i, end)
        letter = skip == 0 and (_A | _BLANK <= c <= _Z | _BLANK or c >= _BEYOND)
        skip -= skip > 0
        # A phrase may end where a word does and between two characters beyond ASCII.
        if inside and (not letter or c >= _LEAD):
            key = np.uint32(value ^ value >> _HALF)
            if not sieve[key & LOW_BITS]:
                return False
            if is_in(phrases, key):
                return True
        if letter:
            if not inside and count > 0:
                value = (value ^ _BLANK) * h._FNV_PRIME
            value = (value ^ c) * h._FNV_PRIME
            inside = True
        elif inside:
            inside = False
            count += 1
            if count >= PHRASE_WORDS:
                return False
    return False


@inner
def _punctuation(text: Any, i: Any, end: Any) -> Any:
    """Bytes of a mark beyond ASCII that stands here, 0 if none does: U+0080 to U+00BF, U+2000 to
    U+2FFF, U+3000 to U+303F. The text is valid UTF-8."""
    if i >= end or text[i] < 0xC2:
        return np.int64(0)
    if text[i] == 0xC2:
        return np.int64(2)
    if text[i] == 0xE2 or (text[i] == 0xE3 and text[i + 1] == 0x80):
        return np.int64(3)
    return np.int64(0)


@leaf
def _end_of_group(
    text: Any, nodes: Any, blocks: Any, words: Any, places: Any, phrases: Any, phrase_sieve: Any,
    runs: Any, ranges: Any, b: Any,
) -> Any:  # fmt: skip
    """The last block of the group that a block announces; -1 if it announces none."""
    if link_share(blocks, b) >= LINK and words[b] >= TEASER:
        return b
    node, last = np.int64(blocks[b, NODE]), b
    for _ in range(CLIMB):
        last = np.int64(ranges[node, R_LAST])
        if runs[last + 1, R_LINKS] - runs[b + 1, R_LINKS] >= 2 or nodes[node, PARENT] < 0:
            break
        node = np.int64(nodes[node, PARENT])
    own = runs[last + 1, R_WORDS] - runs[b, R_WORDS]
    owned = ranges[node, R_FIRST] == b and own < runs[len(blocks), R_WORDS] / 2
    if last > b + MOST_BLOCKS:
        last = b + MOST_BLOCKS
        owned = False
    level, end = _level(nodes, blocks, places, b), b
    for k in range(b + 1, last + 1):
        share = link_share(blocks, k)
        other = _level(nodes, blocks, places, k)
        if other > 0 and other <= level:
            break
        if words[k] * (1 - share) >= PROSE:
            break
        if not owned:
            if end == b and k > b + 3:
                break
            if other > 0 and level == 0 and share < LINK and end > b:
                break
        if (
            share < LINK
            and k > b + 1
            and _announces(text, nodes, blocks, words, phrases, phrase_sieve, k)
        ):
            break
        if share >= LINK or (owned and other == 0):
            end = k
    return end if end > b and _is_group(runs, b + 1, end) else np.int64(-1)


@inner
def _level(nodes: Any, blocks: Any, places: Any, b: Any) -> Any:
    """1 to 6 of a heading, 0 of any other block; a name or link in it is still the heading."""
    tag = np.int64(nodes[places[blocks[b, NODE], P_BLOCK], KIND])
    return tag - h._H1 + 1 if h._H1 <= tag <= h._H6 else np.int64(0)
