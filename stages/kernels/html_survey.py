"""What has to be known of a page before it is scanned: is it UTF-8, how many tags can it have.

`bytes.decode` and `bytes.count` say the same, and took as long as the scan itself: one makes a text
that nobody reads, the other starts anew at each `<`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_wide import WIDE, bits_beyond_ascii, bits_of, lowest_bit, num_bits
from stages.kernels.jit import inner, jit_bare

__all__ = ["survey"]

_LT = np.int64(0x3C)
_NONE = np.uint64(0)


def survey(html: bytes) -> tuple[int, bool]:
    """(number of `<`, whether all of it is valid UTF-8, as `bytes.decode` judges)."""
    if len(html) >= WIDE:
        data = np.frombuffer(html, dtype=np.uint8)
        count = int(_surveyed(data))
        return (count, True) if count >= 0 else (-1 - count, False)
    try:
        html.decode()
    except UnicodeDecodeError:
        return html.count(b"<"), False
    return html.count(b"<"), True


@jit_bare
def _surveyed(data: Any) -> Any:
    """The number of `<`, or -1 - that number if the page is no UTF-8. One walk: a page as it was
    crawled is cold."""
    count, valid, i, n = np.int64(0), True, np.int64(0), np.int64(len(data))
    checked = np.int64(0)
    while i < n:
        count += num_bits(bits_of(data, i, _LT))
        bits = bits_beyond_ascii(data, i)
        while bits != _NONE and valid:
            at = max(i + lowest_bit(bits), checked)
            while at < n and data[at] >= 0x80:  # such characters come in runs
                width = _width(data, at, n)
                if width == 0:
                    valid, at = False, n
                at += width
            checked = at
            if at >= i + WIDE:
                break
            bits = bits >> np.uint64(at - i) << np.uint64(at - i)
        i += WIDE
    return count if valid else -1 - count


@inner
def _width(data: Any, i: Any, n: Any) -> Any:
    """Bytes of the character that begins here with a byte above 0x7F; 0 if none does.

    The bounds of the second byte keep out longer forms than needed, surrogates and what is beyond
    U+10FFFF (the Unicode Standard, table 3-7).
    """
    lead = np.int64(data[i])
    width = np.int64(2 + (lead >= 0xE0) + (lead >= 0xF0))
    if lead < 0xC2 or lead > 0xF4 or i + width > n:
        return np.int64(0)
    low, high = 0x80, 0xBF
    if lead == 0xE0:
        low = 0xA0
    elif lead == 0xED:
        high = 0x9F
    elif lead == 0xF0:
        low = 0x90
    elif lead == 0xF4:
        high = 0x8F
    if not low <= data[i + 1] <= high:
        return np.int64(0)
    for k in range(2, width):
        if data[i + k] & 0xC0 != 0x80:
            return np.int64(0)
    return width
