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

from stages.kernels.characters import character_flags, strip
from stages.kernels.jit import inner, jit_bare
from stages.kernels.parts import (
    clear_slots,
    count_repeats,
    enter_class,
    name_parts,
    parts_for,
    pieces_into,
    seed,
    words_into,
)
from stages.kernels.shingles import mix64
from stages.kernels.wide_text import count_leads, text_bytes

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
    """From runs of n-1 words to runs of n at the first `places` places.

    Gives the number of classes, and of places left: the run at a place is the pair of the shorter
    runs at it and at the next; it is unique, and its place is dropped, if the next one is. Words
    are named by now: the room for where they start holds the pairs.
    """
    left = np.int64(0)
    for p in range(places):
        i = parts.places[p]
        name, after = np.int64(parts.names[i]), np.int64(parts.names[i + 1])
        parts.names[i] = -1
        parts.starts[left], parts.places[left] = name << 32 | after, i
        left += after >= 0
    mask = clear_slots(parts, left)
    classes = 0
    for p in range(left):
        key = np.uint64(parts.starts[p])
        slot = np.int64(mix64(key ^ seed)) & mask
        name = enter_class(parts, classes, slot, key, parts.places[p])
        while parts.keys[name] != key:
            slot = (slot + 1) & mask
            name = enter_class(parts, classes, slot, key, parts.places[p])
        classes += name == classes
        parts.names[parts.places[p]] = name
        parts.sizes[name] += 1
    return classes, left


@inner
def drop_unique(parts: Any, places: Any) -> Any:
    """Keep the places whose run has a copy; gives how many are left. Elsewhere the name is -1."""
    left = 0
    for p in range(places):
        i = parts.places[p]
        copied = parts.sizes[parts.names[i]] > 1
        parts.places[left] = i
        parts.names[i] = parts.names[i] if copied else -1
        left += copied
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
        classes, places = name_runs(parts, places, seed)
        if size <= _LAST_TOP:
            out[size - 2] = _top_run(parts, count, size, classes, min_count)
        places = drop_unique(parts, places)
        if size > _LAST_TOP:
            out[size - 2] = _duplicate_runs(parts, places, size)


@jit_bare
def _count_repetition(
    data: Any, offsets: Any, flags: Any, min_count: Any, seed: Any, parts: Any, counts: Any
) -> None:
    for row in range(len(offsets) - 1):
        start, stop, out = offsets[row], offsets[row + 1], counts[row]
        if start == stop:
            continue
        out[0] = count_leads(data, start, stop)
        count = pieces_into(parts, data, start, stop, 1)
        name_parts(data, parts, count, seed)
        out[_LINES] = count
        out[_LINES + 1], out[_LINES + 2] = count_repeats(data, parts, count)
        first, last = strip(data, start, stop, flags)
        count = pieces_into(parts, data, first, last, 2)
        name_parts(data, parts, count, seed)
        out[_PARAGRAPHS] = count
        out[_PARAGRAPHS + 1], out[_PARAGRAPHS + 2] = count_repeats(data, parts, count)
        count = words_into(parts, data, start, stop, flags)
        name_parts(data, parts, count, seed)
        _count_runs(parts, count, min_count, seed, out[_RUNS:])


def repetition_counts(texts: pa.Array, min_top_count: int) -> dict[str, npt.NDArray[np.int64]]:
    """COUNTS of each text; all zero for an empty one.

    A top run with fewer than `min_top_count` copies counts nothing.
    """
    data, offsets = text_bytes(texts)
    counts = np.zeros((len(texts), len(COUNTS)), dtype=np.int64)
    _count_repetition(
        data, offsets, character_flags(), min_top_count, seed(), parts_for(offsets), counts
    )
    return dict(zip(COUNTS, counts.T, strict=True))
