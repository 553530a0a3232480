"""Sixty-four bytes of a text at a time: where are its spaces, letters, marks and line breaks.

As `html_wide` says, this is the one thing that kernels cannot say in Python: LLVM compares the
bytes of whole registers, and each answer is a number with a bit for every byte, the first lowest.
The instructions are those of any processor; no result depends on the machine.

Bounds. An array that is asked has at least `WIDE` bytes (`text_bytes`), and the place is inside of
it. Where fewer than 64 bytes are left, the last 64 are read and the bits are moved down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from stages.kernels.html_wide import lowest_bit, num_bits
from stages.kernels.jit import inner
from stages.kernels.shingles import text_buffers

WIDE = 64
NONE, ONE = np.uint64(0), np.uint64(1)
"""No byte, the first byte."""
_EVERY, _BITS_OF_BYTE = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(8)
_WIDE_BITS, _HALF = np.uint64(64), np.uint64(8)
_I1, _I8, _I64, _I128 = (ir.IntType(bits) for bits in (1, 8, 64, 128))
_BYTES = ir.VectorType(_I8, WIDE)


def text_bytes(texts: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """`text_buffers`, with zeros behind a column of fewer than `WIDE` bytes."""
    data, offsets = text_buffers(texts)
    if len(data) < WIDE:
        data = np.concatenate([data, np.zeros(WIDE, np.uint8)])
        data.setflags(write=False)
    return data, offsets


def _all(byte: int) -> Any:
    return ir.Constant(_BYTES, [byte] * WIDE)


def _all_true() -> Any:
    return ir.Constant(ir.VectorType(_I1, WIDE), [1] * WIDE)


def _splat(builder: Any, byte: Any) -> Any:
    """A vector of this byte everywhere."""
    one = builder.insert_element(ir.Constant(_BYTES, ir.Undefined), byte, ir.Constant(_I64, 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDE), [0] * WIDE)
    return builder.shuffle_vector(one, ir.Constant(_BYTES, ir.Undefined), zeros)


def _array(context: Any, builder: Any, signature: Any, arguments: Any, number: int) -> Any:
    """(first byte, length) of an array of bytes."""
    make = context.make_array(signature.args[number])
    array = make(context, builder, arguments[number])
    return array.data, builder.extract_value(array.shape, 0)


def _load(builder: Any, base: Any, at: Any, kind: Any) -> Any:
    """What is stored from a place on, wherever it lies in memory."""
    return builder.load(builder.bitcast(builder.gep(base, [at]), kind.as_pointer()), align=1)


def _window(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """(64 bytes, how many of them lie before the place that was asked for)."""
    base, size = _array(context, builder, signature, arguments, 0)
    at, last = arguments[1], builder.sub(size, ir.Constant(_I64, WIDE))
    inside = builder.icmp_signed("<=", at, last)
    found = _load(builder, base, builder.select(inside, at, last), _BYTES)
    return found, builder.select(inside, ir.Constant(_I64, 0), builder.sub(at, last))


def _between(builder: Any, found: Any, low: int, high: int) -> Any:
    return builder.icmp_unsigned("<", builder.sub(found, _all(low)), _all(high - low + 1))


def _equal(builder: Any, found: Any, byte: int) -> Any:
    return builder.icmp_unsigned("==", found, _all(byte))


def _high(builder: Any, found: Any) -> Any:
    return builder.icmp_signed("<", found, _all(0))


def _space(builder: Any, found: Any) -> Any:
    low = builder.or_(_between(builder, found, 0x09, 0x0D), _between(builder, found, 0x1C, 0x20))
    return low


def _letter(builder: Any, found: Any) -> Any:
    return _between(builder, builder.or_(found, _all(0x20)), 0x61, 0x7A)


def _letter_or_digit(builder: Any, found: Any) -> Any:
    return builder.or_(_letter(builder, found), _between(builder, found, 0x30, 0x39))


def _low_line(builder: Any, found: Any) -> Any:
    return _equal(builder, found, 0x5F)


def _hash(builder: Any, found: Any) -> Any:
    return _equal(builder, found, 0x23)


def _dot(builder: Any, found: Any) -> Any:
    return _equal(builder, found, 0x2E)


def _ellipsis_lead(builder: Any, found: Any) -> Any:
    return _equal(builder, found, 0xE2)


def _mark(builder: Any, found: Any) -> Any:
    end = builder.or_(_equal(builder, found, 0x21), _equal(builder, found, 0x3F))
    return builder.or_(end, _equal(builder, found, 0x2E))


def _break(builder: Any, found: Any) -> Any:
    low = builder.or_(_between(builder, found, 0x0A, 0x0D), _between(builder, found, 0x1C, 0x1E))
    return builder.or_(builder.or_(low, _equal(builder, found, 0xC2)), _equal(builder, found, 0xE2))


def _lead(builder: Any, found: Any) -> Any:
    return builder.icmp_signed(">", found, _all(0xBF))


def _newline(builder: Any, found: Any) -> Any:
    return _equal(builder, found, 0x0A)


def _bracket(builder: Any, found: Any) -> Any:
    return _equal(builder, found, 0x5B)


def _asking(*tests: Any) -> Any:
    """A function of (array, place): which of the 64 bytes from there on pass each test."""

    def asked(typing: Any, data: Any, at: Any) -> Any:
        result = types.UniTuple(types.uint64, len(tests)) if len(tests) > 1 else types.uint64

        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            found, moved = _window(context, builder, signature, arguments)
            bits = [
                builder.lshr(builder.bitcast(test(builder, found), _I64), moved) for test in tests
            ]
            return context.make_tuple(builder, result, bits) if len(bits) > 1 else bits[0]

        return result(data, types.int64), build

    return intrinsic(asked)


class_bits = _asking(_high, _space, _letter, _letter_or_digit)
"""Not ASCII; white space of ASCII; its letters; its letters and digits."""
high_bits = _asking(_high)
low_line_bits = _asking(_low_line)
"""`_`."""
symbol_bits = _asking(_hash, _dot, _ellipsis_lead)
"""`#`; `.`; what may begin `…`."""
mark_bits = _asking(_mark)
"""`.`, `?`, `!`."""
break_bits = _asking(_break)
"""What may begin a line break of `str.splitlines`."""
newline_bits = _asking(_newline)
lead_bits = _asking(_lead)
"""Bytes that begin a character."""
bracket_bits = _asking(_bracket)
"""`[`."""


@intrinsic  # type: ignore[untyped-decorator]
def highest_bit(typing: Any, bits: Any) -> Any:
    """The number of the highest bit that is set; -1 if none is."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(_I64, 63), zeros)

    return types.int64(types.uint64), build


