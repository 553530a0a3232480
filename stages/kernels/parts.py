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

from stages.kernels.characters import count_characters
from stages.kernels.jit import inner
from stages.kernels.words import hash_bytes, next_word, same_bytes

NEWLINE = 0x0A
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
    """What identifies each class, or nearly: a hash of its bytes."""
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
    never there: prose takes some 10 bytes a byte of the largest text, nothing more than 30.
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
        start, at, chars, _ = next_word(data, at, stop, flags)
        if start < at:
            count = add_part(parts, count, start, at, chars)
    return count


@inner
def pieces_into(parts: Any, data: Any, start: Any, stop: Any, newlines: Any) -> Any:
    r"""Put the pieces between runs of at least so many newlines into `parts`; gives their number.

    As `re.split` at `\n{newlines,}`: the first and the last piece may be empty.
    """
    count, at = 0, start
    while at < stop:
        if data[at] != NEWLINE:
            at += 1
            continue
        end = at
        while at < stop and data[at] == NEWLINE:
            at += 1
        if at - end >= newlines:
            count = add_part(parts, count, start, end, count_characters(data, start, end))
            start = at
    return add_part(parts, count, start, stop, count_characters(data, start, stop))


@inner
def clear_slots(parts: Any, count: Any) -> Any:
    """Free the slots for `count` classes; gives the mask of their number, a power of two."""
    size = 2
    while size < 2 * count:
        size *= 2
    parts.slots[:size] = -1
    return size - 1


@inner
def open_class(parts: Any, classes: Any, slot: Any, key: Any, first: Any) -> None:
    """Enter class number `classes`, still without members, into a free slot."""
    parts.slots[slot] = classes
    parts.keys[classes], parts.firsts[classes], parts.sizes[classes] = key, first, 0


@inner
def name_parts(data: Any, parts: Any, count: Any, seed: Any) -> Any:
    """Give each of `count` parts the number of its class; gives the number of classes."""
    if count == 1:  # a whole text in one piece need not be hashed
        parts.names[0], parts.firsts[0], parts.sizes[0] = 0, 0, 1
        return 1
    mask = clear_slots(parts, count)
    classes = 0
    for i in range(count):
        start, end = parts.starts[i], parts.ends[i]
        key = hash_bytes(data, start, end, seed)
        slot = np.int64(key) & mask
        while parts.slots[slot] >= 0:
            name = parts.slots[slot]
            first = parts.firsts[name]
            if (
                parts.keys[name] == key
                and parts.ends[first] - parts.starts[first] == end - start
                and same_bytes(data, start, end, data, parts.starts[first])
            ):
                break
            slot = (slot + 1) & mask
        if parts.slots[slot] < 0:
            open_class(parts, classes, slot, key, i)
            classes += 1
        name = parts.slots[slot]
        parts.names[i] = name
        parts.sizes[name] += 1
    return classes


@inner
def count_repeats(parts: Any, count: Any) -> Any:
    """Number and characters of the named parts that are not the first of their class."""
    copies, chars = np.int64(0), np.int64(0)
    for i in range(count):
        if parts.firsts[parts.names[i]] != i:
            copies += 1
            chars += parts.chars[i]
    return copies, chars
