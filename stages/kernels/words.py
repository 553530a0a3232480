"""Words of a text, and what Gopher's quality filter counts of them.

A word is that of `pipeline.batch.split_words`: a run of characters that are not white space, or one
character of a script that is written without spaces. Words are handed out one by one; what is kept
of a batch are counts. The places of all its words would take several times the memory of its text,
and finding them again costs about half a nanosecond a byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.characters import (
    ALONE,
    ALPHA,
    CASED,
    IGNORABLE,
    SPACE,
    WORD,
    character_flags,
    lower_codes,
    read,
)
from stages.kernels.fold import put_code
from stages.kernels.html_wide import lowest_bit, num_bits
from stages.kernels.jit import inner, jit_bare
from stages.kernels.shingles import mix64
from stages.kernels.unicode_tables import DOTTED_I, DOTTED_I_LOWER
from stages.kernels.wide_text import (
    NONE,
    ONE,
    high_bits,
    highest_bit,
    low_bits,
    low_line_bits,
    text_bytes,
)
from stages.kernels.wide_words import num_marked, words_at

SIGMA, CAPITAL_SIGMA, FINAL_SIGMA = 0x3C3, 0x3A3, 0x3C2
COUNTS = ("words", "word_chars", "alpha_words")
_LENGTH_TERM = np.uint64(0x9E3779B97F4A7C15)


class WordSet(NamedTuple):
    """Words to be looked up by their UTF-8 bytes: an open table, at most half full."""

    data: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]
    """Word i is data[ends[i]:ends[i + 1]]."""
    slots: npt.NDArray[np.int32]
    """Number of a word, or -1; as many as a power of two."""
    lengths: npt.NDArray[np.uint8]
    """For every first byte of a word, bit n & 7 is set if one of n bytes begins with it."""
    room: npt.NDArray[np.uint8]
    """Where a candidate is written: the longest word and one more character. See `own_room`."""


def word_set(words: Iterable[str]) -> WordSet:
    """The distinct words, numbered in the order of their bytes."""
    stored = sorted({word.encode() for word in words})
    ends = np.cumsum([0, *map(len, stored)], dtype=np.int64)
    data = np.frombuffer(b"".join(stored) or b"\0", dtype=np.uint8)
    slots = np.full(1 << (2 * len(stored) + 1).bit_length(), -1, dtype=np.int32)
    _fill_slots(data, ends, slots)
    lengths = np.zeros(256, dtype=np.uint8)
    for word in filter(None, stored):
        lengths[word[0]] |= 1 << (len(word) & 7)
    room = np.empty(max(map(len, stored), default=0) + 4, np.uint8)
    return WordSet(data, ends, slots, lengths, room)


def own_room(words: WordSet) -> WordSet:
    """The set for one call of a kernel: calls of several threads must not write into one room."""
    return words._replace(room=np.empty_like(words.room))


@inner
def _eight(text: Any, at: Any) -> Any:
    """Eight bytes as one number; written so that the compiler makes one load of it."""
    low = (
        np.uint64(text[at])
        | np.uint64(text[at + 1]) << np.uint64(8)
        | np.uint64(text[at + 2]) << np.uint64(16)
        | np.uint64(text[at + 3]) << np.uint64(24)
    )
    high = (
        np.uint64(text[at + 4])
        | np.uint64(text[at + 5]) << np.uint64(8)
        | np.uint64(text[at + 6]) << np.uint64(16)
        | np.uint64(text[at + 7]) << np.uint64(24)
    )
    return low | high << np.uint64(32)


@inner
def hash_bytes(data: Any, start: Any, end: Any, seed: Any) -> Any:
    """A 64-bit hash, without collision among strings of one length up to 8 bytes."""
    text = data[start:end]
    whole = len(text) >> 3
    value = seed ^ (np.uint64(len(text)) * _LENGTH_TERM)
    for number in range(whole):
        value = mix64(value ^ _eight(text, 8 * number))
    part = np.uint64(0)
    for at in range(8 * whole, len(text)):
        part = part << np.uint64(8) | np.uint64(text[at])
    return mix64(value ^ part)


@inner
def same_bytes(data: Any, start: Any, end: Any, other: Any, begin: Any) -> Any:
    """True if data[start:end] stands in `other` at `begin`."""
    i = 0
    while start + i < end and data[start + i] == other[begin + i]:
        i += 1
    return start + i == end


@jit_bare
def _fill_slots(data: Any, ends: Any, slots: Any) -> None:
    mask = len(slots) - 1
    for number in range(len(ends) - 1):
        at = np.int64(hash_bytes(data, ends[number], ends[number + 1], np.uint64(0))) & mask
        while slots[at] >= 0:
            at = (at + 1) & mask
        slots[at] = number


@inner
def find_word(words: Any, length: Any) -> Any:
    """The number of the word that stands in words.room[:length]; -1 if it is none of the set."""
    mask = len(words.slots) - 1
    at = np.int64(hash_bytes(words.room, 0, length, np.uint64(0))) & mask
    while words.slots[at] >= 0:
        number = words.slots[at]
        start, end = words.ends[number], words.ends[number + 1]
        if end - start == length and same_bytes(words.data, start, end, words.room, 0):
            return np.int64(number)
        at = (at + 1) & mask
    return np.int64(-1)


@inner
def next_word(data: Any, at: Any, stop: Any, flags: Any) -> Any:
    """(start, end, characters, their flags together) of the first word from `at` on.

    Without a word start and end are `stop`.
    """
    kind = np.int64(SPACE)
    start, size = at, 0
    while kind & SPACE:
        start += size
        if start >= stop:
            return stop, stop, np.int64(0), np.int64(0)
        code, size = read(data, start, stop)
        kind = np.int64(flags[code])
    end, chars, seen = start + size, np.int64(1), kind
    while end < stop and not seen & ALONE:
        code, size = read(data, end, stop)
        kind = np.int64(flags[code])
        if kind & (SPACE | ALONE):
            break
        end, chars, seen = end + size, chars + 1, seen | kind
    return start, end, chars, seen


@inner
def _is_final_sigma(data: Any, at: Any, end: Any, after_cased: Any, flags: Any) -> Any:
    """Whether a capital sigma before `at` in a word that ends at `end` is lower-cased to a final.

    As `str.lower`: behind a cased character and before none, ignorable ones looked through. A run
    of ignorable characters is looked through by the sigma before it alone, so time stays linear.
    """
    while after_cased and at < end:
        code, size = read(data, at, end)
        if not flags[code] & IGNORABLE:
            return not flags[code] & CASED
        at += size
    return after_cased


@inner
def find_bare(data: Any, start: Any, end: Any, words: Any, flags: Any, lower: Any) -> Any:
    r"""The number in the set of a word lower-cased and without `\W` around it; -1 = none.

    What is between the outermost `\w` is written into `words.room`, until it is full: then the word
    is longer than any of the set. A character and its lower case are both `\w` or both not (a
    test), but for the dot of a lower-cased U+0130, which falls away at the end.
    """
    at, length, solid, after_cased = start, 0, 0, False
    while at < end:
        code, size = read(data, at, end)
        kind = flags[code]
        at += size
        if kind & WORD or solid:
            if length > len(words.room) - 4:
                # Too long so far, unless all that comes is cut off: then `solid` decides.
                if kind & WORD:
                    return np.int64(-1)
            elif code == DOTTED_I:
                length = put_code(words.room, length, DOTTED_I_LOWER[0])
                solid = length
                if length <= len(words.room) - 4:
                    length = put_code(words.room, length, DOTTED_I_LOWER[1])
            else:
                low = np.int64(lower[code])
                if code == CAPITAL_SIGMA:
                    final = _is_final_sigma(data, at, end, after_cased, flags)
                    low = np.int64(FINAL_SIGMA if final else SIGMA)
                length = put_code(words.room, length, low)
                if kind & WORD:
                    solid = length
        if not kind & IGNORABLE:
            after_cased = bool(kind & CASED)
    return find_word(words, solid)


@inner
def may_be(words: Any, first: Any, length: Any) -> Any:
    """False if no word of the set has so many bytes and begins with this one."""
    return words.lengths[first] >> (length & 7) & 1 != 0


@inner
def find_at(data: Any, start: Any, end: Any, words: Any) -> Any:
    """The number of the word data[start:end], as it stands; -1 if it is none of the set."""
    length = end - start
    if length > len(words.room) - 4 or (length > 0 and not may_be(words, data[start], length)):
        return np.int64(-1)
    for i in range(length):
        words.room[i] = data[start + i]
    return find_word(words, length)


@inner
def find_ascii(data: Any, start: Any, end: Any, words: Any) -> Any:
    """The number of the word of ASCII data[start:end], of at least a byte, in lower case; or -1."""
    length = end - start
    if length > len(words.room) - 4 or not may_be(words, lower_byte(data[start]), length):
        return np.int64(-1)
    for i in range(length):
        words.room[i] = lower_byte(data[start + i])
    return find_word(words, length)


@inner
def lower_byte(byte: Any) -> Any:
    return byte | np.uint8(0x20) if 0x41 <= byte <= 0x5A else byte


@jit_bare
def _count_words(data: Any, offsets: Any, flags: Any, counts: Any) -> None:
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        words, chars, alpha = np.int64(0), np.int64(0), np.int64(0)
        while at < stop:
            length, starts, _, inside, leads, letters, _ = words_at(data, at, stop, flags, flags)
            if length == 0:
                _, at, size, kind = next_word(data, at, stop, flags)
                words, chars, alpha = words + 1, chars + size, alpha + (kind & ALPHA != 0)
                continue
            words += num_bits(starts)
            chars += num_bits(leads & (inside | starts))
            alpha += num_marked(inside, letters) + num_bits(letters & ~inside)
            at += length
        counts[row, 0], counts[row, 1], counts[row, 2] = words, chars, alpha


@jit_bare
def _count_distinct(
    data: Any, offsets: Any, flags: Any, solids: Any, lower: Any, words: Any, found: Any,
    counts: Any,
) -> None:  # fmt: skip
    """A word of ASCII is cut to what is between its outermost solid characters, and looked up."""
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop and counts[row] < len(found):
            length, starts, lasts, _, _, _, solid = words_at(data, at, stop, flags, solids)
            if length == 0:
                start, end, _, _ = next_word(data, at, stop, flags)
                _note(find_bare(data, start, end, words, flags, lower), row, found, counts)
                at = end
                continue
            high, solid = high_bits(data, at), solid | low_line_bits(data, at)
            while starts != NONE:
                start, end = lowest_bit(starts), lowest_bit(lasts) + 1
                starts, lasts = starts & (starts - ONE), lasts & (lasts - ONE)
                word = low_bits(end) & ~low_bits(start)
                if high & word != NONE or solid & word == NONE:
                    number = find_bare(data, at + start, at + end, words, flags, lower)
                else:
                    start, end = lowest_bit(solid & word), highest_bit(solid & word) + 1
                    number = find_ascii(data, at + start, at + end, words)
                _note(number, row, found, counts)
            at += length


@inner
def _note(number: Any, row: Any, found: Any, counts: Any) -> None:
    """Count a word of the set that the row has not shown."""
    if number >= 0 and found[number] != row:
        found[number] = row
        counts[row] += 1


@lru_cache(maxsize=1)
def word_characters() -> npt.NDArray[np.bool_]:
    r"""For every code point, whether it is `\w`."""
    found: npt.NDArray[np.bool_] = np.not_equal(character_flags() & WORD, 0)
    return found


def word_counts(texts: pa.Array) -> dict[str, npt.NDArray[np.int64]]:
    """Of each text the number of its words, of their characters, of words with a letter."""
    data, offsets = text_bytes(texts)
    counts = np.zeros((len(texts), len(COUNTS)), dtype=np.int64)
    _count_words(data, offsets, character_flags(), counts)
    return dict(zip(COUNTS, counts.T, strict=True))


def distinct_words_of(texts: pa.Array, words: WordSet) -> npt.NDArray[np.int64]:
    r"""How many of the set's words each text holds, lower-cased and without `\W` around them."""
    data, offsets = text_bytes(texts)
    counts = np.zeros(len(texts), dtype=np.int64)
    found = np.full(len(words.ends) - 1, -1, dtype=np.int64)
    _count_distinct(
        data, offsets, character_flags(), word_characters(), lower_codes(), own_room(words), found,
        counts,
    )  # fmt: skip
    return counts
