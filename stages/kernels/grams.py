"""Runs of words of known texts, looked for in other texts: one pass over Arrow buffers.

Words and their 64-bit hashes are those of `shingles`. A known run (a gram) is found by the hash of
its first words in an open-addressing table and then compared word by word, so that two runs pass
for one only if two different words have the same hash. Among 10^7 different words of a corpus and
10^5 of benchmarks some such pair exists with a probability of 10^12 / 2^64, below one in ten
million; a false hit needs that pair in runs that are equal otherwise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.jit import inner, jit, jit_bare
from stages.kernels.shingles import (
    SLACK,
    TERM,
    Normalisation,
    decode,
    end_text,
    mix64,
    scan,
    text_buffers,
)
from stages.kernels.unicode_tables import ALONE, DIGIT, DROPPED, LETTER, SEQUENCE

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

WORDS = Normalisation(lower=True, digits=False, punctuation=True, marks=True)
"""Case, accents and punctuation do not count; digits do."""
_CHUNK = 1 << 14
"""Words that are held of a text at a time."""
_FILTER_BITS = 16
"""Bits of a filter a gram, of which three are set: one in a hundred other runs gets past it."""


class Grams(NamedTuple):
    """What the kernel looks up. Gram g is words[first[g]:first[g] + size[g]]."""

    words: UInt64s
    first: Int64s
    size: npt.NDArray[np.int32]
    seed: npt.NDArray[np.int32]
    """So many first words of a gram must be there as they are."""
    seeds: npt.NDArray[np.int32]
    """The distinct values of `seed`."""
    keys: UInt64s
    """Hash of a gram's seed, by slot."""
    slots: npt.NDArray[np.int32]
    """Number of a gram, or -1; grams of one seed stand in several slots."""
    filters: npt.NDArray[np.uint64]
    """For each length of a seed a Bloom filter whose bits of one key stand in one number."""
    filter_first: Int64s
    """Where the filter of each length begins; as long as a power of two."""
    skips: int
    """Words behind the seed, the last one excepted, that may differ."""


class Hits(NamedTuple):
    """Where grams stand in a text."""

    gram: Int64s
    start: Int64s
    """In bytes of the text."""
    end: Int64s


@inner
def _seed_hash(words: Any, at: Any, size: Any) -> Any:
    total = np.uint64(0)
    for i in range(size):
        total = total * TERM + words[at + i]
    return mix64(total + np.uint64(size))


@inner
def _filter_bits(key: Any) -> Any:
    one = np.uint64(1)
    low = one << (key & np.uint64(63)) | one << (key >> np.uint64(6) & np.uint64(63))
    return low | one << (key >> np.uint64(12) & np.uint64(63))


@jit
def _fill(words: Any, first: Any, seed: Any, keys: Any, slots: Any, filters: Any, at: Any) -> None:
    """`at` holds, for each gram, the first number and the length of its filter."""
    mask = len(slots) - 1
    for gram in range(len(first)):
        key = _seed_hash(words, first[gram], seed[gram])
        filters[at[gram, 0] + (np.int64(key >> np.uint64(20)) & (at[gram, 1] - 1))] |= _filter_bits(
            key
        )
        slot = np.int64(key >> np.uint64(20)) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = gram
        keys[slot] = key


