"""The room that a scan of a page writes into, and how text gets there.

Bounds. Numba checks no index, so each write is behind a test or proven by these sums (`room_for`):

- text: what is written was read. A character that stands in the page is copied at its own size,
  but for U+0080 to U+009F, which grow from 2 bytes to 3 at most (U+0080 is shown as U+20AC); a
  reference grows at most from 5 bytes to 6 (`&nLt;`; `&#0;` is 4 and U+FFFD 3); a blank or line end
  that is put between words or lines stands for a byte of white space or for a tag.
- nodes: one start tag each, and node 0. blocks: text between two tags, so one more than tags.
- tokens: a name of L bytes and the byte before it give at most 1 + L // 2 tokens, the most a byte
  where L is 2: two for three bytes.
- stack: one test, where an element is pushed. Its first entry, the page, is never taken off.

Where one of the `MAX_` bounds is reached the page is marked as `CUT`: structure is lost, no text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from stages.kernels import html_tags as tags
from stages.kernels.fold import put_code
from stages.kernels.jit import inner, leaf

MAX_DEPTH = 1000
"""Elements deeper than this are read as if they were not there."""
MAX_NODES = 400_000
MAX_BLOCKS = 100_000
MAX_FACTS = 256
KNOWN_NAMES = 512
"""Twice the names of a usual page; a power of two."""
FREE_STEPS, STEPS_PER_BYTE = 1 << 16, 4
"""Steps that all searches up the stack may go in vain, at the least and by the page's size."""
SHORT_WALK = 16
"""How far a search goes when they are spent: on hostile pages only, which stay linear by it."""

# Columns of the node, block, fact and stack tables.
PARENT, KIND, ANCESTORS, SIGNATURE, TOKENS_FROM, TOKENS_TO = range(6)
START, END, NODE, LINK_BYTES, BOLD_BYTES, LINKS, BREAKS = range(7)
NODE_COLUMNS, BLOCK_COLUMNS, FACT_COLUMNS, STACK_COLUMNS, NAME_COLUMNS = 6, 7, 3, 4, 8
S_TAG, S_NODE, S_NAME, S_DEAD = range(4)

# Places in the state.
(TEXT, NODES, BLOCKS, TOKENS, FACTS, DEPTH, OVERFLOW, IN_LINK, IN_BOLD, IN_PRE, BLOCK_START,
 BLOCK_NODE, BLOCK_LINK, BLOCK_BOLD, BLOCK_LINKS, BLOCK_BREAKS, PENDING, AFTER_BREAK,
 NO_COMMENT_END, NO_QUOTE, NO_APOSTROPHE, CUT, HAS_ATTRIBUTES, SELF_CLOSING, XML, NO_CDATA_END,
 STEPS_LEFT, PLAIN_TO, AFTER_PLAIN) = range(29)  # fmt: skip
STATE = 29


def _typed(numbers: Iterable[int]) -> Iterator[Any]:
    """For numba, which compiles a kernel anew for each literal that it is called with."""
    return map(np.int64, numbers)


_P, _LI, _DT, _DD, _TR, _TD, _TH, _A = _typed(tags.tag_numbers("p li dt dd tr td th a"))
_TABLE, _BR, _TITLE, _SCRIPT, _META, _LINK, _HTML, _TIME, _DIV, _SVG = _typed(
    tags.tag_numbers("table br title script meta link html time div svg")
)
_TBODY, _THEAD, _TFOOT, _CAPTION, _COLGROUP, _OPTION, _FOREIGN, _BUTTON = _typed(
    tags.tag_numbers("tbody thead tfoot caption colgroup option foreignobject button")
)
_BODY, _HEAD, _B, _STRONG, _PRE, _FORM, _MATH = _typed(
    tags.tag_numbers("body head b strong pre form math")
)
_LISTING, _XMP, _PLAINTEXT, _SELECT = _typed(tags.tag_numbers("listing xmp plaintext select"))
_H1, _H6 = _typed(tags.tag_numbers("h1 h6"))
NUM_TAGS = len(tags.TAG_NAMES)

(_, A_CLASS, A_ID, A_ROLE, A_ITEMPROP, A_HIDDEN, A_ARIA_HIDDEN, A_STYLE, A_HREF, A_REL, A_LANG,
 A_NAME, A_PROPERTY, A_CONTENT, A_DATETIME, A_TYPE, A_HTTP_EQUIV, A_XML_LANG,
) = range(18)  # fmt: skip
NUM_ATTRIBUTES = len(tags.ATTRIBUTES)
F_TITLE, F_LANG, F_CANONICAL, F_LICENSE, F_JSON_LD, F_AUTHOR, F_DATE = _typed(
    tags.fact_numbers("title lang canonical license json_ld author date")
)

