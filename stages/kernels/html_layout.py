"""What a block is on its page: code, a data table's cell, an entry of a list, a quote, a heading.

One row a node (`LAYOUT_COLUMNS`), made by one pass over the nodes and one over the blocks. Parents
stand before their children, so a node has what its parent has and changes what it must.

A table is a data table if all of this holds (all text counts, kept or not):

- no table and no `pre` stands in it, and it stands in no `pre`;
- every cell stands in one row, and only text above the first row (a caption) is outside the cells;
- at least `MIN_ROWS` rows have text in `MIN_CELLS` cells or more;
- no cell holds more than `MAX_CELL_WORDS` words;
- at most one in `MANY_BLOCKS` cells with text holds more than one block.

Any other is a layout table: what stands in its cells is read as if there were no table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels.html_text import KIND, NODE, PARENT
from stages.kernels.html_words import words_in
from stages.kernels.jit import inner, jit_bare, leaf

MIN_ROWS, MIN_CELLS = 2, 2
MAX_CELL_WORDS = 40
MANY_BLOCKS = 4
SURE = 0.5
"""A group without a word is kept if its blocks are main text with this probability or more."""
CELL_ROOM = MAX_CELL_WORDS + 1

MAX_LEVELS = 8
"""Lists and quotes deeper than this stand at this level, so a line's indent is bounded."""

# Columns of a node's layout. -1 = none, for those that name a node; these hold for all inside.
(PRE, TABLE, ROW, CELL, HEADING, ENTRY, LIST, ROOT_LIST, NEAREST, BOX, LEVEL) = range(11)
"""PRE: outermost code element. TABLE: nearest table. HEADING, ENTRY (`li`), LIST: nearest.
ROOT_LIST: outermost list. NEAREST: nearest list, entry or quote. BOX: nearest entry or quote that
indents, LEVEL: how many do."""
INHERITED = 11
# Of the node itself. UP: the box around a box. ORDINAL: place of a cell or entry among its like.
# COUNT: cells of a row, entries of a list; of a table, cells of its widest row. LAST: a list's last
# entry so far. BLOCKS: of a cell; of a row or table, cells with text. MANY: of a table, cells with
# several blocks. FULL: of a table, rows with enough cells; of a cell, words. BAD: of a table, 1 if
# it is no data table.
(UP, ORDINAL, COUNT, LAST, BLOCKS, MANY, FULL, BAD) = range(11, 19)
LAYOUT_COLUMNS = 19

_CODE, _TABLE, _ROW, _CELL, _LIST, _ENTRY, _QUOTE, _HEADING = range(1, 9)


def _roles() -> npt.NDArray[np.int64]:
    """What each kind of element does to the layout; 0 = nothing."""
    names = {
        _CODE: "pre listing xmp plaintext", _TABLE: "table", _ROW: "tr", _CELL: "td th",
        _LIST: "ul ol menu dir", _ENTRY: "li", _QUOTE: "blockquote", _HEADING: "h1 h2 h3 h4 h5 h6",
    }  # fmt: skip
    roles = np.zeros(len(tags.TAG_NAMES), dtype=np.int64)
    for role, kinds in names.items():
        roles[list(tags.tag_numbers(kinds))] = role
    return roles


_ROLES = _roles()


@jit_bare
def layout(text: Any, nodes: Any, blocks: Any, words: Any, at: Any, groups: Any) -> Any:
    """Fill `at`, the layout of every node. Linear: no step goes up the tree.

    Fill `groups` too: of each block the node of the code or data table that it is part of, else -1.
    `words` is room for the words of a cell.
    """
    for n in range(len(nodes)):
        parent = nodes[n, PARENT]
        for k in range(INHERITED):
            at[n, k] = at[parent, k] if parent >= 0 else -1
        if parent < 0:
            at[n, LEVEL] = 0
        for k in range(INHERITED, LAYOUT_COLUMNS):
            at[n, k] = 0
        at[n, UP] = at[n, LAST] = -1
        role = _ROLES[nodes[n, KIND]]
        if role in (_LIST, _ENTRY, _QUOTE):
            _place_in_list(at, nodes, n, role)
        elif role == _HEADING:
            at[n, HEADING] = n
        elif role != 0:
            _place_in_table(at, n, role)
    _judge_tables(text, blocks, words, at)
    for b in range(len(blocks)):
        node = blocks[b, NODE]
        groups[b] = at[node, PRE] if at[node, PRE] >= 0 else data_table(at, node)


