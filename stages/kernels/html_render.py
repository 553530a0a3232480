"""The kept blocks of a page written out as text or Markdown.

Both: blocks stand on lines of their own, in page order. Blank blocks are left out; white space at
the end of a line is, and that at its start unless it is code. Data tables (`html_layout`) have a
line for each row with kept text.

Text: nothing between blocks but the line end. The first block of an entry begins with a bullet or
its number, at any depth without indent: filters and dedup of lines compare them as they stand.
Cells are separated by tabs; headings and code are as they are, and code gets no mark of a list.

Markdown (GitHub's): a blank line between blocks, but not before an entry of a list that goes on.
Entries and quotes indent what they hold, at most `MAX_LEVELS` deep. The first block of a heading
has its level. Code is fenced by more backticks than stand in a row anywhere in it. Nothing is
escaped but what would break the structure for sure: `|` in a cell, and three backticks or tildes
that would open a fence at the start of a line.

Bounds: `room_for_text` gives the size of the output before a byte is written; its docstring has the
proof. Linear: a line's prefix has at most `MAX_LEVELS` parts; cells and rows are written once. A
page whose indents might take more than `FREE_INDENTS` and its own size is written without them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels.html_layout import (
    BOX,
    CELL,
    COUNT,
    HEADING,
    LEVEL,
    ORDINAL,
    PRE,
    ROW,
    data_table,
)
from stages.kernels.html_lines import (
    BACKSLASH,
    DONE,
    FENCE,
    HASH,
    NEWLINE,
    NO,
    ONE,
    OPEN_CELL,
    OPEN_PRE,
    OPEN_ROW,
    OPEN_TABLE,
    PART,
    PIPE,
    SIZE,
    SPACE,
    TAB,
    TICK,
    WIDE,
    YES,
    Writing,
    begin,
    close,
    close_row,
    end_of,
    line_end,
    new_line,
    opens_fence,
    put,
    put_bytes,
    put_flat,
    trimmed,
)
from stages.kernels.html_text import KIND, NODE
from stages.kernels.jit import jit_bare, leaf

FREE_INDENTS = 4 << 20
"""Bytes of indents that any page may have: all blocks of 1,647 real pages take 0.17 MB at most."""

_H1 = tags.TAG["h1"]


@jit_bare
def write_blocks(
    text: Any, nodes: Any, blocks: Any, kept: Any, markdown: Any, at: Any, ranges: Any, seen: Any,
    chain: Any, state: Any, out: Any,
) -> Any:  # fmt: skip
    """Write the kept blocks as valid UTF-8; gives the bytes written, no line end at the end.

    Less than 0: `out` must have so many bytes and has not. `at` is the page's layout, which loses
    its boxes on a page of too many indents. Room: `ranges` two a block, `seen` a value a node,
    `chain` `MAX_LEVELS`, `state` `STATE`.
    """
    room, indents = room_for_text(text, blocks, kept, at[: len(nodes)], ranges)
    if indents > FREE_INDENTS + len(text):
        for n in range(len(nodes)):
            at[n, BOX] = -1
        indents = np.int64(0)
    if room + indents > len(out):
        return -(room + indents)
    seen[: len(nodes)] = -1
    state[:] = -1
    _put_blocks(Writing(text, nodes, at, ranges, seen, chain, out, state, markdown), blocks)
    return state[SIZE]


@leaf
def room_for_text(text: Any, blocks: Any, kept: Any, at: Any, ranges: Any) -> Any:
    """(room, indents): bytes that the output cannot exceed, in two parts.

    Fills the range of each kept block, (0, 0) of others.

    Of T bytes of a block in L lines, at level V (`MAX_LEVELS` at most; its indent P is `PART` V):

    - content: T, or 2 T in a cell, where each `|` may be escaped; white space is only left out.
    - its lines: L (P + 2): the indent, the line end, the backslash before a fence.
    - around it 4 lines at most, P + 2 each: the blank line before, the two of the fence, the line
      under the header of a table. A fence is one longer than the longest run of the blocks of its
      code, or three: both fences together take at most 2 (T + 1) of that block, or 6.
    - its mark, 8, and its heading, 7.
    - of a row the first `|`, a tab, blank and `|` a cell, and for the header ` |` for columns that
      it lacks and ` --- |` a column: the columns of a table are cells of one of its rows. So 11 a
      cell cover it, all cells of the page counted, and 2 a block.
    """
    room, indents = np.int64(64), np.int64(0)
    for b in range(len(blocks)):
        ranges[b, 0] = ranges[b, 1] = 0
        if not kept[b]:
            continue
        node = blocks[b, NODE]
        start, end = np.int64(blocks[b, h.START]), np.int64(blocks[b, h.END])
        start, end = trimmed(text, start, end, at[node, PRE] >= 0)
        if start == end:
            continue
        ranges[b, 0], ranges[b, 1] = start, end
        lines = np.int64(1)
        for i in range(start, end):
            lines += text[i] == NEWLINE
        room += 3 * (end - start) + (lines + 5) * 2 + 40
        indents += (lines + 5) * PART * np.int64(at[node, LEVEL])
    for n in range(len(at)):
        if at[n, CELL] == n:
            room += 11
    return room, indents


@leaf
def _put_blocks(w: Any, blocks: Any) -> Any:
    w.state[SIZE] = 0
    for b in range(len(blocks)):
        start, end = np.int64(w.ranges[b, 0]), np.int64(w.ranges[b, 1])
        if start == end:
            continue
        node = np.int64(blocks[b, NODE])
        pre, table = np.int64(w.at[node, PRE]), data_table(w.at, node)
        if pre >= 0:
            _put_code(w, b, pre, blocks)
        elif table >= 0 and w.at[node, CELL] >= 0:
            _put_cell(w, start, end, node, table)
        else:
            _put_block(w, start, end, node)
    close(w)


# --- Blocks, cells, code --------------------------------------------------------------------------


@leaf
def _put_block(w: Any, start: Any, end: Any, node: Any) -> Any:
    """A block that is neither code nor in a data table."""
    begin(w, node, NO)
    heading = np.int64(w.at[node, HEADING])
    if w.markdown and heading >= 0 and w.seen[heading] < 0:
        w.seen[heading] = 0
        put(w, HASH, np.int64(w.nodes[heading, KIND] - _H1 + 1))
        put(w, SPACE, ONE)
        put_flat(w, start, end, NO)
        return
    line = start
    while line < end:
        stop = line_end(w, line, end)
        first, last = trimmed(w.text, line, stop, NO)
        if first < last:
            if line > start:
                new_line(w, node)
            if w.markdown and opens_fence(w, first, last):
                put(w, BACKSLASH, ONE)
            put_bytes(w, first, last)
        line = stop + 1


@leaf
def _put_cell(w: Any, start: Any, end: Any, node: Any, table: Any) -> Any:
    """A block of a data table's cell, behind those of the same row."""
    st = w.state
    row, cell = np.int64(w.at[node, ROW]), np.int64(w.at[node, CELL])
    is_first = st[OPEN_TABLE] != table
    if is_first:
        begin(w, table, NO)
    elif st[OPEN_ROW] != row:
        close_row(w)
        new_line(w, table)
    if st[OPEN_ROW] != row:
        st[OPEN_TABLE], st[OPEN_ROW], st[DONE] = table, row, 0
        st[WIDE] = w.at[table, COUNT] if is_first else 0
        if w.markdown:
            put(w, PIPE, ONE)
    if st[OPEN_CELL] == cell:
        put(w, SPACE, ONE)
    else:
        for _ in range(st[DONE], w.at[cell, ORDINAL]):
            if w.markdown:
                put(w, SPACE, ONE)
            put(w, PIPE if w.markdown else TAB, ONE)
        if w.markdown:
            put(w, SPACE, ONE)
        st[DONE], st[OPEN_CELL] = w.at[cell, ORDINAL], cell
    put_flat(w, start, end, YES)


