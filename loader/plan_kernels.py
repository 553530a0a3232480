"""Planning and filling of batches, compiled: no GIL, no Python object a window.

Addresses are of mapped row groups that the caller holds. A **run** is some tokens that follow each
other on the line of row groups and stand in one row; packings give runs.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from loader.instructions import load_word, pointer, prefetch_kept
from loader.jit import jit

Ints = npt.NDArray[np.int64]
UInts = npt.NDArray[np.uint64]
AHEAD = 8
"""Runs between asking for a line of memory and reading it."""


@jit
def _token(address: Any, place: int, bits: int) -> Any:
    """Id number `place` of those that begin at a byte's address."""
    bit = np.int64(place) * bits
    word = load_word(np.int64(address) + bit // 8) >> np.uint64(bit % 8)
    return np.int64(word & ((np.uint64(1) << np.uint64(bits)) - np.uint64(1)))


@jit
def _last_at_most(values: Any, wanted: int) -> int:
    """Number of the last value that is not above `wanted`, of ascending ones; -1 for none."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= wanted:
            low = middle + 1
        else:
            high = middle
    return low - 1


@jit
def most_inside(values: Ints, width: int) -> int:
    """The most of ascending values that lie in any `width` numbers in a row."""
    most, first = 0, 0
    for at in range(len(values)):
        while values[at] - values[first] >= width:
            first += 1
        most = max(most, at + 1 - first)
    return most


@jit
def runs_row_groups(begins_N: Ints, lengths_N: Ints, ends_N: Ints, edges_R: Ints) -> Ints:
    """Row groups of the runs, ascending, each once; `ends_N` > the run's end: with what follows."""
    found = np.empty(4 * len(begins_N) + 4, np.int64)
    # Marks are faster than sorting, but not over the row groups of a dataset of any size.
    seen = np.zeros(len(edges_R) if len(edges_R) < 8 * len(begins_N) else 0, np.uint8)
    count = 0
    for run in range(len(begins_N)):
        if lengths_N[run] == 0:
            continue
        stop = begins_N[run] + lengths_N[run]
        last = stop if stop < ends_N[run] else stop - 1
        number = _last_at_most(edges_R, begins_N[run])
        while number < len(edges_R) - 1 and edges_R[number] <= last:
            if len(seen):
                fresh = seen[number] == 0
                seen[number] = 1
            else:
                fresh = count == 0 or found[count - 1] != number
            if fresh:
                if count == len(found):
                    longer = np.empty(2 * count, np.int64)
                    longer[:count] = found
                    found = longer
                found[count] = number
                count += 1
            number += 1
    found = found[:count]
    found.sort()
    kept = 0
    for at in range(count):
        if at == 0 or found[at] != found[at - 1]:
            found[kept] = found[at]
            kept += 1
    return found[:kept]


@jit
def segments(
    rows_N: Ints, begins_N: Ints, lengths_N: Ints, ends_N: Ints,
    rows: int, seq_len: int, bits: int, edges_R: Ints,
    numbers_U: Ints, addresses_U: UInts, starts_U: UInts, documents_U: Ints,
    across: bool, ignored: int,
    addresses_S: UInts, begins_S: Ints, tails_S: Ints, row_groups_S: Ints, documents_S: Ints,
) -> int:  # fmt: skip
    """Cut the runs, which are in order of rows, at documents' ends, and pad their rows.

    `numbers_U` are the row groups that they need, ascending, with the addresses of tokens and of
    documents' starts. `ends_N`: where what follows a run ends; the first token after a run that
    ends with its document is its label if `across`. Gives the number of segments; if the arrays
    are too short for them, what is there is not to be used.
    """
    count, run, held = 0, 0, 0
    known, document, end = np.int64(-1), 0, np.int64(0)
    for row in range(rows):
        at = row * seq_len
        before = -1  # a segment of this row whose label is the next one's first token
        while run < len(rows_N) and rows_N[run] == row:
            token, stop = begins_N[run], begins_N[run] + lengths_N[run]
            if run + AHEAD < len(rows_N):  # the label behind a later run: far from all else
                later = begins_N[run + AHEAD] + lengths_N[run + AHEAD]
                number = _last_at_most(edges_R, later)
                other = _last_at_most(numbers_U, number)
                if other >= 0 and numbers_U[other] == number:
                    behind = (later - edges_R[number]) * bits // 8
                    prefetch_kept(np.uint64(addresses_U[other] + np.uint64(behind)))
            while token < stop:
                if not edges_R[numbers_U[held]] <= token < edges_R[numbers_U[held] + 1]:
                    held = _last_at_most(numbers_U, _last_at_most(edges_R, token))
                number, address = numbers_U[held], addresses_U[held]
                place = token - edges_R[number]
                size = edges_R[number + 1] - edges_R[number]
                starts = numba.carray(pointer(starts_U[held]), documents_U[held], np.int64)
                if number == known and place == end:
                    document += 1  # the one behind that which just ended
                else:
                    document = _last_at_most(starts, place)
                known = number
                end = starts[document + 1] if document + 1 < documents_U[held] else size
                cut = stop - edges_R[number] < end
                length = min(end, stop - edges_R[number]) - place
                if count < len(begins_S):
                    addresses_S[count] = np.uint64(8) * address + np.uint64(place * bits)
                    begins_S[count] = at
                    row_groups_S[count], documents_S[count] = number, document
                    tails_S[count] = ignored
                    if before >= 0:
                        tails_S[before] = _token(address, place, bits)
                    if cut:
                        tails_S[count] = _token(address, place + length, bits)
                    before = count if across and not cut else -1
                count += 1
                at += length
                token += length
            if before >= 0 and before < len(begins_S) and stop < ends_N[run]:
                other = _last_at_most(numbers_U, _last_at_most(edges_R, stop))
                place = stop - edges_R[numbers_U[other]]
                tails_S[before] = _token(addresses_U[other], place, bits)
                before = -1
            run += 1
        if at < (row + 1) * seq_len:
            if count < len(begins_S):
                addresses_S[count], begins_S[count], tails_S[count] = 0, at, ignored
                row_groups_S[count] = documents_S[count] = -1
            count += 1
    return count


@jit
def fill(
    addresses_S: UInts, starts_S: Ints, tails_S: Ints, end: int, bits: int,
    pad: int, ignored: int, tokens: Any, labels: Any,
) -> None:  # fmt: skip
    """Write the tokens and labels of the segments; the last one ends at `end`."""
    for at in range(len(starts_S)):
        first = starts_S[at]
        length = (starts_S[at + 1] if at + 1 < len(starts_S) else end) - first
        inputs, targets = tokens[first : first + length], labels[first : first + length]
        place = np.int64(addresses_S[at] >> np.uint64(3))
        if place == 0:
            inputs[:] = pad
            targets[:] = ignored
            continue
        if bits == 16:
            _copy(numba.carray(pointer(place), length, np.uint16), inputs, targets)
        elif bits == 32:
            _copy(numba.carray(pointer(place), length, np.uint32), inputs, targets)
        else:
            _unpack(place, np.int64(addresses_S[at] & np.uint64(7)), bits, inputs, targets)
        targets[length - 1] = tails_S[at]


@jit
def _copy(ids: Any, inputs: Any, targets: Any) -> None:
    for at in range(len(ids)):
        inputs[at] = ids[at]
    for at in range(1, len(ids)):
        targets[at - 1] = ids[at]


@jit
def _unpack(place: Any, bit: Any, bits: int, inputs: Any, targets: Any) -> None:
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    for at in range(len(inputs)):
        word = load_word(np.int64(place + bit // 8)) >> np.uint64(bit % 8)
        inputs[at] = word & mask
        if at:
            targets[at - 1] = word & mask
        bit += bits


@jit
def positions(starts_S: Ints, found: Any) -> None:
    """Write each position's distance from its segment's start."""
    for at in range(len(starts_S)):
        end = starts_S[at + 1] if at + 1 < len(starts_S) else len(found)
        for place in range(starts_S[at], end):
            found[place] = place - starts_S[at]
