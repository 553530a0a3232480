"""The threads that copy the ring's rows (loader.copy_crew); the driver's calls are done here."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loader_device import aligned, made_context
from test_loader_rows import line

from loader.copy_crew import CopyCrew, Semaphore
from loader.device_kernels import CALLS
from loader.row_kernels import FIELDS, JOB, queue_rows

ROOT = Path(__file__).resolve().parent.parent
NONE = np.empty(0, np.int64)


@pytest.mark.parametrize("failing", CALLS)
def test_a_launch_of_rows_stops_at_the_first_call_that_fails(failing: str) -> None:
    said: dict[bool, list[str]] = {True: [], False: []}
    kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * 4)

    def answer(name: str) -> Any:
        def answered(*_: int) -> int:
            said[threading.current_thread() is threading.main_thread()].append(name)
            return 719 if name == failing else 0

        return kind(answered)

    functions = [answer(name) for name in CALLS]
    calls = np.array([ctypes.cast(f, ctypes.c_void_p).value for f in functions], np.int64)
    table, _ = line([5000, 300], [0], 16)
    host, work = aligned(1 << 15), np.zeros(len(FIELDS), np.int64)
    none, job, finished = np.empty(0, np.int64), np.zeros(len(JOB), np.int64), Semaphore()
    begin, to_device = ["cuCtxSetCurrent", "cuEventSynchronize"], "cuMemcpyHtoDAsync_v2"
    plan, expansion = 3 * ["cuLaunchKernel"], ["cuLaunchKernel", "cuEventRecord"]
    facts = ["cuMemcpyDtoHAsync_v2", "cuEventRecord", "cuStreamWaitEvent"]
    waits = ["cuEventSynchronize"] if failing == "cuEventQuery" else []  # a transfer under way
    chunk = ["cuEventQuery", *waits, to_device, "cuEventRecord"]
    expected = {
        0: [*begin, to_device, *plan, *facts, *2 * expansion],
        1024: [*begin, to_device, "cuEventRecord", "cuStreamWaitEvent", *plan, *facts,
               *2 * expansion],
    }  # fmt: skip
    crew = CopyCrew(made_context(), calls, 0, 1, 1)
    for row_bytes, order in expected.items():
        state = crew.ready(job, row_bytes) if row_bytes else none
        job[JOB.index("chunk_rows")], job[JOB.index("finished")] = 1, finished.address
        said[True].clear()
        work[4:7], work[13] = (3, 1, 512), row_bytes
        said_last = queue_rows(
            calls, 1, 0, np.array([0, 4700, 9], np.int64), none, none, table.edges_G,
            table.addresses_G, 16, host.ctypes.data, host.ctypes.data, work,
            np.array([work.ctypes.data]), np.arange(4), 16, 0, 0, 0, 0, 0, 0, np.arange(2), 2,
            state, job,
        )  # fmt: skip
        stops = failing in order and failing != "cuEventQuery"
        where = order.index(failing) + 1 if stops else len(order)
        if row_bytes and failing in chunk and failing not in (*begin, "cuEventQuery"):
            where = len(begin)  # its crew had that error
        assert said[True] == order[:where]
        assert said_last == (719 if stops else 0)
    crew.close()
    if failing in begin:
        assert said[False] == ["cuCtxSetCurrent"]
    else:
        whole = failing not in chunk or failing == "cuEventQuery"
        assert said[False] == [
            "cuCtxSetCurrent", *3 * chunk[: None if whole else chunk.index(failing) + 1]
        ]  # fmt: skip


class Copies:
    """The driver's calls, of which a transfer copies at once, or fails."""

    def __init__(self, fails: int = -1) -> None:
        self.transfers = 0
        kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * 11)

        def copied(to: int, source: int, size: int, *_: int) -> int:
            self.transfers += 1
            if self.transfers == fails:
                return 719
            ctypes.memmove(to, source, size)
            return 0

        does = {"cuMemcpyHtoDAsync_v2": copied}
        self._kept = [kind(does.get(name, lambda *_: 0)) for name in CALLS]
        addresses = [ctypes.cast(one, ctypes.c_void_p).value for one in self._kept]
        self.calls = np.array(addresses, np.int64)


