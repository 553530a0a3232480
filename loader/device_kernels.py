"""A launch without Python: pieces, copies and the driver's calls, compiled and free of the GIL.

One call a launch. Python's threads take turns at every call into compiled code; with many short
calls eight threads that prepare batches stand in each other's way more than they help.

A copy into a ring's slot goes past the caches: a plain copy reads each destination line before it
overwrites it, and nothing but the copy engine reads a slot.

Numba's own cache on disk goes by the time stamp of a kernel's file, so a file's kernels call none
of another file; `loader.instructions` says what to do there.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from loader.instructions import call, copy_bytes, copy_line, fence, pointer, prefetch
from loader.jit import jit

MORE = np.uint64(1) << np.uint64(63)
"""As in loader/expand.cu: set in a piece's address where the label of its last position is the id
behind it."""

# --- pieces and runs ------------------------------------------------------------------------------


@jit
def cut(
    addresses_S: Any, starts_S: Any, tails_S: Any, shift: int, total: int, bits: int,
    limit: int, batch: int, first: int, pieces_P2: Any, count: int, starts: Any, tails: Any,
) -> tuple[int, int]:  # fmt: skip
    """Add a batch's pieces from piece `count` and from segment `first` on.

    Gives the number of pieces with them, and the length of the batch's longest segment. `shift` is
    added to addresses, which are of bits.
    """
    mark = np.uint64(batch) << np.uint64(51)
    filled, expected, longest = limit, np.uint64(0), 0
    for s in range(len(starts_S)):
        at, address = starts_S[s], addresses_S[s]
        if address != 0:
            address += np.uint64(shift)
        end = starts_S[s + 1] if s + 1 < len(starts_S) else total
        begin = at
        longest = max(longest, end - begin)
        starts[first + s], tails[first + s] = begin, tails_S[s]
        if address != 0 and address == expected and filled < limit:
            step = min(end - at, limit - filled)
            filled, at = filled + step, at + step
            if at < end:
                pieces_P2[count - 1, 0] |= MORE
        while at < end:
            filled = min(end - at, limit)
            source = np.uint64(0)
            if address != 0:
                source = address + np.uint64((at - begin) * bits)
                if at + filled < end:
                    source |= MORE
            pieces_P2[count, 0] = source | mark
            pieces_P2[count, 1] = np.uint64(at) | np.uint64(first + s) << np.uint64(32)
            count, at = count + 1, at + filled
        expected = address + np.uint64((end - begin) * bits) if address != 0 else np.uint64(0)
    last = first + len(starts_S)
    pieces_P2[count, 0] = mark
    pieces_P2[count, 1] = np.uint64(total) | np.uint64(last) << np.uint64(32)
    starts[last], tails[last] = total, 0
    return count + 1, longest


@jit
def place(
    addresses_S: Any, starts_S: Any, total: int, bits: int, line: int, cursor: int,
    offsets_S: Any, runs_R3: Any,
) -> tuple[int, int]:  # fmt: skip
    """Runs of whole bytes, whose ids begin at the bit of the first byte where they are now.

    Gives how many, and the bytes of the slot up to their end.
    """
    count, expected, bit = 0, np.uint64(0), np.int64(0)
    for s in range(len(starts_S)):
        address = addresses_S[s]
        end = starts_S[s + 1] if s + 1 < len(starts_S) else total
        size = (end - starts_S[s]) * bits
        if address == 0:
            offsets_S[s], expected = np.uint64(0), np.uint64(0)
            continue
        if address != expected:
            cursor = -(-cursor // line) * line
            runs_R3[count, 0] = np.int64(address >> np.uint64(3))
            runs_R3[count, 1] = cursor
            bit = 8 * cursor + np.int64(address & np.uint64(7))
            count += 1
        offsets_S[s] = np.uint64(bit + 1)
        bit += size
        cursor = (bit + 7) // 8
        runs_R3[count - 1, 2] = cursor - runs_R3[count - 1, 1]
        expected = address + np.uint64(size)
    return count, cursor


AHEAD = 4
"""Lines of the next run asked for while this one is copied; the processor goes on from there."""


@jit
def copy_runs(runs_R3: Any, slot: int, low: int, high: int) -> None:
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
                prefetch(np.int64(runs_R3[run + 1, 0] + 64 * line))
        source = np.int64(runs_R3[run, 0] + begin - runs_R3[run, 1])
        to, size = np.int64(slot + begin), np.int64(end - begin)
        for _ in range(size // 64):
            copy_line(to, source)
            to += 64
            source += 64
        size %= 64
        if size:
            copy_bytes(to, source, size)
    fence()


# --- launches ------------------------------------------------------------------------------------

CALLS = (
    "cuCtxSetCurrent", "cuEventSynchronize", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoDAsync_v2",
    "cuLaunchKernel", "cuEventRecord", "cuStreamWaitEvent", "cuMemcpyDtoHAsync_v2",
    "cuEventQuery",
)  # fmt: skip
"""The driver's functions, in the order of `calls`."""
_CONTEXT, _SYNCHRONIZE, _TO_DEVICE, _ON_DEVICE, _LAUNCH, _RECORD, _WAIT = range(7)


