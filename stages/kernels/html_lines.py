"""The lines of a rendered page: white space, marks, indents, what stands between blocks.

What `html_render` writes is put together here; it also says why no write goes beyond the output.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stages.kernels import html_tags as tags
from stages.kernels.html_layout import BOX, ENTRY, LEVEL, LIST, ORDINAL, ROOT_LIST, UP
from stages.kernels.html_text import KIND
from stages.kernels.html_wide import WIDE as STEP
from stages.kernels.html_wide import copy_wide, find_byte
from stages.kernels.jit import inner, leaf

# Places in the state. OPEN_: what the last block stands in, -1 = none. DONE: cells of the open row
# that are closed. WIDE: columns, if that row is a header. FENCE: backticks of the open fence.
(SIZE, OPEN_PRE, OPEN_TABLE, OPEN_ROW, OPEN_CELL, DONE, WIDE, FENCE, LAST_NODE) = range(9)
STATE = 9

PART = 8
"""Bytes of a part of a prefix at most: as many blanks as the widest mark has, `400000. `."""

# Typed, as numba compiles a function anew for each literal that it is called with.
NEWLINE, SPACE, TAB, PIPE, TICK, TILDE, BACKSLASH, HASH, DASH, GREATER, ZERO, DOT = (
    np.int64(ord(character)) for character in "\n \t|`~\\#->0."
)
ONE, THREE, NO_ENTRY = np.int64(1), np.int64(3), np.int64(-1)
YES, NO = np.bool_(True), np.bool_(False)
BULLET = (np.int64(0xE2), np.int64(0x80), np.int64(0xA2))
_OL, _QUOTE = tags.tag_numbers("ol blockquote")


class Writing(NamedTuple):
    """What is read and written while a page is rendered."""

    text: Any
    nodes: Any
    at: Any
    """The layout of the nodes."""
    ranges: Any
    """Start and end of each block that is written; the same for others."""
    seen: Any
    """Of a node: -1 until a block in it is written. Of an entry: the width of its mark, or 0."""
    chain: Any
    """Room for the boxes around a block."""
    out: Any
    state: Any
    markdown: Any


# --- White space ----------------------------------------------------------------------------------


@inner
def _space_at(text: Any, i: Any, end: Any) -> Any:
    """Bytes of the white space character that stands here; 0 for any other."""
    c = text[i]
    if c == SPACE or 0x09 <= c <= 0x0D:
        return np.int64(1)
    if c < 0xE1 or i + 2 >= end:
        return np.int64(0)
    code = np.int64(c) << 16 | np.int64(text[i + 1]) << 8 | np.int64(text[i + 2])
    if 0xE28080 <= code <= 0xE2808A or code == 0xE280AF or code == 0xE2819F:
        return np.int64(3)
    return np.int64(3) if code == 0xE38080 or code == 0xE19A80 else np.int64(0)


@inner
def end_of(text: Any, start: Any, end: Any) -> Any:
    """The end without the white space before it."""
    while end > start:
        if _space_at(text, end - 1, end) == 1:
            end -= 1
        elif end - start >= 3 and _space_at(text, end - 3, end) == 3:
            end -= 3
        else:
            break
    return end


@inner
def _start_of(text: Any, start: Any, end: Any) -> Any:
    """The start without the white space behind it."""
    while start < end:
        width = _space_at(text, start, end)
        if width == 0:
            break
        start += width
    return start


@leaf
def trimmed(text: Any, start: Any, end: Any, code: Any) -> Any:
    """The block without white space around it; code keeps the indent of its first line."""
    end = end_of(text, start, end)
    first = _start_of(text, start, end)
    if code and first < end:
        while first > start and text[first - 1] != NEWLINE:
            first -= 1
    return first, end


@inner
def line_end(w: Any, i: Any, end: Any) -> Any:
    if len(w.text) >= STEP:
        return find_byte(w.text, i, end, NEWLINE)
    while i < end and w.text[i] != NEWLINE:
        i += 1
    return i


@inner
def opens_fence(w: Any, i: Any, end: Any) -> Any:
    byte = w.text[i]
    if i + 2 >= end or (byte != TICK and byte != TILDE):
        return False
    return w.text[i + 1] == byte and w.text[i + 2] == byte


# --- Parts of lines -------------------------------------------------------------------------------


@leaf
def put(w: Any, byte: Any, times: Any) -> Any:
    for _ in range(times):
        w.out[w.state[SIZE]] = byte
        w.state[SIZE] += 1


@leaf
def put_bytes(w: Any, start: Any, end: Any) -> Any:
    size = w.state[SIZE]
    if end + STEP <= len(w.text) and size + (end - start) + STEP <= len(w.out):
        for i in range(start, end, STEP):  # what is behind the end is written over
            copy_wide(w.text, i, w.out, size + (i - start))
        w.state[SIZE] = size + (end - start)
        return
    for i in range(start, end):
        w.out[size] = w.text[i]
        size += 1
    w.state[SIZE] = size


@leaf
def put_flat(w: Any, start: Any, end: Any, in_cell: Any) -> Any:
    """A block's text on one line."""
    size = w.state[SIZE]
    for i in range(start, end):
        byte = w.text[i]
        if byte == PIPE and in_cell and w.markdown:
            w.out[size] = BACKSLASH
            size += 1
        w.out[size] = SPACE if byte in (NEWLINE, TAB) else byte
        size += 1
    w.state[SIZE] = size


