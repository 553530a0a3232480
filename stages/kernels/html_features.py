"""What the model sees of a block: 150 numbers about it, its place in the tree, and the page.

`FEATURES` names the columns in the order in which the kernel writes them. No column is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_nodes as t
from stages.kernels import html_text as h
from stages.kernels import html_words as w
from stages.kernels.html_columns import (
    CONTAINERS,
    FEATURES,
    FLAG_BITS,
    NUM_FEATURES,
    LogOdds,
    log,
    odds_of,
)
from stages.kernels.html_nodes import (
    N_BLOCKS,
    N_LINK_WORDS,
    N_LONG,
    N_SCORE,
    N_VALUE,
    N_WORDS,
    P_BLOCK,
    P_DEPTH,
    P_UP,
    link_share,
)
from stages.kernels.html_surroundings import near_columns, page_columns, place_columns
from stages.kernels.html_text import ANCESTORS, KIND, NODE, TOKENS_FROM, TOKENS_TO
from stages.kernels.html_words import WORDS, WORDS_FROM, WORDS_TO
from stages.kernels.jit import inner, inner_allocating, jit

__all__ = ["FEATURES", "NUM_FEATURES", "LogOdds", "page_features"]


@jit
def page_features(
    html: Any, text: Any, nodes: Any, blocks: Any, tokens: Any, title: Any, description: Any,
    odds: Any,
) -> Any:  # fmt: skip
    """One row a block, a column a feature; the hash of each block's words; places and paths of
    nodes; words of each block.

    `title` and `description` are (start, end) in `html`, (0, 0) for none. Linear in the page, but
    for the sorting of blocks by path and by text.
    """
    num_blocks, num_nodes = len(blocks), len(nodes)
    counts = np.empty((num_blocks, w.COUNT_COLUMNS), dtype=np.int64)
    hashes = np.empty(num_blocks, dtype=np.uint64)
    words = np.empty(len(text) + 1, dtype=np.uint32)
    w.count_blocks(text, blocks, counts, words, hashes)
    places = np.empty((num_nodes, t.PLACE_COLUMNS), dtype=np.int32)
    paths = np.empty(num_nodes, dtype=np.uint64)
    t.place_nodes(nodes, places, paths)
    sums = np.empty((num_nodes, t.SUM_COLUMNS), dtype=np.float32)
    t.sum_nodes(nodes, blocks, counts, places, sums)
    lasts = np.empty(num_nodes, dtype=np.int32)
    t.last_nodes(nodes, lasts)
    out = np.zeros((num_blocks, NUM_FEATURES), dtype=np.float32)
    at = _shape(out, 0, blocks, counts)
    at = _tags(out, at, nodes, blocks, places)
    at = _odds(out, at, nodes, blocks, tokens, counts, words, places, odds)
    at = _containers(out, at, blocks, places, sums)
    at = _tops(out, at, nodes, blocks, places, sums, lasts)
    at = _paths(out, at, blocks, counts, places, paths, hashes)
    at = place_columns(
        out, at, html, nodes, blocks, counts, words, places, title, description, odds
    )
    at = near_columns(out, at, nodes, blocks, counts, places)
    at = page_columns(out, at, nodes, blocks, counts, sums, places)
    if at != NUM_FEATURES:
        raise ValueError("the kernel writes another number of columns than FEATURES names")
    return out, hashes, places, paths, counts[:, WORDS].astype(np.float32)


@inner
def _shape(out: Any, at: Any, blocks: Any, counts: Any) -> Any:
    for b in range(len(blocks)):
        row, c = out[b], counts[b]
        words, chars = max(c[WORDS], 1), max(c[w.CHARS], 1)
        share = link_share(blocks, b)
        row[at] = log(c[WORDS])
        row[at + 1] = log(c[w.CHARS])
        row[at + 2] = share
        row[at + 3] = log(blocks[b, h.LINKS])
        row[at + 4] = (c[w.LETTERS] + c[w.DIGITS]) / words
        row[at + 5] = c[w.ENDS] / words
        row[at + 6] = c[w.TERMINAL]
        row[at + 7] = c[w.COMMAS] / words
        row[at + 8] = c[w.DIGITS] / chars
        row[at + 9] = c[w.UPPER] / max(c[w.LETTERS], 1)
        row[at + 10] = c[w.PUNCTUATION] / chars
        row[at + 11] = c[w.SYMBOLS] / chars
        row[at + 12] = blocks[b, h.BOLD_BYTES] / max(blocks[b, h.END] - blocks[b, h.START], 1)
        row[at + 13] = log(blocks[b, h.BREAKS])
        row[at + 14] = c[WORDS] * (1 - share)
    return at + 15


@inner
def _tags(out: Any, at: Any, nodes: Any, blocks: Any, places: Any) -> Any:
    for b in range(len(blocks)):
        row, node = out[b], np.int64(blocks[b, NODE])
        block = np.int64(places[node, P_BLOCK])
        tag = np.int64(nodes[block, KIND])
        row[at] = tag == h._P
        row[at + 1] = tag == h._DIV
        row[at + 2] = tag == h._LI
        row[at + 3] = tag == h._TD or tag == h._TH
        row[at + 4] = tag == h._DD or tag == h._DT
        row[at + 5] = tag - h._H1 + 1 if h._H1 <= tag <= h._H6 else 0
        row[at + 6] = tag == h._PRE
        row[at + 7] = node != block
        flags = np.int64(nodes[node, ANCESTORS])
        for k in range(len(FLAG_BITS)):
            row[at + 8 + k] = flags & FLAG_BITS[k] != 0
    return at + 8 + len(FLAG_BITS)


@inner_allocating
def _odds(
    out: Any, at: Any, nodes: Any, blocks: Any, tokens: Any, counts: Any, words: Any, places: Any,
    odds: Any,
) -> Any:  # fmt: skip
    """Log-odds of the names on the way to the root, and of the words."""
    num_nodes = len(nodes)
    own = np.zeros(num_nodes, dtype=np.float32)  # of a node and the inline ones under it, summed
    everything = np.zeros(num_nodes, dtype=np.float32)
    low, high = np.zeros(num_nodes, dtype=np.float32), np.zeros(num_nodes, dtype=np.float32)
    for n in range(num_nodes):
        total = np.float32(0.0)
        for k in range(nodes[n, TOKENS_FROM], nodes[n, TOKENS_TO]):
            total += odds_of(odds.token_keys, odds.token_values, tokens[k])
        total = min(max(total, np.float32(-8.0)), np.float32(8.0))
        parent = nodes[n, h.PARENT]
        own[n] = total
        if parent >= 0:
            if places[n, P_BLOCK] != n:
                own[n] += own[parent]
            everything[n] = everything[parent] + total
            low[n], high[n] = min(low[parent], total), max(high[parent], total)
    for b in range(len(blocks)):
        row, node = out[b], np.int64(blocks[b, NODE])
        up = np.int64(places[node, P_UP])
        row[at], row[at + 1], row[at + 2] = own[node], own[up], own[places[up, P_UP]]
        row[at + 3], row[at + 4], row[at + 5] = everything[node], low[node], high[node]
        first, last = counts[b, WORDS_FROM], counts[b, WORDS_TO]
        total, least, most = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for k in range(first, last):
            value = odds_of(odds.word_keys, odds.word_values, words[k])
            total += value
            least, most = min(least, value), max(most, value)
            if k == first:
                row[at + 8] = value
        row[at + 6] = total / max(last - first, 1)
        row[at + 7] = min(max(total, np.float32(-20.0)), np.float32(20.0))
        row[at + 9], row[at + 10] = least, most
    return at + 11


@inner
def _containers(out: Any, at: Any, blocks: Any, places: Any, sums: Any) -> Any:
    best_score = max(sums[t.best_node(sums, N_SCORE), N_SCORE], np.float32(1e-3))
    best_value = max(sums[t.best_node(sums, N_VALUE), N_VALUE], np.float32(1.0))
    total = max(sums[0, N_WORDS], np.float32(1.0))
    for b in range(len(blocks)):
        row = out[b]
        node = np.int64(places[blocks[b, NODE], P_BLOCK])
        k = at
        for _ in range(CONTAINERS):
            found = sums[node]
            row[k] = log(found[N_WORDS])
            row[k + 1] = found[N_LINK_WORDS] / max(found[N_WORDS], np.float32(1.0))
            row[k + 2] = log(found[N_BLOCKS])
            row[k + 3] = found[N_SCORE] / best_score
            row[k + 4] = max(found[N_VALUE] / best_value, np.float32(-1.0))
            row[k + 5] = found[N_WORDS] / total
            row[k + 6] = found[N_WORDS] / max(found[N_BLOCKS], np.float32(1.0))
            row[k + 7] = log(found[N_LONG])
            k += 8
            node = np.int64(places[node, P_UP])
    return at + 8 * CONTAINERS


@inner
def _tops(out: Any, at: Any, nodes: Any, blocks: Any, places: Any, sums: Any, lasts: Any) -> Any:
    """Where a block stands to the two candidates for the root of the main text."""
    score_top, value_top = t.best_node(sums, N_SCORE), t.best_node(sums, N_VALUE)
    total = max(sums[0, N_WORDS], np.float32(1.0))
    for b in range(len(blocks)):
        row, node = out[b], np.int64(blocks[b, NODE])
        row[at] = score_top <= node <= lasts[score_top]
        row[at + 1] = value_top <= node <= lasts[value_top]
        row[at + 2] = _steps_up(node, score_top, places, lasts)
        row[at + 3] = _steps_up(node, value_top, places, lasts)
        row[at + 4] = sums[score_top, N_WORDS] / total
        row[at + 5] = sums[value_top, N_WORDS] / total
        row[at + 6] = score_top == value_top
        row[at + 7] = node < value_top
        row[at + 8] = node > lasts[value_top]
        row[at + 9] = places[node, P_DEPTH]
    return at + 10


@inner
def _steps_up(node: Any, top: Any, places: Any, lasts: Any) -> Any:
    """Block-level steps from a node up to the first element that holds `top` too; at most 30."""
    at, steps = np.int64(places[node, P_BLOCK]), 0
    while not at <= top <= lasts[at] and steps < 30:
        at = np.int64(places[at, P_UP])
        steps += 1
    return steps


@inner_allocating
def _paths(
    out: Any, at: Any, blocks: Any, counts: Any, places: Any, paths: Any, hashes: Any
) -> Any:
    """Blocks with the same path of names, under the same parent's path, and with the same words."""
    num = len(blocks)
    total = np.float32(max(counts[:, WORDS].sum(), 1))
    keys = np.empty(num, dtype=np.uint64)
    for b in range(num):
        keys[b] = paths[blocks[b, NODE]]
    order = np.argsort(keys, kind="mergesort")
    first = 0
    while first < num:
        last = first
        words, links = np.float32(0.0), np.float32(0.0)
        while last < num and keys[order[last]] == keys[order[first]]:
            b = order[last]
            words += counts[b, WORDS]
            links += counts[b, WORDS] * link_share(blocks, b)
            last += 1
        for k in range(first, last):
            row = out[order[k]]
            row[at] = log(last - first)
            row[at + 1] = words / (last - first)
            row[at + 2] = links / max(words, np.float32(1.0))
            row[at + 3] = words / total
        first = last
    order = np.argsort(hashes, kind="mergesort")
    first = 0
    while first < num:
        last = first
        while last < num and hashes[order[last]] == hashes[order[first]]:
            last += 1
        for k in range(first, last):
            row = out[order[k]]
            row[at + 4] = min(last - first, 20)
            row[at + 5] = k > first
        first = last
    for b in range(num):
        keys[b] = paths[places[blocks[b, NODE], P_UP]]
    order = np.argsort(keys, kind="mergesort")
    first = 0
    while first < num:
        last, words = first, np.float32(0.0)
        while last < num and keys[order[last]] == keys[order[first]]:
            words += counts[order[last], WORDS]
            last += 1
        for k in range(first, last):
            row = out[order[k]]
            row[at + 6] = log(last - first)
            row[at + 7] = words / (last - first)
        first = last
    return at + 8
