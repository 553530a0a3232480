"""Words of a text, 64 bytes at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.characters import ALONE, ALPHA, SPACE
from stages.kernels.html_wide import lowest_bit, num_bits
from stages.kernels.jit import inner
from stages.kernels.shingles import decode
from stages.kernels.wide_text import NONE, ONE, WIDE, class_bits, highest_bit, low_bits


@inner
def _spread(flag: Any, bits: Any) -> Any:
    """The bits if the flag is set, else none."""
    return bits if flag else NONE


@inner
def characters_at(data: Any, at: Any, stop: Any, flags: Any, solids: Any) -> Any:
    """(length, spaces, leads, alone, letters, solid) of the whole characters from `at` on.

    Bits of `length` bytes, 61 at least unless `stop` comes first: white space and characters that
    are words by themselves with all their bytes, the others with the first. Solid are letters and
    digits of ASCII, and beyond it what `solids` says.
    """
    length = min(stop - at, WIDE)
    high, space, letters, solid = class_bits(data, at)
    valid = low_bits(length)
    lead, alone = valid, NONE
    high &= valid
    while high != NONE:
        place = lowest_bit(high)
        code, size = decode(data, at + place, stop)
        if place + size > WIDE:
            length = place
            valid = low_bits(length)
            break
        first = ONE << np.uint64(place)
        cover = low_bits(size) << np.uint64(place)
        kind = flags[code]
        high &= ~cover
        lead &= ~cover | first
        space = space & ~cover | _spread(kind & SPACE, cover)
        alone |= _spread(kind & ALONE, cover)
        letters = letters & ~cover | _spread(kind & ALPHA, first)
        solid = solid & ~cover | _spread(solids[code], first)
    return length, space & valid, lead & valid, alone & valid, letters & valid, solid & valid


@inner
def words_at(data: Any, at: Any, stop: Any, flags: Any, solids: Any) -> Any:
    """(length, starts, lasts, inside, leads, letters, solid) of the whole words from `at` on.

    Bits of `length` bytes, behind which a word ends or none is: the first and the last byte of
    each word, in pairs; the bytes of words that are not alone. `at` must not be inside of a word.
    A length of 0 says that one begins at `at` and goes on beyond 60 bytes.
    """
    length, space, lead, alone, letters, solid = characters_at(data, at, stop, flags, solids)
    if at + length < stop:
        length = highest_bit(space | alone) + 1
    valid = low_bits(length)
    visible = ~space & valid
    inside = visible & ~alone
    starts = visible & lead & (alone | ~(inside << ONE))
    lasts = visible & ~((visible & ~starts) >> ONE)
    return length, starts, lasts, inside, lead & valid, letters & valid, solid & valid


@inner
def num_marked(runs: Any, marks: Any) -> Any:
    """How many runs of bits hold a mark. Adding the marks carries out of just those."""
    total = runs + (marks & runs)
    return num_bits(total & ~runs) + (total < runs)


@inner
def marked_lasts(runs: Any, marks: Any) -> Any:
    """The last bit of each run that holds a mark."""
    total = runs + (marks & runs)
    top = ONE << np.uint64(63) if total < runs else NONE
    return (total & ~runs) >> ONE | top
