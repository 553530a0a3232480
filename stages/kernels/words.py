"""Words of a text, and what Gopher's quality filter counts of them.

A word is that of `pipeline.batch.split_words`: a run of characters that are not white space, or one
character of a script that is written without spaces. Words are handed out one by one; what is kept
of a batch are counts. The places of all its words would take several times the memory of its text,
and finding them again costs a few nanoseconds a byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.characters import (
    ALONE,
    CASED,
    IGNORABLE,
    SPACE,
    WORD,
    character_flags,
    lower_codes,
    read,
)
from stages.kernels.fold import put_code
from stages.kernels.jit import inner, jit
from stages.kernels.shingles import mix64, text_buffers
from stages.kernels.unicode_tables import DOTTED_I, DOTTED_I_LOWER

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
    room: npt.NDArray[np.uint8]
    """Where a candidate is written: the longest word and one more character. See `own_room`."""


def word_set(words: Iterable[str]) -> WordSet:
    """The distinct words, numbered in the order of their bytes."""
    stored = sorted({word.encode() for word in words})
    ends = np.cumsum([0, *map(len, stored)], dtype=np.int64)
    data = np.frombuffer(b"".join(stored) or b"\0", dtype=np.uint8)
    slots = np.full(1 << (2 * len(stored) + 1).bit_length(), -1, dtype=np.int32)
    _fill_slots(data, ends, slots)
    return WordSet(data, ends, slots, np.empty(max(map(len, stored), default=0) + 4, np.uint8))


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


@jit
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


@jit
def _count_words(data: Any, offsets: Any, flags: Any, counts: Any) -> None:
    """What `next_word` finds, counted without a branch a word: twice as fast.

    `inside` is 1 behind a character that the next one may continue, `lettered` in a word that has
    a letter.
    """
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        words, chars, alpha = np.int64(0), np.int64(0), np.int64(0)
        inside, lettered = np.int64(0), np.int64(0)
        while at < stop:
            code, size = read(data, at, stop)
            at += size
            kind = np.int64(flags[code])
            visible, alone, letter = 1 - (kind & 1), kind >> 1 & 1, kind >> 2 & 1
            begins = visible & (1 - inside | alone)
            lettered &= 1 - begins
            words += begins
            chars += visible
            alpha += letter & 1 - lettered
            lettered |= letter
            inside = visible & 1 - alone
        counts[row, 0], counts[row, 1], counts[row, 2] = words, chars, alpha


@jit
def _count_distinct(
    data: Any, offsets: Any, flags: Any, lower: Any, words: Any, found: Any, counts: Any
) -> None:
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop and counts[row] < len(found):
            start, at, _, _ = next_word(data, at, stop, flags)
            number = find_bare(data, start, at, words, flags, lower) if start < at else -1
            if number >= 0 and found[number] != row:
                found[number] = row
                counts[row] += 1


def word_counts(texts: pa.Array) -> dict[str, npt.NDArray[np.int64]]:
    """Of each text the number of its words, of their characters, of words with a letter."""
    data, offsets = text_buffers(texts)
    counts = np.zeros((len(texts), len(COUNTS)), dtype=np.int64)
    _count_words(data, offsets, character_flags(), counts)
    return dict(zip(COUNTS, counts.T, strict=True))


def distinct_words_of(texts: pa.Array, words: WordSet) -> npt.NDArray[np.int64]:
    r"""How many of the set's words each text holds, lower-cased and without `\W` around them."""
    data, offsets = text_buffers(texts)
    counts = np.zeros(len(texts), dtype=np.int64)
    found = np.full(len(words.ends) - 1, -1, dtype=np.int64)
    _count_distinct(data, offsets, character_flags(), lower_codes(), own_room(words), found, counts)
    return counts