@leaf
def end_line(w: Any) -> Any:
    """A line end; blanks of a prefix before it go."""
    while w.state[SIZE] > 0 and w.out[w.state[SIZE] - 1] == SPACE:
        w.state[SIZE] -= 1
    put(w, NEWLINE, ONE)


@leaf
def new_line(w: Any, node: Any) -> Any:
    """The next line of what stands at this node."""
    end_line(w)
    if w.markdown:
        put_prefix(w, node, NO_ENTRY)


@leaf
def put_prefix(w: Any, node: Any, entry: Any) -> Any:
    """What the quotes and entries around a node put before a line; all of them count as seen.

    If `entry` is one of them and new, it gets its mark.
    """
    box = np.int64(w.at[node, BOX])
    levels = np.int64(0) if box < 0 else np.int64(w.at[box, LEVEL])
    for level in range(levels, 0, -1):
        w.chain[level - 1] = box
        box = np.int64(w.at[box, UP])
    for level in range(levels):
        box = w.chain[level]
        if w.nodes[box, KIND] == _QUOTE:
            put(w, GREATER, ONE)
            put(w, SPACE, ONE)
        elif w.seen[box] >= 0:
            put(w, SPACE, np.int64(w.seen[box]))
        elif box == entry:
            put_mark(w, entry)
        else:
            w.seen[box] = 0


@leaf
def put_mark(w: Any, entry: Any) -> Any:
    """The mark of an entry, which counts as seen then, as does its list."""
    before = w.state[SIZE]
    owner = w.at[entry, LIST]
    if owner >= 0 and w.nodes[owner, KIND] == _OL:
        number, power = np.int64(w.at[entry, ORDINAL]), np.int64(1)
        while power * 10 <= number:
            power *= 10
        while power > 0:
            put(w, ZERO + number // power % 10, ONE)
            power //= 10
        put(w, DOT, ONE)
    elif w.markdown:
        put(w, DASH, ONE)
    else:
        for byte in BULLET:
            put(w, byte, ONE)
    put(w, SPACE, ONE)
    w.seen[entry] = w.state[SIZE] - before
    if owner >= 0:
        w.seen[owner] = 1


# --- Between blocks -------------------------------------------------------------------------------


@leaf
def begin(w: Any, node: Any, code: Any) -> Any:
    """All that stands between the text before and that of a new block or group at this node."""
    close(w)
    entry = np.int64(w.at[node, ENTRY])
    if entry >= 0 and w.seen[entry] >= 0:
        entry = NO_ENTRY
    if w.state[SIZE] > 0:
        last = w.state[LAST_NODE]
        end_line(w)
        if w.markdown and not _goes_on(w, entry, last):
            common = _common_box(w, last, node)
            if common >= 0:
                put_prefix(w, common, NO_ENTRY)
            end_line(w)
    if w.markdown:
        put_prefix(w, node, entry)
    if entry >= 0 and w.seen[entry] < 0:
        if code and not w.markdown:
            w.seen[entry] = 0
        else:
            put_mark(w, entry)
    w.state[LAST_NODE] = node


@leaf
def _goes_on(w: Any, entry: Any, last: Any) -> Any:
    """True if a new entry needs no blank line: it stands in the list of the block before.

    Nor does one of a list in it, unless its number is not 1: that would be read as text.
    """
    if entry < 0 or w.at[entry, ROOT_LIST] < 0 or w.at[entry, ROOT_LIST] != w.at[last, ROOT_LIST]:
        return False
    owner = w.at[entry, LIST]
    if owner < 0:
        return False
    return w.seen[owner] >= 0 or w.nodes[owner, KIND] != _OL or w.at[entry, ORDINAL] == 1


@leaf
def _common_box(w: Any, one: Any, other: Any) -> Any:
    """The innermost quote or entry that both nodes stand in; -1 if there is none."""
    a, b = np.int64(w.at[one, BOX]), np.int64(w.at[other, BOX])
    while a != b:
        if a >= 0 and (b < 0 or w.at[a, LEVEL] >= w.at[b, LEVEL]):
            a = np.int64(w.at[a, UP])
        else:
            b = np.int64(w.at[b, UP])
    return a


@leaf
def close(w: Any) -> Any:
    """End the code or table that is open."""
    st = w.state
    close_row(w)
    if st[OPEN_PRE] >= 0 and w.markdown:
        new_line(w, st[OPEN_PRE])
        put(w, TICK, st[FENCE])
    st[OPEN_PRE] = st[OPEN_TABLE] = -1


@leaf
def close_row(w: Any) -> Any:
    """End the open row of a table: a header to the table's width, with the line under it."""
    st = w.state
    if st[OPEN_ROW] >= 0 and w.markdown:
        put(w, SPACE, ONE)
        put(w, PIPE, ONE)
        for _ in range(st[DONE] + 1, st[WIDE]):
            put(w, SPACE, ONE)
            put(w, PIPE, ONE)
        if st[WIDE] > 0:
            new_line(w, st[OPEN_TABLE])
            put(w, PIPE, ONE)
        for _ in range(st[WIDE]):
            put(w, SPACE, ONE)
            put(w, DASH, THREE)
            put(w, SPACE, ONE)
            put(w, PIPE, ONE)
    st[OPEN_ROW] = st[OPEN_CELL] = -1
    st[WIDE] = 0