@leaf
def _put_code(w: Any, b: Any, pre: Any, blocks: Any) -> Any:
    """A block of code, on lines behind those of the same code."""
    st = w.state
    if st[OPEN_PRE] == pre:
        new_line(w, pre)
    else:
        begin(w, pre, YES)
        st[OPEN_PRE] = pre
        if w.markdown:
            st[FENCE] = _fence_of(w, b, pre, blocks)
            put(w, TICK, st[FENCE])
            new_line(w, pre)
    line, end = np.int64(w.ranges[b, 0]), np.int64(w.ranges[b, 1])
    while line < end:
        stop = line_end(w, line, end)
        put_bytes(w, line, end_of(w.text, line, stop))
        if stop < end:
            new_line(w, pre)
        line = stop + 1


@leaf
def _fence_of(w: Any, b: Any, pre: Any, blocks: Any) -> Any:
    """Backticks of a fence: three, or one more than stand in a row in the code from here on."""
    longest, run = np.int64(2), np.int64(0)
    while b < len(blocks) and w.at[blocks[b, NODE], PRE] == pre:
        run = np.int64(0)
        for i in range(w.ranges[b, 0], w.ranges[b, 1]):
            run = run + 1 if w.text[i] == TICK else np.int64(0)
            longest = run if run > longest else longest
        b += 1
    return longest + 1
