"""Byte-level BPE of one piece: its bytes joined to tokens as Hugging Face `tokenizers` does.

Of all pairs of neighbours that merge, the one whose merge comes first in the vocabulary is joined,
of equal ones the leftmost, until none is left. A piece of n <= SHORT bytes is joined by a loop of
n^2 steps at most, a longer one by a heap: n log n.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stages.kernels.jit import inner, jit_bare, leaf

ID_BITS = 21
"""Ids and merges must be less than 2^21 - 1."""
NONE = np.uint32(0xFFFFFFFF)
"""Stands where a pair of ids does not merge."""
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
SHORT = 48
"""Bytes; up to here the loop is faster than the heap."""
_ID = np.uint64(ID_BITS)
_MERGE = np.uint64((1 << ID_BITS) - 1)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)


class Merges(NamedTuple):
    """A vocabulary as tables, small ones: they are read at random. A merge is its rank."""

    byte_ids: Any
    """Byte -> id."""
    byte_pairs: Any
    """first byte << 8 | second byte -> merge, or NONE."""
    pairs: Any
    """Open table of left id << 42 | right id << 21 | merge, or EMPTY; at most half full."""
    known: Any
    """A bit for each hash of a pair that merges, so that most pairs that do not are told at once:
    as many bytes as `pairs` has slots, a power of two."""
    made: Any
    """Merge -> id of the new token."""
    whole_slots: Any
    """Open table of the pieces that are one token whatever the merges say: row, or -1."""
    whole_ends: Any
    """Row i is whole_text[whole_ends[i]:whole_ends[i + 1]]."""
    whole_text: Any
    whole_ids: Any


class Work(NamedTuple):
    """Room to merge a piece in; `heap` has twice as many places as the others."""

    ids: Any
    merges: Any
    before: Any
    behind: Any
    heap: Any


@inner
def _pair_slot(pairs: Any, left: Any, right: Any) -> Any:
    """Where the pair stands in the table, or the free slot for it."""
    mask = np.uint64(len(pairs) - 1)
    key = np.uint64(left) << _ID | np.uint64(right)
    value = key * _PRIME
    at = (value ^ value >> _HALF) & mask
    while pairs[at] >> _ID != key and pairs[at] != EMPTY:
        at = (at + _ONE) & mask
    return at


@inner
def _known_bit(known: Any, left: Any, right: Any) -> Any:
    """The bit of a pair in `known`."""
    value = (np.uint64(left) << _ID | np.uint64(right)) * _PRIME
    return value >> np.uint64(36) & np.uint64(8 * len(known) - 1)


@inner
def _merge_of(merges: Any, left: Any, right: Any) -> Any:
    """The merge of two ids, or NONE."""
    bit = _known_bit(merges.known, left, right)
    if not merges.known[bit >> np.uint64(3)] >> (bit & np.uint64(7)) & 1:
        return NONE
    found = merges.pairs[_pair_slot(merges.pairs, left, right)]
    return NONE if found == EMPTY else np.uint32(found & _MERGE)


@inner
def word(text: Any, at: Any, size: Any) -> Any:
    """`size` <= 8 bytes as a number."""
    value = np.uint64(0)
    for step in range(size):
        value |= np.uint64(text[at + step]) << np.uint64(8 * step)
    return value


@leaf
def long_hash(text: Any, at: Any, end: Any) -> Any:
    """A hash of a piece. Its value reaches no output."""
    value = np.uint64(end - at)
    while at < end:
        value = (value ^ word(text, at, min(end - at, 8))) * _PRIME
        value ^= value >> _HALF
        at += 8
    return value


@leaf
def same(text: Any, at: Any, size: Any, other: Any, begin: Any) -> Any:
    """True if so many bytes are the same."""
    step = 0
    while step < size and text[at + step] == other[begin + step]:
        step += 1
    return step == size


@inner
def _whole_slot(merges: Any, text: Any, at: Any, end: Any) -> Any:
    """Where text[at:end] stands in the table of whole pieces, or the free slot for it."""
    mask = np.uint64(len(merges.whole_slots) - 1)
    slot = long_hash(text, at, end) & mask
    row = merges.whole_slots[slot]
    while row >= 0:
        begin = merges.whole_ends[row]
        if merges.whole_ends[row + 1] - begin == end - at and same(
            text, at, end - at, merges.whole_text, begin
        ):
            break
        slot = (slot + _ONE) & mask
        row = merges.whole_slots[slot]
    return slot


@jit_bare
def fill(merges: Any, left: Any, right: Any) -> bool:
    """Fill the empty tables of `merges`, merge i of left[i] and right[i]; False if one is twice."""
    pairs = merges.pairs
    for row in range(len(left)):
        at = _pair_slot(pairs, left[row], right[row])
        if pairs[at] != EMPTY:
            return False
        pairs[at] = (np.uint64(left[row]) << _ID | np.uint64(right[row])) << _ID | np.uint64(row)
        bit = _known_bit(merges.known, left[row], right[row])
        merges.known[bit >> np.uint64(3)] |= np.uint8(1) << np.uint8(bit & np.uint64(7))
    for first in range(256):
        for second in range(256):
            found = _merge_of(merges, merges.byte_ids[first], merges.byte_ids[second])
            merges.byte_pairs[first << 8 | second] = found
    for row in range(len(merges.whole_ids)):
        begin, end = merges.whole_ends[row], merges.whole_ends[row + 1]
        merges.whole_slots[_whole_slot(merges, merges.whole_text, begin, end)] = row
    return True


@inner
def _merged_by_loop(text: Any, at: Any, end: Any, merges: Any, work: Any) -> Any:
    """The ids of a short piece in work.ids; their number.

    An id stands where its bytes begin. The least merge is found without a branch, then its place.
    """
    ids, found, before, behind = work.ids, work.merges, work.before, work.behind
    size = end - at
    last = np.int64(text[at])
    ids[0] = merges.byte_ids[last]
    for step in range(1, size):
        byte = np.int64(text[at + step])
        ids[step] = merges.byte_ids[byte]
        found[step - 1] = merges.byte_pairs[last << 8 | byte]
        before[step], behind[step - 1] = step - 1, step
        last = byte
    before[0], behind[size - 1], found[size - 1] = -1, size, NONE
    number = size
    while True:
        best = NONE
        for step in range(size):
            best = min(best, found[step])
        if best == NONE:
            break
        place = np.int64(0)
        while found[place] != best:
            place += 1
        gone = np.int64(behind[place])
        following, left = np.int64(behind[gone]), np.int64(before[place])
        token = merges.made[best]
        ids[place] = token
        behind[place] = following
        found[gone] = found[place] = NONE
        if following < size:
            before[following] = place
            found[place] = _merge_of(merges, token, ids[following])
        if left >= 0:
            found[left] = _merge_of(merges, ids[left], token)
        number -= 1
    place = np.int64(0)
    for step in range(number):
        ids[step] = ids[place]
        place = np.int64(behind[place])
    return number


@leaf
def _push(heap: Any, size: Any, value: Any) -> None:
    at = size
    while at > 0 and heap[(at - 1) >> 1] > value:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = value


@leaf
def _sink(heap: Any, at: Any, size: Any, value: Any) -> None:
    """Put a value at place `at` of a heap whose places below it are in order, or deeper."""
    child = 2 * at + 1
    while child < size:
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[at] = heap[child]
        at, child = child, 2 * child + 1
    heap[at] = value


@leaf
def _first_heap(text: Any, at: Any, size: Any, merges: Any, work: Any) -> Any:
    """The piece as bytes in `work`, its pairs that merge as a heap: their number."""
    waiting = 0
    for step in range(size):
        work.ids[step] = merges.byte_ids[text[at + step]]
        work.before[step], work.behind[step] = step - 1, step + 1
        work.merges[step] = NONE
        if step + 1 < size:
            pair = np.int64(text[at + step]) << 8 | np.int64(text[at + step + 1])
            work.merges[step] = merges.byte_pairs[pair]
        if work.merges[step] != NONE:
            work.heap[waiting] = np.uint64(work.merges[step]) << _HALF | np.uint64(step)
            waiting += 1
    for place in range(waiting // 2 - 1, -1, -1):
        _sink(work.heap, place, waiting, work.heap[place])
    return waiting


@leaf
def _merged_by_heap(text: Any, at: Any, end: Any, merges: Any, work: Any) -> Any:
    """The ids of a long piece in work.ids; their number.

    The heap holds (rank, place); one is stale if the pair at its place has another rank now. Each
    of at most size - 1 merges adds two.
    """
    ids, found, before, behind, heap = work
    size = end - at
    waiting = _first_heap(text, at, size, merges, work)
    while waiting:
        top = heap[0]
        waiting -= 1
        _sink(heap, 0, waiting, heap[waiting])
        place = np.int64(top & _LOW)
        if np.uint64(found[place]) != top >> _HALF:
            continue
        ids[place] = merges.made[found[place]]
        gone = np.int64(behind[place])
        behind[place] = behind[gone]
        found[gone], found[place] = NONE, NONE
        if behind[place] < size:
            before[behind[place]] = place
            found[place] = _merge_of(merges, ids[place], ids[behind[place]])
            if found[place] != NONE:
                _push(heap, waiting, np.uint64(found[place]) << _HALF | np.uint64(place))
                waiting += 1
        left = np.int64(before[place])
        if left >= 0:
            found[left] = _merge_of(merges, ids[left], ids[place])
            if found[left] != NONE:
                _push(heap, waiting, np.uint64(found[left]) << _HALF | np.uint64(left))
                waiting += 1
    number, place = 0, np.int64(0)
    while place < size:
        ids[number] = ids[place]
        number, place = number + 1, np.int64(behind[place])
    return number


@inner
def merged(text: Any, at: Any, end: Any, merges: Any, work: Any) -> Any:
    """The ids of a piece in work.ids; their number."""
    if len(merges.whole_ids):
        row = merges.whole_slots[_whole_slot(merges, text, at, end)]
        if row >= 0:
            work.ids[0] = merges.whole_ids[row]
            return 1
    if end - at <= SHORT:
        return _merged_by_loop(text, at, end, merges, work)
    return _merged_by_heap(text, at, end, merges, work)
