"""Words and substrings of lists in URLs, as RefinedWeb, DCLM and datatrove look for them.

A word of a URL is a run of ASCII letters and digits, lower-cased. Substrings are looked for in the
lower-cased URL without the characters that are left out, so that `p-o.r_n` holds `porn`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.automaton import ROOT, Automaton, make_automaton, step
from stages.kernels.jit import jit_bare
from stages.kernels.shingles import FNV_START, hash_byte, mix64, text_buffers

Int32s = npt.NDArray[np.int32]
SKIPPED = 0xFFFF
"""Class of a byte that substrings look through."""
_HARD, _SOFT = 1, 2
_LEADING_SHIFT = np.uint64(48)


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
    lower: npt.NDArray[np.uint8]
    """Lower case of a byte that belongs to words; 0 for one that does not."""
    classes: npt.NDArray[np.uint16]
    """Class of each byte for the substrings; 0: in none of them."""
    substrings: Automaton


class UrlWordCounts(NamedTuple):
    """Per URL: distinct hard and soft words, and the first substring's number or -1."""

    hard: Int32s
    soft: Int32s
    substring: Int32s


def word_key(word: str) -> int:
    """Key of a word: mix(FNV-1a 64) of its ASCII bytes."""
    value = int(FNV_START)
    for byte in word.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53), (33, 1)):
        value = (value ^ value >> shift) * factor % 2**64
    return value


def url_words(
    hard: Iterable[str], soft: Iterable[str], substrings: Iterable[str], skipped: frozenset[int]
) -> UrlWords:
    """The tables of lists that are lower-cased and, substrings, without the skipped bytes."""
    kinds: dict[int, int] = {}
    for words, kind in ((hard, _HARD), (soft, _SOFT)):
        for word in words:
            kinds[word_key(word)] = kinds.get(word_key(word), 0) | kind
    keys = np.array(sorted(kinds), np.uint64)
    lower = np.zeros(256, np.uint8)
    for code in range(128):
        if chr(code).isalnum():
            lower[code] = ord(chr(code).lower())
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
    return UrlWords(keys, found, leading, seen, lower, classes, automaton)


@jit_bare
def _count(data: Any, offsets: Any, words: Any, counts: Any) -> None:
    for row in range(len(offsets) - 1):
        state, value, open_word = np.int64(ROOT), FNV_START, False
        for at in range(offsets[row], offsets[row + 1] + 1):
            last = at == offsets[row + 1]
            byte = np.uint8(0) if last else data[at]
            low = words.lower[byte]
            if low != 0 and not last:
                value, open_word = hash_byte(value, low), True
            elif open_word:
                key = mix64(value)
                value, open_word = FNV_START, False
                if words.leading[key >> _LEADING_SHIFT]:
                    place = np.searchsorted(words.keys, key)
                    known = place < len(words.keys) and words.keys[place] == key
                    if known and words.seen[place] != row:
                        counts.hard[row] += words.kinds[place] & 1
                        counts.soft[row] += words.kinds[place] >> 1
                        words.seen[place] = row
            group = np.int64(words.classes[byte])
            if last or group == SKIPPED or counts.substring[row] >= 0:
                continue
            state = step(words.substrings, state, group) if group else np.int64(ROOT)
            counts.substring[row] = words.substrings.terms[state]


def count_url_words(urls: pa.Array, words: UrlWords) -> UrlWordCounts:
    """Words and substrings of every URL."""
    data, offsets = text_buffers(urls)
    length = len(urls)
    counts = UrlWordCounts(
        np.zeros(length, np.int32), np.zeros(length, np.int32), np.full(length, -1, np.int32)
    )
    words = words._replace(seen=np.full(len(words.keys), -1, np.int64))
    _count(data, offsets, words, counts)
    return counts
