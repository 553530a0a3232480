"""Thirty-two bytes of a page at a time: which of them are these, where is the next one.

A scanner that looks at one byte a turn spends most of its time in what it skips: scripts, values
of attributes, white space. Here LLVM compares 32 bytes at once and gives a bit for each. That is
the one thing the other kernels cannot say in Python, so these few functions are written as LLVM
instructions. They are plain vector instructions, which LLVM makes into those of any processor:
no result depends on the machine.

Bounds. No load leaves the page if the page has `WIDE` bytes and the place is 0 to its length: where
fewer than 32 bytes are left, the last 32 are read and the bits are moved down, so that the bits
beyond the end are 0. `copy_wide` has a rule of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from stages.kernels import html_tags as tags
from stages.kernels.jit import inner, leaf

WIDE = 32
"""Two registers of the oldest x86-64, one of AVX2: wider gains nothing, as most runs are short."""

_I8, _I64 = ir.IntType(8), ir.IntType(64)
_BYTES, _BITS = ir.VectorType(_I8, WIDE), ir.IntType(WIDE)
_NAME_STEP = np.int64(16)
_SLASH, _GT = np.int64(0x2F), np.int64(0x3E)
_UINT64_ZERO, _HALF = np.uint64(0), np.uint64(32)
_FACTOR, _OTHER_FACTOR = (np.uint64(factor) for factor in tags.NAME_FACTORS)


def _load(builder: Any, base: Any, at: Any) -> Any:
    """The 32 bytes from a place on, wherever it lies in memory."""
    place = builder.bitcast(builder.gep(base, [at]), _BYTES.as_pointer())
    return builder.load(place, align=1)


def _all(byte: int) -> Any:
    return ir.Constant(_BYTES, [byte] * WIDE)


def _splat(builder: Any, byte: Any) -> Any:
    """A vector of this byte 32 times."""
    one = builder.insert_element(ir.Constant(_BYTES, ir.Undefined), byte, ir.Constant(_I64, 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDE), [0] * WIDE)
    return builder.shuffle_vector(one, ir.Constant(_BYTES, ir.Undefined), zeros)


def _array(context: Any, builder: Any, signature: Any, arguments: Any, number: int) -> Any:
    """(first byte, length) of an array of bytes."""
    make = context.make_array(signature.args[number])
    array = make(context, builder, arguments[number])
    return array.data, builder.extract_value(array.shape, 0)


def _bits(context: Any, builder: Any, signature: Any, arguments: Any, test: Any) -> Any:
    """`test` over the 32 bytes of the page from a place on, a bit for each, the first lowest."""
    base, size = _array(context, builder, signature, arguments, 0)
    at = arguments[1]
    last = builder.sub(size, ir.Constant(_I64, WIDE))
    inside = builder.icmp_signed("<=", at, last)
    found = test(_load(builder, base, builder.select(inside, at, last)))
    moved = builder.select(inside, ir.Constant(_I64, 0), builder.sub(at, last))
    return builder.lshr(builder.zext(builder.bitcast(found, _BITS), _I64), moved)


@intrinsic  # type: ignore[untyped-decorator]
def bits_of(typing: Any, data: Any, at: Any, byte: Any) -> Any:
    """Which of the 32 bytes from a place on are this byte."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wanted = _splat(builder, builder.trunc(arguments[2], _I8))
        return _bits(
            context, builder, signature, arguments,
            lambda found: builder.icmp_unsigned("==", found, wanted),
        )  # fmt: skip

    return types.uint64(data, types.int64, types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def bits_above_space(typing: Any, data: Any, at: Any) -> Any:
    """Which of the 32 bytes from a place on are neither white space nor control characters."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _bits(
            context, builder, signature, arguments,
            lambda found: builder.icmp_unsigned(">", found, _all(0x20)),
        )  # fmt: skip

    return types.uint64(data, types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def bits_beyond_ascii(typing: Any, data: Any, at: Any) -> Any:
    """Which of the 32 bytes from a place on belong to characters that are not ASCII."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _bits(
            context, builder, signature, arguments,
            lambda found: builder.icmp_signed("<", found, _all(0)),
        )  # fmt: skip

    return types.uint64(data, types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def bits_of_special(typing: Any, data: Any, at: Any) -> Any:
    """Which of the 32 bytes from a place on text cannot be copied through.

    Control characters and white space but for blanks, `<`, `&`, and what may begin a character that
    is not shown (`html_read`).
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def test(found: Any) -> Any:
            special = builder.icmp_unsigned("<", found, _all(0x20))
            for byte in (0x26, 0x3C, 0x7F, 0xC2, 0xE2, 0xEF):
                special = builder.or_(special, builder.icmp_unsigned("==", found, _all(byte)))
            return special

        return _bits(context, builder, signature, arguments, test)

    return types.uint64(data, types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def bits_of_space(typing: Any, data: Any, at: Any) -> Any:
    """Which of the 32 bytes from a place on are white space of HTML: blank, tab, line ends."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def test(found: Any) -> Any:
            space = builder.icmp_unsigned("==", found, _all(0x20))
            for byte in (0x09, 0x0A, 0x0C, 0x0D):
                space = builder.or_(space, builder.icmp_unsigned("==", found, _all(byte)))
            return space

        return _bits(context, builder, signature, arguments, test)

    return types.uint64(data, types.int64), build


def _first(builder: Any, found: Any, length: Any) -> Any:
    """The first bytes of a vector, zeros for the others."""
    places = ir.Constant(_BYTES, list(range(WIDE)))
    inside = builder.icmp_unsigned("<", places, _splat(builder, builder.trunc(length, _I8)))
    return builder.select(inside, found, _all(0))


def _words(builder: Any, found: Any, num: int) -> list[Any]:
    """A vector's first bytes as numbers of 8 bytes."""
    words = builder.bitcast(found, ir.VectorType(_I64, WIDE // 8))
    return [builder.extract_element(words, ir.Constant(_I64, k)) for k in range(num)]


@intrinsic  # type: ignore[untyped-decorator]
def words_of(typing: Any, data: Any, at: Any, length: Any) -> Any:
    """The first `length` <= 32 bytes from a place on as four numbers; 32 must be left there."""
    result = types.UniTuple(types.uint64, 4)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, _ = _array(context, builder, signature, arguments, 0)
        found = _first(builder, _load(builder, base, arguments[1]), arguments[2])
        return context.make_tuple(builder, result, _words(builder, found, 4))

    return result(data, types.int64, types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def _lower_words(typing: Any, data: Any, at: Any, length: Any) -> Any:
    result = types.UniTuple(types.uint64, 2)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, _ = _array(context, builder, signature, arguments, 0)
        found = _first(builder, _load(builder, base, arguments[1]), arguments[2])
        capital = builder.icmp_unsigned("<", builder.sub(found, _all(0x41)), _all(26))
        small = builder.select(capital, builder.or_(found, _all(0x20)), found)
        return context.make_tuple(builder, result, _words(builder, small, 2))

    return result(data, types.int64, types.int64), build


@leaf
def lower_words(data: Any, at: Any, length: Any) -> Any:
    """The first `length` <= 16 bytes from a place on in lower case, as two numbers."""
    if at + WIDE <= len(data):
        return _lower_words(data, at, length)
    first, second = _UINT64_ZERO, _UINT64_ZERO
    for k in range(length):
        c = np.uint64(data[at + k])
        if 0x41 <= c <= 0x5A:
            c |= np.uint64(0x20)
        if k < 8:
            first |= c << np.uint64(8 * k)
        else:
            second |= c << np.uint64(8 * k - 64)
    return first, second


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing: Any, bits: Any) -> Any:
    """The number of the lowest bit that is set; 64 if none is."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), build


@intrinsic  # type: ignore[untyped-decorator]
def num_bits(typing: Any, bits: Any) -> Any:
    """How many bits are set."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), build


@intrinsic  # type: ignore[untyped-decorator]
def _copy(typing: Any, data: Any, at: Any, out: Any, to: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, _ = _array(context, builder, signature, arguments, 0)
        target, _ = _array(context, builder, signature, arguments, 2)
        place = builder.bitcast(builder.gep(target, [arguments[3]]), _BYTES.as_pointer())
        builder.store(_load(builder, source, arguments[1]), place, align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, out, types.int64), build


@inner
def copy_wide(data: Any, at: Any, out: Any, to: Any) -> Any:
    """Copy 32 bytes. Both arrays must have them: the index checks of the tests look at the last."""
    if data[at + (WIDE - 1)] == out[to + (WIDE - 1)]:  # LLVM drops what has no effect
        pass
    _copy(data, at, out, to)


@leaf
def find_byte(data: Any, i: Any, n: Any, byte: Any) -> Any:
    """The place of the next such byte, or `n`."""
    while i < n:
        bits = bits_of(data, i, byte)
        if bits != _UINT64_ZERO:
            return min(i + lowest_bit(bits), n)
        i += WIDE
    return n


@leaf
def find_either(data: Any, i: Any, n: Any, byte: Any, other: Any) -> Any:
    """The place of the next of these two bytes, or `n`."""
    while i < n:
        bits = bits_of(data, i, byte) | bits_of(data, i, other)
        if bits != _UINT64_ZERO:
            return min(i + lowest_bit(bits), n)
        i += WIDE
    return n


@leaf
def skip_blank(data: Any, i: Any, n: Any) -> Any:
    """The place of the next byte that is neither white space nor a control character, or `n`."""
    while i < n:
        bits = bits_above_space(data, i)
        if bits != _UINT64_ZERO:
            return min(i + lowest_bit(bits), n)
        i += WIDE
    return n


@leaf
def find_space(data: Any, i: Any, n: Any) -> Any:
    """The place of the next white space, or `n`."""
    while i < n:
        bits = bits_of_space(data, i)
        if bits != _UINT64_ZERO:
            return min(i + lowest_bit(bits), n)
        i += WIDE
    return n


@leaf
def find_name_end(data: Any, i: Any, n: Any, byte: Any) -> Any:
    """The place of the next white space, `/`, `>` or this byte, or `n`."""
    while i < n:
        bits = bits_of_space(data, i) | bits_of(data, i, _SLASH) | bits_of(data, i, _GT)
        bits |= bits_of(data, i, byte)
        if bits != _UINT64_ZERO:
            return min(i + lowest_bit(bits), n)
        i += WIDE
    return n


@leaf
def hash_name(data: Any, start: Any, stop: Any) -> Any:
    """Hash of a name in lower case: `html_tags.name_hash`."""
    value = np.uint64(stop - start)
    while start < stop:
        first, second = lower_words(data, start, min(stop - start, _NAME_STEP))
        value = (value ^ first) * _FACTOR
        value = (value ^ value >> _HALF ^ second) * _OTHER_FACTOR
        start += _NAME_STEP
    return value ^ value >> _HALF
