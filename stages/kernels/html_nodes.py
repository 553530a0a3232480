"""Sums over the tree of a page: how much text, links and prose stand under each element."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_text as h
from stages.kernels.html_scan import tags_block
from stages.kernels.html_text import KIND, LINK_BYTES, NODE, PARENT, SIGNATURE
from stages.kernels.html_words import CHARS, COMMAS, WORDS
from stages.kernels.jit import inner, leaf

# Columns of the sums of a node's subtree.
(N_WORDS, N_LINK_WORDS, N_BLOCKS, N_PROSE, N_VALUE, N_SCORE, N_OWN_SCORE, N_LONG) = range(8)
SUM_COLUMNS = 8

# Columns of a node's places.
P_BLOCK, P_UP, P_DEPTH = range(3)
PLACE_COLUMNS = 3

PROSE_WORDS = 12
"""A block of so many words outside links is prose, a shorter one may be a label."""


@inner
def link_share(blocks: Any, b: Any) -> Any:
    """Share of a block's bytes inside links."""
    size = blocks[b, h.END] - blocks[b, h.START]
    return np.float32(blocks[b, LINK_BYTES]) / np.float32(max(size, 1))


@leaf
def place_nodes(nodes: Any, places: Any, paths: Any) -> Any:
    """For every node its nearest block-level element, that one's, its depth, and its path's hash.

    The path is made of the signatures (name and classes) of the nearest five block-level elements.
    """
    for n in range(len(nodes)):
        parent = nodes[n, PARENT]
        if parent < 0:
            places[n, P_BLOCK], places[n, P_UP], places[n, P_DEPTH] = n, n, 0
            continue
        if tags_block(np.int64(nodes[n, KIND])):
            places[n, P_BLOCK] = n
            places[n, P_UP] = places[parent, P_BLOCK]
            places[n, P_DEPTH] = places[parent, P_DEPTH] + 1
        else:
            places[n, P_BLOCK] = places[parent, P_BLOCK]
            places[n, P_UP] = places[parent, P_UP]
            places[n, P_DEPTH] = places[parent, P_DEPTH]
    for n in range(len(nodes)):
        value, at = np.uint64(0xCBF29CE484222325), np.int64(places[n, P_BLOCK])
        for _ in range(5):
            value = (value ^ np.uint64(nodes[at, SIGNATURE])) * np.uint64(0x100000001B3)
            if places[at, P_UP] == at:
                break
            at = np.int64(places[at, P_UP])
        paths[n] = value


@leaf
def sum_nodes(nodes: Any, blocks: Any, counts: Any, places: Any, sums: Any) -> Any:
    """Fill the sums of every subtree.

    `N_VALUE` is high where prose is: words outside links, less twice those inside and a fixed cost
    a block, so the subtree with the most is the smallest one that holds the prose. `N_SCORE` is
    Readability's: paragraphs give points to their parent, half to its parent (Readability.js:
    1 + commas + one a 100 characters up to 3), scaled by the share of text outside links.
    """
    sums[:] = 0
    for b in range(len(blocks)):
        node = np.int64(blocks[b, NODE])
        words = np.float32(counts[b, WORDS])
        share = link_share(blocks, b)
        linked = words * share
        free = words - linked
        sums[node, N_WORDS] += words
        sums[node, N_LINK_WORDS] += linked
        sums[node, N_BLOCKS] += 1
        sums[node, N_VALUE] += free - 2 * linked - 4
        if free >= PROSE_WORDS:
            sums[node, N_PROSE] += free
            sums[node, N_LONG] += 1
            points = np.float32(1.0) + counts[b, COMMAS] + min(counts[b, CHARS] / 100.0, 3.0)
            points *= 1 - share
            first = np.int64(places[node, P_BLOCK])
            second = np.int64(places[first, P_UP])
            third = np.int64(places[second, P_UP])
            sums[first, N_OWN_SCORE] += points * np.float32(0.5)
            sums[second, N_OWN_SCORE] += points
            sums[third, N_OWN_SCORE] += points * np.float32(0.5)
    for n in range(len(nodes) - 1, 0, -1):
        parent = np.int64(nodes[n, PARENT])
        for k in (N_WORDS, N_LINK_WORDS, N_BLOCKS, N_PROSE, N_VALUE, N_LONG):
            sums[parent, k] += sums[n, k]
    for n in range(len(nodes)):
        density = sums[n, N_LINK_WORDS] / max(sums[n, N_WORDS], np.float32(1.0))
        sums[n, N_SCORE] = sums[n, N_OWN_SCORE] * (1 - density)


@leaf
def best_node(sums: Any, column: Any) -> Any:
    """The node with the highest value; of equal ones the last, which is the innermost."""
    best = np.int64(0)
    for n in range(len(sums)):
        if sums[n, column] >= sums[best, column]:
            best = np.int64(n)
    return best


@leaf
def last_nodes(nodes: Any, lasts: Any) -> Any:
    """For every node the last node of its subtree: node m is under n if n <= m <= lasts[n]."""
    for n in range(len(nodes)):
        lasts[n] = n
    for n in range(len(nodes) - 1, 0, -1):
        parent = nodes[n, PARENT]
        lasts[parent] = max(lasts[parent], lasts[n])
