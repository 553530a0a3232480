"""Text -> 64-bit shingle hashes, in one pass over Arrow buffers.

The hash of a shingle is fixed for good; a change is another signature key. All arithmetic is mod
2^64, words are those of `pipeline.batch.split_words` on the normalised text:

    fnv(bytes)  = FNV-1a 64: h = 0xcbf29ce484222325; for each byte b: h = (h ^ b) * 0x100000001b3
    mix(x)      = MurmurHash3 fmix64
    w_i         = mix(fnv(UTF-8 bytes of word i))
    shingle     = mix(sum over i in 0..n-1 of w_i * 0x9e3779b97f4a7c15^(n-1-i))

A text of fewer than n words has one shingle of all of them (n = their number); a text without
words has none. Normalisation (`unicode_tables`) is part of the pass: nothing is written but hashes.

Shingles of characters take the code points of the normalised text instead of words, one space
between words that were apart, none at the ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.jit import jit
from stages.kernels.unicode_tables import (
    ALONE,
    DIGIT,
    DROPPED,
    LETTER,
    SEPARATOR,
    SEQUENCE,
    unicode_table,
)

UInt64s = npt.NDArray[np.uint64]

FNV_START = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)
TERM = np.uint64(0x9E3779B97F4A7C15)
REPLACEMENT = 0xFFFD
SLACK = 8
"""Free slots that a scan keeps: the most words or characters that one code point ends or makes (a
test)."""

_LETTERS_END = 1 << 24
"""Table entries of kind LETTER are below."""


@dataclass(frozen=True)
class Normalisation:
    """Switches of the text normalisation; each is part of the identity of a signature."""

    lower: bool = True
    digits: bool = True
    punctuation: bool = True
    marks: bool = True
    alphanumeric: bool = False
    """Words are runs of `\\w`, not those of `pipeline.batch.split_words`."""

    def tables(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """`entries` and `pool` of `unicode_tables`, for the kernels."""
        table = unicode_table(
            self.lower, self.digits, self.punctuation, self.marks, self.alphanumeric
        )
        return table.entries, table.pool


def text_buffers(texts: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """UTF-8 bytes and int64 offsets (length + 1) of a string column; a null has no bytes."""
    if texts.null_count:
        texts = texts.fill_null("")
    if texts.type != pa.large_string():
        texts = texts.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    first, last = texts.offset, texts.offset + len(texts) + 1
    where = np.frombuffer(offsets, dtype=np.int64)[first:last] if offsets else np.zeros(1, np.int64)
    return np.frombuffer(data or b"", dtype=np.uint8), where


def shingle_hashes(
    texts: pa.Array,
    ngram: int,
    normalisation: Normalisation,
    characters: bool = False,
    distinct: bool = False,
) -> tuple[UInt64s, npt.NDArray[np.int64]]:
    """The shingle hashes of all texts, and where each text's begin.

    In the order of the text and with repeats; with `distinct` ascending and without them.
    """
    data, offsets = text_buffers(texts)
    entries, pool = normalisation.tables()
    found: list[UInt64s] = []
    ends = np.zeros(len(texts) + 1, dtype=np.int64)
    for row in range(len(texts)):
        start, stop = offsets[row], offsets[row + 1]
        hashes = _hashes_of(data, start, stop, entries, pool, ngram, characters)
        found.append(np.unique(hashes) if distinct else hashes)
        hashes = found[-1]
        ends[row + 1] = ends[row] + len(hashes)
    return np.concatenate(found) if found else np.empty(0, np.uint64), ends


@jit
def _hashes_of(
    data: Any, start: Any, stop: Any, entries: Any, pool: Any, ngram: Any, characters: Any
) -> Any:
    """All shingle hashes of the text data[start:stop]."""
    words = np.empty(stop - start + SLACK, dtype=np.uint64)
    hashes = np.empty(len(words), dtype=np.uint64)
    carry = (np.uint64(0), False, False)
    if characters:
        _, count, carry = scan_characters(data, start, stop, entries, pool, carry, words, 0)
    else:
        _, count, carry = scan(data, start, stop, entries, pool, carry, words, 0)
        count = end_text(carry, words, count)
    return hashes[: make_shingles(words[:count], ngram, True, hashes)].copy()


@jit
def mix64(value: Any) -> Any:
    """MurmurHash3's 64-bit finaliser: a bijection in which every bit reaches every other."""
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@jit
def end_text(carry: Any, words: Any, count: Any) -> Any:
    """Write the word that a text ends in, if it does; gives the count of words."""
    word, in_word, _ = carry
    if in_word:
        words[count] = mix64(word)
        count += 1
    return count


@jit
def make_shingles(words: Any, ngram: Any, whole_text: Any, hashes: Any) -> Any:
    """Write the hash of every window of `ngram` words; gives their number.

    With `whole_text` too few words are one shingle.
    """
    if len(words) < ngram and (len(words) == 0 or not whole_text):
        return 0
    size = min(ngram, len(words))
    total, power = np.uint64(0), np.uint64(1)
    for i in range(size):
        total = total * TERM + words[i]
        power *= TERM
    hashes[0] = mix64(total)
    for i in range(size, len(words)):
        total = total * TERM + words[i] - words[i - size] * power
        hashes[i - size + 1] = mix64(total)
    return len(words) - size + 1


