"""Repetition as DCLM and Dolma count it: every copy counts, the first one too.

The parts and runs are those of `repetition`; what is made of them differs:

- DCLM (`merged`): blank lines and paragraphs are none, the others are stripped; only words
  whose first character is solid count; the top run is the longest of the most frequent ones, and
  nothing where none repeats; a word in any repeated run counts once.
- Dolma: lines between single newlines, blank ones too, as they stand; the first of the most
  frequent runs, even if it occurs once; of repeated runs every copy counts, overlaps and all, held
  against the characters of all runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.characters import character_flags, read, strip
from stages.kernels.html_wide import num_bits
from stages.kernels.jit import inner, jit_bare
from stages.kernels.parts import add_part, name_parts, parts_for, pieces_into, seed, words_into
from stages.kernels.repetition import (
    DUPLICATE_SIZES,
    TOP_SIZES,
    drop_unique,
    name_runs,
    run_chars,
)
from stages.kernels.wide_text import count_leads, find_newline, text_bytes
from stages.kernels.wide_words import characters_at

COUNTS = (
    "visible_chars", "lines", "copied_lines", "line_chars", "copied_line_chars",
    "paragraphs", "copied_paragraphs", "paragraph_chars", "copied_paragraph_chars",
    "words", "word_chars",
    *(f"top_{n}gram_chars" for n in TOP_SIZES),
    *(f"copied_{n}gram_chars" for n in DUPLICATE_SIZES),
    *(f"all_{n}gram_chars" for n in DUPLICATE_SIZES),
)  # fmt: skip
_LINES, _PARAGRAPHS, _WORDS, _RUNS = 1, 5, 9, 11
_LAST_TOP, _LAST = TOP_SIZES[-1], DUPLICATE_SIZES[-1]
_SIZES = len(DUPLICATE_SIZES)


@inner
def _strip_pieces(parts: Any, data: Any, count: Any, flags: Any) -> Any:
    """Strip each of `count` parts and leave out the blank ones; gives how many are left."""
    left = 0
    for i in range(count):
        start, end = strip(data, parts.starts[i], parts.ends[i], flags)
        if start < end:
            left = add_part(parts, left, start, end, count_leads(data, start, end))
    return left


@inner
def _lines_into(parts: Any, data: Any, at: Any, stop: Any) -> Any:
    """Every line, blank ones too, as `str.split` gives them.

    There may be one more than bytes: those that find no room are blank, and counted.
    """
    count, blank = 0, np.int64(0)
    while at <= stop:
        end = find_newline(data, at, stop)
        if at == end:
            blank += 1
        else:
            count = add_part(parts, count, at, end, count_leads(data, at, end))
        at = end + 1
    return count, blank


@inner
def _copies(parts: Any, count: Any) -> Any:
    """Number of the named parts that are not alone, characters of all and of those."""
    copied, chars, copied_chars = np.int64(0), np.int64(0), np.int64(0)
    for i in range(count):
        size = np.int64(parts.chars[i])
        chars += size
        if parts.sizes[parts.names[i]] > 1:
            copied += 1
            copied_chars += size
    return copied, chars, copied_chars


@inner
def _solid_words_into(parts: Any, data: Any, at: Any, stop: Any, flags: Any, solid: Any) -> Any:
    """Words whose first character is solid."""
    count = words_into(parts, data, at, stop, flags)
    left = 0
    for i in range(count):
        start, end = parts.starts[i], parts.ends[i]
        if solid[read(data, start, end)[0]]:
            left = add_part(parts, left, start, end, parts.chars[i])
    return left


@inner
def _top_chars(parts: Any, count: Any, size: Any, classes: Any, merged: Any) -> Any:
    """Characters of words in all copies of the top run."""
    if count < size:
        return np.int64(0)
    first, copies, chars = np.int64(0), np.int64(1), np.int64(0)
    for name in range(classes):
        members, at = np.int64(parts.sizes[name]), np.int64(parts.firsts[name])
        if members > copies:
            first, copies, chars = at, members, run_chars(parts, at, size)
        elif merged and members == copies and copies > 1:
            longer = run_chars(parts, at, size)
            if longer > chars:
                first, chars = at, longer
    if merged and copies == 1:
        return np.int64(0)
    return run_chars(parts, first, size) * copies


@inner
def _copied_chars(parts: Any, places: Any, size: Any, merged: Any) -> Any:
    """Characters of words in runs that are not alone; with `merged` a word counts once."""
    chars, free = np.int64(0), np.int64(0)
    for p in range(places):
        i = np.int64(parts.places[p])
        start = max(i, free) if merged else i
        chars += run_chars(parts, start, i + size - start)
        free = i + size
    return chars


@inner
def _all_chars(parts: Any, count: Any, size: Any) -> Any:
    """Characters of words in all runs: each word as often as a run covers it."""
    chars = np.int64(0)
    for i in range(count):
        covers = min(i + 1, size, count - i, count - size + 1)
        chars += np.int64(parts.chars[i]) * max(covers, 0)
    return chars


@inner
def _count_runs(parts: Any, count: Any, merged: Any, seed: Any, out: Any) -> None:
    for i in range(count):
        parts.places[i] = i
    parts.names[count] = -1  # no run goes beyond the last word
    places = drop_unique(parts, count)
    for size in range(2, _LAST + 1):
        classes, places = name_runs(parts, places, seed)
        if size <= _LAST_TOP:
            out[size - 2] = _top_chars(parts, count, size, classes, merged)
        places = drop_unique(parts, places)
        if size > _LAST_TOP:
            out[size - 2] = _copied_chars(parts, places, size, merged)
            out[size - 2 + _SIZES] = _all_chars(parts, count, size)


@inner
def _visible(data: Any, at: Any, stop: Any, flags: Any) -> Any:
    """Characters that are not white space."""
    count = np.int64(0)
    while at < stop:
        length, space, leads, _, _, _ = characters_at(data, at, stop, flags, flags)
        count += num_bits(leads & ~space)
        at += length
    return count


@jit_bare
def _count_copies(
    data: Any, offsets: Any, flags: Any, merged: Any, solid: Any, seed: Any, parts: Any, counts: Any
) -> None:
    for row in range(len(offsets) - 1):
        start, stop, out = offsets[row], offsets[row + 1], counts[row]
        if start == stop:
            continue
        out[0] = _visible(data, start, stop, flags)
        count, blank = _lines_into(parts, data, start, stop)
        if merged:
            count, blank = _strip_pieces(parts, data, count, flags), np.int64(0)
        name_parts(data, parts, count, seed)
        copied, chars, copied_chars = _copies(parts, count)
        out[_LINES] = count + blank
        out[_LINES + 1] = copied + (blank if blank > 1 else 0)
        out[_LINES + 2], out[_LINES + 3] = chars, copied_chars
        if merged:
            count = pieces_into(parts, data, start, stop, 2)
            count = _strip_pieces(parts, data, count, flags)
            name_parts(data, parts, count, seed)
            out[_PARAGRAPHS] = count
            copied, chars, copied_chars = _copies(parts, count)
            out[_PARAGRAPHS + 1] = copied
            out[_PARAGRAPHS + 2], out[_PARAGRAPHS + 3] = chars, copied_chars
        count = _solid_words_into(parts, data, start, stop, flags, solid)
        name_parts(data, parts, count, seed)
        out[_WORDS], out[_WORDS + 1] = count, _copies(parts, count)[1]
        _count_runs(parts, count, merged, seed, out[_RUNS:])


def copy_counts(
    texts: pa.Array, solid: npt.NDArray[np.bool_], *, merged: bool
) -> dict[str, npt.NDArray[np.int64]]:
    """COUNTS of each text; all zero for an empty one.

    `solid` tells of every code point whether a word that begins with it counts.
    """
    data, offsets = text_bytes(texts)
    counts = np.zeros((len(texts), len(COUNTS)), dtype=np.int64)
    _count_copies(
        data, offsets, character_flags(), merged, solid, seed(), parts_for(offsets), counts
    )
    return dict(zip(COUNTS, counts.T, strict=True))
