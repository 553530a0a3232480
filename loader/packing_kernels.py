"""Documents -> rows of a fixed length, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from loader.jit import jit

Ints = npt.NDArray[np.int64]


# --- document: whole documents, rows padded ------------------------------------------------------


@jit
def document_rows(ends: Ints, seq_len: int, begins: Ints) -> int:
    """How many rows these documents take; where each begins goes to `begins` as far as it reaches.

    Documents stand in their order. One that does not fit what is left of its row begins the next;
    one longer than a row takes as many as it needs, and others may follow its last part.
    """
    rows, first, before = 0, 0, 0
    for end in ends:
        if end == before:
            continue
        if end - first > seq_len and before > first:  # the row is closed before this document
            if rows < len(begins):
                begins[rows] = first
            rows += 1
            first = before
        while end - first > seq_len:
            if rows < len(begins):
                begins[rows] = first
            rows += 1
            first += seq_len
        before = end
    if before > first:
        if rows < len(begins):
            begins[rows] = first
        rows += 1
    return rows


# --- best fit: full rows, as few cuts as may be --------------------------------------------------


@jit
def _top_bit(word: Any) -> Any:
    place = 0
    for step in (32, 16, 8, 4, 2, 1):
        if word >> np.uint64(step):
            word >>= np.uint64(step)
            place += step
    return place


@jit
def _mark(words: Any, above: Any, length: int, there: bool) -> None:
    """Note in the two levels of bits whether there is a piece of this length."""
    word, bit = length >> 6, np.uint64(1) << np.uint64(length & 63)
    if there:
        words[word] |= bit
    else:
        words[word] &= ~bit
    bit = np.uint64(1) << np.uint64(word & 63)
    if words[word]:
        above[word >> 6] |= bit
    else:
        above[word >> 6] &= ~bit


@jit
def _longest(words: Any, above: Any, most: int) -> Any:
    """The longest length up to `most` of which there is a piece; 0 for none."""
    word = most >> 6
    found = words[word] & (~np.uint64(0) >> np.uint64(63 - (most & 63)))
    if found:
        return (word << 6) + _top_bit(found)
    group = word >> 6
    left = above[group] & ((np.uint64(1) << np.uint64(word & 63)) - np.uint64(1))
    while not left and group > 0:
        group -= 1
        left = above[group]
    if not left:
        return 0
    word = (group << 6) + _top_bit(left)
    return (word << 6) + _top_bit(words[word])


@jit
def best_fit(begins_P: Ints, lengths_P: Ints, seq_len: int, rows: int) -> tuple[Ints, Ints, Ints]:
    """Pieces -> (first run of each row and the number of all, begins and lengths of the runs).

    Of a piece longer than a row whole rows are cut first. Then row by row: the longest piece that
    fits what is left; where none fits, the longest of all is cut and its rest is a piece again. So
    every row but the last is full, and a row cuts at most one document. Of equal pieces the first
    goes first.
    """
    pieces, runs = len(begins_P) + rows, len(begins_P) + 2 * rows
    for length in lengths_P:
        runs += length // seq_len
    first_run = np.zeros(rows + 1, np.int64)
    begins, lengths = np.empty(runs, np.int64), np.empty(runs, np.int64)
    begin_of, following = np.empty(pieces, np.int64), np.empty(pieces, np.int64)
    head = np.full(seq_len + 1, -1, np.int64)
    words = np.zeros((seq_len >> 6) + 1, np.uint64)
    above = np.zeros((seq_len >> 12) + 1, np.uint64)
    row = run = 0
    for piece in range(len(begins_P)):
        begin, length = begins_P[piece], lengths_P[piece]
        for _ in range(length // seq_len):
            begins[run], lengths[run] = begin, seq_len
            run, row, begin = run + 1, row + 1, begin + seq_len
            first_run[row] = run
        begin_of[piece] = begin
    for piece in range(len(begins_P) - 1, -1, -1):  # so that the first stands first
        length = lengths_P[piece] % seq_len
        if length:
            following[piece], head[length] = head[length], piece
            _mark(words, above, length, True)
    rest = len(begins_P)
    while row < rows:
        left = seq_len
        while left:
            length = _longest(words, above, left)
            cut = length == 0
            if cut:
                length = _longest(words, above, seq_len)
                if length == 0:
                    break
            piece = head[length]
            head[length] = following[piece]
            if head[length] < 0:
                _mark(words, above, length, False)
            taken = min(length, left)
            begins[run], lengths[run] = begin_of[piece], taken
            run, left = run + 1, left - taken
            if cut:
                length -= taken
                begin_of[rest] = begin_of[piece] + taken
                following[rest], head[length] = head[length], rest
                _mark(words, above, length, True)
                rest += 1
        row += 1
        first_run[row] = run
    return first_run, begins[:run], lengths[:run]


@jit
def runs_of_rows(
    first_run: Ints, begins: Ints, lengths: Ints, wanted: Ints, names: Ints
) -> tuple[Ints, Ints, Ints]:
    """(name of the row, begin, length) of each run of the wanted rows of a packed block."""
    count = 0
    for row in wanted:
        count += first_run[row + 1] - first_run[row]
    found = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    count = 0
    for at in range(len(wanted)):
        for run in range(first_run[wanted[at]], first_run[wanted[at] + 1]):
            found[0][count], found[1][count], found[2][count] = names[at], begins[run], lengths[run]
            count += 1
    return found
