"""A far file as a seekable stream: units of 1 MB, read ahead, a few of them kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from pipeline.files.seekable import Seekable

UNIT = 1 << 20
"""What is fetched is a whole number of these, from a multiple of it on."""
_MOST_AHEAD = 8
"""Units of one request in the middle of sequential reading; a jump begins with one."""
_KEPT = 16
"""Units in memory: a reader that looks back a little asks no server."""


class Ranges(Protocol):
    """Byte ranges of one version of a file."""

    size: int

    def fetch(self, start: int, stop: int) -> bytes:
        """Exactly the bytes in [start, stop). Raises InputError."""


class RemoteFile(Seekable):
    """Reads through `ranges`; holds at most some 16 MB, whatever the size."""

    def __init__(self, ranges: Ranges, close: Callable[[], None] = lambda: None) -> None:
        self.ranges, self.size = ranges, ranges.size
        self._close = close
        self._at = 0
        self._units: OrderedDict[int, bytes] = OrderedDict()
        self._ahead, self._expected = 1, 0
        self.failure: Exception | None = None
        """Why reading ended early; a reader in C may have taken it for the end of the file."""

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self.size - self._at)
        if wanted <= 0:
            return 0
        number, skip = divmod(self._at, UNIT)
        unit = self._unit(number, -(-(self._at + wanted) // UNIT))
        part = unit[skip : skip + wanted]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _unit(self, number: int, stop: int) -> bytes:
        """One unit; where it must be fetched, those up to `stop` and some ahead come along."""
        found = self._units.get(number)
        if found is not None:
            self._units.move_to_end(number)
            return found
        self._ahead = min(self._ahead * 2, _MOST_AHEAD) if number == self._expected else 1
        wanted = max(self._ahead, min(stop - number, _MOST_AHEAD))
        last = min(number + wanted, -(-self.size // UNIT))
        self._expected = last
        try:
            data = self.ranges.fetch(number * UNIT, min(last * UNIT, self.size))
        except Exception as error:
            self.failure = error
            raise
        for at in range(number, last):
            start = (at - number) * UNIT
            self._units[at] = data[start : start + UNIT]
            self._units.move_to_end(at)
        while len(self._units) > _KEPT:
            self._units.popitem(last=False)
        return self._units[number]

    def close(self) -> None:
        if not self.closed:
            self._units.clear()
            self._close()
        super().close()
