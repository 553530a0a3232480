"""Most pieces of real text, found 32 bytes at a time: words, with what stands before them.

`pieces` says where any piece ends, a character a turn. Most pieces are a word, or a blank and a
word; here LLVM looks at 32 bytes at once, as `html_wide` says. The instructions are those of any
processor, and no result depends on the machine.

Bounds. Nothing is loaded beyond the array: each load is preceded by a test, or its docstring says
what the caller has to see to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from stages.kernels.characters import read
from stages.kernels.html_wide import lowest_bit
from stages.kernels.jit import inner, leaf
from stages.kernels.piece_rules import GPT2, O200K
from stages.kernels.pieces import LETTER, NO_PREFIX

WIDE = 32
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BYTES = ir.VectorType(_I8, WIDE)
_ONE, _TWO, _FIRST_TWO = np.uint64(1), np.uint64(2), np.uint64(3)


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Where in memory the element of an array stands: (array, number of the element)."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


def _all(byte: int) -> Any:
    return ir.Constant(_BYTES, [byte] * WIDE)


def _letters(small: int) -> Any:
    """An intrinsic's builder: a bit for each of the 32 bytes that is a letter."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        found = builder.load(builder.bitcast(place, _BYTES.as_pointer()), align=1)
        found = builder.or_(found, _all(small))
        told = builder.icmp_unsigned("<", builder.sub(found, _all(0x61)), _all(26))
        return builder.zext(builder.bitcast(told, _I32), _I64)

    return build


@intrinsic  # type: ignore[untyped-decorator]
def _letter_bits(typing: Any, data: Any, at: Any) -> Any:
    """Which of 32 bytes are ASCII letters, the first lowest; 32 must be left there."""
    return types.uint64(data, types.int64), _letters(0x20)


@intrinsic  # type: ignore[untyped-decorator]
def _small_bits(typing: Any, data: Any, at: Any) -> Any:
    """Which of 32 bytes are small ASCII letters; 32 must be left there."""
    return types.uint64(data, types.int64), _letters(0)


@intrinsic  # type: ignore[untyped-decorator]
def load8(typing: Any, data: Any, at: Any) -> Any:
    """Eight bytes from a place on as a number; eight must be left there."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        return builder.load(builder.bitcast(place, _I64.as_pointer()), align=1)

    return types.uint64(data, types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def store_two(typing: Any, out: Any, at: Any, both: Any) -> Any:
    """Write the low and the high half of a number to two places of uint32, which must be there."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        half, numbers = ir.Constant(_I64, 32), (arguments[2],)
        low = builder.trunc(numbers[0], _I32)
        high = builder.trunc(builder.lshr(numbers[0], half), _I32)
        builder.store(low, place)
        builder.store(high, builder.gep(place, [ir.Constant(_I64, 1)]))
        return context.get_dummy_value()

    return types.none(out, types.int64, types.uint64), build


@intrinsic  # type: ignore[untyped-decorator]
def ask_for(typing: Any, array: Any, at: Any) -> Any:
    """Have the processor fetch what stands at a place of a flat array; changes nothing."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _I8.as_pointer()
        place = builder.bitcast(_place(context, builder, signature, arguments), pointer)
        kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(fetch, [place, *(ir.Constant(_I32, at) for at in (0, 3, 1))])
        return context.get_dummy_value()

    return types.none(array, types.int64), build


@leaf
def _letters_end(data: Any, at: Any, stop: Any, classes: Any) -> Any:
    """Where the run of letters of any script that begins at `at` ends; `at` if none does."""
    while at < stop:
        code = np.int64(data[at])
        if code < 0x80 and at + WIDE <= len(data):
            run = lowest_bit(~_letter_bits(data, at))
            if run == 0:
                return at
            at += run
        elif 0xC2 <= code < 0xE0 and at + 1 < stop:
            code = (code & 0x1F) << 6 | (np.int64(data[at + 1]) & 0x3F)
            if not classes[code] & LETTER:
                return at
            at += 2
        else:
            code, size = read(data, at, stop)
            if not classes[code] & LETTER:
                return at
            at += size
    return stop


@inner
def _o200k_word_end(data: Any, at: Any, stop: Any, begin: Any) -> Any:
    """One letter behind `begin` bytes and the small letters behind it, if ASCII follows that is
    neither letter nor apostrophe; else `at`."""
    end = at + lowest_bit(~(_small_bits(data, at) | ((_TWO << np.uint64(begin)) - _ONE)))
    if end >= stop:
        return stop
    following = np.int64(data[end])
    if following >= 0x80 or following == 0x27 or 0x41 <= following <= 0x5A or end == at + WIDE:
        return at
    return end


@inner
def word_end(data: Any, at: Any, stop: Any, classes: Any, cut: Any) -> Any:
    """Where a piece ends that is a word with what goes before it; `at` where `piece_end` is to say.

    At least WIDE bytes from `at` on are there.
    """
    first = np.int64(data[at])
    if first >= 0x80:
        return at if cut.pattern == O200K else _letters_end(data, at, stop, classes)
    bits = _letter_bits(data, at)
    begin = np.int64(0)
    if not bits & _ONE:
        if classes[first] & NO_PREFIX or first == 0x27 or (cut.pattern == GPT2 and first != 0x20):
            return at
        begin = np.int64(1)
    if not bits & _FIRST_TWO:
        if data[at + 1] < 0x80 or cut.pattern == O200K:
            return at
        end = _letters_end(data, at + 1, stop, classes)
        return end if end > at + 1 else at
    if cut.pattern == O200K:
        return _o200k_word_end(data, at, stop, begin)
    end = at + lowest_bit(~(bits | _ONE))
    if end >= stop:
        return stop
    if data[end] < 0x80 and end < at + WIDE:
        return end
    return _letters_end(data, end, stop, classes)
