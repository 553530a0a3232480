"""Instructions that numba has no word for, for the loader's compiled functions.

Intrinsics alone: what is compiled of them lies in the caller's cache on disk, which goes by the
time stamp of the caller's file. After a change here touch
device_kernels.py, plan_kernels.py and row_kernels.py.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def pointer(typing: Any, address: Any) -> Any:
    """An address as a pointer that numba.carray takes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def call(typing: Any, function: Any, values: Any) -> Any:
    """Call the C function at an address with 64-bit values; gives its int."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del context, signature
        parts = cgutils.unpack_tuple(builder, args[1])
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(64)] * len(parts))
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), parts)

    return types.int32(function, values), generate


@intrinsic  # type: ignore[untyped-decorator]
def copy_line(typing: Any, to: Any, source: Any) -> Any:
    """64 bytes to an address that is a multiple of 64, from any address."""

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
def copy_bytes(typing: Any, to: Any, source: Any, size: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature
        byte = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(
            builder, builder.inttoptr(args[0], byte), builder.inttoptr(args[1], byte), args[2], 1
        )
        return context.get_dummy_value()

    return types.void(to, source, size), generate


@intrinsic  # type: ignore[untyped-decorator]
def load_word(typing: Any, address: Any) -> Any:
    """The 8 bytes at any address as a little-endian number."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del context, signature
        word = ir.IntType(64)
        return builder.load(builder.inttoptr(args[0], word.as_pointer()), align=1)

    return types.uint64(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, address: Any) -> Any:
    """Ask for the line at an address that is read once; harmless where nothing is mapped."""
    return types.void(address), _prefetching(0)


@intrinsic  # type: ignore[untyped-decorator]
def prefetch_kept(typing: Any, address: Any) -> Any:
    """As `prefetch`, for a line that is worth its place in all caches."""
    return types.void(address), _prefetching(3)


def _prefetching(locality: int) -> Any:

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        called = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, kept, data = (ir.Constant(number, value) for value in (0, locality, 1))
        builder.call(called, [builder.inttoptr(args[0], byte), read, kept, data])
        return context.get_dummy_value()

    return generate


@intrinsic  # type: ignore[untyped-decorator]
def fence(typing: Any) -> Any:
    """Non-temporal stores are weakly ordered: all are done before what follows."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature, args
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate
