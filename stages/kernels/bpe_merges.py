"""Merges of byte-level BPE from counted pieces, in the order of Hugging Face `tokenizers`.

Same result as `BpeTrainer.do_train` of tokenizers 0.23 (models/bpe/trainer.rs), step by step:

- The next merge is the pair with the highest count, of equal ones that with the smaller left id,
  then the smaller right id. A queue holds each pair with the count that it had; one that has
  changed since is put back with its count of now.
- A merge replaces the pair from left to right in the pieces that stand with it in the queue. A pair
  that was merged keeps its count, less what its own overlaps ("aaa") took away.
- Bytes that already are a token give no new one: the merge leads to that token.
- It ends when the vocabulary is full, or when no pair is left with `min_frequency`, 1 at least.

Counts are 64 bits here and 32 there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stages.kernels.jit import inner, jit, leaf
from stages.kernels.piece_counts import copy, hash_piece, same_piece

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROOM = 1 << 14


class Pairs(NamedTuple):
    """Every pair of neighbours that was ever met, in an open table."""

    slots: Any
    """Number of a pair, or -1; as many as a power of two, at most half full."""
    keys: Any
    """left id << 32 | right id."""
    counts: Any
    fresh: Any
    """Pieces met with the pair since the last merge; then where the next one is written."""
    last: Any
    """The last of those pieces, or -1."""
    size: Any
    """Number of pairs, in an array of one."""


class Tokens(NamedTuple):
    """Token t is text[ends[t]:ends[t + 1]]; an empty one can be no merge's result."""

    text: Any
    ends: Any
    slots: Any
    size: Any
    """Number of tokens, in an array of one."""


class Queue(NamedTuple):
    """A binary heap of pairs with the pieces in which they are to be merged."""

    heap: Any
    """Rows (count, key, first place, end of places)."""
    places: Any
    """Numbers of pieces."""
    sizes: Any
    """[rows of the heap, places] in use."""


