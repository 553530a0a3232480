"""One pass over the bytes of a page: visible text in blocks, a tree of elements, facts.

The scanner follows the HTML Standard's tree construction as far as it moves text between blocks
(optional end tags, raw text, scopes) and leaves out what does not (most of the adoption agency,
foster parents). It is linear on every input: no search for a missing end is made twice, and walks
up the stack have a budget (`html_stack`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels.html_attributes import is_hidden, read_attributes, tag_facts
from stages.kernels.html_raw import raw_end, read_name, skip_markup, skip_raw, tag_end
from stages.kernels.html_read import read_text
from stages.kernels.html_stack import (
    FLAGS,
    close_element,
    close_implied,
    close_paragraph,
    is_table_part,
    push,
    tags_block,
)
from stages.kernels.html_text import (
    ANCESTORS,
    DEPTH,
    KIND,
    NODES,
    OVERFLOW,
    PARENT,
    S_NODE,
    SIGNATURE,
    TOKENS,
    TOKENS_FROM,
    TOKENS_TO,
    end_block,
    find_value,
    is_letter,
    is_space,
    line_break,
    write_block,
)
from stages.kernels.html_tokens import KEY, put_tokens
from stages.kernels.html_wide import WIDE, find_byte
from stages.kernels.jit import inner, jit_bare

__all__ = ["scan", "tags_block"]

_BLOCK, _VOID, _RAW, _CLOSES_P, _OPTIONAL_END = (
    tags.BLOCK, tags.VOID, tags.RAW, tags.CLOSES_P, tags.OPTIONAL_END,
)  # fmt: skip
_BANG, _QUESTION, _BRACKET = 0x21, 0x3F, np.int64(0x5D)
_HANDED_DOWN = np.array(tags.HANDED_DOWN, dtype=np.int64)
_XML = np.frombuffer(b"<?xml", dtype=np.uint8).copy()
_CDATA = np.frombuffer(b"![CDATA[", dtype=np.uint8).copy()


def scan(data: Any, tables: Any, room: Any) -> None:
    """Read a page of valid UTF-8. Counts and marks stand in `room.state` afterwards.

    Node 0 is the page itself. The parent of a node comes before it, so sums over subtrees are one
    pass backwards.
    """
    size = len(data)
    if size < WIDE:  # the kernel reads 32 bytes at a time
        data = np.frombuffer(data.tobytes() + b"\0" * WIDE, dtype=np.uint8)
    _scan(data, size, tables, room)


@jit_bare
def _scan(data: Any, n: Any, tables: Any, room: Any) -> Any:
    st = room.state
    i = np.int64(0)
    _clear(data, n, room)
    while i < n:
        plain = st[h.PLAIN_TO] > 0
        if data[i] == h._LT and i + 1 < n and not plain:
            c = np.int64(data[i + 1])
            if is_letter(c):
                i = _start_tag(data, i + 1, n, tables, room)
                continue
            if c == h._SLASH and i + 2 < n and is_letter(np.int64(data[i + 2])):
                i = _end_tag(data, i + 2, n, tables, room)
                continue
            if c in (_BANG, _QUESTION) or c == h._SLASH:
                if (st[h.XML] or room.opened[h._MATH]) and _stands(data, i + 1, n, _CDATA):
                    i = _cdata(data, i + 1, n, st)
                else:
                    i = skip_markup(data, i + 1, n, st)
                continue
        i = read_text(data, i, st[h.PLAIN_TO] if plain else n, plain, tables, room)
        if plain:
            i = st[h.AFTER_PLAIN]
            st[h.PLAIN_TO] = 0
    write_block(room)


@inner
def _clear(data: Any, n: Any, room: Any) -> Any:
    """Set the room to the start of a page."""
    st = room.state
    st[:] = 0
    room.opened[:] = 0
    room.missing[:] = False
    room.names[:, KEY] = 0
    st[h.BLOCK_START] = -1
    st[h.STEPS_LEFT] = h.FREE_STEPS + h.STEPS_PER_BYTE * n
    room.nodes[0] = 0
    room.nodes[0, PARENT] = -1
    st[NODES] = 1
    room.stack[0] = 0
    st[DEPTH] = 1
    i = np.int64(0)
    while i < n and (is_space(np.int64(data[i])) or data[i] >= 0x80):  # a byte order mark
        i += 1
    st[h.XML] = _stands(data, i, n, _XML)


@inner
def _stands(data: Any, i: Any, n: Any, word: Any) -> Any:
    """True if these bytes stand here."""
    if i + len(word) > n:
        return False
    k = 0
    while k < len(word) and data[i + k] == word[k]:
        k += 1
    return k == len(word)


@inner
def _cdata(data: Any, i: Any, n: Any, st: Any) -> Any:
    """A CDATA section, read behind its `<`; gives the place of its content, or behind it.

    In XML and MathML its content is text. Without an end, as in HTML, it is a comment up to `>`.
    """
    start = i + len(_CDATA)
    j = start
    while j + 2 < n and not st[h.NO_CDATA_END]:
        j = find_byte(data, j, n, _BRACKET)
        if j + 2 < n and data[j + 1] == _BRACKET and data[j + 2] == h._GT:
            st[h.PLAIN_TO], st[h.AFTER_PLAIN] = j, j + 3
            return start
        j += 1
    st[h.NO_CDATA_END] = 1
    return skip_markup(data, i, n, st)


# --- Tags -----------------------------------------------------------------------------------------


@inner
def _start_tag(data: Any, i: Any, n: Any, tables: Any, room: Any) -> Any:
    """A start tag at its name; gives the place behind it, or behind the raw text that it opens."""
    st = room.state
    name, i = read_name(data, i, n)
    tag = max(find_value(tables.tags, name), 0)
    flags = FLAGS[tag]
    st[h.HAS_ATTRIBUTES] = i < n and data[i] != h._GT
    st[h.SELF_CLOSING] = 0
    if st[h.HAS_ATTRIBUTES]:
        i = read_attributes(data, i, n, tables, room)
        tag_facts(data, tag, i, n, tables, room)
    else:
        i = min(i + 1, n)
    if flags & _RAW:
        return skip_raw(data, i, n, tag, name, tables, room)
    if tag == h._BR:
        line_break(room)
        return i
    if _is_ignored(tag, room):
        if flags & _BLOCK:
            end_block(room)
        return i
    if flags & _CLOSES_P:
        close_paragraph(room)
    close_implied(room, tag)
    if flags & _BLOCK:
        end_block(room)
    if flags & _VOID or (tag == h._A and _is_anchor(room)):
        return i
    if st[DEPTH] >= len(room.stack):
        st[h.CUT] = 1
        st[OVERFLOW] += not flags & _OPTIONAL_END
        return i
    node = _new_node(data, tag, _HANDED_DOWN[tag], room)
    push(room, tag, np.int64(name & np.uint64(0x7FFFFFFF)), node)
    if st[h.IN_PRE]:
        _start_pre(data, i, n, tag, name, room)
    return i


@inner
def _is_ignored(tag: Any, room: Any) -> Any:
    """True for a second body, a form in a form, and parts of no table: they do nothing."""
    if is_table_part(tag):
        return room.opened[h._TABLE] == 0
    if tag == h._BODY or tag == h._HTML or tag == h._FORM:
        return room.opened[tag] > 0
    return tag == h._HEAD


@inner
def _is_anchor(room: Any) -> Any:
    """True for `<a name="top">`: often never closed, it would make the page one link."""
    if not room.state[h.HAS_ATTRIBUTES]:
        return False
    return room.ranges[2 * h.A_NAME] >= 0 and room.ranges[2 * h.A_HREF] < 0


@inner
def _new_node(data: Any, tag: Any, flags: Any, room: Any) -> Any:
    """Write the element into the node table; gives its number, or its parent's where it is full."""
    st = room.state
    parent = room.stack[st[DEPTH] - 1, S_NODE]
    at = st[NODES]
    if at >= len(room.nodes):
        st[h.CUT] = 1
        return parent
    node = room.nodes[at]
    node[PARENT], node[KIND] = parent, tag
    node[TOKENS_FROM] = st[TOKENS]
    signature, hidden = np.int32(0), np.int64(0)
    if st[h.HAS_ATTRIBUTES]:
        signature = put_tokens(data, room)
        hidden = np.int64(tags.HIDDEN) if is_hidden(data, room) else np.int64(0)
    node[TOKENS_TO] = st[TOKENS]
    node[SIGNATURE] = signature ^ np.int32(tag << 20)
    inherited = np.int64(room.nodes[parent, ANCESTORS])
    if not st[h.IN_LINK]:  # the parent may stand in a link that ended inside it
        inherited &= ~np.int64(tags.LINK)
    if not st[h.IN_BOLD]:
        inherited &= ~np.int64(tags.BOLD)
    node[ANCESTORS] = inherited | flags | hidden
    st[NODES] = at + 1
    return np.int32(at)


