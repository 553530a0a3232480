"""What the measures of text ask of a character, as one byte of flags a code point.

Read from the committed `unicode_tables.json`, so the running Python's Unicode does not matter.
`read`, `last_character` and `strip` are how kernels walk over UTF-8: bytes that are no UTF-8 count
as U+FFFD, and nothing outside of the given range is ever looked at.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.kernels.jit import inner
from stages.kernels.shingles import decode
from stages.kernels.unicode_tables import NUM_CODE_POINTS, lower_case, members

UInt8s = npt.NDArray[np.uint8]
UInt32s = npt.NDArray[np.uint32]

SPACE = 1
"""`str.isspace`."""
ALONE = 2
"""A word by itself (`pipeline.batch.split_words`)."""
ALPHA = 4
"""`str.isalpha`."""
WORD = 8
r"""`\w` of regular expressions."""
LOWERCASE = 16
"""`str.islower`."""
CASED = 32
"""A sigma behind it is a final sigma."""
IGNORABLE = 64
"""Skipped in the search for a character that makes a sigma a final one."""
DIGIT = 128
r"""`\d` of regular expressions."""

_CLASSES = {
    "space": SPACE,
    "unspaced": ALONE,
    "alpha": ALPHA,
    "word": WORD,
    "lowercase": LOWERCASE,
    "cased": CASED,
    "ignorable": IGNORABLE,
    "digit": DIGIT,
}
FINAL_SIGMA = 0x3C2


@lru_cache(maxsize=1)
def character_flags() -> UInt8s:
    """The flags of every code point."""
    flags = np.zeros(NUM_CODE_POINTS, dtype=np.uint8)
    for name, flag in _CLASSES.items():
        flags[members(name)] |= np.uint8(flag)
    flags.setflags(write=False)
    return flags


@lru_cache(maxsize=1)
def lower_codes() -> UInt32s:
    """The lower case of every code point by itself; U+0130, whose lower case is two, is itself."""
    codes = lower_case()
    codes[FINAL_SIGMA] = FINAL_SIGMA  # the stored table makes both sigmas one, for signatures
    codes.setflags(write=False)
    return codes


@inner
def read(data: Any, at: Any, stop: Any) -> Any:
    """The code point at `at` < `stop`, and its length in bytes."""
    code = np.int64(data[at])
    return decode(data, at, stop) if code >= 0x80 else (code, 1)


@inner
def last_character(data: Any, start: Any, end: Any) -> Any:
    """(where the last character of data[start:end] begins, its code point); start < end."""
    at = end - 1
    while at > start and end - at < 4 and data[at] & 0xC0 == 0x80:
        at -= 1
    return at, read(data, at, end)[0]


@inner
def strip(data: Any, start: Any, end: Any, flags: Any) -> Any:
    """(start, end) without the white space around, as `str.strip`; equal if nothing is left."""
    while start < end:
        code, size = read(data, start, end)
        if not flags[code] & SPACE:
            break
        start += size
    while start < end:
        at, code = last_character(data, start, end)
        if not flags[code] & SPACE:
            break
        end = at
    return start, end