_FNV, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_LT, _GT, _AMP, _SLASH, _EQUALS, _QUOTE, _APOSTROPHE = _typed(b"<>&/=\"'")
_SPACE, _NEWLINE, _RETURN, _TAB = 0x20, 0x0A, 0x0D, 0x09
_REL_CANONICAL, _REL_LICENSE, _REL_AUTHOR = (
    np.uint64(tags.fnv(name)) for name in (b"canonical", b"license", b"author")
)


class Room(NamedTuple):
    """The arrays that one scan writes."""

    text: Any
    nodes: Any
    blocks: Any
    tokens: Any
    facts: Any
    stack: Any
    opened: Any
    """Open elements of each kind."""
    ranges: Any
    """Start and end of the values of the attributes of the tag that is being read; -1 = none."""
    state: Any
    missing: Any
    """Kinds of raw elements for which no end tag is left on the page."""
    names: Any
    """Names of classes and the like that the page has shown (`html_tokens`)."""


def room_for(num_bytes: int, num_tags: int) -> Room:
    """Room that no page of so many bytes and `<` can overflow."""
    nodes = min(num_tags + 2, MAX_NODES)
    return Room(
        np.empty(num_bytes + num_bytes // 2 + 64, dtype=np.uint8),
        np.empty((nodes, NODE_COLUMNS), dtype=np.int32),
        np.empty((min(num_tags + 2, MAX_BLOCKS), BLOCK_COLUMNS), dtype=np.int32),
        np.empty(2 * num_bytes // 3 + 64, dtype=np.uint32),
        np.empty((MAX_FACTS, FACT_COLUMNS), dtype=np.int64),
        np.empty((MAX_DEPTH, STACK_COLUMNS), dtype=np.int32),
        np.empty(NUM_TAGS, dtype=np.int64),
        np.empty(2 * NUM_ATTRIBUTES, dtype=np.int64),
        np.empty(STATE, dtype=np.int64),
        np.empty(NUM_TAGS, dtype=np.bool_),
        np.empty((KNOWN_NAMES, NAME_COLUMNS), dtype=np.uint64),
    )


# --- Characters and names -------------------------------------------------------------------------


@inner
def is_space(c: Any) -> Any:
    return c == 0x20 or (0x09 <= c <= 0x0D and c != 0x0B)


@inner
def is_letter(c: Any) -> Any:
    return 0x61 <= (c | 0x20) <= 0x7A


@inner
def lower(c: Any) -> Any:
    return c | 0x20 if 0x41 <= c <= 0x5A else c


@leaf
def find_value(table: Any, key: Any) -> Any:
    """The value of a key in a table of `html_tags`; -1 if it is not there."""
    mask = np.uint64(len(table) - 1)
    at = key & mask
    while table[at, 0] != key:
        if table[at, 0] == 0:
            return np.int64(-1)
        at = (at + np.uint64(1)) & mask
    return np.int64(table[at, 1])


@leaf
def hash_lower(data: Any, start: Any, stop: Any) -> Any:
    value = _FNV
    for i in range(start, stop):
        value = (value ^ np.uint64(lower(np.int64(data[i])))) * _FNV_PRIME
    return value


@leaf
def decode_utf8(data: Any, at: Any, stop: Any) -> Any:
    """(code point, bytes) of valid UTF-8; a cut sequence is (U+FFFD, 1)."""
    c = np.int64(data[at])
    if c < 0x80:
        return c, np.int64(1)
    if c < 0xE0:
        if at + 1 < stop:
            return (c & 0x1F) << 6 | (np.int64(data[at + 1]) & 0x3F), np.int64(2)
    elif c < 0xF0:
        if at + 2 < stop:
            return (
                (c & 0x0F) << 12
                | (np.int64(data[at + 1]) & 0x3F) << 6
                | (np.int64(data[at + 2]) & 0x3F)
            ), np.int64(3)
    elif at + 3 < stop:
        return (
            (c & 0x07) << 18
            | (np.int64(data[at + 1]) & 0x3F) << 12
            | (np.int64(data[at + 2]) & 0x3F) << 6
            | (np.int64(data[at + 3]) & 0x3F)
        ), np.int64(4)
    return np.int64(0xFFFD), np.int64(1)


# --- Text -----------------------------------------------------------------------------------------


@inner
def end_block(room: Any) -> Any:
    """Close the block of text that is open, if any.

    The last block of a full table stays open and takes the rest of the page, a line for each block.
    """
    st = room.state
    st[AFTER_BREAK] = 0
    if st[BLOCK_START] < 0:
        st[BLOCK_LINKS] = 0
    elif st[BLOCKS] < MAX_BLOCKS - 1:
        write_block(room)
    else:
        st[PENDING] = 2
        st[CUT] = 1


@inner
def write_block(room: Any) -> Any:
    """The open block as a row of the table, if there is one and it holds more than white space."""
    st = room.state
    start, end = st[BLOCK_START], st[TEXT]
    if start < 0:
        return
    while end > start and is_space(np.int64(room.text[end - 1])):
        end -= 1
    if end > start:
        block = room.blocks[st[BLOCKS]]
        block[START], block[END], block[NODE] = start, end, st[BLOCK_NODE]
        block[LINK_BYTES] = min(st[BLOCK_LINK], end - start)
        block[BOLD_BYTES] = min(st[BLOCK_BOLD], end - start)
        block[LINKS], block[BREAKS] = st[BLOCK_LINKS], st[BLOCK_BREAKS]
        st[BLOCKS] += 1
    st[BLOCK_START] = -1
    st[PENDING] = 0
    st[BLOCK_LINK] = st[BLOCK_BOLD] = st[BLOCK_LINKS] = st[BLOCK_BREAKS] = 0


@inner
def begin_text(room: Any) -> Any:
    """What stands before the next character: a new block, or the white space that was held back."""
    st = room.state
    if st[BLOCK_START] < 0:
        st[BLOCK_START] = st[TEXT]
        st[BLOCK_NODE] = room.stack[st[DEPTH] - 1, S_NODE]
    elif st[PENDING]:
        room.text[st[TEXT]] = _SPACE if st[PENDING] == 1 else _NEWLINE
        st[TEXT] += 1
    st[PENDING] = 0
    st[AFTER_BREAK] = 0


@inner
def white(room: Any, c: Any) -> Any:
    """White space in text: held back until something follows; kept in `pre`.

    There carriage returns are line ends, and what is no blank, tab or line end becomes a blank.
    """
    st = room.state
    if not st[IN_PRE]:
        if st[BLOCK_START] >= 0 and not st[PENDING]:
            st[PENDING] = 1
        return
    if c == _RETURN:
        c = np.int64(_NEWLINE)
    elif c != _TAB and c != _NEWLINE:
        c = np.int64(_SPACE)
    if st[BLOCK_START] < 0:
        if c == _NEWLINE:
            return
        begin_text(room)  # the first line's indent counts
    room.text[st[TEXT]] = c
    st[TEXT] += 1


@inner
def put_text(room: Any, code: Any) -> Any:
    """One character that has a second look: what a reference names, or the lead byte tells apart.

    No control character but white space gets through, and none of those that show nothing: soft
    hyphen, zero width space, byte order mark.
    """
    st = room.state
    if code == 0xAD or code == 0x200B or code == 0xFEFF:
        return
    if code == 0xA0 or code == 0x0B or code == 0x2028 or code == 0x2029:
        code = np.int64(_SPACE)
    if is_space(code):
        white(room, code)
        return
    if code < 0x20 or 0x7F <= code < 0xA0:
        return
    begin_text(room)
    before = st[TEXT]
    st[TEXT] = put_code(room.text, before, code)
    count_bytes(st, st[TEXT] - before)


@inner
def count_bytes(st: Any, num_bytes: Any) -> Any:
    if st[IN_LINK]:
        st[BLOCK_LINK] += num_bytes
    if st[IN_BOLD]:
        st[BLOCK_BOLD] += num_bytes


@inner
def line_break(room: Any) -> Any:
    """`<br>`: a new line; two in a row end the block."""
    st = room.state
    if st[BLOCK_START] < 0:
        return
    if st[IN_PRE]:
        room.text[st[TEXT]] = _NEWLINE
        st[TEXT] += 1
    elif st[AFTER_BREAK]:
        end_block(room)
    else:
        st[PENDING] = 2
        st[AFTER_BREAK] = 1
        st[BLOCK_BREAKS] += 1
