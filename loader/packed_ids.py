"""Ids in memory: `bits` of each, one behind the other without gaps, the lowest bit first.

A vocabulary of 32,000 ids needs 15 bits instead of a uint16's 16, one of 128,000 needs 17 instead
of a uint32's 32: so much more fits into the hot cache, and so many more ids cross the wire in the
same time. With 16 or 32 bits this is an array of little-endian numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from loader.instructions import load_word
from loader.jit import jit

Bytes = npt.NDArray[np.uint8]


class TooLarge(ValueError):
    """An id does not fit into the bits."""


def bits_of(max_id: int) -> int:
    """Bits that hold every id up to `max_id`."""
    return max_id.bit_length()


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that so many ids take."""
    return -(-count * bits // 8)


def pack(ids: npt.NDArray[Any], bits: int) -> Bytes:
    """The ids packed. Raises TooLarge."""
    if bits == 8 * ids.dtype.itemsize:
        return ids.view(np.uint8)
    words = np.empty(-(-len(ids) * bits // 64), "<u8")
    if _packed(ids, bits, words):
        raise TooLarge(f"got ids up to {ids.max()}, expected {bits} bits at most")
    return words.view(np.uint8)[: packed_bytes(len(ids), bits)]


def unpack(packed: Bytes, bits: int, count: int) -> npt.NDArray[Any]:
    """`count` ids, as uint16 or uint32: a view where they lie so already.

    At least 7 more bytes than the ids' own can be read behind them.
    """
    dtype = "<u2" if bits <= 16 else "<u4"
    if bits in (16, 32):
        return np.frombuffer(packed, dtype, count)
    found = np.empty(count, dtype)
    _unpacked(packed.ctypes.data, bits, found)
    return found


@jit
def _packed(ids: Any, bits: int, words: Any) -> Any:
    """Write the words; whether an id was too large."""
    held, filled, at, seen = np.uint64(0), np.uint64(0), 0, np.uint64(0)
    width, whole = np.uint64(bits), np.uint64(64)
    for one in ids:
        value = np.uint64(one)
        seen |= value
        held |= value << filled
        filled += width
        if filled >= whole:
            words[at] = held
            at += 1
            filled -= whole
            held = value >> (width - filled)
    if filled:
        words[at] = held
    return seen >> width != 0


@jit
def _unpacked(address: int, bits: int, found: Any) -> None:
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    for at in range(len(found)):
        bit = at * bits
        found[at] = (load_word(np.int64(address + bit // 8)) >> np.uint64(bit % 8)) & mask
