"""What Gopher's quality filter and FineWeb count of the lines and marks of a text.

Lines are what stands between newlines; those of white space alone are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.characters import (
    character_flags,
    last_character,
    read,
    strip,
)
from stages.kernels.html_wide import lowest_bit, num_bits
from stages.kernels.jit import inner, jit_bare
from stages.kernels.parts import add_part, count_repeats, name_parts, parts_for, seed
from stages.kernels.wide_text import (
    NONE,
    ONE,
    WIDE,
    count_leads,
    find_newline,
    low_bits,
    symbol_bits,
    text_bytes,
)

MARKS = ("hashes", "ellipses", "lines", "bullet_lines", "ellipsis_lines")
LINES = (
    "chars", "newlines", "lines", "terminal_lines", "short_lines", "duplicate_line_chars",
)  # fmt: skip
_DOT, _BLANK, _ELLIPSIS = ord("."), ord(" "), ord("…")


@inner
def ends_in_ellipsis(data: Any, start: Any, end: Any) -> Any:
    """True if the text, of at least one character, ends in `...` or `…`."""
    dots = end - start >= 3 and data[end - 1] == _DOT and data[end - 2] == _DOT
    if dots and data[end - 3] == _DOT:
        return True
    return last_character(data, start, end)[1] == _ELLIPSIS


@inner
def _stand_spaced(data: Any, at: Any, stop: Any) -> Any:
    """True if `. . .` begins at `at`."""
    if stop - at < 5 or data[at] != _DOT or data[at + 2] != _DOT or data[at + 4] != _DOT:
        return False
    return data[at + 1] == _BLANK and data[at + 3] == _BLANK


@inner
def ends_in_spaced_dots(data: Any, start: Any, end: Any) -> Any:
    return end - start >= 5 and _stand_spaced(data, end - 5, end)


@inner
def count_symbols(data: Any, at: Any, stop: Any, dots: Any, spaced_dots: Any) -> Any:
    """`#`, and ellipses as `str.count` finds each form: with `dots` a run of n holds n // 3."""
    hashes, ellipses, run, behind, free = np.int64(0), np.int64(0), np.int64(0), at, at
    while at < stop:
        valid = low_bits(stop - at)
        number_signs, points, leads = symbol_bits(data, at)
        hashes += num_bits(number_signs & valid)
        leads, points = leads & valid, points & valid
        while leads != NONE:
            ellipses += read(data, at + lowest_bit(leads), stop)[0] == _ELLIPSIS
            leads &= leads - ONE
        while points != NONE:
            place = at + lowest_bit(points)
            points &= points - ONE
            run = run + 1 if place == behind else np.int64(1)
            behind = place + 1
            ellipses += dots and run % 3 == 0
            if spaced_dots and place >= free and _stand_spaced(data, place, stop):
                ellipses += 1
                free = place + 5
        at += WIDE
    return hashes, ellipses


@jit_bare
def _count_mark_lines(data: Any, offsets: Any, flags: Any, bullets: Any, counts: Any) -> None:
    for row in range(len(offsets) - 1):
        at, stop, out = offsets[row], offsets[row + 1], counts[row]
        out[0], out[1] = count_symbols(data, at, stop, True, False)
        while at < stop:
            end = find_newline(data, at, stop)
            first, last = strip(data, at, end, flags)
            at = end + 1
            if first == last:
                continue
            out[2] += 1
            code, _ = read(data, first, last)
            for bullet in bullets:
                out[3] += code == bullet
            out[4] += ends_in_ellipsis(data, first, last)


@jit_bare
def _count_lines(
    data: Any, offsets: Any, flags: Any, terminal: Any, short: Any, seed: Any, parts: Any,
    counts: Any,
) -> None:  # fmt: skip
    for row in range(len(offsets) - 1):
        at, stop, out = offsets[row], offsets[row + 1], counts[row]
        count = 0
        while at < stop:
            end = find_newline(data, at, stop)
            chars = count_leads(data, at, end)
            out[0] += chars + (end < stop)
            out[1] += end < stop
            first, last = strip(data, at, end, flags)
            if first < last:
                count = add_part(parts, count, at, end, chars)
                out[3] += terminal[last_character(data, at, end)[1]]
                out[4] += chars <= short
            at = end + 1
        name_parts(data, parts, count, seed)
        out[2], out[5] = count, count_repeats(data, parts, count)[1]


@jit_bare
def _count_long_lines(data: Any, offsets: Any, least: Any, counts: Any) -> None:
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at <= stop:  # an empty text is one line, and so is what follows the last newline
            end = find_newline(data, at, stop)
            counts[row] += count_leads(data, at, end) >= least
            at = end + 1


def long_line_counts(texts: pa.Array, least_chars: int) -> npt.NDArray[np.int64]:
    """How many lines of each text, blank ones included, have at least so many characters."""
    data, offsets = text_bytes(texts)
    counts = np.zeros(len(texts), dtype=np.int64)
    _count_long_lines(data, offsets, least_chars, counts)
    return counts


def mark_counts(texts: pa.Array, bullets: str) -> dict[str, npt.NDArray[np.int64]]:
    """MARKS of each text.

    A bullet line starts, after spaces, with one of `bullets`; an ellipsis line ends, before spaces,
    in an ellipsis.
    """
    data, offsets = text_bytes(texts)
    counts = np.zeros((len(texts), len(MARKS)), dtype=np.int64)
    codes = np.array([ord(bullet) for bullet in bullets], dtype=np.int64)
    _count_mark_lines(data, offsets, character_flags(), codes, counts)
    return dict(zip(MARKS, counts.T, strict=True))


def line_counts(
    texts: pa.Array, terminal: npt.NDArray[np.bool_], short_chars: int
) -> dict[str, npt.NDArray[np.int64]]:
    """LINES of each text; lines are not stripped.

    A terminal line ends in a character that is true in `terminal`; a short one has at most so many
    characters; of a line that repeats the characters of its second and later copies count.
    """
    data, offsets = text_bytes(texts)
    counts = np.zeros((len(texts), len(LINES)), dtype=np.int64)
    _count_lines(
        data, offsets, character_flags(), terminal, short_chars, seed(), parts_for(offsets), counts
    )
    return dict(zip(LINES, counts.T, strict=True))
