"""Repetition levels of a Parquet page -> where lists begin, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from loader.jit import jit


@jit
def _run_header(data: Any, at: int) -> tuple[Any, int]:
    """The varint at `at`, and where it ends; -1 where the data ends first."""
    value: Any = 0
    shift = 0
    while at < len(data) and shift < 63:
        byte: Any = np.int64(data[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    return -1, at


@jit
def zeros(data: npt.NDArray[np.uint8], count: int, found: npt.NDArray[np.int64]) -> int:
    """How many of `count` levels of 0 or 1 are 0; their places go to `found`. -1 if malformed.

    The RLE / bit-packed hybrid of Parquet's encodings with a bit width of 1.
    """
    at, place, number = 0, 0, 0
    while place < count:
        header, at = _run_header(data, at)
        if header < 0:
            return -1
        if header & 1:
            groups = header >> 1
            if groups > len(data) - at:
                return -1
            for byte in range(groups):
                for bit in range(8):
                    if place < count:
                        if not (data[at + byte] >> bit) & 1:
                            if number >= len(found):
                                return -1
                            found[number] = place
                            number += 1
                        place += 1
            at += groups
        else:
            run = min(header >> 1, count - place)
            if at >= len(data) or run <= 0:
                return -1
            if data[at] == 0:
                if number + run > len(found):
                    return -1
                for step in range(run):
                    found[number + step] = place + step
                number += run
            place += run
            at += 1
    return number