@jit
def _up(size: int) -> int:
    return -(-size // 256) * 256


@jit
def write_pieces(
    plans_K4: Any, total: int, bits: int, limit: int, shift: int,
    block: int, room: int, segments: int, longest_K: Any,
) -> int:  # fmt: skip
    """Write pieces, starts and tails (`loader.pieces.Layout`) at address `block`; how many pieces.

    plans_K4: of each plan the addresses of its addresses_S, starts_S and tails_S, and S.
    """
    pieces_P2 = numba.carray(pointer(block), (room, 2), np.uint64)
    starts = numba.carray(pointer(block + _up(16 * room)), segments, np.int32)
    tails = numba.carray(pointer(block + _up(16 * room) + _up(4 * segments)), segments, np.int32)
    count, first = 0, 0
    for number in range(len(plans_K4)):
        size = plans_K4[number, 3]
        count, longest_K[number] = cut(
            numba.carray(pointer(plans_K4[number, 0]), size, np.uint64),
            numba.carray(pointer(plans_K4[number, 1]), size, np.int64),
            numba.carray(pointer(plans_K4[number, 2]), size, np.int64),
            shift,
            total,
            bits,
            limit,
            number,
            first,
            pieces_P2,
            count,
            starts,
            tails,
        )
        first += size + 1
    return count - 1


@jit
def gather_runs(
    plans_K4: Any, total: int, bits: int, line: int, slot: int, offsets_S: Any,
    runs_R3: Any, moved_K4: Any,
) -> int:  # fmt: skip
    """Copy the plans' ids to the address `slot`; the bytes there.

    offsets_S: 1 + the offset of each segment in bits, 0 for padding; runs_R3: room for the runs;
    moved_K4: as plans_K4, with offsets in the place of addresses.
    """
    first, cursor = 0, 0
    for number in range(len(plans_K4)):
        size = plans_K4[number, 3]
        begin = cursor
        count, cursor = place(
            numba.carray(pointer(plans_K4[number, 0]), size, np.uint64),
            numba.carray(pointer(plans_K4[number, 1]), size, np.int64),
            total,
            bits,
            line,
            cursor,
            offsets_S[first : first + size],
            runs_R3,
        )
        copy_runs(runs_R3[:count], slot, begin // 64 * 64, cursor)
        moved_K4[number] = plans_K4[number]
        moved_K4[number, 0] = offsets_S[first:].ctypes.data
        first += size
    return cursor


@jit
def _launched(
    calls: Any, function: int, values: Any, pointers: Any, block: int, room: int, segments: int,
    count: int, blocks: int, threads: int, lane: int, event: int,
) -> Any:  # fmt: skip
    values[0], values[1] = block, count
    values[2] = block + _up(16 * room)
    values[3] = values[2] + _up(4 * segments)
    done = call(
        calls[_LAUNCH],
        (
            np.int64(function), np.int64(max(1, min(blocks, count))), np.int64(1), np.int64(1),
            np.int64(threads), np.int64(1), np.int64(1), np.int64(0), np.int64(lane),
            np.int64(pointers.ctypes.data), np.int64(0),
        ),
    )  # fmt: skip
    if done == 0:
        done = call(calls[_RECORD], (np.int64(event), np.int64(lane)))
    return done


@jit
def queue_gather(
    calls: Any, context: int, before: int, plans_K4: Any, total: int, bits: int, limit: int,
    room: int, segments: int, host: int, block: int, size: int, longest_K: Any,
    function: int, values: Any, pointers: Any, blocks: int, threads: int, lane: int, event: int,
) -> Any:  # fmt: skip
    """Wait for the event `before`, then queue a launch of the fast lane; 0 or CUDA's error.

    host, block: `size` pinned bytes and as many on the device for the plans' arrays.
    """
    done = call(calls[_CONTEXT], (np.int64(context),))
    if done == 0:
        done = call(calls[_SYNCHRONIZE], (np.int64(before),))
    if done != 0:
        return done
    count = write_pieces(plans_K4, total, bits, limit, 0, host, room, segments, longest_K)
    done = call(
        calls[_TO_DEVICE], (np.int64(block), np.int64(host), np.int64(size), np.int64(lane))
    )
    if done != 0:
        return done
    return _launched(
        calls, function, values, pointers, block, room, segments, count, blocks, threads, lane,
        event,
    )  # fmt: skip


@jit
def queue_ring(
    calls: Any, context: int, before: int, plans_K4: Any, total: int, bits: int, limit: int,
    room: int, segments: int, host: int, staging: int, size: int, longest_K: Any,
    function: int, values: Any, pointers: Any, blocks: int, threads: int, lane: int, event: int,
    line: int, copies: int, copied: int, starts: int, scratch_S4: Any,
) -> Any:  # fmt: skip
    """Wait for the event `before`, gather, then queue a launch of the ring; 0 or CUDA's error.

    host, staging: pinned bytes and as many on the device, for the ids and behind them `size` bytes
    of the plans' arrays. copies, copied: the stream of transfers and the slot's event on it.
    starts: where cu_seqlens go on the device.
    """
    done = call(calls[_CONTEXT], (np.int64(context),))
    if done == 0:
        done = call(calls[_SYNCHRONIZE], (np.int64(before),))
    if done != 0:
        return done
    offsets_S = scratch_S4.reshape(-1)[:segments].view(np.uint64)
    runs_R3 = scratch_S4.reshape(-1)[segments : 4 * segments].reshape(-1, 3)
    moved_K4 = np.empty_like(plans_K4)
    offset = _up(gather_runs(plans_K4, total, bits, line, host, offsets_S, runs_R3, moved_K4))
    count = write_pieces(
        moved_K4, total, bits, limit, 8 * staging - 1, host + offset, room, segments, longest_K
    )
    done = call(
        calls[_TO_DEVICE],
        (np.int64(staging), np.int64(host), np.int64(offset + size), np.int64(copies)),
    )
    if done == 0:
        done = call(calls[_RECORD], (np.int64(copied), np.int64(copies)))
    if done == 0:
        done = call(calls[_WAIT], (np.int64(lane), np.int64(copied), np.int64(0)))
    if done == 0:
        source = staging + offset + _up(16 * room)
        done = call(
            calls[_ON_DEVICE],
            (np.int64(starts), np.int64(source), np.int64(4 * segments), np.int64(lane)),
        )
    if done != 0:
        return done
    return _launched(
        calls, function, values, pointers, staging + offset, room, segments, count, blocks,
        threads, lane, event,
    )  # fmt: skip
