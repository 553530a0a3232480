"""A launch of rows that the device plans itself (loader/rows.cu): the host's part, without the GIL.

The fast lane sends where the rows begin, 8 bytes each. The ring sends their ids too, at the same
distance from each other: it copies some rows into a chunk of pinned memory, queues its transfer,
and goes on in the next chunk.

Numba's own cache on disk goes by the time stamp of a kernel's file, so a file's kernels call none
of another file; `loader.instructions` says what to do there.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from loader.instructions import call, copy_bytes, copy_line, fence, pointer, prefetch

Ints = npt.NDArray[np.int64]

_CONTEXT, _SYNCHRONIZE, _TO_DEVICE, _ON_DEVICE, _LAUNCH, _RECORD, _WAIT, _TO_HOST, _QUERY = range(9)
"""Places in `loader.device_kernels.CALLS`."""
FIELDS = (
    "begins", "lengths", "next", "stops", "rows", "rows_a_batch", "seq_len", "edges", "addresses",
    "groups", "documents", "document_count", "staging", "row_bytes", "counts", "spans", "pieces",
    "starts", "tails", "facts", "tokens", "labels", "positions", "stride", "first_batch",
    "batch_count",
)  # fmt: skip
"""Of `Work` in loader/rows.cu, 8 bytes each."""
KERNELS = ("count_rows", "scan_rows", "write_rows", "expand_rows")
_ROW_BLOCK, _SCAN_BLOCK, _THREADS = 128, 1024, 288
"""Threads of a block, as in loader/rows.cu and loader/expand.cu."""
AHEAD = 4
"""Lines of a coming row asked for while others are copied; the processor goes on from there."""
TOGETHER = 4
"""Rows copied a line of each in turn: more reads under way, 8.5 GB/s of a core became 9.8."""


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def most_inside(values: Ints, width: int) -> int:
    """The most of ascending values that lie in any `width` numbers in a row."""
    most, first = 0, 0
    for at in range(len(values)):
        while values[at] - values[first] >= width:
            first += 1
        most = max(most, at + 1 - first)
    return most


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _last_at_most(values: Any, wanted: int) -> int:
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= wanted:
            low = middle + 1
        else:
            high = middle
    return low - 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _copied(to: int, source: int, size: int, past_caches: bool) -> None:
    """`to` is a multiple of 64 where it matters: whole lines go past the caches."""
    if past_caches and to % 64 == 0:
        for _ in range(size // 64):
            copy_line(np.int64(to), np.int64(source))
            to += 64
            source += 64
        size %= 64
    if size:
        copy_bytes(np.int64(to), np.int64(source), np.int64(size))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _copied_four(to: int, apart: int, source_R: Any, size: int) -> None:
    """Four rows past the caches, a line of each in turn; `to` and `apart` are multiples of 64."""
    a, b = np.int64(source_R[0]), np.int64(source_R[1])
    c, d = np.int64(source_R[2]), np.int64(source_R[3])
    for at in range(0, size - 63, 64):
        copy_line(np.int64(to + at), a + at)
        copy_line(np.int64(to + apart + at), b + at)
        copy_line(np.int64(to + 2 * apart + at), c + at)
        copy_line(np.int64(to + 3 * apart + at), d + at)
    rest = size % 64
    if rest:
        for number in range(4):
            place, source = to + number * apart + size - rest, source_R[number] + size - rest
            copy_bytes(np.int64(place), np.int64(source), np.int64(rest))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _copied_row(
    to: int, token: int, end: int, group: int, edges_G: Ints, addresses_G: Any, itemsize: int,
    past_caches: bool,
) -> None:  # fmt: skip
    """A row from however many row groups it lies in."""
    while token < end:
        stop = min(end, edges_G[group + 1])
        source = np.int64(addresses_G[group]) + (token - edges_G[group]) * itemsize
        _copied(to, source, (stop - token) * itemsize, past_caches)
        to += (stop - token) * itemsize
        token = stop
        group += 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _id_at(token: int, group: int, edges_G: Ints, addresses_G: Any, itemsize: int) -> Any:
    """The id of a token that lies in `group` or behind it; -1 at the line's end."""
    if token >= edges_G[len(edges_G) - 1]:
        return -1
    while edges_G[group + 1] <= token:
        group += 1
    place = np.int64(addresses_G[group]) + (token - edges_G[group]) * itemsize
    if itemsize == 2:
        return np.int64(numba.carray(pointer(place), 1, np.uint16)[0])
    return np.int64(numba.carray(pointer(place), 1, np.uint32)[0])


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def copy_rows(
    begins_R: Ints, lengths_R: Ints, seq_len: int, edges_G: Ints, addresses_G: Any, itemsize: int,
    row_bytes: int, past_caches: bool, slot: int, next_R: Ints,
) -> None:  # fmt: skip
    """Copy the rows' ids to `slot`, `row_bytes` apart; next_R: the id behind each, -1 at the end.

    lengths_R may be empty: all rows are full.
    """
    count = len(begins_R)
    group_R, source_R = np.empty(count, np.int64), np.empty(count, np.int64)
    for row in range(count):
        group = _last_at_most(edges_G[:-1], begins_R[row])
        group_R[row] = group
        source_R[row] = np.int64(addresses_G[group]) + (begins_R[row] - edges_G[group]) * itemsize
    fours = past_caches and len(lengths_R) == 0 and slot % 64 == 0 and row_bytes % 64 == 0
    row = 0
    while row < count:
        step = min(TOGETHER, count - row)
        whole = fours and step == TOGETHER
        for at in range(row, row + step):
            whole &= begins_R[at] + seq_len <= edges_G[group_R[at] + 1]
        for at in range(row + step, min(row + 2 * step, count)):
            for line in range(AHEAD):
                prefetch(np.int64(source_R[at] + 64 * line))
        if whole:
            _copied_four(
                slot + row * row_bytes, row_bytes, source_R[row : row + 4], seq_len * itemsize
            )
        for at in range(row, row + step):
            end = begins_R[at] + (lengths_R[at] if len(lengths_R) else seq_len)
            if not whole:
                _copied_row(
                    slot + at * row_bytes, begins_R[at], end, group_R[at], edges_G, addresses_G,
                    itemsize, past_caches,
                )  # fmt: skip
            next_R[at] = _id_at(end, group_R[at], edges_G, addresses_G, itemsize)
        row += step
    fence()


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _launched(
    calls: Any, function: int, blocks: int, threads: int, lane: int, arguments: Any
) -> Any:
    return call(
        calls[_LAUNCH],
        (
            np.int64(function), np.int64(blocks), np.int64(1), np.int64(1), np.int64(threads),
            np.int64(1), np.int64(1), np.int64(0), np.int64(lane),
            np.int64(arguments.ctypes.data), np.int64(0),
        ),
    )  # fmt: skip


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _passed(calls: Any, event: int) -> Any:
    """Wait for an event. One that has passed already costs no sleep."""
    done = call(calls[_QUERY], (np.int64(event),))
    return call(calls[_SYNCHRONIZE], (np.int64(event),)) if done != 0 else done


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _up(size: int) -> int:
    return -(-size // 256) * 256


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _planned(calls: Any, functions: Any, rows: int, lane: int, arguments: Any) -> Any:
    """Queue the kernels that plan."""
    done = _launched(calls, functions[0], -(-rows // _ROW_BLOCK), _ROW_BLOCK, lane, arguments)
    if done == 0:
        done = _launched(calls, functions[1], 1, _SCAN_BLOCK, lane, arguments)
    if done == 0:
        warps = -(-32 * rows // _ROW_BLOCK)
        done = _launched(calls, functions[2], warps, _ROW_BLOCK, lane, arguments)
    return done


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _put(values: Any, host: int) -> None:
    numba.carray(pointer(host), len(values), np.int64)[:] = values


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def queue_rows(
    calls: Any, context: int, before: int, begins_R: Ints, lengths_R: Ints, stops_R: Ints,
    edges_G: Ints, addresses_G: Any, itemsize: int, past_caches: bool, host: int, device: int,
    work: Any, arguments: Any, functions: Any, blocks: int, copies: int, copied: int, plans: int,
    planned: int, facts: int, lane: int, event_L: Ints, step: int, ring: int, chunk_rows: int,
    chunk_C: Ints,
) -> Any:  # fmt: skip
    """Wait for the event `before`, then queue the rows' plan and launches of `step` batches; 0 or
    CUDA's error.

    work: `FIELDS`, of which `row_bytes`, 0 for the fast lane, says which path it is; begins,
    lengths, next, stops, staging, first_batch and batch_count are set here. host: pinned bytes for
    the rows' numbers; device: as many there, on the ring behind the rows' ids. copies, copied:
    stream of the ring's transfers, and the slot's event on it. plans, planned: stream of the
    kernels that plan, and the event after which the batches' facts are at the pinned address
    `facts`. event_L: of each launch. ring: pinned memory for `chunk_rows` rows each of the events
    chunk_C, which a chunk's transfer has passed before it is written again.
    """
    done = call(calls[_CONTEXT], (np.int64(context),))
    if done == 0:
        done = call(calls[_SYNCHRONIZE], (np.int64(before),))
    if done != 0:
        return done
    rows, rows_a_batch, seq_len, row_bytes = work[4], work[5], work[6], work[13]
    batches, over = rows // rows_a_batch, copies if row_bytes else plans
    at = _up(rows * row_bytes)  # on the device, the rows' numbers lie behind their ids
    work[12] = device if row_bytes else 0
    work[1] = work[2] = work[3] = 0
    if row_bytes:
        work[2] = device + at
        next_R = numba.carray(pointer(host), rows, np.int64)
        for first in range(0, rows, chunk_rows):
            last, chunk = min(rows, first + chunk_rows), first // chunk_rows % len(chunk_C)
            place = ring + chunk * chunk_rows * row_bytes
            done = _passed(calls, chunk_C[chunk])
            if done != 0:
                return done
            copy_rows(
                begins_R[first:last], lengths_R[first:last], seq_len, edges_G, addresses_G,
                itemsize, row_bytes, past_caches, place, next_R[first:last],
            )  # fmt: skip
            to, size = first * row_bytes, (last - first) * row_bytes
            done = call(
                calls[_TO_DEVICE],
                (np.int64(device + to), np.int64(place), np.int64(size), np.int64(over)),
            )
            if done == 0:
                done = call(calls[_RECORD], (np.int64(chunk_C[chunk]), np.int64(over)))
            if done != 0:
                return done
    size = 8 * rows if row_bytes else 0
    _put(begins_R, host + size)
    work[0] = device + at + size
    size += 8 * rows
    if len(lengths_R):
        _put(lengths_R, host + size)
        work[1] = device + at + size
        size += 8 * rows
    if len(stops_R):
        _put(stops_R, host + size)
        work[3] = device + at + size
        size += 8 * rows
    done = call(
        calls[_TO_DEVICE],
        (np.int64(device + at), np.int64(host), np.int64(size), np.int64(over)),
    )
    if row_bytes:
        if done == 0:
            done = call(calls[_RECORD], (np.int64(copied), np.int64(copies)))
        if done == 0:
            done = call(calls[_WAIT], (np.int64(plans), np.int64(copied), np.int64(0)))
    if done == 0:
        done = _planned(calls, functions, rows, plans, arguments)
    if done == 0:
        size = 4 * (2 + 3 * batches)
        done = call(
            calls[_TO_HOST], (np.int64(facts), np.int64(work[19]), np.int64(size), np.int64(plans))
        )
    if done == 0:
        done = call(calls[_RECORD], (np.int64(planned), np.int64(plans)))
    if done == 0:
        done = call(calls[_WAIT], (np.int64(lane), np.int64(planned), np.int64(0)))
    for number in range(len(event_L)):
        work[24] = number * step
        work[25] = min(step, batches - number * step)
        if done == 0:
            done = _launched(calls, functions[3], blocks, _THREADS, lane, arguments)
        if done == 0:
            done = call(calls[_RECORD], (np.int64(event_L[number]), np.int64(lane)))
    return done
