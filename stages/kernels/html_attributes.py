"""Attributes of a start tag: their ranges, the tokens of class, id, role, itemprop, the facts."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_text as h
from stages.kernels.html_text import (
    A_ARIA_HIDDEN,
    A_CONTENT,
    A_DATETIME,
    A_HIDDEN,
    A_HREF,
    A_HTTP_EQUIV,
    A_ITEMPROP,
    A_LANG,
    A_NAME,
    A_PROPERTY,
    A_REL,
    A_STYLE,
    A_TYPE,
    A_XML_LANG,
    F_AUTHOR,
    F_CANONICAL,
    F_DATE,
    F_LANG,
    F_LICENSE,
    FACTS,
    NUM_ATTRIBUTES,
    find_value,
    hash_lower,
    is_space,
    lower,
)
from stages.kernels.html_wide import find_byte, find_either, find_name_end, hash_name
from stages.kernels.jit import inner, leaf

_PART_SALT = np.uint64(0x9E3779B97F4A7C15)
"""Keeps the hashes of parts of names (`html_tokens`) apart from those of whole names."""


@inner
def read_attributes(data: Any, i: Any, n: Any, tables: Any, room: Any) -> Any:
    """Read to the end of the tag; the ranges of known attributes stand in `room.ranges`.

    Gives the place behind `>`, or `n` where the tag does not end. Of a repeated attribute the first
    counts.
    """
    ranges = room.ranges
    for k in range(2 * NUM_ATTRIBUTES):
        ranges[k] = -1
    slash = False
    while i < n:
        c = np.int64(data[i])
        if c == h._GT:
            room.state[h.SELF_CLOSING] = slash
            return i + 1
        slash = c == h._SLASH
        if is_space(c) or slash:
            i += 1
            continue
        start = i
        i = find_name_end(data, i + 1, n, h._EQUALS)  # a name may begin with `=`
        which = find_value(tables.attributes, hash_name(data, start, i))
        j = i
        while j < n and is_space(np.int64(data[j])):
            j += 1
        first, last = i, i
        if j < n and data[j] == h._EQUALS:
            first, last, i = _read_value(data, j + 1, n, room.state)
        if which > 0 and ranges[2 * which] < 0:
            ranges[2 * which], ranges[2 * which + 1] = first, last
    return n


@inner
def _read_value(data: Any, i: Any, n: Any, st: Any) -> Any:
    """Start and end of an attribute's value, and the place behind it.

    A quote that is never closed ends at the next `>`; that none follows is looked up once a page.
    """
    while i < n and is_space(np.int64(data[i])):
        i += 1
    if i >= n:
        return n, n, n
    c = np.int64(data[i])
    if c == h._QUOTE or c == h._APOSTROPHE:
        known = h.NO_QUOTE if c == h._QUOTE else h.NO_APOSTROPHE
        i += 1
        if not st[known]:
            j = find_byte(data, i, n, c)
            if j < n:
                return i, j, j + 1
            st[known] = 1
        j = find_byte(data, i, n, h._GT)
        return i, j, j
    start = i
    while i < n and data[i] != h._GT and not is_space(np.int64(data[i])):
        i += 1
    return start, i, i


@leaf
def note_fact(facts: Any, st: Any, fact: Any, start: Any, stop: Any) -> Any:
    """Remember a range of the page's bytes; beyond the room it is left out."""
    at, limit = st[FACTS], len(facts)
    if fact in (F_DATE, F_AUTHOR, F_LICENSE):
        limit //= 2  # hundreds of times or tags of a forum must not push out what the page says
    if at < limit and stop > start:
        facts[at, 0], facts[at, 1], facts[at, 2] = fact, start, stop
        st[FACTS] = at + 1


@leaf
def _equals(data: Any, start: Any, stop: Any, word: Any) -> Any:
    """True if a value is this word (given in lower case), white space around it aside."""
    while start < stop and is_space(np.int64(data[start])):
        start += 1
    while stop > start and is_space(np.int64(data[stop - 1])):
        stop -= 1
    if stop - start != len(word):
        return False
    k = 0
    while k < len(word) and lower(np.int64(data[start + k])) == word[k]:
        k += 1
    return k == len(word)


