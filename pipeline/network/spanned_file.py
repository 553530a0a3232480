"""Some byte ranges of a far file as one seekable stream, fetched in as few requests as allowed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.files.seekable import Seekable
from pipeline.files.spans import Spans
from pipeline.network.remote_file import Ranges

_MOST = 8 << 20
"""Bytes of one request, unless a single range is longer."""
_KEPT = 16 << 20
"""Bytes that are kept, of whole requests: readers look back a little."""


class SpannedFile(Seekable):
    """The ranges behind each other, without what lies between; `gap` as of `Spans.requests`."""

    def __init__(self, ranges: Ranges, spans: Spans, gap: int) -> None:
        self.ranges, self.spans = ranges, spans
        pairs = spans.pairs
        self._starts = np.concatenate([[0], np.cumsum(pairs[:, 1])]).astype(np.int64)
        self.size = int(self._starts[-1])
        self._requests = list(spans.requests(gap, _MOST))
        # Where each request begins among the ranges that are behind each other.
        self._begins = [int(self._starts[first]) for first, *_ in self._requests]
        self._held: OrderedDict[int, bytes] = OrderedDict()
        self._at = 0
        self.failure: Exception | None = None
        """Why reading ended early; a reader in C may have taken it for the end of the file."""

    def readinto(self, buffer: Any) -> int:
        if self._at >= self.size or not len(buffer):
            return 0
        number = int(np.searchsorted(self._begins, self._at, "right")) - 1
        data = self._request(number)
        start = self._at - self._begins[number]
        part = data[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _request(self, number: int) -> bytes:
        """The ranges of one request behind each other."""
        if number not in self._held:
            first, behind, start, stop = self._requests[number]
            try:
                data = self.ranges.fetch(start, stop)
            except Exception as error:
                self.failure = error
                raise
            pairs = self.spans.pairs[first:behind].tolist()
            if stop - start > sum(length for _, length in pairs):
                data = b"".join(data[at - start : at - start + n] for at, n in pairs)
            self._held[number] = data
            while len(self._held) > 1 and sum(map(len, self._held.values())) > _KEPT:
                self._held.popitem(last=False)
        self._held.move_to_end(number)
        return self._held[number]


def places_of(spans: Spans, offsets: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Where bytes of the stream stand in the file itself."""
    pairs = spans.pairs
    starts = np.concatenate([[0], np.cumsum(pairs[:, 1])[:-1]]).astype(np.int64)
    wanted = np.asarray(offsets, np.int64)
    at = np.clip(np.searchsorted(starts, wanted, "right") - 1, 0, len(pairs) - 1)
    moved: npt.NDArray[np.int64] = pairs[at, 0] + wanted - starts[at]
    return moved
