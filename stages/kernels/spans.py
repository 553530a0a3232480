"""A text cut into sentences, lines or paragraphs, and the folded text of each: for span dedup."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.characters import SPACE, read, strip
from stages.kernels.fold import NEWLINE, fold_text
from stages.kernels.jit import inner, jit
from stages.kernels.sentences import next_break, next_sentence, sentence_tables
from stages.kernels.shingles import Normalisation
from stages.kernels.wide_text import text_bytes

Int64s = npt.NDArray[np.int64]
UNITS = ("sentences", "lines", "paragraphs")
_SENTENCES, _PARAGRAPHS = 0, 2
_WIDE_MARKS = tuple(map(ord, "。！？｡"))
_WIDE_CLOSERS = tuple(map(ord, "」』】〉》）”’"))
_GROWTH = 3
"""As in `fold`: no text grows beyond so many times its bytes."""


@inner
def _wide_end(data: Any, at: Any, stop: Any, flags: Any) -> Any:
    """Where the sentence at `at` ends if a wide full stop ends one before `stop`, else `stop`."""
    found = False
    while at < stop:
        if data[at] < 0x80 and not found:  # the common case first
            at += 1
            continue
        code, size = read(data, at, stop)
        if code in _WIDE_MARKS:
            found = True
        elif found and code not in _WIDE_CLOSERS and not flags[code] & SPACE:
            return at
        at += size
    return stop


@jit
def _cut(data: Any, at: Any, stop: Any, kind: Any, tables: Any, units: Any) -> Any:
    """Write (begin, end) of each unit, blank ones left out; gives their number."""
    count, open_paragraph = 0, False
    while at < stop:
        end, after = next_break(data, at, stop, True)
        first, last = strip(data, at, end, tables.flags)
        at = after
        if first == last:
            open_paragraph = False
        elif kind == _SENTENCES:
            here = first
            while here < last:
                behind = next_sentence(data, first, here, last, tables)
                behind = _wide_end(data, here, behind, tables.flags)
                units[count, 0], units[count, 1] = here, behind
                count += 1
                here = behind
        elif kind == _PARAGRAPHS and open_paragraph:
            units[count - 1, 1] = last
        else:
            units[count, 0], units[count, 1] = first, last
            count += 1
            open_paragraph = True
    return count


@jit
def _fold(data: Any, units: Any, entries: Any, pool: Any, out: Any, ends: Any) -> None:
    """Write the folded units, a newline behind each, and where each ends."""
    at = 0
    for unit in range(len(units)):
        fold_text(
            data, units[unit, 0], units[unit, 1], entries, pool, False, True, out[at:],
            ends[unit : unit + 1],
        )  # fmt: skip
        ends[unit] += at
        out[ends[unit]] = NEWLINE
        at = ends[unit] + 1


def cut_units(texts: pa.Array, unit: str) -> list[Int64s]:
    """(begin, end) in bytes of each unit of each text, without the white space around it.

    Sentences are those of `sentences`, and end at wide full stops too, with nothing behind. A
    sentence begins where the one before ended, so that the white space between two is the first
    one's. Lines end at newlines; paragraphs are lines with no blank line between them.
    """
    data, offsets = text_bytes(texts)
    tables, kind = sentence_tables(), UNITS.index(unit)
    found = []
    for row in range(len(texts)):
        units = np.empty((int(offsets[row + 1] - offsets[row]) // 2 + 2, 2), np.int64)
        count = _cut(data, offsets[row], offsets[row + 1], kind, tables, units)
        found.append(units[:count] - offsets[row])
    return found


def folded_units(
    texts: pa.Array, unit: str, normalisation: Normalisation
) -> list[tuple[memoryview, list[tuple[int, int]]]]:
    """For each text its folded units, a newline behind each, and (begin, end) of each among them.

    White space, and with `punctuation` all else between words, is one space; there is none at the
    ends. A unit without a word is empty: begin = end.
    """
    data, offsets = text_bytes(texts)
    entries, pool = normalisation.tables()
    found = []
    for row, units in enumerate(cut_units(texts, unit)):
        size = int(offsets[row + 1] - offsets[row])
        out = np.empty(_GROWTH * size + len(units) + 4, np.uint8)
        ends = np.zeros(len(units), np.int64)
        _fold(data, units + offsets[row], entries, pool, out, ends)
        begins = np.concatenate([[0], ends + 1])[: len(ends)]
        found.append((out.data, list(zip(begins.tolist(), ends.tolist(), strict=True))))
    return found