@leaf
def _contains(data: Any, start: Any, stop: Any, word: Any, rare: Any) -> Any:
    """True if a value holds this word, blanks inside the value left out.

    Most values do not hold its `rare` letter, which is found faster.
    """
    if find_either(data, start, stop, rare, rare & ~0x20) == stop:
        return False
    at = 0
    for i in range(start, stop):
        c = lower(np.int64(data[i]))
        if is_space(c):
            continue
        if c == word[at]:
            at += 1
            if at == len(word):
                return True
        else:
            at = 1 if c == word[0] else 0
    return False


_Y, _V, _PLUS = (np.int64(ord(letter)) for letter in "yv+")
_TRUE = np.frombuffer(b"true", dtype=np.uint8).copy()
_NO_DISPLAY = np.frombuffer(b"display:none", dtype=np.uint8).copy()
_INVISIBLE = np.frombuffer(b"visibility:hidden", dtype=np.uint8).copy()
_LD_JSON = np.frombuffer(b"ld+json", dtype=np.uint8).copy()


@inner
def is_hidden(data: Any, room: Any) -> Any:
    """True if the tag that was read hides its element: `hidden`, `aria-hidden`, inline style."""
    r = room.ranges
    if r[2 * A_HIDDEN] >= 0:
        return True
    if r[2 * A_ARIA_HIDDEN] >= 0 and _equals(
        data, r[2 * A_ARIA_HIDDEN], r[2 * A_ARIA_HIDDEN + 1], _TRUE
    ):
        return True
    start, stop = r[2 * A_STYLE], r[2 * A_STYLE + 1]
    return start >= 0 and (
        _contains(data, start, stop, _NO_DISPLAY, _Y)
        or _contains(data, start, stop, _INVISIBLE, _V)
    )


@inner
def is_json_ld(data: Any, room: Any) -> Any:
    r = room.ranges
    return r[2 * A_TYPE] >= 0 and _contains(data, r[2 * A_TYPE], r[2 * A_TYPE + 1], _LD_JSON, _PLUS)


@inner
def tag_facts(data: Any, tag: Any, end: Any, n: Any, tables: Any, room: Any) -> Any:
    """Facts that a tag's attributes state: meta, link, html, time, and rel on links."""
    r = room.ranges
    if tag == h._META:
        _meta_facts(data, tables, room)
    elif tag == h._HTML:
        lang = A_LANG if r[2 * A_LANG] >= 0 else A_XML_LANG
        if r[2 * lang] >= 0:
            note_fact(room.facts, room.state, F_LANG, r[2 * lang], r[2 * lang + 1])
    elif tag == h._TIME:
        if r[2 * A_DATETIME] >= 0:
            note_fact(room.facts, room.state, F_DATE, r[2 * A_DATETIME], r[2 * A_DATETIME + 1])
    elif r[2 * A_REL] >= 0 and (tag == h._LINK or tag == h._A):
        i, stop = r[2 * A_REL], r[2 * A_REL + 1]
        while i < stop:
            if is_space(np.int64(data[i])):
                i += 1
                continue
            j = i
            while j < stop and not is_space(np.int64(data[j])):
                j += 1
            word = hash_lower(data, i, j)
            if word == h._REL_CANONICAL and tag == h._LINK:
                note_fact(room.facts, room.state, F_CANONICAL, r[2 * A_HREF], r[2 * A_HREF + 1])
            elif word == h._REL_LICENSE:
                note_fact(room.facts, room.state, F_LICENSE, r[2 * A_HREF], r[2 * A_HREF + 1])
            elif word == h._REL_AUTHOR and tag == h._A:
                j = end
                while j < n and data[j] != h._LT and j - end < 200:
                    j += 1
                while end < j < n and data[j] & 0xC0 == 0x80:  # not through a character
                    j -= 1
                note_fact(room.facts, room.state, F_AUTHOR, end, j)
                return
            i = j


@inner
def _meta_facts(data: Any, tables: Any, room: Any) -> Any:
    r = room.ranges
    if r[2 * A_CONTENT] < 0:
        return
    for which in (A_PROPERTY, A_NAME, A_ITEMPROP, A_HTTP_EQUIV):
        if r[2 * which] >= 0:
            key = hash_lower(data, r[2 * which], r[2 * which + 1])
            fact = find_value(tables.meta, key)
            if fact > 0:
                note_fact(room.facts, room.state, fact, r[2 * A_CONTENT], r[2 * A_CONTENT + 1])
                return
