"""The stack of open elements: what start tags imply, what end tags close.

The rules are those of the HTML Standard, 13.2.6.4, as far as they move text between blocks.
Elements that end while others stand open inside (links, bold, forms: the Standard's adoption agency
and form pointer) are marked as dead and leave the stack with what stands above them.

A search either takes off all that it passes, or its steps count against `STEPS_LEFT`; beyond that
budget it goes `SHORT_WALK` steps. So the whole page costs steps in proportion to its size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels.html_text import (
    DEPTH,
    IN_BOLD,
    IN_LINK,
    IN_PRE,
    S_DEAD,
    S_NAME,
    S_NODE,
    S_TAG,
    STEPS_LEFT,
    end_block,
)
from stages.kernels.jit import inner

# What an open element is to a search that meets it.
_SCOPE, _BLOCK, _LIST, _TABLE, _SPECIAL, _PARTS, _ROWS, _CELLS = (
    np.int64(1 << bit) for bit in range(8)
)
_OPENED, _CLOSED = np.int64(1), np.int64(-1)


def _marks() -> npt.NDArray[np.int64]:
    """The marks of each kind of element.

    _SCOPE, _BLOCK: end tags of blocks, of other elements, do not reach beyond. _LIST: nor that of a
    list's entry. _TABLE: nor those of the parts of a table. _SPECIAL: entries do not end others
    beyond. _PARTS, _ROWS, _CELLS: what may hold parts of a table, rows, cells.
    """
    marks = []
    for name, flags in zip(tags.TAG_NAMES, tags.FLAGS, strict=True):
        mark = _SCOPE | _LIST if flags & tags.SCOPE else 0
        if flags & (tags.BLOCK | tags.SCOPE):
            mark |= _BLOCK | (_SPECIAL if name not in ("p", "div", "address") else 0)
        mark |= _LIST if name in ("ol", "ul") else 0
        mark |= _TABLE if name in ("table", "template", "html") else 0
        mark |= _PARTS | _ROWS | _CELLS if name == "table" else 0
        mark |= _ROWS | _CELLS if name in ("tbody", "thead", "tfoot") else 0
        mark |= _CELLS if name == "tr" else 0
        marks.append(mark)
    return np.array(marks, dtype=np.int64)


_MARKS = _marks()
FLAGS = np.array(tags.FLAGS, dtype=np.int64)


@inner
def tags_block(tag: Any) -> Any:
    return FLAGS[tag] & tags.BLOCK != 0


# --- On and off the stack -------------------------------------------------------------------------


@inner
def push(room: Any, tag: Any, name: Any, node: Any) -> Any:
    """Open an element; the caller has seen that there is room."""
    st = room.state
    entry = room.stack[st[DEPTH]]
    entry[S_TAG], entry[S_NODE], entry[S_NAME], entry[S_DEAD] = tag, node, name, 0
    st[h.BLOCK_LINKS] += tag == h._A
    _count(room, tag, _OPENED)
    st[DEPTH] += 1


@inner
def _count(room: Any, tag: Any, change: Any) -> Any:
    """Keep the books of open elements."""
    st = room.state
    room.opened[tag] += change
    if tag == h._A:
        st[IN_LINK] += change
    elif tag == h._B or tag == h._STRONG or h._H1 <= tag <= h._H6:
        st[IN_BOLD] += change
    elif tag == h._PRE or tag == h._LISTING or tag == h._XMP or tag == h._PLAINTEXT:
        st[IN_PRE] += change


@inner
def _pop(room: Any) -> Any:
    """Take off the innermost open element; ends the block of text if it is a block."""
    at = room.state[DEPTH] - 1
    tag = np.int64(room.stack[at, S_TAG])
    if tags_block(tag):
        end_block(room)
    if not room.stack[at, S_DEAD]:
        _count(room, tag, _CLOSED)
    room.state[DEPTH] = at


@inner
def _pop_to(room: Any, at: Any) -> Any:
    """Take off all down to the element at `at`, itself and the dead below too; nothing for -1."""
    if at < 0:
        return
    while room.state[DEPTH] > at:
        _pop(room)
    while room.state[DEPTH] > 1 and room.stack[room.state[DEPTH] - 1, S_DEAD]:
        _pop(room)


# --- Searches -------------------------------------------------------------------------------------


@inner
def _lowest(st: Any) -> Any:
    """The place where a search ends."""
    return np.int64(0) if st[STEPS_LEFT] > 0 else max(st[DEPTH] - 1 - h.SHORT_WALK, np.int64(0))


@inner
def _find(room: Any, first: Any, last: Any, stop: Any) -> Any:
    """Place of the innermost open element of kinds first..last; -1 if a mark stops the search."""
    st = room.state
    at, lowest = st[DEPTH] - 1, _lowest(st)
    while at > lowest:
        tag = np.int64(room.stack[at, S_TAG])
        if first <= tag <= last and not room.stack[at, S_DEAD]:
            return at
        if _MARKS[tag] & stop:
            break
        at -= 1
    st[STEPS_LEFT] -= st[DEPTH] - at
    return np.int64(-1)


@inner
def _find_marked(room: Any, wanted: Any) -> Any:
    """Place of the innermost open element with a mark; -1 if a table's end stops the search."""
    st = room.state
    at, lowest = st[DEPTH] - 1, _lowest(st)
    while at > lowest:
        marks = _MARKS[room.stack[at, S_TAG]]
        if marks & wanted:
            return at
        if marks & _TABLE:
            break
        at -= 1
    st[STEPS_LEFT] -= st[DEPTH] - at
    return np.int64(-1)


