"""Which texts have something that `stages.normalise` may change, in one pass over their bytes.

Blocks of 64 bytes are first asked for white space that is out of place and for control characters
of ASCII, all in wide registers; only blocks with other bytes are walked character by character,
through a table that says of each what it may be. A flag says "look", not "wrong".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.jit import inner, jit
from stages.kernels.shingles import decode, text_buffers

SPACING, CONTROL, INVISIBLE, COMPOSED, MOJIBAKE = 1, 2, 4, 8, 16
"""White space; control characters; characters of no width; not surely NFC; UTF-8 read as another
encoding."""
_U8 = np.uint8
_HIGH = 128
_BLOCK = 64


@inner
def _look(block: Any) -> Any:
    """Flags of the first 64 bytes of a block, _HIGH if one is not ASCII. Values stay bytes."""
    flags = _U8(0)
    for k in range(_BLOCK):
        b0, b1, b2 = block[k], block[k + 1], block[k + 2]
        newline = b1 == 10
        blank = ((b0 == 32) | (b0 == 9)) & newline
        empty = (b0 == 10) & newline & (b2 == 10)
        breaks = (b0 == 11) | (b0 == 12) | (b0 == 13)
        control = ((b0 < 32) & (b0 != 9) & (b0 != 10) & ~breaks) | (b0 == 127)
        flags = _U8(flags | _U8(blank | empty | breaks) | _U8(_U8(control) << _U8(1)))
        flags = _U8(flags | _U8(b0 & _U8(_HIGH)))
    return flags


@inner
def _characters(
    data: Any, at: Any, end: Any, stop: Any, table: Any, bytes_of: Any, need: Any
) -> Any:
    """(flags, where it ended, what is needed) of the characters that begin in data[at:end].

    `need` holds, for each of the encodings in `bytes_of`, whether one, two or three more bytes
    would complete a sequence of UTF-8.
    """
    flags = _U8(0)
    one, two, three = need
    while at < end:
        if data[at] < 0x80:
            one, two, three = np.uint32(0), np.uint32(0), np.uint32(0)
            at += 1
            continue
        code, size = decode(data, at, stop)
        at += size
        flags = _U8(flags | table[code])
        of = bytes_of[code] if code < len(bytes_of) else bytes_of[0]
        if one & of[0]:
            flags = _U8(flags | MOJIBAKE)
        one, two, three = of[1] | (two & of[0]), of[2] | (three & of[0]), of[3]
    return flags, at, (one, two, three)


@jit
def _flag_texts(data: Any, offsets: Any, table: Any, bytes_of: Any, out: Any) -> None:
    nothing = (np.uint32(0), np.uint32(0), np.uint32(0))
    for row in range(len(offsets) - 1):
        first, stop = offsets[row], offsets[row + 1]
        at, need = first, nothing
        for begin in range(first, stop, _BLOCK):
            end = min(begin + _BLOCK, stop)
            if begin + _BLOCK + 2 <= len(data):
                flags = _look(data[begin : begin + _BLOCK + 2])
            else:
                flags = _U8(_HIGH | SPACING | CONTROL)  # nothing is read behind the column
            if not flags:
                need = nothing
                continue
            out[row] |= flags & _U8(SPACING | CONTROL)
            if flags & _HIGH:
                found, at, need = _characters(
                    data, max(at, begin), end, stop, table, bytes_of, need
                )
                out[row] |= found
            else:
                need = nothing
        if first < stop and (data[first] <= 32 or data[stop - 1] <= 32):
            out[row] |= _U8(SPACING)


def unclean(
    texts: pa.Array, table: npt.NDArray[np.uint8], bytes_of: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint8]:
    """The flags of each text. A text without a flag has nothing of what they stand for.

    `table` gives flags of each code point; `bytes_of[code]` four masks, a bit an encoding: where
    the character is a byte 80-BF of it, and where it begins a sequence of two, three, four bytes.
    A row may be flagged for what follows its last character within 64 bytes.
    """
    data, offsets = text_buffers(texts)
    out = np.zeros(len(texts), dtype=np.uint8)
    _flag_texts(data, offsets, table, bytes_of, out)
    return out
