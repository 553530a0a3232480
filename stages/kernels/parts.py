"""Equal parts of a text found exactly: words, lines, paragraphs.

Every part gets the number of its class: equal strings, equal numbers, in the order of their first
copies. A hash only finds the class; the bytes decide. Hashes are seeded anew in every process: no
text can be written so that its parts meet in the table, and no value depends on the seed. Time and
memory are linear in the text; the room is used again for the next one.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.kernels.html_wide import lowest_bit, num_bits
from stages.kernels.jit import inner
from stages.kernels.shingles import TERM
from stages.kernels.wide_text import (
    NONE,
    ONE,
    WIDE,
    count_leads,
    eight,
    find_newline,
    fold_product,
    low_bits,
    same_text,
)
from stages.kernels.wide_words import words_at
from stages.kernels.words import next_word

NEWLINE = 0x0A
_FEW = 16
_TAG_BYTE, _MANY = np.uint64(56), np.uint64(0xFF << 56)
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


class Parts(NamedTuple):
    """Room for the parts of one text at a time. A text is below 2 GB, so counts fit in int32."""

    starts: Int64s
    ends: Int64s
    chars: Int32s
    names: Int32s
    """Class of each part, and one place more."""
    firsts: Int32s
    """First part of each class."""
    sizes: Int32s
    """Members of each class."""
    places: Int32s
    """For `repetition`: numbers of parts."""
    keys: npt.NDArray[np.uint64]
    """What identifies each class: its bytes, if they are few, else a hash of them."""
    tags: npt.NDArray[np.uint64]
    """More of it: further bytes and their number."""
    slots: Int32s
    """Open table of classes, at most half full; -1 = free."""


@lru_cache(maxsize=1)
def seed() -> np.uint64:
    """The seed of this process's hashes."""
    return np.uint64(int.from_bytes(os.urandom(8), "little"))


def parts_for(offsets: Int64s) -> Parts:
    """Room for any of the texts.

    Two words have a byte between them, unless they are characters of at least three bytes each; two
    lines or paragraphs have a newline between them, and only the first and the last can be empty:
    n bytes hold at most (n + 1) / 2 words and one line more. Memory that is never written to is
    never there: prose takes some 10 bytes a byte of the largest text, nothing more than 34.
    """
    room = int(np.diff(offsets).max(initial=0)) // 2 + 2
    return Parts(
        starts=np.empty(room, np.int64),
        ends=np.empty(room, np.int64),
        chars=np.empty(room, np.int32),
        names=np.empty(room, np.int32),
        firsts=np.empty(room, np.int32),
        sizes=np.empty(room, np.int32),
        places=np.empty(room, np.int32),
        keys=np.empty(room, np.uint64),
        tags=np.empty(room, np.uint64),
        slots=np.empty(1 << (2 * room).bit_length(), np.int32),
    )


@inner
def add_part(parts: Any, count: Any, start: Any, end: Any, chars: Any) -> Any:
    """Put a part behind the first `count`; gives their number now."""
    if count >= len(parts.starts):
        return count  # unreachable for UTF-8, see `parts_for`; anything else must stay within
    parts.starts[count], parts.ends[count], parts.chars[count] = start, end, chars
    return count + 1


@inner
def words_into(parts: Any, data: Any, at: Any, stop: Any, flags: Any) -> Any:
    """Put the words of data[at:stop] into `parts`; gives their number."""
    count = 0
    while at < stop:
        length, starts, lasts, _, leads, _, _ = words_at(data, at, stop, flags, flags)
        if length == 0 or count + WIDE > len(parts.starts):
            start, at, chars, _ = next_word(data, at, stop, flags)
            if start < at:
                count = add_part(parts, count, start, at, chars)
            continue
        while starts != NONE:
            start, end = lowest_bit(starts), lowest_bit(lasts) + 1
            starts, lasts = starts & (starts - ONE), lasts & (lasts - ONE)
            parts.starts[count], parts.ends[count] = at + start, at + end
            parts.chars[count] = num_bits(leads & low_bits(end) & ~low_bits(start))
            count += 1
        at += length
    return count


