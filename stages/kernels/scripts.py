"""Bytes in characters of each script, in every text of an Arrow column."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.characters import read
from stages.kernels.jit import jit
from stages.kernels.shingles import text_buffers


def script_bytes(
    texts: pa.Array, scripts: npt.NDArray[np.uint8], num_scripts: int
) -> npt.NDArray[np.int64]:
    """Bytes of each text by number of their characters' script, shape (texts, num_scripts).

    `scripts` holds the number of every code point's script, below `num_scripts`.
    """
    data, offsets = text_buffers(texts)
    counts = np.zeros((len(texts), num_scripts), dtype=np.int64)
    _count(data, offsets, scripts, counts)
    return counts


@jit
def _count(data: Any, offsets: Any, scripts: Any, counts: Any) -> None:
    for row in range(len(counts)):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            code, size = read(data, at, stop)
            counts[row, scripts[code]] += size
            at += size
