"""Words and substrings of lists in URLs, as RefinedWeb, DCLM and datatrove look for them.

A word of a URL is a run of ASCII letters and digits, lower-cased. Substrings are looked for in the
lower-cased URL without the characters that are left out, so that `p-o.r_n` holds `porn`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.automaton import FREE, ROOT, Automaton, make_automaton, step
from stages.kernels.html_wide import lowest_bit
from stages.kernels.jit import inner, jit_bare
from stages.kernels.shingles import TERM, mix64
from stages.kernels.wide_text import NONE, ONE, WIDE, class_bits, eight, low_bits, text_bytes

Int32s = npt.NDArray[np.int32]
SKIPPED = 0xFFFF
"""Class of a byte that substrings look through."""
_HARD, _SOFT = 1, 2
_LEADING_SHIFT = np.uint64(48)
_SMALL = np.uint64(0x2020202020202020)
_MOST_MOVES = 1 << 16
"""Longer lists of substrings are followed through the automaton itself."""


class UrlWords(NamedTuple):
    """What the kernel looks up."""

    keys: npt.NDArray[np.uint64]
    """Hashes of the hard and soft words, in order."""
    kinds: npt.NDArray[np.uint8]
    """1: hard, 2: soft, 3: both."""
    leading: npt.NDArray[np.bool_]
    """For each value of a key's leading bits whether any key has it: most words end here."""
    seen: npt.NDArray[np.int64]
    """Row in which each word was last seen, for the count of distinct ones."""
    classes: npt.NDArray[np.uint16]
    """Class of each byte for the substrings; 0: in none of them."""
    substrings: Automaton
    moves: npt.NDArray[np.uint16]
    """For each state of the substrings a row: where the row of the state behind each class begins,
    then its own, for what is looked through, then whether a term ends. Empty if that is too much.
    """
    num_classes: int
    """Classes of the substrings, 0 included."""


class UrlWordCounts(NamedTuple):
    """Per URL: distinct hard and soft words, and the first substring's number or -1."""

    hard: Int32s
    soft: Int32s
    substring: Int32s


@inner
def _word_key(data: Any, start: Any, end: Any) -> Any:
    """A hash of the ASCII letters and digits data[start:end], lower-cased."""
    value = np.uint64(end - start) * TERM
    while start < end:
        # This bit makes letters small, and digits have it.
        small = _SMALL & low_bits(8 * (end - start))
        value = mix64(value ^ (eight(data, start, end - start) | small))
        start += 8
    return value


@jit_bare
def _word_keys(data: Any, ends: Any, keys: Any) -> None:
    for number in range(len(keys)):
        keys[number] = _word_key(data, ends[number], ends[number + 1])


