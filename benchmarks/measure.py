"""Runs one command and measures its whole tree of processes: CPU, wall time, memory.

CPU seconds are those of every process that the command started, near or far, daemons that outlive
it and were adopted by init included (Ray's are): counted by an own cgroup where one can be made
(v2 `cpu.stat`, or v1 `cpuacct.usage`), else by sampling every process whose environment carries a
marker (`ledger`). A process that is left some seconds after the command's end is killed, and
counted up to then. Wall time ends with the command.

Memory is sampled: the sum of the proportional set sizes (shared pages counted once) every 0.5 s,
the sum and the largest of the resident set sizes every 0.1 s.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.ledger import Ledger, Marked, look

MARKER = "TOKENMILL_BENCHMARK"
SAMPLE_SECONDS = 0.025
"""Between two sights of every member, where CPU is counted by sampling."""
RESIDENT_SECONDS = 0.1
PROPORTIONAL_SECONDS = 0.5
GRACE_SECONDS = 10.0
"""What is left so long after the command's end is killed."""
PAGE = os.sysconf("SC_PAGE_SIZE")

_numbers = itertools.count()


class MeasureError(Exception):
    """A measured command failed, or a method cannot be used here."""


@dataclass(frozen=True)
class Usage:
    """What one command used, with all that it started."""

    cpu_seconds: float
    wall_seconds: float
    peak_pss_bytes: int
    peak_rss_bytes: int
    """Largest sum of resident sets: shared pages count once a process."""
    peak_process_rss_bytes: int
    """Resident set of the largest single process."""
    method: str
    """How CPU was counted: `cgroup2`, `cpuacct` or `sampling`."""
    killed: int
    """Processes that were left after the grace and killed."""


class Counter(Protocol):
    """Counts the CPU time of one tree of processes."""

    method: str
    interval: float

    def wrap(self, command: Sequence[str]) -> list[str]:
        """The command, changed so that its process is counted from the start."""

    def sample(self) -> list[int]:
        """Look at the tree; pids of its living processes, zombies left out."""

    def cpu_seconds(self) -> float: ...

    def close(self) -> None: ...