@inner
def pieces_into(parts: Any, data: Any, start: Any, stop: Any, newlines: Any) -> Any:
    r"""Put the pieces between runs of at least so many newlines into `parts`; gives their number.

    As `re.split` at `\n{newlines,}`: the first and the last piece may be empty. Their characters
    are left to be counted.
    """
    count, at = 0, start
    while at < stop:
        end = find_newline(data, at, stop)
        at = end
        while at < stop and data[at] == NEWLINE:
            at += 1
        if at - end >= newlines:
            count = add_part(parts, count, start, end, 0)
            start = at
    return add_part(parts, count, start, stop, 0)


@inner
def clear_slots(parts: Any, count: Any) -> Any:
    """Free the slots for `count` classes; gives the mask of their number, a power of two."""
    size = 2
    while size < 2 * count:
        size *= 2
    parts.slots[:size] = -1
    return size - 1


@inner
def enter_class(parts: Any, classes: Any, slot: Any, key: Any, first: Any) -> Any:
    """The class in a slot; a free one takes the class of number `classes`, without members.

    That number is written to in any case, and stays unused if the slot was taken: whether it is,
    no processor foresees.
    """
    found = np.int64(parts.slots[slot])
    name = classes if found < 0 else found
    parts.slots[slot] = name
    parts.keys[classes], parts.firsts[classes], parts.sizes[classes] = key, first, 0
    return name


@inner
def _key_of(data: Any, start: Any, end: Any, seed: Any) -> Any:
    """(key, tag) of a part: all its bytes and their number if they are few, else a hash."""
    size = end - start
    if size < _FEW:
        tag = eight(data, start + 8, size - 8) | np.uint64(size) << _TAG_BYTE
        return eight(data, start, size), tag
    value = seed ^ np.uint64(size) * TERM
    while end - start > _FEW:
        value = fold_product(eight(data, start, 8) ^ value, eight(data, start + 8, 8) ^ seed)
        start += 16
    low, high = eight(data, start, end - start), eight(data, start + 8, end - start - 8)
    return fold_product(low ^ value, high ^ seed), _MANY


@inner
def _same_parts(data: Any, parts: Any, one: Any, other: Any) -> Any:
    start, end, begin = parts.starts[one], parts.ends[one], parts.starts[other]
    if one == other or parts.ends[other] - begin != end - start:
        return one == other
    return same_text(data, start, end, data, begin)


@inner
def name_parts(data: Any, parts: Any, count: Any, seed: Any) -> Any:
    """Give each of `count` parts the number of its class; gives the number of classes."""
    if count == 1:  # a whole text in one piece need not be hashed
        parts.names[0], parts.firsts[0], parts.sizes[0] = 0, 0, 1
        return 1
    mask = clear_slots(parts, count)
    classes = 0
    for i in range(count):
        key, tag = _key_of(data, parts.starts[i], parts.ends[i], seed)
        slot = np.int64(fold_product(key ^ seed, tag ^ ~seed)) & mask
        parts.tags[classes] = tag
        name = enter_class(parts, classes, slot, key, i)
        while (
            parts.keys[name] != key
            or parts.tags[name] != tag
            or (tag == _MANY and not _same_parts(data, parts, i, parts.firsts[name]))
        ):
            slot = (slot + 1) & mask
            name = enter_class(parts, classes, slot, key, i)
        classes += name == classes
        parts.names[i] = name
        parts.sizes[name] += 1
    return classes


@inner
def count_repeats(data: Any, parts: Any, count: Any) -> Any:
    """Number and characters of the named parts that are not the first of their class."""
    copies, chars = np.int64(0), np.int64(0)
    for i in range(count):
        if parts.firsts[parts.names[i]] != i:
            copies += 1
            chars += count_leads(data, parts.starts[i], parts.ends[i])
    return copies, chars
