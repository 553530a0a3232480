"""The watchdog's side in a worker: says which document a stage has in hand, and since when.

A process of its own (`watchdog.py`) looks at that once a second. It stands outside the call, as a
document that hangs in C code may hold the GIL for ever. It decides no output of a document that
comes to an end: limits that do are counted in bytes, nodes and depth.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.errors import ConfigError

T = TypeVar("T")

SECONDS = 60.0
"""That a document may take at one step (DESIGN section 5.7); compiling kernels is not counted."""
FIRST = 10
"""Times as long may the first one take that a process sees at a step: stages load models then."""
VARIABLE = "TOKENMILL_WATCHDOG_SECONDS"
"""Environment variable with another number; 0 = no watchdog."""
PAGE_BYTES = 1 << 16
_HEAD = struct.Struct("<Qdd?16sI")
"""Number of the document in this process, time at which it came to hand, seconds that it may take,
whether it still is in hand, doc_id, bytes of the place behind it."""


@dataclass(frozen=True)
class Place:
    """Where a process is at work."""

    root: str
    """Of the workdir's storage."""
    unit: str
    step: str
    kill: bool
    """Whether the process is to be killed, or only a warning be given."""


@dataclass(frozen=True)
class InHand:
    """What the watchdog sees."""

    number: int
    since: float
    """`time.monotonic()`, which all processes of a machine share."""
    seconds: float
    """That it may take."""
    doc_id: bytes
    place: Place


def read_page(page: bytes) -> InHand | None:
    """The document in hand; None if there is none, or if it changes at this moment."""
    number, since, seconds, busy, doc_id, size = _HEAD.unpack_from(page)
    if not busy or _HEAD.size + size > len(page):
        return None
    try:
        place = Place(**json.loads(page[_HEAD.size : _HEAD.size + size]))
    except (ValueError, TypeError):
        return None
    return InHand(number, since, seconds, doc_id, place)


class _Watched:
    """This process's page, and the watchdog that reads it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._place: Place | None = None
        self._known: set[str] = set()
        self._doc_id = b""
        self._size = self._number = self._resting = 0
        with tempfile.TemporaryFile() as file:
            file.truncate(PAGE_BYTES)
            self._page = mmap.mmap(file.fileno(), PAGE_BYTES)
            program = Path(__file__).with_name("watchdog.py")
            numbers = map(str, (file.fileno(), os.getpid(), seconds))
            # It ends with its standard input, that is with this process, however that ends.
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(program), *numbers],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(file.fileno(),),
                start_new_session=True,  # Ctrl-C is for those who work
            )  # fmt: skip
        atexit.register(self._end)

    def _end(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.stdin.close()
            self._process.wait(5)

    def take(self, place: Place, doc_id: bytes) -> None:
        if place != self._place:
            text = json.dumps(asdict(place)).encode()
            if _HEAD.size + len(text) > PAGE_BYTES:
                return
            self._page[_HEAD.size : _HEAD.size + len(text)] = text
            self._place, self._size = place, len(text)
        self._number += 1
        self._resting, self._doc_id = 0, doc_id
        self._begin()

    def _begin(self) -> None:
        assert self._place is not None
        seconds = self._seconds * (1 if self._place.step in self._known else FIRST)
        _HEAD.pack_into(
            self._page, 0, self._number, time.monotonic(), seconds, True, self._doc_id, self._size
        )

    def put_down(self) -> None:
        """What is in hand is done."""
        if self._place is not None:
            self._known.add(self._place.step)
        self._doc_id = b""
        self._pause()

    def _pause(self) -> None:
        _HEAD.pack_into(self._page, 0, self._number, 0.0, 0.0, False, b"", self._size)

    def rest(self) -> None:
        """Count nothing until `resume`, called as often."""
        self._resting += 1
        self._pause()

    def resume(self) -> None:
        self._resting = max(0, self._resting - 1)
        if self._doc_id and not self._resting:
            self._begin()


_kills = False
_place: Place | None = None
_watched: _Watched | None = None


def kill_when_late() -> None:
    """From now on the watchdog kills this process, as somebody else does its work again."""
    global _kills
    _kills = True


def kills() -> bool:
    """Whether the watchdog may have killed another process at this one's work."""
    return _kills


@contextlib.contextmanager
def at(root: str, unit: str, step: str) -> Iterator[None]:
    """Documents that are gone through in here are watched."""
    global _place
    before, _place = _place, Place(root, unit, step, _kills)
    try:
        yield
    finally:
        _place = before


def limit() -> float:
    """Seconds that a document may take; 0 = no limit. Raises ConfigError."""
    value = os.environ.get(VARIABLE, "")
    try:
        return float(value) if value else SECONDS
    except ValueError:
        raise ConfigError(
            f"{VARIABLE}='{value}' in the environment, expected a number of seconds; 0 = none."
        ) from None


def rest() -> None:
    """What a document waits for from here to `resume` is not its own fault: kernels compile."""
    if _watched:
        _watched.rest()


def resume() -> None:
    """See `rest`."""
    if _watched:
        _watched.resume()


def one_by_one(doc_ids: Callable[[], Iterable[bytes]], rows: Iterable[T]) -> Iterator[T]:
    """The rows, of which each is one document's and is in hand until the next one is asked for.

    `doc_ids` is called only where somebody watches: inside `at`, if the limit is not 0.
    """
    global _watched
    place = _place
    seconds = limit()
    if place is None or not seconds:
        yield from rows
        return
    watched = _watched = _watched or _Watched(seconds)
    try:
        for doc_id, row in zip(doc_ids(), rows, strict=True):
            watched.take(place, doc_id)
            yield row
            watched.put_down()
    finally:
        watched.put_down()
