"""A launch of rows that the device plans itself (loader/rows.cu): the host's part, without the GIL.

The fast lane sends where the rows begin, 8 bytes each. The ring sends their ids too, at the same
distance from each other: the threads of a crew (`loader.copy_crew`) take some rows of a launch
each, copy them into a chunk of pinned memory of their own and queue its transfer.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from loader.instructions import call, copy_bytes, copy_line, fence, load_word, pointer, prefetch
from loader.jit import jit

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
JOB = (
    "begins", "lengths", "full", "seq_len", "edges", "groups", "addresses", "bits", "row_bytes",
    "next", "device", "rows", "chunk_rows", "taken", "left", "error", "finished",
)  # fmt: skip
(
    _BEGINS, _LENGTHS, _FULL, _SEQ_LEN, _EDGES, _GROUPS, _ADDRESSES, _BITS, _ROW_BYTES,
    _NEXT, _DEVICE, _ROWS, _CHUNK_ROWS, _TAKEN, _LEFT, _ERROR, _FINISHED,
) = range(len(JOB))  # fmt: skip
"""What a crew is told of a launch's rows, 8 bytes each. `taken`: rows that a thread has begun or
done; `left`: chunks that are not done; `finished`: the semaphore of who waits for the last one."""
CREW = ("wait", "post", "work", "lock", "first", "last")
"""Of a crew, before its places for jobs: sem_wait, sem_post, the semaphore that counts chunks, the
one that guards all of this and the jobs, and how many jobs were begun and handed in."""
_SEM_WAIT, _SEM_POST, _WORK, _LOCK, _FIRST, _LAST = range(len(CREW))
AHEAD = 4
"""Lines of a coming row asked for while others are copied; the processor goes on from there."""
TOGETHER = 4
"""Rows copied a line of each in turn: more reads under way, 8.5 GB/s of a core became 9.8."""


@jit
def _last_at_most(values: Any, wanted: int) -> int:
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= wanted:
            low = middle + 1
        else:
            high = middle
    return low - 1


@jit
def _copied(to: int, source: int, size: int) -> None:
    """`to` is a multiple of 64 where it matters: whole lines go past the caches."""
    lines = size // 64 * 64 if to % 64 == 0 else 0
    for at in range(0, lines, 64):
        copy_line(np.int64(to + at), np.int64(source + at))
    copy_bytes(np.int64(to + lines), np.int64(source + lines), np.int64(size - lines))


@jit
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
    for number in range(4):
        place, source = to + number * apart + size - rest, source_R[number] + size - rest
        copy_bytes(np.int64(place), np.int64(source), np.int64(rest))


@jit
def _copied_row(
    to: int, token: int, end: int, group: int, edges_G: Ints, addresses_G: Any, bits: int
) -> None:  # fmt: skip
    """A row from however many row groups it lies in."""
    if bits % 8 and end > edges_G[group + 1]:
        _packed_row(to, token, end, group, edges_G, addresses_G, bits)
        return
    while token < end:
        stop = min(end, edges_G[group + 1])
        first, last = (token - edges_G[group]) * bits, (stop - edges_G[group]) * bits
        size = (last + 7) // 8 - first // 8
        _copied(to, np.int64(addresses_G[group]) + first // 8, size)
        to, token, group = to + size, stop, group + 1


@jit
def _id(address: Any, place: int, bits: int) -> Any:
    """Id number `place` of those that begin at a byte's address."""
    bit = place * bits
    word = load_word(np.int64(address) + bit // 8) >> np.uint64(bit % 8)
    return word & ((np.uint64(1) << np.uint64(bits)) - np.uint64(1))


@jit
def _packed_row(
    to: int, token: int, end: int, group: int, edges_G: Ints, addresses_G: Any, bits: int
) -> None:  # fmt: skip
    """A row whose row groups' ids do not meet at a byte, id by id; it begins at the first one's
    bit."""
    held, filled, at = np.uint64(0), (token - edges_G[group]) * bits % 8, 0
    size = (filled + (end - token) * bits + 7) // 8
    packed = numba.carray(pointer(np.int64(to)), size, np.uint8)
    for number in range(token, end):
        while number >= edges_G[group + 1]:
            group += 1
        held |= _id(addresses_G[group], number - edges_G[group], bits) << np.uint64(filled)
        filled += bits
        while filled >= 8:
            packed[at] = held & np.uint64(255)
            held >>= np.uint64(8)
            at, filled = at + 1, filled - 8
    if filled:
        packed[at] = held


@jit
def _id_at(token: int, group: int, edges_G: Ints, addresses_G: Any, bits: int) -> Any:
    """The id of a token that lies in `group` or behind it; -1 at the line's end."""
    if token >= edges_G[len(edges_G) - 1]:
        return -1
    while edges_G[group + 1] <= token:
        group += 1
    return np.int64(_id(addresses_G[group], token - edges_G[group], bits))


@jit
def copy_rows(
    begins_R: Ints, lengths_R: Ints, seq_len: int, edges_G: Ints, addresses_G: Any, bits: int,
    row_bytes: int, slot: int, next_R: Ints,
) -> None:  # fmt: skip
    """Copy the rows' ids to `slot`, `row_bytes` apart; next_R: the id behind each, -1 at the end.

    A row begins at the bit of its first byte at which its ids begin in the row group.

    lengths_R may be empty: all rows are full.
    """
    count = len(begins_R)
    group_R, source_R = np.empty(count, np.int64), np.empty(count, np.int64)
    for row in range(count):
        group = _last_at_most(edges_G[:-1], begins_R[row])
        group_R[row] = group
        bit = (begins_R[row] - edges_G[group]) * bits
        source_R[row] = np.int64(addresses_G[group]) + bit // 8
    # Where ids end inside of bytes, a byte more than some rows need: behind the ids lies more.
    size = (seq_len * bits + (14 if bits % 8 else 0)) // 8
    fours = len(lengths_R) == 0 and slot % 64 == 0 and row_bytes % 64 == 0
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
            _copied_four(slot + row * row_bytes, row_bytes, source_R[row : row + 4], size)
        for at in range(row, row + step):
            end = begins_R[at] + (lengths_R[at] if len(lengths_R) else seq_len)
            if not whole:
                _copied_row(
                    slot + at * row_bytes, begins_R[at], end, group_R[at], edges_G, addresses_G,
                    bits,
                )  # fmt: skip
            next_R[at] = _id_at(end, group_R[at], edges_G, addresses_G, bits)
        row += step
    fence()


@jit
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


@jit
def _passed(calls: Any, event: int) -> Any:
    """Wait for an event. One that has passed already costs no sleep."""
    done = call(calls[_QUERY], (np.int64(event),))
    return call(calls[_SYNCHRONIZE], (np.int64(event),)) if done != 0 else done


@jit
def _up(size: int) -> int:
    return -(-size // 256) * 256


@jit
def _planned(calls: Any, functions: Any, rows: int, lane: int, arguments: Any) -> Any:
    """Queue the kernels that plan."""
    done = _launched(calls, functions[0], -(-rows // _ROW_BLOCK), _ROW_BLOCK, lane, arguments)
    if done == 0:
        done = _launched(calls, functions[1], 1, _SCAN_BLOCK, lane, arguments)
    if done == 0:
        warps = -(-32 * rows // _ROW_BLOCK)
        done = _launched(calls, functions[2], warps, _ROW_BLOCK, lane, arguments)
    return done


@jit
def _put(values: Any, host: int) -> None:
    numba.carray(pointer(host), len(values), np.int64)[:] = values


@jit
def _waited(crew: Ints, semaphore: int) -> None:
    while call(crew[_SEM_WAIT], (np.int64(semaphore),)) != 0:
        pass  # a signal came between


@jit
def _posted(crew: Ints, semaphore: int) -> None:
    call(crew[_SEM_POST], (np.int64(semaphore),))


@jit
def _handed_in(crew: Ints, job: Ints) -> Any:
    """Let a crew do a job, and wait until all its transfers are queued; 0 or CUDA's error."""
    chunks = -(-job[_ROWS] // job[_CHUNK_ROWS])
    job[_TAKEN], job[_LEFT], job[_ERROR] = 0, chunks, 0
    _waited(crew, crew[_LOCK])
    crew[len(CREW) + crew[_LAST] % (len(crew) - len(CREW))] = job.ctypes.data
    crew[_LAST] += 1
    _posted(crew, crew[_LOCK])
    for _ in range(chunks):
        _posted(crew, crew[_WORK])
    _waited(crew, job[_FINISHED])
    return job[_ERROR]


@jit
def _sent(calls: Any, copies: int, job: Ints, first: int, last: int, place: int, sent: int) -> Any:
    """Copy some rows of a job to pinned memory that the event `sent` guards; queue the transfer."""
    done = _passed(calls, sent)
    if done != 0:
        return done
    rows, row_bytes = job[_ROWS], job[_ROW_BYTES]
    lengths = 0 if job[_FULL] else rows
    copy_rows(
        numba.carray(pointer(job[_BEGINS]), rows, np.int64)[first:last],
        numba.carray(pointer(job[_LENGTHS]), lengths, np.int64)[first:last],
        job[_SEQ_LEN],
        numba.carray(pointer(job[_EDGES]), job[_GROUPS] + 1, np.int64),
        numba.carray(pointer(job[_ADDRESSES]), job[_GROUPS], np.uint64),
        job[_BITS], row_bytes, place,
        numba.carray(pointer(job[_NEXT]), rows, np.int64)[first:last],
    )  # fmt: skip
    to, size = job[_DEVICE] + first * row_bytes, (last - first) * row_bytes
    done = call(
        calls[_TO_DEVICE], (np.int64(to), np.int64(place), np.int64(size), np.int64(copies))
    )
    return call(calls[_RECORD], (np.int64(sent), np.int64(copies))) if done == 0 else done


@jit
def serve(
    calls: Any, context: int, copies: int, crew: Ints, memory: int, chunk_bytes: int, sent_C: Ints
) -> None:
    """One thread of a crew: copies rows of the jobs in their order, until it is woken without any.

    copies: stream of the transfers. memory: this thread's own chunks, which it takes in turn; the
    events sent_C say that a chunk's transfer is done.
    """
    failed, chunk = call(calls[_CONTEXT], (np.int64(context),)), 0
    while True:
        _waited(crew, crew[_WORK])
        _waited(crew, crew[_LOCK])
        if crew[_FIRST] == crew[_LAST]:
            _posted(crew, crew[_LOCK])
            return
        at = len(CREW) + crew[_FIRST] % (len(crew) - len(CREW))
        job = numba.carray(pointer(crew[at]), len(JOB), np.int64)
        first = job[_TAKEN]
        last = min(job[_ROWS], first + job[_CHUNK_ROWS])
        job[_TAKEN] = last
        if last == job[_ROWS]:
            crew[_FIRST] += 1
        _posted(crew, crew[_LOCK])
        done = failed
        if done == 0:
            place = memory + chunk * chunk_bytes
            done = _sent(calls, copies, job, first, last, place, sent_C[chunk])
            chunk = (chunk + 1) % len(sent_C)
        _waited(crew, crew[_LOCK])
        if done != 0:
            job[_ERROR] = done
        job[_LEFT] -= 1
        left, finished = job[_LEFT], job[_FINISHED]
        _posted(crew, crew[_LOCK])
        if left == 0:
            _posted(crew, finished)


@jit
def queue_rows(
    calls: Any, context: int, before: int, begins_R: Ints, lengths_R: Ints, stops_R: Ints,
    edges_G: Ints, addresses_G: Any, bits: int, host: int, device: int, work: Any,
    arguments: Any, functions: Any, blocks: int, copies: int, copied: int, plans: int,
    planned: int, facts: int, lane: int, event_L: Ints, step: int, crew: Ints, job: Ints,
) -> Any:  # fmt: skip
    """Wait for the event `before`, then queue the rows' plan and launches of `step` batches; 0 or
    CUDA's error.

    work: `FIELDS`, of which `row_bytes`, 0 for the fast lane, says which path it is; begins,
    lengths, next, stops, staging, first_batch and batch_count are set here. host: pinned bytes for
    the rows' numbers; device: as many there, on the ring behind the rows' ids. copies, copied:
    stream of the ring's transfers, and the slot's event on it. plans, planned: stream of the
    kernels that plan, and the event after which the batches' facts are at the pinned address
    `facts`. event_L: of each launch. crew, job: who copies the ring's rows, and the job's memory,
    of which `chunk_rows` and `finished` are set.
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
        job[_BEGINS], job[_ROWS], job[_SEQ_LEN] = begins_R.ctypes.data, rows, seq_len
        job[_LENGTHS], job[_FULL] = lengths_R.ctypes.data, len(lengths_R) == 0
        job[_EDGES], job[_GROUPS] = edges_G.ctypes.data, len(addresses_G)
        job[_ADDRESSES], job[_BITS] = addresses_G.ctypes.data, bits
        job[_NEXT], job[_DEVICE], job[_ROW_BYTES] = host, device, row_bytes
        done = _handed_in(crew, job)
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