def make_grams(
    words: UInt64s, first: Int64s, size: npt.NDArray[np.int32], seed: npt.NDArray[np.int32],
    skips: int,
) -> Grams:  # fmt: skip
    """The table of grams that are all different."""
    slots = np.full(1 << (2 * len(first) + 1).bit_length(), -1, np.int32)
    keys = np.zeros(len(slots), np.uint64)
    seeds, which, counts = np.unique(seed, return_inverse=True, return_counts=True)
    lengths = [1 << (_FILTER_BITS * count // 64).bit_length() for count in counts.tolist()]
    begins = np.cumsum([0, *lengths], dtype=np.int64)
    filters = np.zeros(begins[-1], np.uint64)
    at = np.stack([begins[which], np.array(lengths or [0], np.int64)[which]], axis=1)
    _fill(words, first, seed, keys, slots, filters, at)
    return Grams(words, first, size, seed, seeds, keys, slots, filters, begins, skips)


@inner
def _stands(words: Any, at: Any, count: Any, gram: Any, grams: Any) -> Any:
    """True if the gram stands in words[:count] at `at`, but for the words that may differ."""
    first, size, seed = grams.first[gram], np.int64(grams.size[gram]), grams.seed[gram]
    if at + size > count or words[at + size - 1] != grams.words[first + size - 1]:
        return False
    differ = 0
    for i in range(size - 1):
        if words[at + i] != grams.words[first + i]:
            differ += 1
            if i < seed or differ > grams.skips:
                return False
    return True


@inner
def _look_up(
    words: Any, starts: Any, count: Any, which: Any, base: Any, grams: Any, found: Any, hits: Any
) -> Any:
    """Add the grams with a seed of seeds[which] words that begin in words[:starts].

    Gives the count of hits; those beyond the room of `found` are counted and not written.
    """
    size = np.int64(grams.seeds[which])
    begin = grams.filter_first[which]
    mask, last = len(grams.slots) - 1, grams.filter_first[which + 1] - begin - 1
    total, power = np.uint64(0), np.uint64(1)
    for i in range(min(size, count)):
        total = total * TERM + words[i]
        power *= TERM
    for at in range(min(starts, count - size + 1)):
        if at > 0:
            total = total * TERM + words[at + size - 1] - words[at - 1] * power
        key = mix64(total + np.uint64(size))
        slot = np.int64(key >> np.uint64(20))
        bits = _filter_bits(key)
        if grams.filters[begin + (slot & last)] & bits != bits:
            continue
        slot &= mask
        while grams.slots[slot] >= 0:
            gram = np.int64(grams.slots[slot])
            same = grams.keys[slot] == key and grams.seed[gram] == size
            if same and _stands(words, at, count, gram, grams):
                if hits < len(found):
                    found[hits, 0] = gram
                    found[hits, 1] = base + at
                hits += 1
            slot = (slot + 1) & mask
    return hits


@jit_bare
def find_grams(
    data: Any, at: Any, stop: Any, entries: Any, pool: Any, longest: Any, grams: Any, words: Any,
    found: Any,
) -> Any:  # fmt: skip
    """Write (gram, number of its first word) of all grams in the text data[at:stop].

    Gives how many there are, and the number of words. A text of any length needs a fixed amount of
    memory: the last words of a chunk, in which a gram may begin, are looked at with the next one.
    """
    carry = (np.uint64(0), False, False)
    count, base, hits = 0, 0, 0
    while True:
        at, count, carry = scan(data, at, stop, entries, pool, carry, words, count)
        done = at >= stop
        if done:
            count = end_text(carry, words, count)
        starts = count if done else max(0, count - longest + 1)
        for which in range(len(grams.seeds)):
            hits = _look_up(words, starts, count, which, base, grams, found, hits)
        if done:
            return hits, base + count
        for i in range(starts, count):
            words[i - starts] = words[i]
        base += starts
        count -= starts


@jit
def word_places(data: Any, at: Any, stop: Any, entries: Any, pool: Any, places: Any) -> Any:
    """Write where each word of data[at:stop] begins and ends, as `shingles.scan` cuts them.

    Gives their number. A mark or format character that is dropped ends with its word.
    """
    count, in_word, after_digit = 0, False, False
    while at < stop:
        begin, code, size = at, np.int64(data[at]), np.int64(1)
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
            kind = entry >> 24
            if kind == DROPPED or (kind == DIGIT and after_digit):
                if in_word:
                    places[count, 1] = at
                continue
            after_digit = kind == DIGIT
            if kind == LETTER or after_digit:
                if not in_word:
                    places[count, 0] = begin
                places[count, 1] = at
                in_word = True
                continue
            count += in_word
            in_word = False
            if kind == ALONE:
                places[count, 0], places[count, 1] = begin, at
                count += 1
    return count + in_word


def word_hashes(texts: pa.Array) -> tuple[UInt64s, Int64s]:
    """The word hashes of all texts one after the other, and where each text's begin."""
    data, offsets = text_buffers(texts)
    entries, pool = WORDS.tables()
    return _word_hashes(data, offsets, entries, pool)  # type: ignore[no-any-return]


@jit
def _word_hashes(data: Any, offsets: Any, entries: Any, pool: Any) -> Any:
    words = np.empty(offsets[-1] - offsets[0] + SLACK * (len(offsets) + 1), dtype=np.uint64)
    ends = np.zeros(len(offsets), dtype=np.int64)
    count = 0
    for row in range(len(offsets) - 1):
        carry = (np.uint64(0), False, False)
        start, stop = offsets[row], offsets[row + 1]
        _, count, carry = scan(data, start, stop, entries, pool, carry, words, count)
        count = end_text(carry, words, count)
        ends[row + 1] = count
    return words[:count].copy(), ends


def gram_hits(texts: pa.Array, grams: Grams) -> dict[int, Hits]:
    """Row -> hits of every text that has any, in order of (start, gram)."""
    data, offsets = text_buffers(texts)
    entries, pool = WORDS.tables()
    longest = int(grams.size.max(initial=1))
    room = np.empty((256, 2), dtype=np.int64)
    words = np.empty(_CHUNK + longest + SLACK, dtype=np.uint64)
    rows: dict[int, Hits] = {}
    for row in range(len(texts)):
        bounds = (data, offsets[row], offsets[row + 1], entries, pool)
        hits, count = find_grams(*bounds, longest, grams, words, room)
        if hits > len(room):
            room = np.empty((2 * hits, 2), dtype=np.int64)
            find_grams(*bounds, longest, grams, words, room)
        if hits:
            found = room[:hits]
            found = found[np.lexsort((found[:, 0], found[:, 1]))]
            places = np.empty((count + SLACK, 2), dtype=np.int64)
            word_places(*bounds, places)
            places -= offsets[row]
            last = found[:, 1] + grams.size[found[:, 0]] - 1
            rows[row] = Hits(found[:, 0], places[found[:, 1], 0], places[last, 1])
    return rows
