"""Elements whose content is no text of the page: where scripts, titles, drawings end.

No end is searched for twice: what has none is noted in `Room.missing`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels.html_attributes import is_json_ld, note_fact
from stages.kernels.html_stack import FLAGS
from stages.kernels.html_text import find_value, is_letter, is_space, lower
from stages.kernels.html_wide import find_byte, find_either, find_name_end, hash_name
from stages.kernels.jit import inner, leaf

_DASH, _BANG, _QUESTION = np.int64(0x2D), 0x21, 0x3F
_SCRIPT = np.frombuffer(b"script", dtype=np.uint8).copy()


@leaf
def read_name(data: Any, i: Any, n: Any) -> Any:
    """Hash of a tag's name, and the place behind it."""
    stop = find_name_end(data, i, n, h._GT)
    return hash_name(data, i, stop), stop


@leaf
def tag_end(data: Any, i: Any, n: Any) -> Any:
    """The place of the next `>`, or `n`."""
    if i < n and data[i] == h._GT:  # mostly
        return i
    return find_byte(data, i, n, h._GT)


@leaf
def skip_markup(data: Any, i: Any, n: Any, st: Any) -> Any:
    """A comment, declaration or instruction, read behind its `<`; gives the place behind it.

    A comment that never ends is taken to end at the next `>`: what follows is likelier text.
    """
    if i + 2 < n and data[i] == _BANG and data[i + 1] == _DASH and data[i + 2] == _DASH:
        j = i + 3
        if j < n and data[j] == h._GT:  # <!-->
            return j + 1
        if j + 1 < n and data[j] == _DASH and data[j + 1] == h._GT:  # <!--->
            return j + 2
        if not st[h.NO_COMMENT_END]:
            while j + 2 < n:
                j = find_byte(data, j, n, _DASH)
                if j + 2 < n and data[j + 1] == _DASH:
                    if data[j + 2] == h._GT:
                        return j + 3
                    if data[j + 2] == _BANG and j + 3 < n and data[j + 3] == h._GT:
                        return j + 4
                j += 1
            st[h.NO_COMMENT_END] = 1
    return min(tag_end(data, i, n) + 1, n)


@inner
def skip_raw(data: Any, i: Any, n: Any, tag: Any, name: Any, tables: Any, room: Any) -> Any:
    """Skip the content of a raw element; gives the place behind it.

    A title's and a JSON-LD script's become facts. Without an end tag script and style reach to the
    end of the page, other elements end at once, as do those of XML that close themselves.
    """
    st = room.state
    to_end = FLAGS[tag] & tags.TO_END != 0
    if st[h.SELF_CLOSING] and (st[h.XML] or not to_end):
        return i
    if room.missing[tag]:
        return n if to_end else i
    if tag == h._SVG:
        stop = _drawing_end(data, i, n, tables, room)
    elif tag == h._SCRIPT:
        stop = _script_end(data, i, n)
    else:
        stop = raw_end(data, i, n, name)
    if stop < 0:
        room.missing[tag] = True
        return n if to_end else i
    if tag == h._SVG:
        return stop
    if tag == h._TITLE:
        note_fact(room.facts, st, h.F_TITLE, i, stop)
    elif tag == h._SCRIPT and st[h.HAS_ATTRIBUTES] and is_json_ld(data, room):
        note_fact(room.facts, st, h.F_JSON_LD, i, stop)
    return min(tag_end(data, stop, n) + 1, n)


@leaf
def raw_end(data: Any, i: Any, n: Any, name: Any) -> Any:
    """The place of the next end tag of a name; -1 if there is none. `</namex` is none."""
    while i + 2 < n:
        i = find_byte(data, i, n, h._LT)
        if i + 2 < n and data[i + 1] == h._SLASH and read_name(data, i + 2, n)[0] == name:
            return i
        i += 1
    return np.int64(-1)


@leaf
def _script_end(data: Any, i: Any, n: Any) -> Any:
    """The place of the end tag of a script; -1 if there is none.

    In `<!-- <script> </script> -->` the inner end tag is not it (13.2.5.20 to 31).
    """
    commented, nested = False, False
    while True:
        i = find_either(data, i, n, h._LT, _DASH if commented else h._LT)
        if i + 2 >= n:
            return np.int64(-1)
        c = data[i]
        if c == _DASH and commented and data[i + 1] == _DASH and data[i + 2] == h._GT:
            commented, nested = False, False
        elif c == h._LT:
            if data[i + 1] == h._SLASH:
                if _is_script(data, i + 2, n):
                    if not nested:
                        return i
                    nested = False
            elif data[i + 1] == _BANG:
                if i + 3 < n and data[i + 2] == _DASH and data[i + 3] == _DASH:
                    commented = True
                    i += 1  # its dashes may be those of its end
            elif commented and not nested:
                nested = _is_script(data, i + 1, n)
        i += 1


@leaf
def _is_script(data: Any, i: Any, n: Any) -> Any:
    """True if the name `script` stands here, and ends."""
    if i + len(_SCRIPT) >= n:
        return False
    k = 0
    while k < len(_SCRIPT) and lower(np.int64(data[i + k])) == _SCRIPT[k]:
        k += 1
    c = np.int64(data[i + k])
    return k == len(_SCRIPT) and (c == h._GT or c == h._SLASH or is_space(c))


@inner
def _drawing_end(data: Any, i: Any, n: Any, tables: Any, room: Any) -> Any:
    """The place behind an `<svg>`; -1 if it does not end.

    Drawings nest. A start tag of HTML ends them all, unless it stands in a `<foreignObject>`, and
    so does the end tag of one that stands open outside.
    """
    depth, foreign = 1, 0
    while i + 1 < n:
        i = find_byte(data, i, n, h._LT)
        if i + 1 >= n:
            break
        c = np.int64(data[i + 1])
        if is_letter(c):
            name, j = read_name(data, i + 1, n)
            tag = find_value(tables.tags, name)
            if tag > 0 and FLAGS[tag] & tags.LEAVES_DRAWING and not foreign:
                return i
            j = tag_end(data, j, n)
            if data[j - 1] != h._SLASH:
                depth += tag == h._SVG
                foreign += tag == h._FOREIGN
            i = j + 1
        elif c == h._SLASH:
            name, j = read_name(data, i + 2, n)
            tag = find_value(tables.tags, name)
            if tag > 0 and not foreign and _leaves(tag, room):
                return i
            i = tag_end(data, j, n) + 1
            depth -= tag == h._SVG
            foreign -= tag == h._FOREIGN and foreign > 0
            if depth == 0:
                return min(i, n)
        elif c in (_BANG, _QUESTION):
            i = skip_markup(data, i + 1, n, room.state)
        else:
            i += 1
    return np.int64(-1)


@inner
def _leaves(tag: Any, room: Any) -> Any:
    """True for end tags that end the drawing they stand in."""
    if tag == h._P or tag == h._BR:
        return True
    return FLAGS[tag] & (tags.BLOCK | tags.LEAVES_DRAWING) != 0 and room.opened[tag] > 0
