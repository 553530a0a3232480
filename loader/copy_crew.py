"""Threads that copy rows of ids into pinned memory for the ring, outside of Python.

A thread of Python's that copies in between has to wait for Python's lock after every launch; one
that stays in compiled code never does. Each thread takes the next rows of the oldest launch, so
that a launch is spread over all of them and few launches are under way at once.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from loader.row_kernels import CREW, JOB, TOGETHER, serve

CHUNK_BYTES, CHUNKS = 1 << 23, 2
"""Of each thread, pinned: one is written while the other travels. Smaller ones gain nothing."""
_SEMAPHORE_BYTES = 64
"""Room for glibc's or musl's sem_t, on a line of its own."""


class Semaphore:
    """A POSIX semaphore of this process, which begins at `value`."""

    def __init__(self, value: int = 0) -> None:
        self._memory = np.zeros(2 * _SEMAPHORE_BYTES // 8, np.int64)
        self.address = -(-self._memory.ctypes.data // _SEMAPHORE_BYTES) * _SEMAPHORE_BYTES
        ctypes.CDLL(None).sem_init(ctypes.c_void_p(self.address), 0, value)

    def up(self) -> None:
        """Let one who waits go on."""
        ctypes.CDLL(None).sem_post(ctypes.c_void_p(self.address))


class CopyCrew:
    """`threads` threads for the launches of one backend; they start with the first launch."""

    def __init__(
        self, context: Any, calls: npt.NDArray[np.int64], stream: int, threads: int, jobs: int,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:  # fmt: skip
        """`calls`: as `loader.device_kernels.CALLS`. `stream`: of the transfers. `jobs`: launches
        that wait for their rows at once, at most."""
        self.stream = stream
        self._made = (context, calls, stream, threads, jobs)
        self._chunk_bytes = chunk_bytes
        self._lock = threading.Lock()
        self._at_work: dict[int, _Threads] = {}
        """By the bytes of a chunk: rows of more than CHUNK_BYTES have threads of their own."""

    def ready(self, job: npt.NDArray[np.int64], row_bytes: int) -> npt.NDArray[np.int64]:
        """For `queue_rows`: threads whose chunks hold such rows. Says in the job how many rows."""
        rows = max(TOGETHER, self._chunk_bytes // row_bytes // TOGETHER * TOGETHER)
        job[JOB.index("chunk_rows")] = rows
        size = max(rows * row_bytes, self._chunk_bytes)
        with self._lock:
            if size not in self._at_work:
                self._at_work[size] = _Threads(*self._made, size)
            return self._at_work[size].state

    def close(self) -> None:
        """End the threads, once they have done what they were given."""
        for threads in self._at_work.values():
            threads.end()
        self._at_work.clear()


class _Threads:
    """Threads that run `serve`, and what they share."""

    def __init__(
        self, context: Any, calls: npt.NDArray[np.int64], stream: int, threads: int, jobs: int,
        chunk_bytes: int,
    ) -> None:  # fmt: skip
        self._context, self._calls, self._stream = context, calls, stream
        self._chunk_bytes = chunk_bytes
        self._work, self._guard = Semaphore(), Semaphore(1)
        library = ctypes.CDLL(None)
        functions = {"wait": library.sem_wait, "post": library.sem_post}
        values = {name: ctypes.cast(of, ctypes.c_void_p).value for name, of in functions.items()}
        values |= {"work": self._work.address, "lock": self._guard.address}
        self.state = np.array([values.get(name, 0) for name in CREW] + [0] * jobs, np.int64)
        """`CREW`, and places for jobs."""
        self._memory = context.pinned(threads * CHUNKS * chunk_bytes // 4)
        self._sent = [
            np.array([context.event() for _ in range(CHUNKS)], np.int64) for _ in range(threads)
        ]
        # Daemons: who forgets to close a loader still gets out of Python.
        self._all = [
            threading.Thread(target=self._run, args=(number,), name="loader-copy", daemon=True)
            for number in range(threads)
        ]
        for thread in self._all:
            thread.start()

    def _run(self, number: int) -> None:
        size = self._chunk_bytes
        place = self._memory.ctypes.data + number * CHUNKS * size
        serve(
            self._calls, self._context.handle, self._stream, self.state, place, size,
            self._sent[number],
        )  # fmt: skip

    def end(self) -> None:
        for _ in self._all:
            self._work.up()
        for thread in self._all:
            thread.join()
        for event in np.concatenate(self._sent).tolist():
            self._context.forget(event)