def word_keys(words: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Keys of words of ASCII letters and digits."""
    data, ends = text_bytes(pa.array(words, pa.large_string()))
    keys = np.zeros(len(words), np.uint64)
    _word_keys(data, ends, keys)
    return keys


@jit_bare
def _fill_moves(automaton: Any, num_classes: Any, moves: Any) -> None:
    width = num_classes + 2
    for state in range(len(moves) // width):
        row = state * width
        for group in range(1, num_classes):
            moves[row + group] = step(automaton, np.int64(state), group) * width
        moves[row + num_classes] = row
        moves[row + num_classes + 1] = automaton.terms[state] >= 0


def _moves(automaton: Automaton, num_classes: int) -> npt.NDArray[np.uint16]:
    """`UrlWords.moves`, for lists so short that it stays in a processor's cache."""
    states = 1 + int(np.flatnonzero(automaton.check != FREE).max())
    moves = np.full(states * (num_classes + 2), ROOT, np.uint16)
    if len(moves) > _MOST_MOVES:
        return moves[:0]
    _fill_moves(automaton, num_classes, moves)
    return moves


def url_words(
    hard: Iterable[str], soft: Iterable[str], substrings: Iterable[str], skipped: frozenset[int]
) -> UrlWords:
    """The tables of lists that are lower-cased and, substrings, without the skipped bytes."""
    kinds: dict[int, int] = {}
    for words, kind in ((hard, _HARD), (soft, _SOFT)):
        for key in word_keys(sorted(words)).tolist():
            kinds[key] = kinds.get(key, 0) | kind
    keys = np.array(sorted(kinds), np.uint64)
    terms = [text.encode() for text in substrings]
    classes = np.zeros(256, np.uint16)
    used = sorted({byte for term in terms for byte in term})
    classes[used] = np.arange(1, len(used) + 1)
    automaton = make_automaton([classes[list(term)].tolist() for term in terms])
    for code in range(ord("A"), ord("Z") + 1):
        classes[code] = classes[code | 0x20]
    classes[list(skipped)] = SKIPPED
    found = np.array([kinds[int(key)] for key in keys], np.uint8)
    leading = np.zeros(1 << 16, np.bool_)
    leading[keys >> _LEADING_SHIFT] = True
    seen = np.full(len(keys), -1, np.int64)
    num_classes = len(used) + 1
    return UrlWords(
        keys, found, leading, seen, classes, automaton, _moves(automaton, num_classes), num_classes
    )


@inner
def _note_word(data: Any, start: Any, end: Any, row: Any, words: Any, counts: Any) -> None:
    """Count a word of the lists that the row has not shown."""
    key = _word_key(data, start, end)
    if words.leading[key >> _LEADING_SHIFT]:
        place = np.searchsorted(words.keys, key)
        known = place < len(words.keys) and words.keys[place] == key
        if known and words.seen[place] != row:
            counts.hard[row] += words.kinds[place] & 1
            counts.soft[row] += words.kinds[place] >> 1
            words.seen[place] = row


@inner
def _count_words(data: Any, at: Any, stop: Any, row: Any, words: Any, counts: Any) -> None:
    begin = at - 1  # of a word that an earlier window left open; before `at`: none
    first = at
    while at < stop:
        inside = class_bits(data, at)[3] & low_bits(stop - at)
        carry = ONE if begin >= first else NONE
        starts, ends = inside & ~(inside << ONE | carry), ~inside & (inside << ONE | carry)
        ends &= low_bits(stop - at)
        while ends != NONE:
            end = at + lowest_bit(ends)
            ends &= ends - ONE
            if begin < first:
                begin = at + lowest_bit(starts)
                starts &= starts - ONE
            _note_word(data, begin, end, row, words, counts)
            begin = first - 1
        if starts != NONE:
            begin = at + lowest_bit(starts)
        at += WIDE
    if begin >= first:
        _note_word(data, begin, stop, row, words, counts)


@inner
def _first_substring(data: Any, at: Any, stop: Any, words: Any) -> Any:
    """The number of the first substring that ends, of several the longest; -1 if there is none."""
    state, term = np.int64(ROOT), np.int32(-1)
    if len(words.moves) > 0:
        looked_through, ends = words.num_classes, words.num_classes + 1
        while at < stop and words.moves[state + ends] == 0:
            group = np.int64(words.classes[data[at]])
            state = np.int64(words.moves[state + min(group, looked_through)])
            at += 1
        return words.substrings.terms[state // (words.num_classes + 2)]
    while at < stop and term < 0:
        group = np.int64(words.classes[data[at]])
        at += 1
        if group != SKIPPED:
            state = step(words.substrings, state, group) if group else np.int64(ROOT)
            term = words.substrings.terms[state]
    return term


@jit_bare
def _count(data: Any, offsets: Any, words: Any, counts: Any) -> None:
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        _count_words(data, start, stop, row, words, counts)
        counts.substring[row] = _first_substring(data, start, stop, words)


def count_url_words(urls: pa.Array, words: UrlWords) -> UrlWordCounts:
    """Words and substrings of every URL."""
    data, offsets = text_bytes(urls)
    length = len(urls)
    counts = UrlWordCounts(
        np.zeros(length, np.int32), np.zeros(length, np.int32), np.full(length, -1, np.int32)
    )
    words = words._replace(seen=np.full(len(words.keys), -1, np.int64))
    _count(data, offsets, words, counts)
    return counts
