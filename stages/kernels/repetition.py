"""What Gopher's repetition filter counts: repeated lines, paragraphs and runs of words.

Equal parts are found by `parts`, exactly. A class of runs of n words is the pair of the classes of
its first and its last n-1 words, so that from there on integers alone are compared and nothing is
left to chance. A run of n words can only repeat where its first and last n-1 words do: with every n
fewer places are looked at, in most texts hardly any from n = 5 on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.characters import character_flags, count_characters, strip
from stages.kernels.jit import inner, jit
from stages.kernels.parts import (
    clear_slots,
    count_repeats,
    name_parts,
    open_class,
    parts_for,
    pieces_into,
    seed,
    words_into,
)
from stages.kernels.shingles import mix64, text_buffers

TOP_SIZES = (2, 3, 4)
"""Words of the runs whose most frequent one is measured."""
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)
"""Words of the runs whose second and later copies are measured."""
COUNTS = (
    "chars", "lines", "duplicate_lines", "duplicate_line_chars",
    "paragraphs", "duplicate_paragraphs", "duplicate_paragraph_chars",
    *(f"top_{n}gram_chars" for n in TOP_SIZES),
    *(f"duplicate_{n}gram_chars" for n in DUPLICATE_SIZES),
)  # fmt: skip
_LINES, _PARAGRAPHS, _RUNS = 1, 4, 7
"""Where in COUNTS they begin."""
_LAST_TOP, _LAST = TOP_SIZES[-1], DUPLICATE_SIZES[-1]


@inner
def name_runs(parts: Any, places: Any, seed: Any) -> Any:
    """From runs of n-1 words to runs of n at the first `places` places; gives how many classes.

    The run at a place is the pair of the shorter runs at it and at the next; it is unique, and gets
    no class, if one of them is. Places ascend, so the name at the next is still the shorter run's.
    """
    mask = clear_slots(parts, places)
    classes = 0
    for p in range(places):
        i = parts.places[p]
        after = parts.names[i + 1]
        if after < 0:
            parts.names[i] = -1
            continue
        key = np.uint64(parts.names[i]) << np.uint64(32) | np.uint64(after)
        slot = np.int64(mix64(key ^ seed)) & mask
        while parts.slots[slot] >= 0 and parts.keys[parts.slots[slot]] != key:
            slot = (slot + 1) & mask
        if parts.slots[slot] < 0:
            open_class(parts, classes, slot, key, i)
            classes += 1
        name = parts.slots[slot]
        parts.names[i] = name
        parts.sizes[name] += 1
    return classes


@inner
def drop_unique(parts: Any, places: Any) -> Any:
    """Keep the places whose run has a copy; gives how many are left. Elsewhere the name is -1."""
    left = 0
    for p in range(places):
        i = parts.places[p]
        if parts.names[i] < 0 or parts.sizes[parts.names[i]] < 2:
            parts.names[i] = -1
        else:
            parts.places[left] = i
            left += 1
    return left


@inner
def run_chars(parts: Any, start: Any, size: Any) -> Any:
    chars = np.int64(0)
    for i in range(start, start + size):
        chars += parts.chars[i]
    return chars


@inner
def _top_run(parts: Any, count: Any, size: Any, classes: Any, min_count: Any) -> Any:
    """Characters, a space between words included, in all copies of the most frequent run.

    On a tie it is the one that comes first: classes are numbered in that order, and a text in which
    nothing repeats has its first run.
    """
    if count < size:
        return np.int64(0)
    first, copies = np.int64(0), np.int64(1)
    for name in range(classes):
        if parts.sizes[name] > copies:
            first, copies = np.int64(parts.firsts[name]), np.int64(parts.sizes[name])
    if copies < min_count:
        return np.int64(0)
    return (run_chars(parts, first, size) + size - 1) * copies


@inner
def _duplicate_runs(parts: Any, places: Any, size: Any) -> Any:
    """Characters of words in runs that came before; found from the left, never overlapping.

    A run that begins in a found one is not seen. `sizes` is used up: 0 = the class was seen.
    """
    chars, free = np.int64(0), np.int64(0)
    for p in range(places):
        i = np.int64(parts.places[p])
        if i < free:
            continue
        if parts.sizes[parts.names[i]] == 0:
            chars += run_chars(parts, i, size)
            free = i + size
        parts.sizes[parts.names[i]] = 0
    return chars


@inner
def _count_runs(parts: Any, count: Any, min_count: Any, seed: Any, out: Any) -> None:
    """The counts of runs of 2 to `_LAST` of the named words, one after the other."""
    for i in range(count):
        parts.places[i] = i
    parts.names[count] = -1  # no run goes beyond the last word
    places = drop_unique(parts, count)
    for size in range(2, _LAST + 1):
        classes = name_runs(parts, places, seed)
        if size <= _LAST_TOP:
            out[size - 2] = _top_run(parts, count, size, classes, min_count)
        places = drop_unique(parts, places)
        if size > _LAST_TOP:
            out[size - 2] = _duplicate_runs(parts, places, size)


@jit
def _count_repetition(
    data: Any, offsets: Any, flags: Any, min_count: Any, seed: Any, parts: Any, counts: Any
) -> None:
    for row in range(len(offsets) - 1):
        start, stop, out = offsets[row], offsets[row + 1], counts[row]
        if start == stop:
            continue
        out[0] = count_characters(data, start, stop)
        count = pieces_into(parts, data, start, stop, 1)
        name_parts(data, parts, count, seed)
        out[_LINES] = count
        out[_LINES + 1], out[_LINES + 2] = count_repeats(parts, count)
        first, last = strip(data, start, stop, flags)
        count = pieces_into(parts, data, first, last, 2)
        name_parts(data, parts, count, seed)
        out[_PARAGRAPHS] = count
        out[_PARAGRAPHS + 1], out[_PARAGRAPHS + 2] = count_repeats(parts, count)
        count = words_into(parts, data, start, stop, flags)
        name_parts(data, parts, count, seed)
        _count_runs(parts, count, min_count, seed, out[_RUNS:])


def repetition_counts(texts: pa.Array, min_top_count: int) -> dict[str, npt.NDArray[np.int64]]:
    """COUNTS of each text; all zero for an empty one.

    A top run with fewer than `min_top_count` copies counts nothing.
    """
    data, offsets = text_buffers(texts)
    counts = np.zeros((len(texts), len(COUNTS)), dtype=np.int64)
    _count_repetition(
        data, offsets, character_flags(), min_top_count, seed(), parts_for(offsets), counts
    )
    return dict(zip(COUNTS, counts.T, strict=True))
