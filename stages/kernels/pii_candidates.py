"""Where personal data may stand in a text: one pass over the bytes, most of it in wide registers.

A text is looked at in blocks of 64 bytes. Each block is asked, without a branch, how many digits it
has and whether something rare begins in it: an `@`, a plus sign before a digit, two dots around at
most three digits, `2001:`, two letters before two digits. Only blocks that say yes are walked byte
by byte. All marks are ASCII, so UTF-8 needs no decoding, and no text sees its neighbours.

What is found are candidates, with as few bytes around them as a check needs; `stages.pii.spans`
decides. Every candidate is bounded in length, so nothing behind this can take long on one of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.jit import inner, jit
from stages.kernels.shingles import text_buffers

EMAIL, IPV4, IPV6, IBAN, NUMBER = range(5)
"""Kinds of candidates."""
MAX_NUMBER_BYTES = 96
"""A longer run of digits and marks is a list, read in pieces (`_NEAR`); a piece that is longer too
is a table, and no number is looked for in it."""
MAX_LOCAL_BYTES, MAX_DOMAIN_BYTES = 128, 320
"""Above RFC 5321, section 4.5.3.1: 64 and 255 octets."""
_U8 = np.uint8
_RARE, _PLUS = 1, 2
_BLOCK = 64
_LOOK_AHEAD = 8
_MAX_GAP = 4
"""Bytes between two digits of a number, such as `) - `."""
_NEAR = 2
"""The same in a list, whose numbers stand apart by ` / ` or more."""
_DIGIT, _LETTER, _LOCAL, _DOMAIN, _HEX, _MARK, _HIGH = 1, 2, 4, 8, 16, 32, 64


def _byte_flags() -> npt.NDArray[np.uint8]:
    flags = np.zeros(256, dtype=np.uint8)
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    for characters, flag in (
        (b"0123456789", _DIGIT | _LOCAL | _DOMAIN | _HEX),
        (letters, _LETTER | _LOCAL | _DOMAIN),
        (b"abcdefABCDEF:.", _HEX),
        (b"._%+'-", _LOCAL),
        (b".-", _DOMAIN),
        # Marks inside of telephone and card numbers; the last bytes are those of a no-break space
        # and of the dashes U+2010 to U+2015 in UTF-8.
        (b" -.()/\xa0\xc2\xe2\x80\x90\x91\x92\x93\x94\x95", _MARK),
        (bytes(range(128, 256)), _HIGH | _LOCAL | _DOMAIN),
    ):
        flags[list(characters)] |= np.uint8(flag)
    return flags


BYTE_FLAGS = _byte_flags()


@inner
def _look(block: Any) -> Any:
    """(number of digits, marks) of the first 64 bytes of a block: _RARE, _PLUS if they begin there.

    Every value stays a byte or a truth: with wider ones LLVM does not use wide registers, and the
    speed falls from 4.5 to 0.6 GB/s.
    """
    digits, marks = _U8(0), _U8(0)
    for k in range(_BLOCK):
        b0, b1, b2 = block[k], block[k + 1], block[k + 2]
        b3, b4 = block[k + 3], block[k + 4]
        d0, d1 = _U8(b0 - _U8(48)) < 10, _U8(b1 - _U8(48)) < 10
        d2, d3 = _U8(b2 - _U8(48)) < 10, _U8(b3 - _U8(48)) < 10
        digits = _U8(digits + _U8(d0))
        plus = (b0 == 43) & (d1 | (b1 == 40))
        dots = (b0 == 46) & d1 & ((b2 == 46) | (b3 == 46) | (b4 == 46))
        ipv6 = (_U8(b0 | _U8(1)) == 51) & (b4 == 58)
        letter0 = _U8(_U8(b0 | _U8(32)) - _U8(97)) < 26
        letter1 = _U8(_U8(b1 | _U8(32)) - _U8(97)) < 26
        iban = letter0 & letter1 & d2 & d3
        marks = _U8(marks | _U8((b0 == 64) | dots | ipv6 | iban) | _U8(_U8(plus) << _U8(1)))
    return digits, marks


@inner
def _add(found: Any, count: Any, row: Any, kind: Any, start: Any, end: Any) -> Any:
    """One candidate more; beyond the room that there is, it is only counted."""
    if count < len(found):
        found[count, 0], found[count, 1], found[count, 2], found[count, 3] = row, kind, start, end
    return count + 1


@inner
def _email(data: Any, at: Any, first: Any, stop: Any, flags: Any) -> Any:
    """(start, end) of the run around the `@` at `at`; equal if it is no address."""
    start, least = at, max(first, at - MAX_LOCAL_BYTES)
    while start > least and flags[data[start - 1]] & _LOCAL:
        start -= 1
    end, most = at + 1, min(stop, at + 1 + MAX_DOMAIN_BYTES)
    dots = 0
    while end < most and flags[data[end]] & _DOMAIN:
        dots += data[end] == 46
        end += 1
    return (start, end) if dots and start < at else (at, at)


@inner
def _ipv4(data: Any, dot: Any, first: Any, stop: Any, flags: Any) -> Any:
    """(start, end) of four numbers with the dot at `dot` behind the first; equal if there are none.

    No digit, letter, or dot between digits touches them.
    """
    start = dot
    while start > first and dot - start < 4 and 48 <= data[start - 1] <= 57:
        start -= 1
    if start == dot or dot - start == 4:
        return dot, dot
    if start > first and (flags[data[start - 1]] & _LETTER or data[start - 1] == 46):
        return dot, dot
    at = dot
    for _ in range(3):
        if at >= stop or data[at] != 46:
            return dot, dot
        at += 1
        begin = at
        while at < stop and at - begin < 4 and 48 <= data[at] <= 57:
            at += 1
        if at == begin or at - begin == 4:
            return dot, dot
    if at < stop and flags[data[at]] & _LETTER:
        return dot, dot
    if at + 1 < stop and data[at] == 46 and 48 <= data[at + 1] <= 57:
        return dot, dot
    return start, at


@inner
def _ipv6(data: Any, at: Any, first: Any, stop: Any, flags: Any) -> Any:
    """(start, end) of an address that begins at `at`; equal if none does."""
    if at + 4 >= stop or data[at + 4] != 58:
        return at, at
    if at > first and flags[data[at - 1]] & (_HEX | _LETTER):
        return at, at
    end, colons = at, 0
    while end < stop and end - at < 48 and flags[data[end]] & _HEX:
        colons += data[end] == 58
        end += 1
    if end - at < 48 and end < stop and flags[data[end]] & _LETTER:
        return at, at
    return (at, end) if colons >= 2 else (at, at)


@inner
def _number(data: Any, at: Any, stop: Any, flags: Any, max_gap: Any) -> Any:
    """(end, number of digits) of the run of digits and marks from `at` on; it ends in a digit."""
    end, digits, gap = at, 0, 0
    while at < stop and gap <= max_gap:
        flag = flags[data[at]]
        if flag & _DIGIT:
            digits += 1
            end, gap = at + 1, 0
        elif flag & _MARK or data[at] == 43:
            gap += 1
        else:
            break
        at += 1
    return end, digits


@inner
def _run_start(data: Any, at: Any, least: Any, flags: Any) -> Any:
    """Where the run of digits and marks that holds `at` begins, not before `least`."""
    while at > least and (flags[data[at - 1]] & (_DIGIT | _MARK) or data[at - 1] == 43):
        at -= 1
    return at


@inner
def _iban(data: Any, at: Any, first: Any, stop: Any, flags: Any) -> Any:
    """The end of at least 15 letters and digits, single spaces between, that begin at `at` as an
    IBAN does; `at` if they do not.
    """
    if stop - at < 15 or (at > first and flags[data[at - 1]] & (_LETTER | _DIGIT)):
        return at
    if not (flags[data[at + 1]] & _LETTER and flags[data[at + 2]] & flags[data[at + 3]] & _DIGIT):
        return at
    end, count, most = at, 0, min(stop, at + 44)
    for i in range(at, most):
        if flags[data[i]] & (_LETTER | _DIGIT):
            count += 1
            end = i + 1
        elif data[i] != 32 or end < i:
            break
    return end if count >= 15 else at


@jit
def _candidates(
    data: Any, offsets: Any, flags: Any, kinds: Any, least_digits: Any, found: Any
) -> Any:
    """Write the candidates of every text; gives how many there are, also beyond the room."""
    count = 0
    # The first digits of a number stand in two blocks at most, half of them in one.
    block_digits = (least_digits + 1) // 2
    for row in range(len(offsets) - 1):
        first, stop = offsets[row], offsets[row + 1]
        done = first
        for begin in range(first, stop, _BLOCK):
            digits, marks = _U8(_BLOCK), _U8(_RARE | _PLUS)
            if begin + _BLOCK + _LOOK_AHEAD <= len(data):
                digits, marks = _look(data[begin : begin + _BLOCK + _LOOK_AHEAD])
                if not marks and digits < block_digits:
                    continue
            end = min(begin + _BLOCK, stop)
            if marks & _RARE:
                count = _rare(data, row, first, stop, begin, end, flags, kinds, found, count)
            if kinds[NUMBER] and (marks & _PLUS or digits >= block_digits):
                at = done
                if done < begin:
                    at = _run_start(data, begin, max(done, begin - _BLOCK), flags)
                count, done = _numbers(data, row, at, end, stop, flags, least_digits, found, count)
    return count


@inner
def _rare(
    data: Any, row: Any, first: Any, stop: Any, begin: Any, end: Any, flags: Any, kinds: Any,
    found: Any, count: Any,
) -> Any:  # fmt: skip
    """The candidates of one block besides numbers."""
    for at in range(begin, end):
        byte = data[at]
        if byte == 64:
            left, right = _email(data, at, first, stop, flags)
            kind = EMAIL
        elif byte == 46:
            left, right = _ipv4(data, at, first, stop, flags)
            kind = IPV4
        elif flags[byte] & _LETTER:
            left, right = at, _iban(data, at, first, stop, flags)
            kind = IBAN
        elif byte | 1 == 51:
            left, right = _ipv6(data, at, first, stop, flags)
            kind = IPV6
        else:
            continue
        if left < right and kinds[kind]:
            count = _add(found, count, row, kind, left, right)
    return count


@inner
def _numbers(
    data: Any, row: Any, at: Any, end: Any, stop: Any, flags: Any, least_digits: Any, found: Any,
    count: Any,
) -> Any:  # fmt: skip
    """(count, where to go on) after the runs of digits that begin in data[at:end]."""
    while at < end:
        byte = data[at]
        if not (flags[byte] & _DIGIT or byte == 43 or byte == 40):
            at += 1
            continue
        # So far that it shows whether the run is too long: the pieces of a list begin here again.
        enough = min(stop, at + MAX_NUMBER_BYTES + _MAX_GAP + 1)
        right, digits = _number(data, at, enough, flags, _MAX_GAP)
        if right - at > MAX_NUMBER_BYTES:
            right, digits = _number(data, at, stop, flags, _NEAR)
        least = min(7, least_digits) if byte == 43 else least_digits
        if digits >= least and right - at <= MAX_NUMBER_BYTES:
            count = _add(found, count, row, NUMBER, at, right)
        at = max(right, at + 1)
    return count, at


def find_candidates(
    texts: pa.Array, kinds: frozenset[int], least_digits: int
) -> npt.NDArray[np.int64]:
    """Rows of (text, kind, start, end), the places in bytes of the column's buffer.

    A NUMBER has at least `least_digits` digits, or seven behind a plus sign.
    """
    data, offsets = text_buffers(texts)
    wanted = np.array([kind in kinds for kind in range(5)])
    room = max(1024, len(data) // 512)
    while True:
        found = np.empty((room, 4), dtype=np.int64)
        count = _candidates(data, offsets, BYTE_FLAGS, wanted, least_digits, found)
        if count <= room:
            return found[:count]
        room = count