@inner
def _find_named(room: Any, name: Any) -> Any:
    """Place of the innermost open element of a name that `html_tags` does not list; -1 if none."""
    st = room.state
    at, lowest = st[DEPTH] - 1, _lowest(st)
    while at > lowest:
        tag = np.int64(room.stack[at, S_TAG])
        if tag == 0 and room.stack[at, S_NAME] == name:
            return at
        if _MARKS[tag] & _BLOCK:
            break
        at -= 1
    st[STEPS_LEFT] -= st[DEPTH] - at
    return np.int64(-1)


# --- What tags close ------------------------------------------------------------------------------


@inner
def close_paragraph(room: Any) -> Any:
    """A block starts: an open paragraph ends, unless another block stands open inside it."""
    if room.opened[h._P]:
        _pop_to(room, _find(room, h._P, h._P, _BLOCK))


@inner
def close_implied(room: Any, tag: Any) -> Any:
    """End tags that the start of this element implies."""
    # One call of a search and one that takes off: what kernels call is compiled for each call.
    opened = room.opened
    at, first, last, stop = np.int64(-1), tag, tag, _SPECIAL
    if tag == h._DT or tag == h._DD:
        first, last = h._DT, h._DD
    elif tag == h._BUTTON:
        stop = _SCOPE
    if tag == h._LI or tag == h._OPTION or tag == h._BUTTON or first != last:
        if opened[first] or opened[last]:
            at = _find(room, first, last, stop)
    elif h._H1 <= tag <= h._H6:
        if h._H1 <= room.stack[room.state[DEPTH] - 1, S_TAG] <= h._H6:
            at = room.state[DEPTH] - 1
    elif tag == h._A:
        if opened[h._A]:
            at = _find_around(room, tag)
    elif is_table_part(tag) and opened[h._TABLE]:
        wanted = _PARTS
        if tag == h._TD or tag == h._TH:
            wanted = _CELLS
        elif tag == h._TR:
            wanted = _ROWS
        at = _find_marked(room, wanted)
        if at >= 0:
            at += 1
    _pop_to(room, at)


@inner
def is_table_part(tag: Any) -> Any:
    return h._CAPTION <= tag <= h._COLGROUP


@inner
def _find_around(room: Any, tag: Any) -> Any:
    """Place of the link, bold or form that ends; -1 if a block stands open inside it.

    There it is marked as dead. Paragraphs and entries of lists end with a form.
    """
    st = room.state
    at, lowest, inside_block = st[DEPTH] - 1, _lowest(st), False
    while at > lowest:
        found = np.int64(room.stack[at, S_TAG])
        if found == tag and not room.stack[at, S_DEAD]:
            if not inside_block:
                return at
            _count(room, tag, _CLOSED)
            room.stack[at, S_DEAD] = 1
            break
        if _MARKS[found] & _SCOPE:
            break
        if tags_block(found) and (tag != h._FORM or not FLAGS[found] & tags.OPTIONAL_END):
            inside_block = True
        at -= 1
    st[STEPS_LEFT] -= st[DEPTH] - at
    return np.int64(-1)


@inner
def close_element(room: Any, tag: Any, name: Any) -> Any:
    """An end tag: the element that it closes, if it is in reach, and all that is open inside it."""
    at, first, last = np.int64(-1), tag, tag
    heading = h._H1 <= tag <= h._H6
    if heading:  # `<h2>Title</h3>` ends the heading
        first, last = h._H1, h._H6
    if not (room.state[IN_BOLD] if heading else room.opened[tag]):
        pass
    elif tag == 0:
        at = _find_named(room, name)
    elif tag == h._A or tag == h._B or tag == h._STRONG or tag == h._FORM:
        at = _find_around(room, tag)
    else:
        at = _find(room, first, last, _stop_of(tag))
    _pop_to(room, at)
    if tags_block(tag):
        end_block(room)


@inner
def _stop_of(tag: Any) -> Any:
    """The mark that an end tag does not reach beyond."""
    if h._TABLE <= tag <= h._COLGROUP:
        return _TABLE
    if tag == h._P:
        return _BLOCK
    if tag == h._LI:
        return _LIST
    return _SCOPE if FLAGS[tag] & (tags.BLOCK | tags.SCOPE) else _BLOCK
