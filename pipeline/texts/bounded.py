"""Texts of a bounded size, for what is trained on them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_CONTINUES, _MASK = 0x80, 0xC0
"""Of a byte of UTF-8 that begins no character."""


def capped_texts(texts: pa.Array | pa.ChunkedArray, max_bytes: int) -> pa.Array:
    """The texts cut to at most `max_bytes` of UTF-8, never inside a character; null = empty."""
    filled = _filled(texts)
    sizes = _sizes(filled, max_bytes)
    long = np.flatnonzero(sizes < _lengths(filled))
    if not len(long):
        return filled
    mask = np.zeros(len(filled), bool)
    mask[long] = True
    starts, data = _bytes(filled)
    cut = [bytes(data[starts[row] : starts[row] + sizes[row]]) for row in long]
    return pc.replace_with_mask(
        filled, pa.array(mask), pa.array(cut, pa.large_binary()).cast(pa.large_string())
    )


def capped_sizes(texts: pa.Array | pa.ChunkedArray, max_bytes: int) -> npt.NDArray[np.int64]:
    """Bytes of UTF-8 of each of `capped_texts(texts, max_bytes)`, without making them."""
    return _sizes(_filled(texts), max_bytes)


def _filled(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    filled = pc.fill_null(texts.cast(pa.large_string()), "")
    return filled.combine_chunks() if isinstance(filled, pa.ChunkedArray) else filled


def _sizes(texts: pa.Array, max_bytes: int) -> npt.NDArray[np.int64]:
    """The last place at or before `max_bytes` where a character begins or the text ends."""
    sizes = _lengths(texts)
    long = np.flatnonzero(sizes > max_bytes)
    if not len(long):
        return sizes
    starts, data = _bytes(texts)
    sizes[long] = max_bytes
    while len(long):
        long = long[data[starts[long] + sizes[long]] & _MASK == _CONTINUES]
        sizes[long] -= 1
    return sizes


def _lengths(texts: pa.Array) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    return found.astype(np.int64)


def _bytes(texts: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Where each text begins, and the bytes of all."""
    _, offsets, data = texts.buffers()
    starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts)]
    return starts, np.frombuffer(data, np.uint8)
