"""Byte ranges of one file, packed: a hundred thousand of them travel with a partition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

_BYTES = 16


@dataclass(frozen=True)
class Spans:
    """(offset, length) of each range, ascending, none of them overlapping."""

    packed: bytes
    """int64 offset and int64 length of one range after the other."""

    @classmethod
    def of(cls, offsets: Sequence[int], lengths: Sequence[int]) -> Spans:
        """Sorted, each offset once, empty ones left out. Raises ValueError if two overlap."""
        pairs = np.column_stack([np.asarray(offsets, "<i8"), np.asarray(lengths, "<i8")])
        pairs = pairs[pairs[:, 1] > 0]
        pairs = pairs[np.lexsort((-pairs[:, 1], pairs[:, 0]))]
        first = np.ones(len(pairs), bool)
        first[1:] = pairs[1:, 0] != pairs[:-1, 0]
        pairs = pairs[first]
        behind = pairs[:-1].sum(axis=1) > pairs[1:, 0]
        if behind.any():
            at = int(np.flatnonzero(behind)[0])
            (a, b), (c, d) = pairs[at].tolist(), pairs[at + 1].tolist()
            raise ValueError(f"{b:,} bytes at {a:,} and {d:,} bytes at {c:,} overlap")
        return cls(pairs.tobytes())

    def __len__(self) -> int:
        return len(self.packed) // _BYTES

    @property
    def pairs(self) -> npt.NDArray[np.int64]:
        """One row (offset, length) a range."""
        return np.frombuffer(self.packed, "<i8").reshape(-1, 2)

    @property
    def num_bytes(self) -> int:
        return int(self.pairs[:, 1].sum())

    @property
    def digest(self) -> str:
        """32 hex digits of what is to be read."""
        return xxhash.xxh3_128_hexdigest(self.packed)

    def requests(self, gap: int, most: int) -> Iterator[tuple[int, int, int, int]]:
        """(first range, behind the last, start, stop) of each request.

        Ranges at most `gap` bytes apart share a request, while it has at most `most` bytes.
        """
        pairs = self.pairs.tolist()
        first = 0
        while first < len(pairs):
            start, length = pairs[first]
            stop, behind = start + length, first + 1
            while behind < len(pairs):
                offset, length = pairs[behind]
                if offset - stop > gap or offset + length - start > most:
                    break
                stop, behind = offset + length, behind + 1
            yield first, behind, start, stop
            first = behind