@intrinsic  # type: ignore[untyped-decorator]
def _head_bits(
    typing: Any, data: Any, at: Any, first: Any, second: Any, third: Any, step: Any, last: Any
) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, _ = _array(context, builder, signature, arguments, 0)
        met = _all_true()
        ahead = (ir.Constant(_I64, 0), arguments[5], arguments[6])
        for byte, further in zip(arguments[2:5], ahead, strict=True):
            found = _load(builder, base, builder.add(arguments[1], further), _BYTES)
            small = builder.or_(found, _all(0x20))
            same = builder.icmp_unsigned("==", small, _splat(builder, byte))
            met = builder.and_(met, same)
        return builder.bitcast(met, _I64)

    byte, place = types.uint8, types.int64
    return types.uint64(data, place, byte, byte, byte, place, place), build


@inner
def head_bits(data: Any, at: Any, first: Any, second: Any, third: Any, size: Any) -> Any:
    """Where the first `size` of three bytes, the others like its last, stand in any case.

    Of 64 bytes from a place on; 66 must be left there. Some that differ in bit 5 pass as well.
    """
    if data[at + (WIDE + 1)] == first:  # looks at the last, for index checks
        pass
    return _head_bits(
        data, at, np.uint8(first), np.uint8(second), np.uint8(third),
        min(np.int64(size) - 1, 1), np.int64(size) - 1,
    )  # fmt: skip


@intrinsic  # type: ignore[untyped-decorator]
def _eight_at(typing: Any, data: Any, at: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, _ = _array(context, builder, signature, arguments, 0)
        return _load(builder, base, arguments[1], _I64)

    return types.uint64(data, types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def fold_product(typing: Any, one: Any, other: Any) -> Any:
    """The product of two 64-bit numbers, its upper half over its lower (exclusive or)."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        product = builder.mul(*(builder.zext(value, _I128) for value in arguments))
        upper = builder.trunc(builder.lshr(product, ir.Constant(_I128, 64)), _I64)
        return builder.xor(upper, builder.trunc(product, _I64))

    return types.uint64(types.uint64, types.uint64), build


@intrinsic  # type: ignore[untyped-decorator]
def _move(typing: Any, data: Any, at: Any, out: Any, to: Any, size: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, _ = _array(context, builder, signature, arguments, 0)
        target, _ = _array(context, builder, signature, arguments, 2)
        source, target = (
            builder.gep(source, [arguments[1]]),
            builder.gep(target, [arguments[3]]),
        )
        cgutils.raw_memmove(builder, target, source, arguments[4], 1)
        return context.get_dummy_value()

    return types.void(data, types.int64, out, types.int64, types.int64), build


@inner
def move_bytes(data: Any, at: Any, stop: Any, out: Any, to: Any) -> Any:
    """Copy data[at:stop] to `to`, where both may be one array; gives the place behind it."""
    if at < stop:
        if data[stop - 1] == out[to + (stop - at) - 1]:  # looks at the last, for index checks
            pass
        _move(data, at, out, to, stop - at)
    return to + (stop - at)


@inner
def low_bits(count: Any) -> Any:
    """So many of the lowest bits: all 64 if it is more, none if it is not above 0."""
    return _EVERY >> np.uint64(64 - min(max(count, 1), 64)) if count > 0 else NONE


@inner
def eight(data: Any, at: Any, count: Any) -> Any:
    """The first `count` bytes from a place on as one number, the first lowest; 8 if it is more."""
    kept = low_bits(8 * count)
    if at + 8 <= len(data):
        return _eight_at(data, at) & kept
    # The array has more than 8 bytes: the last of them, moved down.
    last = len(data) - 8
    return _eight_at(data, last) >> np.uint64(8 * min(at - last, 7)) & kept


@inner
def same_text(data: Any, start: Any, end: Any, other: Any, begin: Any) -> Any:
    """True if data[start:end] stands in `other` at `begin`."""
    while start < end:
        if eight(data, start, end - start) != eight(other, begin, end - start):
            return False
        start, begin = start + 8, begin + 8
    return True


@inner
def find_newline(data: Any, at: Any, stop: Any) -> Any:
    """The next newline from `at` on, or `stop`."""
    while at < stop:
        bits = newline_bits(data, at)
        if bits != NONE:
            return min(at + lowest_bit(bits), stop)
        at += WIDE
    return stop


@inner
def count_leads(data: Any, at: Any, stop: Any) -> Any:
    """The characters of data[at:stop], valid UTF-8."""
    count = np.int64(0)
    while at < stop:
        count += num_bits(lead_bits(data, at) & low_bits(stop - at))
        at += WIDE
    return count
