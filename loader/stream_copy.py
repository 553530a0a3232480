"""Copying runs of bytes into a ring's slot without the GIL, past the caches.

A plain copy reads each destination line before it overwrites it. Nothing reads a slot but the copy
engine, so its lines are written by non-temporal stores: two thirds of the memory traffic.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def _copy_line(typing: Any, to: Any, source: Any) -> Any:
    """64 bytes to an address that is a multiple of 64, from any address."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature
        line = ir.VectorType(ir.IntType(64), 8)
        value = builder.load(builder.inttoptr(args[1], line.as_pointer()), align=1)
        store = builder.store(value, builder.inttoptr(args[0], line.as_pointer()), align=64)
        one = ir.Constant(ir.IntType(32), 1)
        store.set_metadata("nontemporal", builder.module.add_metadata([one]))
        return context.get_dummy_value()

    return types.void(to, source), generate


@intrinsic  # type: ignore[untyped-decorator]
def _copy_bytes(typing: Any, to: Any, source: Any, size: Any) -> Any:
    del typing

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature
        byte = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(
            builder, builder.inttoptr(args[0], byte), builder.inttoptr(args[1], byte), args[2], 1
        )
        return context.get_dummy_value()

    return types.void(to, source, size), generate


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(typing: Any, address: Any) -> Any:
    """Ask for the line at an address; harmless where nothing is mapped."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        called = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, kept, data = (ir.Constant(number, value) for value in (0, 0, 1))
        builder.call(called, [builder.inttoptr(args[0], byte), read, kept, data])
        return context.get_dummy_value()

    return types.void(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def _fence(typing: Any) -> Any:
    """Non-temporal stores are weakly ordered: all are done before what follows."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature, args
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


AHEAD = 4
"""Lines of the next run asked for while this one is copied; the processor goes on from there."""


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def copy_runs(runs_R3: Any, slot: int, low: int, high: int, past_caches: bool) -> None:
    """Copy the bytes that belong at offsets low..high-1 of the slot at address `slot`.

    `slot` and `low` are multiples of 64. runs_R3 as in `loader.pieces.Runs`.
    """
    first, last = 0, len(runs_R3)
    while first < last:  # the first run that ends after low
        middle = (first + last) // 2
        if runs_R3[middle, 1] + runs_R3[middle, 2] <= low:
            first = middle + 1
        else:
            last = middle
    for run in range(first, len(runs_R3)):
        begin = max(low, runs_R3[run, 1])
        end = min(high, runs_R3[run, 1] + runs_R3[run, 2])
        if begin >= end:
            break
        if run + 1 < len(runs_R3):
            for line in range(AHEAD):
                _prefetch(np.int64(runs_R3[run + 1, 0] + 64 * line))
        source = np.int64(runs_R3[run, 0] + begin - runs_R3[run, 1])
        to, size = np.int64(slot + begin), np.int64(end - begin)
        if past_caches:
            for _ in range(size // 64):
                _copy_line(to, source)
                to += 64
                source += 64
            size %= 64
        if size:
            _copy_bytes(to, source, size)
    _fence()