@jit
def decode(data: Any, at: Any, stop: Any) -> Any:
    """The code point at a byte that is not ASCII, and its length. Never reads beyond `stop`."""
    lead = np.int64(data[at])
    if 0xC2 <= lead < 0xE0 and at + 1 < stop:
        return (lead & 0x1F) << 6 | (np.int64(data[at + 1]) & 0x3F), 2
    if 0xE0 <= lead < 0xF0 and at + 2 < stop:
        middle = (np.int64(data[at + 1]) & 0x3F) << 6
        return (lead & 0x0F) << 12 | middle | (np.int64(data[at + 2]) & 0x3F), 3
    if 0xF0 <= lead < 0xF5 and at + 3 < stop:
        middle = (np.int64(data[at + 1]) & 0x3F) << 12 | (np.int64(data[at + 2]) & 0x3F) << 6
        code = (lead & 0x07) << 18 | middle | (np.int64(data[at + 3]) & 0x3F)
        return (code, 4) if code < 0x110000 else (REPLACEMENT, 4)
    return REPLACEMENT, 1


@jit
def hash_byte(value: Any, byte: Any) -> Any:
    return (value ^ np.uint64(byte)) * FNV_PRIME


@jit
def hash_code(value: Any, code: Any) -> Any:
    """FNV-1a over the UTF-8 bytes of one code point."""
    if code < 0x80:
        return hash_byte(value, code)
    if code < 0x800:
        value = hash_byte(value, 0xC0 | code >> 6)
    else:
        if code < 0x10000:
            value = hash_byte(value, 0xE0 | code >> 12)
        else:
            value = hash_byte(value, 0xF0 | code >> 18)
            value = hash_byte(value, 0x80 | (code >> 12 & 0x3F))
        value = hash_byte(value, 0x80 | (code >> 6 & 0x3F))
    return hash_byte(value, 0x80 | (code & 0x3F))


@jit
def scan(
    data: Any, at: Any, stop: Any, entries: Any, pool: Any, carry: Any, words: Any, count: Any
) -> Any:
    """Append word hashes from byte `at` on, until `stop` or until `words` has no room.

    Gives (at, count, carry). Called again with them it goes on where it stopped, so that a text of
    any length needs a fixed amount of memory. `carry` is (FNV of the open word, whether a word is
    open, whether a digit came last); it starts as (0, False, False).
    """
    room = len(words) - SLACK
    word, in_word, after_digit = carry
    while at < stop and count < room:
        code, size = np.int64(data[at]), np.int64(1)
        if code < 0x80:
            entry = np.int64(entries[code])
            if entry < _LETTERS_END:  # the common case first: an ASCII letter
                word = hash_byte(word if in_word else FNV_START, entry)
                in_word, after_digit = True, False
                at += 1
                continue
        else:
            code, size = decode(data, at, stop)
            entry = np.int64(entries[code])
        at += size
        parts, first = np.int64(1), np.int64(-1)
        if entry >> 24 == SEQUENCE:
            first = entry & 0xFFFFFF
            parts = np.int64(pool[first])
        for part in range(parts):
            if first >= 0:
                entry = np.int64(pool[first + 1 + part])
            kind, code = entry >> 24, entry & 0xFFFFFF
            if kind == DROPPED or (kind == DIGIT and after_digit):
                continue
            after_digit = kind == DIGIT
            if kind == LETTER or after_digit:
                word = hash_code(word if in_word else FNV_START, code)
                in_word = True
                continue
            if in_word:
                words[count] = mix64(word)
                count += 1
                in_word = False
            if kind == ALONE:
                words[count] = mix64(hash_code(FNV_START, code))
                count += 1
    return at, count, (word, in_word, after_digit)


@jit
def scan_characters(
    data: Any, at: Any, stop: Any, entries: Any, pool: Any, carry: Any, units: Any, count: Any
) -> Any:
    """Append the hashes of characters as `scan` does those of words; a character is hashed as a
    word of its own would be.

    `carry` is (1 once a character was met, whether a space is due, whether a digit came last); it
    starts as (0, False, False).
    """
    room = len(units) - SLACK
    started, space_due, after_digit = carry
    while at < stop and count < room:
        code, size = np.int64(data[at]), np.int64(1)
        if code >= 0x80:
            code, size = decode(data, at, stop)
        entry = np.int64(entries[code])
        at += size
        parts, first = np.int64(1), np.int64(-1)
        if entry >> 24 == SEQUENCE:
            first = entry & 0xFFFFFF
            parts = np.int64(pool[first])
        for part in range(parts):
            if first >= 0:
                entry = np.int64(pool[first + 1 + part])
            kind, code = entry >> 24, entry & 0xFFFFFF
            if kind == DROPPED or (kind == DIGIT and after_digit):
                continue
            after_digit = kind == DIGIT
            if kind == SEPARATOR:
                space_due = started > 0
                continue
            if space_due:
                units[count] = mix64(hash_byte(FNV_START, 0x20))
                count += 1
            units[count] = mix64(hash_code(FNV_START, code))
            count += 1
            started, space_due = np.uint64(1), False
    return at, count, (started, space_due, after_digit)