@inner
def _start_pre(data: Any, i: Any, n: Any, tag: Any, name: Any, room: Any) -> Any:
    """What follows a start tag in `pre`: the text of `xmp` and `plaintext` holds no tags."""
    stop = n
    if tag == h._XMP and not room.missing[tag]:
        stop = raw_end(data, i, n, name)
        room.missing[tag] = stop < 0
    elif tag != h._PLAINTEXT:
        return
    if stop >= 0:
        room.state[h.PLAIN_TO] = room.state[h.AFTER_PLAIN] = stop


@inner
def _end_tag(data: Any, i: Any, n: Any, tables: Any, room: Any) -> Any:
    """An end tag at its name; gives the place behind it."""
    st = room.state
    name, i = read_name(data, i, n)
    tag = max(find_value(tables.tags, name), 0)
    i = min(tag_end(data, i, n) + 1, n)
    if tag == h._BR:
        line_break(room)
    elif tag == h._BODY or tag == h._HTML:
        end_block(room)  # text that follows is still of the body, in what is open there
    elif st[OVERFLOW]:
        if not FLAGS[tag] & (_VOID | _RAW | _OPTIONAL_END) and tag != h._HEAD:
            st[OVERFLOW] -= 1
        if tags_block(tag):
            end_block(room)
    else:
        close_element(room, tag, np.int64(name & np.uint64(0x7FFFFFFF)))
    return i
