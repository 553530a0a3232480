"""Sentences of a text, as the C4 stages count them.

A sentence of a line ends at `?`, `!`, or at `.` before a word that does not start in lower case,
unless the period belongs to an initial or a common abbreviation. Marks count only with white space
behind them, closing quotes and brackets looked through. A line with any character has one at least.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.characters import (
    ALPHA,
    LOWERCASE,
    SPACE,
    UInt8s,
    UInt32s,
    character_flags,
    last_character,
    lower_codes,
    read,
    strip,
)
from stages.kernels.html_wide import lowest_bit
from stages.kernels.jit import inner, jit_bare
from stages.kernels.unicode_tables import DOTTED_I
from stages.kernels.wide_text import NONE, ONE, WIDE, break_bits, low_bits, mark_bits, text_bytes
from stages.kernels.words import WordSet, find_word, own_room, word_set

# Only words that a capital letter follows more often within a sentence than at the next one. All
# ASCII, and none with a `k`, which is the lower case of a character that is not.
ABBREVIATIONS = (
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "mt", "gen", "col", "lt", "sgt", "capt",
    "rev", "hon", "pres", "gov", "sen", "rep", "vs", "fig", "figs", "vol", "pp", "approx", "al",
    "e.g", "i.e", "cf", "ca",
)  # fmt: skip
_BEFORE_CHARS = 12
"""So much of the word before a period is looked at; the abbreviations are shorter."""
_DOT, _QUESTION, _EXCLAMATION = ord("."), ord("?"), ord("!")
_CLOSERS = tuple(map(ord, "\"'”’»)]"))
_OPENERS = tuple(map(ord, "\"'“‘«(["))
_NEWLINE, _RETURN = 0x0A, 0x0D


class SentenceTables(NamedTuple):
    """What the kernel looks up."""

    flags: UInt8s
    lower: UInt32s
    abbreviations: WordSet


@lru_cache(maxsize=1)
def _abbreviations() -> WordSet:
    return word_set(ABBREVIATIONS)


def sentence_tables() -> SentenceTables:
    """The tables for one call of a kernel."""
    return SentenceTables(character_flags(), lower_codes(), own_room(_abbreviations()))


@inner
def next_break(data: Any, at: Any, stop: Any, newlines_only: Any) -> Any:
    r"""(end of the line that begins at `at`, where the next one begins), as `str.splitlines`.

    With `newlines_only` a line ends at `\n` alone.
    """
    while at < stop:
        bits = break_bits(data, at) & low_bits(stop - at)
        while bits != NONE:
            place = at + lowest_bit(bits)
            bits &= bits - ONE
            code, size = read(data, place, stop)
            if code == _NEWLINE:
                return place, place + 1
            control = 0x0B <= code <= 0x0D or 0x1C <= code <= 0x1E or code == 0x85
            if not newlines_only and (control or 0x2028 <= code <= 0x2029):
                pair = code == _RETURN and place + 1 < stop and data[place + 1] == _NEWLINE
                return place, place + (2 if pair else size)
        at += WIDE
    return stop, stop


@inner
def _belongs_to_word(data: Any, start: Any, at: Any, tables: Any) -> Any:
    """True if a period at `at` stands behind an initial or an abbreviation of the line."""
    begin, chars, letter = at, 0, 0
    while begin > start and chars < _BEFORE_CHARS:
        before, code = last_character(data, start, begin)
        if tables.flags[code] & SPACE or code in _OPENERS:
            break
        begin, chars, letter = before, chars + 1, code
    if chars == 1 and tables.flags[letter] & ALPHA and letter != DOTTED_I:
        return True
    room = tables.abbreviations.room
    if at - begin > len(room):
        return False
    for i in range(at - begin):
        room[i] = tables.lower[data[begin + i]]  # a byte that is not ASCII never becomes it
    return find_word(tables.abbreviations, at - begin) >= 0


@inner
def next_mark(data: Any, at: Any, stop: Any) -> Any:
    """The place of the next `.`, `?` or `!`, or `stop`."""
    while at < stop:
        bits = mark_bits(data, at)
        if bits != NONE:
            return min(at + lowest_bit(bits), stop)
        at += WIDE
    return stop


@inner
def next_sentence(data: Any, start: Any, at: Any, stop: Any, tables: Any) -> Any:
    """Where the sentence behind the one at `at` begins, or `stop`.

    The line, stripped, is data[start:stop]. Every character is looked at a few times at most.
    """
    while at < stop:
        marks, strong = next_mark(data, at, stop), False
        at = marks
        while at < stop and (data[at] == _DOT or data[at] == _QUESTION or data[at] == _EXCLAMATION):
            strong |= data[at] != _DOT
            at += 1
        behind, code, size = at, np.int64(0), np.int64(0)
        while at < stop:
            code, size = read(data, at, stop)
            if code not in _CLOSERS:
                break
            at += size
        closed = at
        while at < stop:
            code, size = read(data, at, stop)
            if not tables.flags[code] & SPACE:
                break
            at += size
        if at in (closed, stop):
            continue
        if not strong:
            if tables.flags[code] & LOWERCASE:
                continue
            if behind - marks == 1 and _belongs_to_word(data, start, marks, tables):
                continue
        return at
    return stop


@inner
def count_sentences(data: Any, start: Any, stop: Any, tables: Any) -> Any:
    """Sentences of the line data[start:stop]."""
    start, stop = strip(data, start, stop, tables.flags)
    count, at = np.int64(0), start
    while at < stop:
        count += 1
        at = next_sentence(data, start, at, stop, tables)
    return count


@jit_bare
def _count_sentences(data: Any, offsets: Any, newlines_only: Any, tables: Any, counts: Any) -> None:
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            end, after = next_break(data, at, stop, newlines_only)
            counts[row] += count_sentences(data, at, end, tables)
            at = after


def sentence_counts(texts: pa.Array, *, newlines_only: bool) -> npt.NDArray[np.int64]:
    r"""Sentences of all lines of each text; lines end at `\n`, or where `str.splitlines` cuts."""
    data, offsets = text_bytes(texts)
    counts = np.zeros(len(texts), dtype=np.int64)
    _count_sentences(data, offsets, newlines_only, sentence_tables(), counts)
    return counts
