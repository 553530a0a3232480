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
    ALL,
    CONTAINERS,
    FEATURES,
    FLAG_BITS,
    G_BLOCKS,
    G_LINKED,
    G_WORDS,
    HIGH,
    IS_HEADING,
    LINKED,
    LINKED_WORDS,
    LOG_WORDS,
    LOW,
    NUM_FEATURES,
    OWN,
    LogOdds,
    log,
    mass_or_one,
    odds_of,
    one_or_more,
)
from stages.kernels.html_groups import number_groups
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
)
from stages.kernels.html_surroundings import near_columns, page_columns, place_columns
from stages.kernels.html_text import ANCESTORS, KIND, NODE, TOKENS_FROM, TOKENS_TO
from stages.kernels.html_words import WORDS, WORDS_FROM, WORDS_TO
from stages.kernels.jit import inner, jit_bare, leaf

__all__ = ["FEATURES", "NUM_FEATURES", "LogOdds", "page_features"]


@jit_bare
def page_features(
    html: Any, text: Any, nodes: Any, blocks: Any, tokens: Any, title: Any, description: Any,
    odds: Any, counts: Any, hashes: Any, words: Any, places: Any, paths: Any, sums: Any,
    lasts: Any, names: Any, shares: Any, keys: Any, slots: Any, groups: Any, firsts: Any,
    totals: Any, sets: Any, out: Any,
) -> Any:  # fmt: skip
    """Fill `out` with a row a block, a column a feature; gives the number of columns.

    `title` and `description` are (start, end) in `html`, (0, 0) for none. All else is room that
    `stages.extract.features` makes; of it `hashes`, `places` and `paths` are of use afterwards.
    Linear in the page, unless its names were chosen to have the same hashes.
    """
    w.count_blocks(text, blocks, counts, words, hashes)
    t.place_nodes(nodes, places, paths)
    t.sum_nodes(nodes, blocks, counts, places, sums)
    t.last_nodes(nodes, lasts)
    _fill_shares(nodes, blocks, counts, places, shares)
    at = _shape(out, 0, blocks, counts, shares)
    at = _tags(out, at, nodes, blocks, places)
    _fill_names(nodes, tokens, places, odds, names)
    at = _odds(out, at, blocks, counts, words, places, names, odds)
    score_top, value_top = t.best_node(sums, N_SCORE), t.best_node(sums, N_VALUE)
    at = _containers(out, at, blocks, places, sums, score_top, value_top)
    at = _tops(out, at, blocks, places, sums, lasts, score_top, value_top)
    at = _paths(
        out, at, blocks, counts, places, paths, hashes, shares, keys, slots, groups, firsts, totals
    )
    at = place_columns(
        out, at, html, nodes, blocks, counts, words, places, title, description, odds, sets
    )
    at = near_columns(out, at, counts, shares)
    return page_columns(out, at, nodes, blocks, counts, sums, places)


@leaf
def _fill_shares(nodes: Any, blocks: Any, counts: Any, places: Any, shares: Any) -> Any:
    for b in range(len(blocks)):
        tag = np.int64(nodes[places[blocks[b, NODE], P_BLOCK], KIND])
        share = t.link_share(blocks, b)
        shares[b, LINKED] = share
        shares[b, LINKED_WORDS] = np.float32(counts[b, WORDS]) * share
        shares[b, LOG_WORDS] = log(counts[b, WORDS])
        shares[b, IS_HEADING] = h._H1 <= tag <= h._H6


@leaf
def _shape(out: Any, at: Any, blocks: Any, counts: Any, shares: Any) -> Any:
    for b in range(len(blocks)):
        row, c = out[b], counts[b]
        words, chars = one_or_more(c[WORDS]), one_or_more(c[w.CHARS])
        share = shares[b, LINKED]
        row[at] = shares[b, LOG_WORDS]
        row[at + 1] = log(c[w.CHARS])
        row[at + 2] = share
        row[at + 3] = log(np.int64(blocks[b, h.LINKS]))
        row[at + 4] = (c[w.LETTERS] + c[w.DIGITS]) / words
        row[at + 5] = c[w.ENDS] / words
        row[at + 6] = c[w.TERMINAL]
        row[at + 7] = c[w.COMMAS] / words
        row[at + 8] = c[w.DIGITS] / chars
        row[at + 9] = c[w.UPPER] / one_or_more(c[w.LETTERS])
        row[at + 10] = c[w.PUNCTUATION] / chars
        row[at + 11] = c[w.SYMBOLS] / chars
        size = one_or_more(np.int64(blocks[b, h.END] - blocks[b, h.START]))
        row[at + 12] = blocks[b, h.BOLD_BYTES] / size
        row[at + 13] = log(np.int64(blocks[b, h.BREAKS]))
        row[at + 14] = c[WORDS] * (1 - share)
    return at + 15


@leaf
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


@leaf
def _fill_names(nodes: Any, tokens: Any, places: Any, odds: Any, names: Any) -> Any:
    """Log-odds of each node's class tokens, and of those on its way to the root."""
    for n in range(len(nodes)):
        total = np.float32(0.0)
        for k in range(nodes[n, TOKENS_FROM], nodes[n, TOKENS_TO]):
            total += odds_of(odds.token_factors, odds.token_keys, odds.token_values, tokens[k])
        if total > np.float32(8.0):
            total = np.float32(8.0)
        elif total < np.float32(-8.0):
            total = np.float32(-8.0)
        parent = np.int64(nodes[n, h.PARENT])
        names[n, OWN] = total
        if parent < 0:
            names[n, ALL] = names[n, LOW] = names[n, HIGH] = 0
            continue
        if places[n, P_BLOCK] != n:
            names[n, OWN] += names[parent, OWN]
        names[n, ALL] = names[parent, ALL] + total
        low, high = names[parent, LOW], names[parent, HIGH]
        names[n, LOW] = total if total < low else low
        names[n, HIGH] = total if total > high else high


