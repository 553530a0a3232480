"""Columns about what surrounds a block: its place on the page, its neighbours, the page itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_nodes as t
from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels import html_words as w
from stages.kernels.html_columns import FLAGS, NEIGHBOURS, SHAPE, TAGS, log, odds_of
from stages.kernels.html_nodes import N_LINK_WORDS, N_LONG, N_PROSE, N_WORDS, P_BLOCK, link_share
from stages.kernels.html_text import ANCESTORS, KIND, NODE
from stages.kernels.html_words import WORDS, WORDS_FROM, WORDS_TO
from stages.kernels.jit import inner, inner_allocating

_NEAR = np.array(NEIGHBOURS, dtype=np.int64)
_ARTICLE, _MAIN = tags.TAG["article"], tags.TAG["main"]
_TOKEN_ALL = len(SHAPE) + len(TAGS) + len(FLAGS) + 3
"""The column `token_all`."""


SET_SLOTS = 512
"""At most 120 words are in a set, so it is never a quarter full."""


@inner_allocating
def _word_set(html: Any, span: Any, size: Any) -> Any:
    """The distinct word hashes of a range of the page, as a table that is open-addressed.

    At most `size` words are read. Gives the table and how many words are in it; 0 is an empty slot.
    """
    found = np.empty(size, dtype=np.uint32)
    table = np.zeros(SET_SLOTS, dtype=np.uint32)
    count = 0
    for k in range(w.words_in(html, span[0], span[1], found, np.int64(0))):
        at = np.int64(found[k]) & (SET_SLOTS - 1)
        while table[at] != 0 and table[at] != found[k]:
            at = (at + 1) & (SET_SLOTS - 1)
        count += table[at] == 0 and found[k] != 0
        table[at] = found[k]
    return table, count


@inner
def _share_in(words: Any, first: Any, last: Any, table: Any) -> Any:
    """How many of a block's words (the first 200) are in a set."""
    found = 0
    for k in range(first, min(last, first + 200)):
        at = np.int64(words[k]) & (SET_SLOTS - 1)
        while table[at] != 0 and table[at] != words[k]:
            at = (at + 1) & (SET_SLOTS - 1)
        found += table[at] != 0
    return found


@inner_allocating
def place_columns(
    out: Any, at: Any, html: Any, nodes: Any, blocks: Any, counts: Any, words: Any, places: Any,
    title: Any, description: Any, odds: Any,
) -> Any:  # fmt: skip
    titles, title_words = _word_set(html, title, 60)
    about, about_words = _word_set(html, description, 120)
    total = np.float32(max(counts[:, WORDS].sum(), 1))
    before = np.int64(0)
    h1, heading, level, about_heading = -1, -1, np.int64(0), np.float32(0.0)
    for b in range(len(blocks)):
        row = out[b]
        first, last = counts[b, WORDS_FROM], counts[b, WORDS_TO]
        seen = max(min(last - first, 200), 1)
        tag = np.int64(nodes[places[blocks[b, NODE], P_BLOCK], KIND])
        if h._H1 <= tag <= h._H6:
            heading, level, about_heading = b, tag - h._H1 + 1, np.float32(0.0)
            if tag == h._H1:
                h1 = b
            for k in range(first, last):
                about_heading += odds_of(odds.word_keys, odds.word_values, words[k])
            about_heading /= seen
        row[at] = b / len(blocks)
        row[at + 1] = log(before)
        row[at + 2] = before / total
        row[at + 3] = min(b - h1, 200) if h1 >= 0 else -1
        row[at + 4] = min(b - heading, 200) if heading >= 0 else -1
        row[at + 5] = about_heading
        row[at + 6] = level
        common = _share_in(words, first, last, titles) if title_words else 0
        row[at + 7] = common / seen
        row[at + 8] = common / max(title_words, 1)
        known = _share_in(words, first, last, about) if about_words else 0
        row[at + 9] = known / seen
        row[at + 10] = min(b, 500)
        before += counts[b, WORDS]
    return at + 11


@inner
def near_columns(out: Any, at: Any, nodes: Any, blocks: Any, counts: Any, places: Any) -> Any:
    num = len(blocks)
    for b in range(num):
        row, k = out[b], at
        for step in _NEAR:
            other = b + step
            if 0 <= other < num:
                row[k] = log(counts[other, WORDS])
                row[k + 1] = link_share(blocks, other)
                tag = np.int64(nodes[places[blocks[other, NODE], P_BLOCK], KIND])
                row[k + 2] = h._H1 <= tag <= h._H6
            else:
                row[k], row[k + 1], row[k + 2] = -1, -1, 0
            k += 3
        words, links, long = np.float32(0.0), np.float32(0.0), 0
        for other in range(max(b - 8, 0), min(b + 9, num)):
            words += counts[other, WORDS]
            links += counts[other, WORDS] * link_share(blocks, other)
            long += counts[other, WORDS] * (1 - link_share(blocks, other)) >= t.PROSE_WORDS
        row[k], row[k + 1], row[k + 2] = log(words), links / max(words, np.float32(1.0)), long
    return at + 3 * len(_NEAR) + 3


@inner_allocating
def page_columns(
    out: Any, at: Any, nodes: Any, blocks: Any, counts: Any, sums: Any, places: Any
) -> Any:
    """The page as a whole, the same in every row."""
    num = len(blocks)
    if num == 0:
        return at + 12
    total = max(sums[0, N_WORDS], np.float32(1.0))
    most, has_h1, articles, mains, items, cells = np.int64(0), 0, 0, 0, 0, 0
    for n in range(len(nodes)):
        tag = np.int64(nodes[n, KIND])
        has_h1 |= tag == h._H1
        articles += nodes[n, ANCESTORS] & tags.ARTICLE != 0 and tag == _ARTICLE
        mains += tag == _MAIN
    for b in range(num):
        most = max(most, counts[b, WORDS])
        tag = np.int64(nodes[places[blocks[b, NODE], P_BLOCK], KIND])
        items += tag == h._LI
        cells += tag == h._TD or tag == h._TH
    token = out[:, _TOKEN_ALL].max()
    for b in range(num):
        row = out[b]
        row[at] = log(sums[0, N_WORDS])
        row[at + 1] = sums[0, N_LINK_WORDS] / total
        row[at + 2] = log(num)
        row[at + 3] = sums[0, N_PROSE] / total
        row[at + 4] = log(sums[0, N_LONG])
        row[at + 5] = log(most)
        row[at + 6] = has_h1
        row[at + 7] = min(articles, 20)
        row[at + 8] = mains > 0
        row[at + 9] = items / num
        row[at + 10] = cells / num
        row[at + 11] = token
    return at + 12