class Poster:
    """What a launch's slot has."""

    def __init__(self, rows: int, row_bytes: int) -> None:
        self.device, self.host = aligned(rows * (row_bytes + 32) + 512), aligned(rows * 32 + 512)
        self.work, self.job = np.zeros(len(FIELDS), np.int64), np.zeros(len(JOB), np.int64)
        self.finished = Semaphore()
        self.job[JOB.index("finished")] = self.finished.address
        self.rows, self.row_bytes = rows, row_bytes

    def launch(self, crew: CopyCrew, calls: Any, table: Any, begins_R: Any, t: int) -> int:
        state = crew.ready(self.job, self.row_bytes)
        self.work[4:7], self.work[13] = (self.rows, self.rows, t), self.row_bytes
        done = queue_rows(
            calls, 1, 0, begins_R, NONE, NONE, table.edges_G, table.addresses_G, 16,
            self.host.ctypes.data, self.device.ctypes.data, self.work,
            np.array([self.work.ctypes.data]), np.arange(4), 16, 0, 0, 0, 0,
            self.host.ctypes.data, 0, np.arange(1), 1, state, self.job,
        )  # fmt: skip
        return int(done)

    def ids(self, t: int) -> npt.NDArray[np.uint16]:
        whole = self.device[: self.rows * self.row_bytes].view("<u2")
        return whole.reshape(self.rows, -1)[:, :t]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.sampled_from([1, 3000, 1 << 20]), st.data())
def test_launches_of_several_planners_get_their_own_rows_whoever_copies_them(
    threads: int, rows: int, chunk_bytes: int, data: st.DataObject
) -> None:
    table, ids = line([3000, 40, 5000, 2000], [1], 16)
    t, row_bytes = 100, 256
    places = st.lists(st.integers(0, len(ids) - t), min_size=rows, max_size=rows)
    wanted = [np.array(data.draw(places), np.int64) for _ in range(6)]
    driver = Copies()
    crew = CopyCrew(made_context(), driver.calls, 0, threads, 3, chunk_bytes)

    def launched(begins_R: Any) -> Any:
        poster = Poster(rows, row_bytes)
        assert poster.launch(crew, driver.calls, table, begins_R, t) == 0
        return poster.ids(t)

    with ThreadPoolExecutor(3) as planners:
        for found, begins_R in zip(planners.map(launched, wanted), wanted, strict=True):
            expected = ids[begins_R[:, None] + np.arange(t)]
            assert (found == expected).all()
    crew.close()


def test_a_failed_transfer_is_told_to_its_own_launch_and_the_next_one_works() -> None:
    table, ids = line([3000], [1], 16)
    driver = Copies(fails=2)
    crew = CopyCrew(made_context(), driver.calls, 0, 2, 1, chunk_bytes=1)
    begins_R = np.arange(0, 2000, 100)
    poster = Poster(len(begins_R), 256)
    assert poster.launch(crew, driver.calls, table, begins_R, 100) == 719
    assert poster.launch(crew, driver.calls, table, begins_R, 100) == 0
    assert (poster.ids(100) == ids[begins_R[:, None] + np.arange(100)]).all()
    crew.close()


def test_threads_start_with_the_first_launch_end_with_close_and_start_again() -> None:
    def copying() -> int:
        return sum(thread.name == "loader-copy" for thread in threading.enumerate())

    table, _ = line([3000], [1], 16)
    driver, before = Copies(), copying()
    crew = CopyCrew(made_context(), driver.calls, 0, 3, 1)
    assert copying() == before
    for _ in range(2):
        assert Poster(4, 256).launch(crew, driver.calls, table, np.arange(4), 100) == 0
        assert copying() == before + 3
        crew.close()
        assert copying() == before


def test_rows_above_the_size_of_a_chunk_get_chunks_that_hold_them() -> None:
    table, ids = line([3000], [1], 16)
    driver = Copies()
    crew = CopyCrew(made_context(), driver.calls, 0, 1, 1, chunk_bytes=512)
    for t, row_bytes in ((100, 256), (1000, 2048), (100, 256)):
        poster = Poster(5, row_bytes)
        assert poster.launch(crew, driver.calls, table, np.arange(5), t) == 0
        assert (poster.ids(t) == ids[np.arange(5)[:, None] + np.arange(t)]).all()
    crew.close()


def test_a_process_that_does_not_close_its_crew_ends_all_the_same() -> None:
    program = (
        "from test_loader_crew import *\n"
        "driver, (table, _) = Copies(), line([3000], [1], 16)\n"
        "crew = CopyCrew(made_context(), driver.calls, 0, 3, 1)\n"
        "assert Poster(4, 256).launch(crew, driver.calls, table, np.arange(4), 100) == 0\n"
        "print('launched')\n"
    )
    folders = (ROOT / "tests", ROOT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "launched\n"), done.stderr
