"""What the model says of a page, in one call: features, kind of page, both sets of trees.

Each step is a kernel with a face of its own in `stages.extract`, for training and tests. A page
goes through all of them here: ten calls from Python, each cold after the one before, took a tenth
of a page's time. The room is one for all pages (`desk_for`), so no page waits for fresh memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stages.kernels import html_context, html_features, trees
from stages.kernels.html_columns import GROUP, NAMES, NUM_FEATURES, SET_SLOTS, SHARES
from stages.kernels.html_context import KINDS, NUM_CONTEXT
from stages.kernels.html_groups import slots_for
from stages.kernels.html_layout import CELL_ROOM, LAYOUT_COLUMNS, MAX_LEVELS
from stages.kernels.html_lines import STATE
from stages.kernels.html_nodes import PLACE_COLUMNS, SUM_COLUMNS
from stages.kernels.html_related import RUNS
from stages.kernels.html_repeats import CHUNK, EVERY
from stages.kernels.html_words import COUNT_COLUMNS, WORDS
from stages.kernels.jit import called, jit_bare, shared
from stages.kernels.tree_lanes import LANES

WIDTH = NUM_FEATURES + NUM_CONTEXT
PAGE_FLAGS = 10
"""What a page says of itself, a bit each, behind the means in its row (`stages.extract.kind`)."""
ROW = 2 * NUM_FEATURES + PAGE_FLAGS
_ONE = np.int64(1)

_page_features = called(html_features.page_features)
_context_features = called(html_context.context_features)
_column_means = called(html_context.column_means)
_evaluate = shared(trees.evaluate)  # for both sets of trees
_logistic = shared(trees.logistic)
_votes = called(trees.votes)


class Desk(NamedTuple):
    """Room to judge pages and to write them down: of B blocks, N nodes and T bytes of text.

    What is said of a page stands in the first rows, until the next page.
    """

    # A row a block
    counts: Any
    hashes: Any
    table: Any
    """float32, `WIDTH` a block, flat."""
    words: Any
    """float32, words of each block."""
    prob: Any
    """float32, probability of each block to be main text."""
    mixed: Any
    shares: Any
    keys: Any
    groups: Any
    firsts: Any
    totals: Any
    mass: Any
    order: Any
    kept: Any
    marked: Any
    ranges: Any
    runs: Any
    code: Any
    """int32, of each block the code or data table that it is part of."""
    # A row a node
    places: Any
    paths: Any
    sums: Any
    lasts: Any
    names: Any
    layout: Any
    seen: Any
    named: Any
    spans: Any
    # The larger of both
    pairs: Any
    quads: Any
    # By the text
    word_hashes: Any
    packed: Any
    samples: Any
    sample_keys: Any
    sample_owners: Any
    # By number of blocks, or of fixed size
    slots: Any
    sets: Any
    columns: Any
    lanes: Any
    """float32, the trees' room."""
    row: Any
    kinds: Any
    """float32, probability of each of `KINDS`."""
    cell_words: Any
    chain: Any
    state: Any
    counters: Any