@leaf
def _odds(
    out: Any, at: Any, blocks: Any, counts: Any, words: Any, places: Any, names: Any, odds: Any
) -> Any:
    """Log-odds of the names on the way to the root, and of the words."""
    for b in range(len(blocks)):
        row, node = out[b], np.int64(blocks[b, NODE])
        up = np.int64(places[node, P_UP])
        row[at], row[at + 1] = names[node, OWN], names[up, OWN]
        row[at + 2] = names[places[up, P_UP], OWN]
        row[at + 3], row[at + 4] = names[node, ALL], names[node, LOW]
        row[at + 5] = names[node, HIGH]
        first, last = counts[b, WORDS_FROM], counts[b, WORDS_TO]
        total, least, most = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        row[at + 8] = 0
        for k in range(first, last):
            value = odds_of(odds.word_factors, odds.word_keys, odds.word_values, words[k])
            total += value
            least = value if value < least else least
            most = value if value > most else most
            if k == first:
                row[at + 8] = value
        row[at + 6] = total / one_or_more(last - first)
        if total > np.float32(20.0):
            total = np.float32(20.0)
        elif total < np.float32(-20.0):
            total = np.float32(-20.0)
        row[at + 7] = total
        row[at + 9], row[at + 10] = least, most
    return at + 11


@leaf
def _containers(
    out: Any, at: Any, blocks: Any, places: Any, sums: Any, score_top: Any, value_top: Any
) -> Any:
    best_score = sums[score_top, N_SCORE]
    if best_score < np.float32(1e-3):
        best_score = np.float32(1e-3)
    best_value = mass_or_one(sums[value_top, N_VALUE])
    total = mass_or_one(sums[0, N_WORDS])
    for b in range(len(blocks)):
        row = out[b]
        node = np.int64(places[blocks[b, NODE], P_BLOCK])
        k = at
        for _ in range(CONTAINERS):
            found = sums[node]
            words, num = mass_or_one(found[N_WORDS]), mass_or_one(found[N_BLOCKS])
            value = found[N_VALUE] / best_value
            row[k] = log(np.int64(found[N_WORDS]))
            row[k + 1] = found[N_LINK_WORDS] / words
            row[k + 2] = log(np.int64(found[N_BLOCKS]))
            row[k + 3] = found[N_SCORE] / best_score
            row[k + 4] = value if value > np.float32(-1.0) else np.float32(-1.0)
            row[k + 5] = found[N_WORDS] / total
            row[k + 6] = found[N_WORDS] / num
            row[k + 7] = log(np.int64(found[N_LONG]))
            k += 8
            node = np.int64(places[node, P_UP])
    return at + 8 * CONTAINERS


@leaf
def _tops(
    out: Any, at: Any, blocks: Any, places: Any, sums: Any, lasts: Any, score_top: Any,
    value_top: Any,
) -> Any:  # fmt: skip
    """Where a block stands to the two candidates for the root of the main text."""
    total = mass_or_one(sums[0, N_WORDS])
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


@leaf
def _paths(
    out: Any, at: Any, blocks: Any, counts: Any, places: Any, paths: Any, hashes: Any,
    shares: Any, keys: Any, slots: Any, groups: Any, firsts: Any, totals: Any,
) -> Any:  # fmt: skip
    """Blocks with the same path of names, under the same parent's path, and with the same words."""
    num = len(blocks)
    total = np.int64(0)
    for b in range(num):
        total += counts[b, WORDS]
        keys[b] = paths[blocks[b, NODE]]
    everything = np.float32(one_or_more(total))
    _sum_groups(number_groups(keys, slots, firsts, groups), groups, counts, shares, totals)
    for b in range(num):
        row, group = out[b], totals[groups[b]]
        row[at] = log(np.int64(group[G_BLOCKS]))
        row[at + 1] = group[G_WORDS] / group[G_BLOCKS]
        row[at + 2] = group[G_LINKED] / mass_or_one(group[G_WORDS])
        row[at + 3] = group[G_WORDS] / everything
    _sum_groups(number_groups(hashes, slots, firsts, groups), groups, counts, shares, totals)
    for b in range(num):
        alike = totals[groups[b], G_BLOCKS]
        out[b, at + 4] = alike if alike < 20 else 20
        out[b, at + 5] = firsts[groups[b]] != b
    for b in range(num):
        keys[b] = paths[places[blocks[b, NODE], P_UP]]
    _sum_groups(number_groups(keys, slots, firsts, groups), groups, counts, shares, totals)
    for b in range(num):
        row, group = out[b], totals[groups[b]]
        row[at + 6] = log(np.int64(group[G_BLOCKS]))
        row[at + 7] = group[G_WORDS] / group[G_BLOCKS]
    return at + 8


@leaf
def _sum_groups(num: Any, groups: Any, counts: Any, shares: Any, totals: Any) -> Any:
    """Blocks, words and linked words of each group; in page order, so sums are always the same."""
    for g in range(num):
        totals[g, G_BLOCKS] = totals[g, G_WORDS] = totals[g, G_LINKED] = 0
    for b in range(len(groups)):
        group = totals[groups[b]]
        group[G_BLOCKS] += 1
        group[G_WORDS] += counts[b, WORDS]
        group[G_LINKED] += shares[b, LINKED_WORDS]
