"""Columns about what surrounds a block: its place on the page, its neighbours, the page itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_nodes as t
from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels import html_words as w
from stages.kernels.html_columns import (
    ABOUT_WORDS,
    FLAGS,
    IS_HEADING,
    LINKED,
    LINKED_WORDS,
    LOG_WORDS,
    NEIGHBOURS,
    SET_SLOTS,
    SHAPE,
    TAGS,
    TITLE_WORDS,
    log,
    mass_or_one,
    odds_of,
    one_or_more,
)
from stages.kernels.html_nodes import N_LINK_WORDS, N_LONG, N_PROSE, N_WORDS, P_BLOCK
from stages.kernels.html_text import ANCESTORS, KIND, NODE
from stages.kernels.html_words import WORDS, WORDS_FROM, WORDS_TO
from stages.kernels.jit import inner, leaf

_NEAR = np.array(NEIGHBOURS, dtype=np.int64)
_ARTICLE, _MAIN = tags.TAG["article"], tags.TAG["main"]
_TOKEN_ALL = len(SHAPE) + len(TAGS) + len(FLAGS) + 3
"""The column `token_all`."""
SEEN_WORDS = np.int64(200)
"""Words of a block that are looked up among the title's and the description's."""


@leaf
def _word_set(html: Any, span: Any, found: Any, table: Any) -> Any:
    """Put the distinct word hashes of a range of the page into a table, open-addressed; how many.

    At most `len(found)` words are read. 0 is an empty slot.
    """
    table[:] = 0
    count = 0
    for k in range(w.words_in(html, span[0], span[1], found, np.int64(0))):
        at = np.int64(found[k]) & (SET_SLOTS - 1)
        while table[at] != 0 and table[at] != found[k]:
            at = (at + 1) & (SET_SLOTS - 1)
        count += table[at] == 0 and found[k] != 0
        table[at] = found[k]
    return count


@inner
def _share_in(words: Any, first: Any, last: Any, table: Any) -> Any:
    """How many of a block's words (the first `SEEN_WORDS`) are in a set."""
    found = 0
    for k in range(first, last if last < first + SEEN_WORDS else first + SEEN_WORDS):
        at = np.int64(words[k]) & (SET_SLOTS - 1)
        while table[at] != 0 and table[at] != words[k]:
            at = (at + 1) & (SET_SLOTS - 1)
        found += table[at] != 0
    return found


@leaf
def place_columns(
    out: Any, at: Any, html: Any, nodes: Any, blocks: Any, counts: Any, words: Any, places: Any,
    title: Any, description: Any, odds: Any, sets: Any,
) -> Any:  # fmt: skip
    titles, about, found = sets[0], sets[1], sets[2]
    title_words = _word_set(html, title, found[:TITLE_WORDS], titles)
    about_words = _word_set(html, description, found[:ABOUT_WORDS], about)
    total = np.int64(0)
    for b in range(len(blocks)):
        total += counts[b, WORDS]
    everything = np.float32(one_or_more(total))
    before = np.int64(0)
    h1, heading, level, about_heading = -1, -1, np.int64(0), np.float32(0.0)
    for b in range(len(blocks)):
        row = out[b]
        first, last = counts[b, WORDS_FROM], counts[b, WORDS_TO]
        seen = one_or_more(last - first)
        seen = seen if seen < SEEN_WORDS else SEEN_WORDS
        tag = np.int64(nodes[places[blocks[b, NODE], P_BLOCK], KIND])
        if h._H1 <= tag <= h._H6:
            heading, level, about_heading = b, tag - h._H1 + 1, np.float32(0.0)
            if tag == h._H1:
                h1 = b
            for k in range(first, last):
                about_heading += odds_of(
                    odds.word_factors, odds.word_keys, odds.word_values, words[k]
                )
            about_heading /= np.float32(seen)
        row[at] = b / len(blocks)
        row[at + 1] = log(before)
        row[at + 2] = before / everything
        row[at + 3] = _since(b, h1)
        row[at + 4] = _since(b, heading)
        row[at + 5] = about_heading
        row[at + 6] = level
        common = _share_in(words, first, last, titles) if title_words else 0
        row[at + 7] = common / seen
        row[at + 8] = common / one_or_more(title_words)
        known = _share_in(words, first, last, about) if about_words else 0
        row[at + 9] = known / seen
        row[at + 10] = b if b < 500 else 500
        before += counts[b, WORDS]
    return at + 11


@inner
def _since(b: Any, other: Any) -> Any:
    """Blocks since another one, at most 200; -1 if there was none."""
    if other < 0:
        return -1
    return b - other if b - other < 200 else 200


@leaf
def near_columns(out: Any, at: Any, counts: Any, shares: Any) -> Any:
    num = len(counts)
    for b in range(num):
        row, k = out[b], at
        for step in _NEAR:
            other = b + step
            if 0 <= other < num:
                row[k], row[k + 1] = shares[other, LOG_WORDS], shares[other, LINKED]
                row[k + 2] = shares[other, IS_HEADING]
            else:
                row[k], row[k + 1], row[k + 2] = -1, -1, 0
            k += 3
        words, links, long = np.int64(0), np.float32(0.0), 0
        for other in range(b - 8 if b > 8 else 0, b + 9 if b + 9 < num else num):
            words += counts[other, WORDS]
            linked = shares[other, LINKED_WORDS]
            links += linked
            long += np.float32(counts[other, WORDS]) - linked >= t.PROSE_WORDS
        row[k], row[k + 2] = log(words), long
        row[k + 1] = links / np.float32(one_or_more(words))
    return at + 3 * len(_NEAR) + 3


@leaf
def page_columns(
    out: Any, at: Any, nodes: Any, blocks: Any, counts: Any, sums: Any, places: Any
) -> Any:
    """The page as a whole, the same in every row."""
    num = len(blocks)
    if num == 0:
        return at + 12
    total = mass_or_one(sums[0, N_WORDS])
    most, has_h1, articles, mains, items, cells = np.int64(0), 0, 0, 0, 0, 0
    for n in range(len(nodes)):
        tag = np.int64(nodes[n, KIND])
        has_h1 |= tag == h._H1
        articles += nodes[n, ANCESTORS] & tags.ARTICLE != 0 and tag == _ARTICLE
        mains += tag == _MAIN
    token = out[0, _TOKEN_ALL]
    for b in range(num):
        most = counts[b, WORDS] if counts[b, WORDS] > most else most
        token = out[b, _TOKEN_ALL] if out[b, _TOKEN_ALL] > token else token
        tag = np.int64(nodes[places[blocks[b, NODE], P_BLOCK], KIND])
        items += tag == h._LI
        cells += tag == h._TD or tag == h._TH
    first = out[0]
    first[at] = log(np.int64(sums[0, N_WORDS]))
    first[at + 1] = sums[0, N_LINK_WORDS] / total
    first[at + 2] = log(num)
    first[at + 3] = sums[0, N_PROSE] / total
    first[at + 4] = log(np.int64(sums[0, N_LONG]))
    first[at + 5] = log(most)
    first[at + 6] = has_h1
    first[at + 7] = articles if articles < 20 else 20
    first[at + 8] = mains > 0
    first[at + 9] = items / num
    first[at + 10] = cells / num
    first[at + 11] = token
    for b in range(1, num):
        for k in range(at, at + 12):
            out[b, k] = first[k]
    return at + 12