def desk_for(num_blocks: int, num_nodes: int, size: int) -> Desk:
    """Room for pages of at most so many blocks, nodes and bytes of text. Only what a page uses of
    it is ever touched."""
    both = max(num_blocks, num_nodes)
    samples = slots_for(size // EVERY)
    f32, i32, i64, u64 = np.float32, np.int32, np.int64, np.uint64
    return Desk(
        counts=np.empty((num_blocks, COUNT_COLUMNS), i64),
        hashes=np.empty(num_blocks, u64),
        table=np.empty(num_blocks * WIDTH, f32),
        words=np.empty(num_blocks, f32),
        prob=np.empty(num_blocks, f32),
        mixed=np.empty(num_blocks, f32),
        shares=np.empty((num_blocks, SHARES), f32),
        keys=np.empty(num_blocks, u64),
        groups=np.empty(num_blocks, i32),
        firsts=np.empty(num_blocks, i32),
        totals=np.empty((num_blocks, GROUP), f32),
        mass=np.empty(num_blocks, f32),
        order=np.empty((2, num_blocks), i64),
        kept=np.empty(num_blocks, np.bool_),
        marked=np.empty(num_blocks, np.bool_),
        ranges=np.empty((num_blocks, 2), i32),
        runs=np.empty((num_blocks + 1, RUNS), f32),
        code=np.empty(num_blocks, i32),
        places=np.empty((num_nodes, PLACE_COLUMNS), i32),
        paths=np.empty(num_nodes, u64),
        sums=np.empty((num_nodes, SUM_COLUMNS), f32),
        lasts=np.empty(num_nodes, i32),
        names=np.empty((num_nodes, NAMES), f32),
        layout=np.empty((num_nodes, LAYOUT_COLUMNS), i32),
        seen=np.empty(num_nodes, i32),
        named=np.empty(num_nodes, np.bool_),
        spans=np.empty((num_nodes, 2), i32),
        pairs=np.empty((both, 2), f32),
        quads=np.empty((both, 4), np.float64),
        word_hashes=np.empty(size + 1, np.uint32),
        packed=np.empty(size, np.uint8),
        samples=np.empty(CHUNK, u64),
        sample_keys=np.empty(samples, u64),
        sample_owners=np.empty(samples, i32),
        slots=np.empty(slots_for(num_blocks), i32),
        sets=np.empty((3, SET_SLOTS), np.uint32),
        columns=np.empty(WIDTH * LANES, f32),
        lanes=np.empty(trees.NODE_ROOM, f32),
        row=np.empty(ROW, f32),
        kinds=np.empty(len(KINDS), f32),
        cell_words=np.empty(CELL_ROOM, np.uint32),
        chain=np.empty(MAX_LEVELS, i64),
        state=np.empty(STATE, i64),
        counters=np.empty(1024, i64),
    )  # fmt: skip


@jit_bare
def judge(
    html: Any, text: Any, nodes: Any, blocks: Any, tokens: Any, title: Any, description: Any,
    flags: Any, odds: Any, first: Any, second: Any, kind: Any, desk: Any,
) -> Any:  # fmt: skip
    """Fill `desk.prob`, `desk.words` and `desk.kinds`; gives the number of columns written.

    `flags`: the page's bits (`PAGE_FLAGS`); `title` and `description` as `page_features` takes
    them; `first`, `second`, `kind`: trees (`stages.extract.forest.Trees`).
    """
    num, num_nodes = len(blocks), len(nodes)
    flat = desk.table[: num * WIDTH]
    table = flat.reshape((num, WIDTH))
    counts, words, prob = desk.counts[:num], desk.words[:num], desk.prob[:num]
    places, paths = desk.places[:num_nodes], desk.paths[:num_nodes]
    keys, groups, firsts = desk.keys[:num], desk.groups[:num], desk.firsts[:num]
    written = _page_features(
        html, text, nodes, blocks, tokens, title, description, odds, counts, desk.hashes[:num],
        desk.word_hashes[: len(text) + 1], places, paths, desk.sums[:num_nodes],
        desk.lasts[:num_nodes], desk.names[:num_nodes], desk.shares[:num], keys, desk.slots,
        groups, firsts, desk.totals[:num], desk.sets, table,
    )  # fmt: skip
    for b in range(num):
        words[b] = counts[b, WORDS]
    _column_means(table, words, desk.row[: 2 * NUM_FEATURES])
    for k in range(PAGE_FLAGS):
        desk.row[2 * NUM_FEATURES + k] = flags >> k & _ONE
    _votes(desk.row, kind.features, kind.thresholds, kind.leaves, kind.depth, desk.kinds)
    _evaluate(
        flat, np.int64(NUM_FEATURES), first.features, first.thresholds, first.leaves, first.depth,
        keys, desk.columns, desk.lanes, prob,
    )  # fmt: skip
    _logistic(prob)
    _context_features(
        table, prob, words, blocks, places, paths, desk.kinds, desk.mass[:num],
        desk.pairs[: max(num, num_nodes)], keys, desk.slots, groups, firsts,
    )  # fmt: skip
    _evaluate(
        flat, np.int64(WIDTH), second.features, second.thresholds, second.leaves, second.depth,
        keys, desk.columns, desk.lanes, prob,
    )  # fmt: skip
    _logistic(prob)
    return written