@jit
def _grown(array: Any, least: Any) -> Any:
    """A copy with room for half as many more, and for `least`."""
    room = max(np.int64(least), np.int64(len(array) + len(array) // 2 + 16))
    found = np.empty((room, *array.shape[1:]), array.dtype)
    if array.ndim == 1:
        copy(array, 0, len(array), found, 0)
    else:
        copy(array.ravel(), 0, array.size, found.ravel(), 0)
    return found


@inner
def _pair_slot(key: Any, slots: Any, keys: Any) -> Any:
    """Where the pair stands in the table, or the free place for it."""
    mask = np.uint64(len(slots) - 1)
    value = key * np.uint64(0x9E3779B97F4A7C15)
    at = (value ^ value >> np.uint64(32)) & mask
    while slots[at] >= 0 and keys[slots[at]] != key:
        at = (at + np.uint64(1)) & mask
    return np.int64(at)


@jit
def _with_pair(key: Any, pairs: Any) -> Any:
    """The pairs with a new one that counts 0: its number is the last."""
    slots, keys, counts, fresh, last, size = pairs
    number = size[0]
    if number == len(keys):
        keys, counts = _grown(keys, 0), _grown(counts, 0)
        fresh, last = _grown(fresh, 0), _grown(last, 0)
    if 2 * number >= len(slots):
        slots = np.full(4 * len(slots), -1, np.int32)
        for pair in range(number):
            slots[_pair_slot(keys[pair], slots, keys)] = pair
    slots[_pair_slot(key, slots, keys)] = number
    keys[number], counts[number], fresh[number], last[number] = key, 0, 0, -1
    size[0] += 1
    return Pairs(slots, keys, counts, fresh, last, size)


@jit
def _applied(
    changes: Any, number: Any, weight: Any, piece: Any, pairs: Any, met: Any, seen: Any
) -> Any:
    """Counts changed by (key, +1 or -1); pairs that came are noted: (pairs, met, seen)."""
    for row in range(number):
        key = np.uint64(changes[row, 0])
        pair = np.int64(pairs.slots[_pair_slot(key, pairs.slots, pairs.keys)])
        if pair < 0:
            pairs = _with_pair(key, pairs)
            pair = pairs.size[0] - 1
        pairs.counts[pair] += changes[row, 1] * weight
        if changes[row, 1] > 0 and pairs.last[pair] != piece:
            if seen == len(met):
                met = _grown(met, 0)
            met[seen, 0], met[seen, 1] = pair, piece
            pairs.last[pair] = piece
            pairs.fresh[pair] += 1
            seen += 1
    return pairs, met, seen


@inner
def _before(heap: Any, left: Any, right: Any) -> Any:
    """True if row `left` of the queue is popped before row `right`."""
    if heap[left, 0] != heap[right, 0]:
        return heap[left, 0] > heap[right, 0]
    if heap[left, 1] != heap[right, 1]:
        return heap[left, 1] < heap[right, 1]
    return heap[left, 2] < heap[right, 2]


@inner
def _swap(heap: Any, left: Any, right: Any) -> None:
    for column in range(4):
        heap[left, column], heap[right, column] = heap[right, column], heap[left, column]


@leaf
def _rise(heap: Any, at: Any) -> None:
    while at > 0 and _before(heap, at, (at - 1) >> 1):
        _swap(heap, at, (at - 1) >> 1)
        at = (at - 1) >> 1


@leaf
def _sink(heap: Any, size: Any) -> None:
    at, child = 0, 1
    while child < size:
        if child + 1 < size and _before(heap, child + 1, child):
            child += 1
        if not _before(heap, child, at):
            return
        _swap(heap, at, child)
        at, child = child, 2 * child + 1


@jit
def _queued(queue: Any, pairs: Any, met: Any, seen: Any) -> Any:
    """The queue with the pairs that were met; `met` holds (pair, piece), pieces ascending."""
    heap, places, sizes = queue
    if sizes[1] + seen > len(places):
        places = _grown(places, sizes[1] + seen)
    for row in range(seen):
        pair, piece = met[row, 0], met[row, 1]
        if pairs.last[pair] >= 0:  # the first of the pair's rows
            pairs.last[pair] = -1
            size, used = sizes[0], sizes[1]
            if pairs.counts[pair] <= 0:
                pairs.fresh[pair] = -1
                continue
            if size == len(heap):
                heap = _grown(heap, 0)
            heap[size, 0], heap[size, 1] = pairs.counts[pair], np.int64(pairs.keys[pair])
            heap[size, 2], heap[size, 3] = used, used + pairs.fresh[pair]
            _rise(heap, size)
            sizes[0] += 1
            sizes[1] += pairs.fresh[pair]
            pairs.fresh[pair] = used
        if pairs.fresh[pair] >= 0:
            places[pairs.fresh[pair]] = piece
            pairs.fresh[pair] += 1
    for row in range(seen):
        pairs.fresh[met[row, 0]] = 0
    return Queue(heap, places, sizes)


@inner
def _token_slot(text: Any, ends: Any, slots: Any, start: Any, end: Any) -> Any:
    """Where the token text[start:end] stands in the table, or the free place for it."""
    mask = np.int64(len(slots) - 1)
    at = np.int64(hash_piece(text, start, end) & np.uint64(mask))
    while slots[at] >= 0:
        begin = ends[slots[at]]
        if ends[slots[at] + 1] - begin == end - start and same_piece(text, start, end, text, begin):
            break
        at = (at + 1) & mask
    return at


@jit
def _tokens(text: Any, ends: Any, most: Any) -> Any:
    """The first tokens, in a table with room for `most`."""
    number = len(ends) - 1
    room = 1024
    while room < 2 * (most + number):
        room *= 2
    slots = np.full(room, -1, np.int32)
    for token in range(number):
        if ends[token + 1] > ends[token]:
            slots[_token_slot(text, ends, slots, ends[token], ends[token + 1])] = token
    return Tokens(text, _grown(ends, number + most + 1), slots, np.array([number]))


@jit
def _joined(tokens: Any, left: Any, right: Any) -> Any:
    """(id of left + right, tokens with it): a new id unless those bytes are a token already."""
    text, ends, slots, size = tokens
    number = size[0]
    used = ends[number]
    middle = used + ends[left + 1] - ends[left]
    end = middle + ends[right + 1] - ends[right]
    if end > len(text):
        text = _grown(text, end)
    copy(text, ends[left], ends[left + 1], text, used)
    copy(text, ends[right], ends[right + 1], text, middle)
    at = _token_slot(text, ends, slots, used, end)
    if slots[at] >= 0:
        return np.int64(slots[at]), Tokens(text, ends, slots, size)
    ends[number + 1] = end
    slots[at] = number
    size[0] += 1
    return number, Tokens(text, ends, slots, size)


@inner
def _key(left: Any, right: Any) -> Any:
    return np.int64(left) << 32 | np.int64(right)


@leaf
def _merge_piece(
    symbols: Any, start: Any, end: Any, left: Any, right: Any, token: Any, changes: Any
) -> Any:
    """The pair replaced in symbols[start:end]: (new end, number of changes written)."""
    write, at, number = start, start, 0
    while at < end:
        if at + 1 == end or symbols[at] != left or symbols[at + 1] != right:
            symbols[write] = symbols[at]
            write, at = write + 1, at + 1
            continue
        if write > start:
            before = symbols[write - 1]
            changes[number, 0], changes[number, 1] = _key(before, left), -1
            changes[number + 1, 0], changes[number + 1, 1] = _key(before, token), 1
            number += 2
        if at + 2 < end:
            behind = symbols[at + 2]
            changes[number, 0], changes[number, 1] = _key(right, behind), -1
            changes[number + 1, 0], changes[number + 1, 1] = _key(token, behind), 1
            number += 2
        symbols[write] = token
        write, at = write + 1, at + 2
    return write, number


@jit
def _first_queue(symbols: Any, starts: Any, weights: Any, changes: Any) -> Any:
    """All pairs of the pieces as bytes: (pairs, met, queue)."""
    pairs = Pairs(
        np.full(1 << 16, -1, np.int32), np.empty(_ROOM, np.uint64), np.empty(_ROOM, np.int64),
        np.empty(_ROOM, np.int64), np.empty(_ROOM, np.int64), np.zeros(1, np.int64),
    )  # fmt: skip
    met, seen = np.empty((_ROOM, 2), np.int32), 0
    for piece in range(len(starts) - 1):
        number = 0
        for at in range(starts[piece], starts[piece + 1] - 1):
            changes[number, 0], changes[number, 1] = _key(symbols[at], symbols[at + 1]), 1
            number += 1
        pairs, met, seen = _applied(changes, number, weights[piece], piece, pairs, met, seen)
    queue = Queue(np.empty((_ROOM, 4), np.int64), np.empty(seen, np.int32), np.zeros(2, np.int64))
    return pairs, met, _queued(queue, pairs, met, seen)


@jit
def _pop(queue: Any, pairs: Any) -> Any:
    """(count, key, first place, end of places) of the next merge; count 0 if there is none."""
    heap, sizes = queue.heap, queue.sizes
    while sizes[0] > 0:
        key = np.uint64(heap[0, 1])
        count = pairs.counts[pairs.slots[_pair_slot(key, pairs.slots, pairs.keys)]]
        if heap[0, 0] == count:
            first, end = heap[0, 2], heap[0, 3]
            sizes[0] -= 1
            _swap(heap, 0, sizes[0])
            _sink(heap, sizes[0])
            return count, key, first, end
        heap[0, 0] = count
        _sink(heap, sizes[0])
    return np.int64(0), np.uint64(0), np.int64(0), np.int64(0)


@jit
def train(
    data: Any, starts: Any, weights: Any, byte_ids: Any, text: Any, ends: Any, vocab_size: Any,
    min_frequency: Any,
) -> Any:  # fmt: skip
    """(merges, text, ends): rows (left id, right id, new id, count), and every token's bytes.

    Piece i is data[starts[i]:starts[i + 1]] and stands weights[i] times. `text` and `ends` are the
    first tokens (`Tokens`), and `byte_ids` gives the id of each byte. A piece's symbols lie where
    its bytes lay and close up as they merge.
    """
    symbols = byte_ids[data]
    stops = starts[1:].copy()
    longest = np.int64(0)
    for row in range(len(stops)):
        longest = max(longest, stops[row] - starts[row])
    changes = np.empty((2 * longest + 4, 2), np.int64)
    pairs, met, queue = _first_queue(symbols, starts, weights, changes)
    tokens = _tokens(text, ends, max(vocab_size - len(ends) + 1, 0))
    merges, num_merges = np.empty((1024, 4), np.int64), 0
    while tokens.size[0] < vocab_size:
        count, key, first, end = _pop(queue, pairs)
        if count < 1 or count < min_frequency:
            break
        left, right = np.int64(key >> _HALF), np.int64(key & _LOW)
        token, tokens = _joined(tokens, left, right)
        if num_merges == len(merges):
            merges = _grown(merges, 0)
        merges[num_merges, 0], merges[num_merges, 1] = left, right
        merges[num_merges, 2], merges[num_merges, 3] = token, count
        num_merges += 1
        seen = 0
        for place in range(first, end):
            piece = np.int64(queue.places[place])
            stops[piece], number = _merge_piece(
                symbols, starts[piece], stops[piece], left, right, token, changes
            )
            pairs, met, seen = _applied(changes, number, weights[piece], piece, pairs, met, seen)
        queue = _queued(queue, pairs, met, seen)
    size = tokens.size[0]
    return merges[:num_merges], tokens.text[: tokens.ends[size]], tokens.ends[: size + 1]
