"""The row groups of all of a loader's streams in one line, and those of them that are in memory.

Streams follow each other: a token has one number on the line, and so has a row group.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from loader.dataset import Dataset, Place, Stream
from loader.hot_cache import HotCache, HotRowGroup
from loader.row_groups import fetch

Ints = npt.NDArray[np.int64]

MEMORY_BYTES = 1 << 30
"""Bound for row groups without a file; 128 of 4 M uint16 ids."""
MAPPED = 30_000
"""Mapped files at most: Linux allows a process 65,530 maps (vm.max_map_count)."""


class RowGroupLine:
    """Row groups by their number on the line, fetched by threads of its own, kept while room is.

    A row group that somebody holds stays in memory whatever the bounds are.
    """

    def __init__(
        self, dataset: Dataset, streams: Sequence[Stream], cache: HotCache, threads: int
    ) -> None:
        self.dataset, self.streams, self._cache = dataset, streams, cache
        sizes = [np.diff(stream.starts) for stream in streams]
        self.edges_R: Ints = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(
            np.int64
        )
        """Tokens before each row group, and all tokens."""
        self.first_row_groups: Ints = np.cumsum([0, *map(len, sizes)])
        """Number of each stream's first row group, and that of all."""
        self.first_tokens: Ints = self.edges_R[self.first_row_groups]
        """Number of each stream's first token, and that of all."""
        self.bits = cache.bits
        """Of an id in memory."""
        self._memory = cache.max_bytes if cache.folder is None else MEMORY_BYTES
        self._held: OrderedDict[int, HotRowGroup] = OrderedDict()
        self._coming: dict[int, Future[HotRowGroup]] = {}
        self._bytes = [0, 0]  # copies, mapped files
        self._turn = threading.Lock()
        self._threads, self._most = ThreadPoolExecutor(threads, "loader-fetch"), 4 * threads

    def place(self, number: int) -> Place:
        """What the index says of a row group."""
        stream = int(np.searchsorted(self.first_row_groups, number, side="right")) - 1
        return self.streams[stream].place(number - int(self.first_row_groups[stream]))

    def want(self, numbers: Ints) -> None:
        """Let the threads fetch these row groups; those in memory stay as they are."""
        with self._turn:
            for number in numbers.tolist():
                if number not in self._held:
                    self._ask(number)

    @property
    def whole(self) -> bool:
        """Whether all row groups are in memory."""
        return len(self._held) == len(self.edges_R) - 1

    @property
    def idle(self) -> bool:
        """Whether there is something left to fetch, and threads have time for it."""
        with self._turn:
            return len(self._coming) < self._most and len(self._held) < len(self.edges_R) - 1

    def hold(self, numbers: Ints) -> list[HotRowGroup]:
        """These row groups, waited for. Raises InputError or IntegrityError with file and group."""
        wanted = numbers.tolist()
        with self._turn:
            found: list[HotRowGroup | Future[HotRowGroup]] = []
            for number in wanted:
                if number in self._held:
                    self._held.move_to_end(number)
                    found.append(self._held[number])
                else:
                    found.append(self._ask(number))
        return [one if isinstance(one, HotRowGroup) else one.result() for one in found]

    def close(self) -> None:
        """Fetch nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, number: int) -> Future[HotRowGroup]:
        if number not in self._coming:
            self._coming[number] = self._threads.submit(self._come, number)
        return self._coming[number]

    def _come(self, number: int) -> HotRowGroup:
        try:
            place = self.place(number)
            found = self._cache.get(place, partial(fetch, self.dataset, place))
        except BaseException:
            with self._turn:
                self._coming.pop(number, None)  # the next who asks tries again
            raise
        with self._turn:
            self._coming.pop(number, None)
            self._held[number] = found
            self._bytes[found.on_disk] += found.num_bytes
            bounds = (self._memory, self._cache.max_bytes)
            while len(self._held) > 1 and (
                any(map(int.__gt__, self._bytes, bounds)) or len(self._held) > MAPPED
            ):
                _, gone = self._held.popitem(last=False)
                self._bytes[gone.on_disk] -= gone.num_bytes
        return found