class CgroupCounter:
    """An own control group: the kernel counts, daemons and short-lived processes included."""

    interval = RESIDENT_SECONDS

    def __init__(self, method: str) -> None:
        self.method = method
        parent = _cgroup_parent(method)
        if parent is None:
            raise MeasureError(f"{method}: no writable control group here")
        name = f"tokenmill-{os.getpid()}-{next(_numbers)}-{secrets.token_hex(3)}"
        self.folder = parent / name
        try:
            self.folder.mkdir()
        except OSError as error:
            raise MeasureError(f"{method}: cannot make {self.folder}: {error.strerror}") from error

    def wrap(self, command: Sequence[str]) -> list[str]:
        enter = 'echo $$ > "$0" && exec "$@"'
        return ["/bin/sh", "-c", enter, str(self.folder / "cgroup.procs"), *command]

    def sample(self) -> list[int]:
        pids = (self.folder / "cgroup.procs").read_text().split()
        sights = (look(int(pid)) for pid in pids)
        return [sight.pid for sight in sights if sight is not None and not sight.zombie]

    def cpu_seconds(self) -> float:
        if self.method == "cpuacct":
            return int((self.folder / "cpuacct.usage").read_text()) / 1e9
        for line in (self.folder / "cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "usage_usec":
                return int(value) / 1e6
        raise MeasureError(f"{self.folder}/cpu.stat has no usage_usec")

    def close(self) -> None:
        for _ in range(50):
            try:
                self.folder.rmdir()
                return
            except OSError:  # a zombie is still to be waited for by its parent
                time.sleep(0.1)


class SamplingCounter:
    """Every process that carries the marker, looked at 40 times a second."""

    method = "sampling"
    interval = SAMPLE_SECONDS

    def __init__(self, marker: str) -> None:
        self._marked, self._ledger = Marked(marker), Ledger()

    def wrap(self, command: Sequence[str]) -> list[str]:
        return list(command)

    def sample(self) -> list[int]:
        sights = self._marked.sights()
        self._ledger.observe(sights)
        return [pid for pid, sight in sights.items() if not sight.zombie]

    def cpu_seconds(self) -> float:
        return self._ledger.total()

    def close(self) -> None:
        pass


def _cgroup_parent(method: str) -> Path | None:
    """The folder of this process's own group in the hierarchy that the method reads."""
    wanted = "cgroup2" if method == "cgroup2" else "cgroup"
    own: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        for name in controllers.split(",") if number != "0" else ["cgroup2"]:
            own[name] = path
    name = "cgroup2" if method == "cgroup2" else "cpuacct"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind != wanted or name not in own:
            continue
        if wanted == "cgroup" and "cpuacct" not in options.split(" ")[-1].split(","):
            continue
        root, mounted = left.split(" ")[3:5]
        inside = own[name].removeprefix(root.rstrip("/"))
        folder = Path(mounted) / inside.lstrip("/")
        if folder.is_dir() and os.access(folder, os.W_OK):
            return folder
    return None


METHODS = ("cgroup2", "cpuacct", "sampling")


def open_counter(method: str | None, marker: str) -> Counter:
    """A counter by the named method; None = the first of METHODS that works here."""
    if method == "sampling":
        return SamplingCounter(marker)
    if method is not None:
        return CgroupCounter(method)
    for name in METHODS[:2]:
        with contextlib.suppress(MeasureError, OSError):
            return CgroupCounter(name)
    return SamplingCounter(marker)


class _Watch:
    """Samples a tree on a thread of its own until it is stopped."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.peak_pss = self.peak_rss = self.peak_process = 0
        self._next_rss = self._next_pss = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.error: Exception | None = None

    def _run(self) -> None:
        try:
            while not self._stop.wait(self.counter.interval):
                self.sample()
        except Exception as error:  # raised by `stop`, in the thread that can handle it
            self.error = error

    def sample(self) -> list[int]:
        pids = self.counter.sample()
        now = time.monotonic()
        if now >= self._next_rss:
            self._next_rss = now + RESIDENT_SECONDS
            sizes = [_resident(pid) for pid in pids]
            self.peak_rss = max(self.peak_rss, sum(sizes))
            self.peak_process = max([self.peak_process, *sizes])
        if now >= self._next_pss:
            self._next_pss = now + PROPORTIONAL_SECONDS
            self.peak_pss = max(self.peak_pss, sum(_proportional(pid) for pid in pids))
        return pids

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        if self.error is not None:
            raise self.error


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


@contextlib.contextmanager
def _ended(counter: Counter, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """However the block ends, nothing of the tree is left running."""
    try:
        yield
    finally:
        _kill(counter)
        process.wait()
        counter.close()


def _kill(counter: Counter) -> int:
    """SIGKILL what is left of the tree; how many processes that were."""
    killed: set[int] = set()
    for _ in range(100):
        pids = counter.sample()
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed.update(pids)
        time.sleep(0.05)
    return len(killed)


def measure(
    command: Sequence[str],
    *,
    method: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    grace: float = GRACE_SECONDS,
) -> Usage:
    """Run the command to its end. Its output goes to `log`. Raises MeasureError if it fails."""
    token = secrets.token_hex(8)
    counter = open_counter(method, f"{MARKER}={token}")
    environment = {**os.environ, **(env or {}), MARKER: token}
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(open(log or os.devnull, "wb"))
        watch = _Watch(counter)
        started = time.monotonic()
        process = subprocess.Popen(
            counter.wrap(command), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
            cwd=cwd, env=environment,
        )  # fmt: skip
        with _ended(counter, process):
            watch.start()
            # Not waited for yet: as a zombie it can still be looked at.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            wall = time.monotonic() - started
            watch.stop()
            deadline = time.monotonic() + grace
            while watch.sample() and time.monotonic() < deadline:
                time.sleep(counter.interval)
            killed = _kill(counter)
            cpu = counter.cpu_seconds()
    if process.returncode != 0:
        tail = log.read_text(errors="replace")[-3000:] if log else ""
        raise MeasureError(f"exit {process.returncode} of {' '.join(command)}\n{tail}")
    return Usage(
        cpu, wall, watch.peak_pss, watch.peak_rss, watch.peak_process, counter.method, killed
    )