@leaf
def _place_in_table(at: Any, n: Any, role: Any) -> Any:
    """A table, a part of one, or code, which no data table holds."""
    table = at[n, TABLE]
    if role in (_CODE, _TABLE):
        if table >= 0:
            at[table, BAD] = 1
        if role == _CODE and at[n, PRE] < 0:
            at[n, PRE] = n
        elif role == _TABLE:
            at[n, BAD] = at[n, PRE] >= 0
            at[n, TABLE] = n
            at[n, ROW] = at[n, CELL] = at[n, LIST] = at[n, NEAREST] = -1
    elif table < 0:
        return
    elif role == _ROW:
        if at[n, ROW] >= 0:
            at[table, BAD] = 1
        at[n, ROW] = n
        at[n, CELL] = -1
    elif at[n, ROW] < 0 or at[n, CELL] >= 0:
        at[table, BAD] = 1
    else:
        row = at[n, ROW]
        at[n, CELL] = n
        at[n, ORDINAL] = at[row, COUNT]
        at[row, COUNT] += 1
        if at[row, COUNT] > at[table, COUNT]:
            at[table, COUNT] = at[row, COUNT]


@leaf
def _place_in_list(at: Any, nodes: Any, n: Any, role: Any) -> Any:
    """A list, an entry of one, or a quote. A list right in a list goes with the entry before."""
    near = at[n, NEAREST]
    at[n, NEAREST] = n
    if role == _LIST:
        if near >= 0 and _ROLES[nodes[near, KIND]] == _LIST and at[near, LAST] >= 0:
            at[n, BOX] = at[at[near, LAST], BOX]
            at[n, LEVEL] = at[at[near, LAST], LEVEL]
        at[n, LIST] = n
        if at[n, ROOT_LIST] < 0:
            at[n, ROOT_LIST] = n
        return
    if role == _ENTRY:
        at[n, ENTRY] = n
        owner = at[n, LIST]
        if owner >= 0:
            at[owner, COUNT] += 1
            at[owner, LAST] = n
            at[n, ORDINAL] = at[owner, COUNT]
    if at[n, LEVEL] < MAX_LEVELS:
        at[n, UP] = at[n, BOX]
        at[n, BOX] = n
        at[n, LEVEL] += 1


@leaf
def _judge_tables(text: Any, blocks: Any, words: Any, at: Any) -> Any:
    """Mark as `BAD` the tables that are no data tables."""
    for b in range(len(blocks)):
        node = blocks[b, NODE]
        table, cell = at[node, TABLE], at[node, CELL]
        if table < 0 or at[table, BAD]:
            continue
        if cell < 0:
            at[table, BAD] = at[table, BLOCKS] > 0
            continue
        row = at[node, ROW]
        at[cell, BLOCKS] += 1
        if at[cell, BLOCKS] == 1:
            at[table, BLOCKS] += 1
            at[row, BLOCKS] += 1
            at[table, FULL] += at[row, BLOCKS] == MIN_CELLS
        elif at[cell, BLOCKS] == 2:
            at[table, MANY] += 1
        start, end = np.int64(blocks[b, h.START]), np.int64(blocks[b, h.END])
        at[cell, FULL] += words_in(text, start, end, words, np.int64(0))
        if at[cell, FULL] > MAX_CELL_WORDS:
            at[table, BAD] = 1
    for n in range(len(at)):
        if at[n, TABLE] == n:
            few = at[n, FULL] < MIN_ROWS or at[n, MANY] * MANY_BLOCKS > at[n, BLOCKS]
            at[n, BAD] = at[n, BAD] or few


@jit_bare
def keep_whole(groups: Any, prob: Any, words: Any, sums: Any, kept: Any) -> Any:
    """Keep or drop each group as one: see `stages.extract.render.whole_groups`.

    `sums` is room for four numbers a node: words, those of kept blocks, probabilities, blocks.
    """
    for group in groups:
        if group >= 0:
            sums[group] = 0
    for b in range(len(groups)):
        if groups[b] >= 0:
            found = sums[groups[b]]
            found[0] += words[b]
            found[1] += words[b] * kept[b]
            found[2] += prob[b]
            found[3] += 1
    for b in range(len(groups)):
        if groups[b] >= 0:
            found = sums[groups[b]]
            with_words = found[0] > 0
            kept[b] = 2 * found[1] >= found[0] if with_words else found[2] >= SURE * found[3]


@inner
def data_table(at: Any, node: Any) -> Any:
    """The data table that a node stands in; -1 if it stands in none."""
    table = at[node, TABLE]
    return np.int64(-1) if table < 0 or at[table, BAD] else np.int64(table)
