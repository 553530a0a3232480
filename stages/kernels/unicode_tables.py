"""One code point -> what text normalisation makes of it, as flat arrays for the kernels.

Read from the committed `unicode_tables.json`, which names its Unicode version; the running Python
does not matter. `make_unicode_tables.py` wrote it.

An entry is `kind << 24 | payload`. The payload is a code point, or for SEQUENCE an index into
`pool`, where the length stands before that many entries.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

LETTER, SEPARATOR, DROPPED, DIGIT, ALONE, SEQUENCE = range(6)
"""Kinds: part of a word, between words, nothing, a folded digit, a word by itself, several."""

KIND_SHIFT = 24
NUM_CODE_POINTS = 0x110000
DOTTED_I, DOTTED_I_LOWER = 0x130, (0x69, 0x307)
_HANGUL, _L, _V, _T = 0xAC00, 0x1100, 0x1161, 0x11A7

UInt32s = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class UnicodeTable:
    """The normalisation of one set of switches."""

    entries: UInt32s
    """One a code point, 0x110000 of them."""
    pool: UInt32s
    """Sequences: length, then that many entries."""


@lru_cache(maxsize=1)
def raw_tables() -> dict[str, Any]:
    """The committed tables as they are stored."""
    path = Path(__file__).with_name("unicode_tables.json")
    tables: dict[str, Any] = json.loads(path.read_text())
    return tables


def unicode_version() -> str:
    return str(raw_tables()["unicode"])


def members(name: str) -> npt.NDArray[np.bool_]:
    """For each code point, whether it belongs to the class `name` of the stored tables."""
    found = np.zeros(NUM_CODE_POINTS, dtype=np.bool_)
    for first, last in raw_tables()[name]:
        found[first : last + 1] = True
    return found


def lower_case() -> UInt32s:
    """The lower case of each code point; U+0130, whose lower case is two, maps to itself."""
    mapped = np.arange(NUM_CODE_POINTS, dtype=np.uint32)
    for first, last, stride, delta in raw_tables()["lower"]:
        at = np.arange(first, last + 1, stride)
        mapped[at] = at + delta
    return mapped


@lru_cache(maxsize=8)
def unicode_table(
    lower: bool, digits: bool, punctuation: bool, marks: bool, alphanumeric: bool = False
) -> UnicodeTable:
    """The table of a normalisation.

    In this order a code point is lower-cased (`lower`), decomposed canonically with its marks and
    invisible format characters dropped (`marks`), and each part judged: white space and, with
    `punctuation`, punctuation, symbols and control characters separate words; a decimal digit
    becomes `0`, runs of which count as one (`digits`); a character of a script written without
    spaces is a word. With `alphanumeric` words are runs of `\\w` instead, in any script.
    """
    plain = _plain_entries(digits, punctuation, marks, alphanumeric)
    mapped = lower_case() if lower else np.arange(NUM_CODE_POINTS, dtype=np.uint32)
    entries = plain[mapped]
    pool: list[int] = []
    if lower:
        entries[DOTTED_I] = _pack([plain[c] for c in DOTTED_I_LOWER], pool)
    if marks:
        for code, parts in _decomposed(mapped, lower).items():
            entries[code] = _pack([plain[c] for c in parts], pool)
        _add_hangul(entries, plain, pool)
    entries.setflags(write=False)
    return UnicodeTable(entries, np.array(pool or [0], dtype=np.uint32))


def _plain_entries(digits: bool, punctuation: bool, marks: bool, alphanumeric: bool) -> UInt32s:
    """Entries of code points that are already lower-cased and decomposed; later lines win."""
    kind = np.zeros(NUM_CODE_POINTS, dtype=np.uint32)
    code = np.arange(NUM_CODE_POINTS, dtype=np.uint32)
    if alphanumeric:
        kind[~members("word")] = SEPARATOR
    else:
        kind[members("unspaced")] = ALONE
    if digits:
        kind[members("digit")] = DIGIT
        code[members("digit")] = ord("0")
    if marks:
        kind[members("mark")] = DROPPED
    if punctuation:
        kind[members("punct")] = SEPARATOR
    kind[members("space")] = SEPARATOR
    return kind << np.uint32(KIND_SHIFT) | code


def _decomposed(mapped: UInt32s, lower: bool) -> dict[int, Sequence[int]]:
    """Code points that are changed by decomposition after lower-casing -> their parts."""
    stored: dict[int, list[int]] = {int(c): parts for c, parts in raw_tables()["nfd"].items()}
    found: dict[int, Sequence[int]] = {}
    for code in np.flatnonzero(np.isin(mapped, list(stored))).tolist():
        found[code] = stored[int(mapped[code])]
    if lower:
        found[DOTTED_I] = DOTTED_I_LOWER
    return found


def _pack(parts: Sequence[Any], pool: list[int]) -> int:
    """One entry for several: those that are dropped fall away, several go to the pool."""
    left = [int(part) for part in parts if int(part) >> KIND_SHIFT != DROPPED]
    if not left:
        return DROPPED << KIND_SHIFT
    if len(left) == 1:
        return left[0]
    pool.extend([len(left), *left])
    return SEQUENCE << KIND_SHIFT | (len(pool) - len(left) - 1)


def _add_hangul(entries: UInt32s, plain: UInt32s, pool: list[int]) -> None:
    """Hangul syllables become their two or three letters (Unicode standard, section 3.12)."""
    for index in range(19 * 21 * 28):
        lead, vowel, tail = index // 588, index % 588 // 28, index % 28
        letters = [_L + lead, _V + vowel] + ([_T + tail] if tail else [])
        entries[_HANGUL + index] = _pack([plain[c] for c in letters], pool)
