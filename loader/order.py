"""The order of samples: a pure function of (dataset, seed, epoch, mixture, sample index).

Nothing is drawn, stored or built: sample i is found in constant memory, whatever the size.

A **window** is `seq_len` input tokens of one group's stream; a **sample** is a place in training,
filled by one window. Without weights an epoch is every window of every group exactly once; where
the dataset has stages, all of the first before any of the second. With
weights samples come in blocks of `BLOCK`; each block holds each group's share exactly, and each
group goes through its own windows epoch after epoch.

    full        any window of the epoch anywhere (a keyed permutation); of a packing in blocks:
                blocks in any order, the rows of a block in any order, groups interleaved
    none        stored order; groups interleave in proportion to their windows
    window: N   as `none`, but each N samples in a row are permuted among themselves
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import xxhash

from loader.order_kernels import full_rows, interleave, permute
from pipeline.errors import ConfigError, nearest

Ints = npt.NDArray[np.int64]

ROUNDS = 8
"""Feistel rounds; 4 suffice against chosen plaintexts (Luby-Rackoff), short halves want more."""
BLOCK = 4096
"""Samples in which a weighted mixture is exact; shares are rounded to 1/4096."""
PACKED_ROWS = 1024
"""Rows of a block of a packing in blocks: what is packed together and moves together."""


class Permutation:
    """A bijection of 0..size-1 that `key` chooses, evaluated point by point.

    A Feistel network over the next even power of two; values outside walk on until they are inside.
    """

    def __init__(self, size: int, key: str) -> None:
        if not 0 < size < 1 << 62:
            raise ValueError(f"size = {size}, expected 1..2^62 - 1")
        self.size = size
        self._half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
        self._keys = np.array(
            [xxhash.xxh3_64_intdigest(f"{key}/{number}".encode()) for number in range(ROUNDS)],
            np.uint64,
        )

    @property
    def facts(self) -> tuple[int, npt.NDArray[np.uint64]]:
        """Bits of a half, and the rounds' keys."""
        return self._half, self._keys

    def __call__(self, indices: Ints) -> Ints:
        """The place of each index."""
        found: Ints = permute(np.ascontiguousarray(indices), self.size, self._half, self._keys)
        return found


_permutation = lru_cache(maxsize=256)(Permutation)


@dataclass(frozen=True)
class Shuffle:
    """How far a window may move from its stored place."""

    kind: str
    """full, blocks, none or window. `blocks` is what `full` means for a packing in blocks."""
    window: int = 0

    @classmethod
    def parse(cls, value: str | Mapping[str, int]) -> Shuffle:
        """From `full`, `none` or `{"window": N}`. Raises ConfigError."""
        if isinstance(value, str) and value in ("full", "none"):
            return cls(value)
        if isinstance(value, Mapping) and set(value) == {"window"} and value["window"] > 0:
            return cls("window", int(value["window"]))
        raise ConfigError(
            f"shuffle = {value!r}, expected 'full', 'none' or {{'window': N}} with N above 0."
        )

    def __str__(self) -> str:
        return f"window:{self.window}" if self.kind == "window" else self.kind

    def place(self, indices: Ints, size: int, key: str) -> Ints:
        """The stored place, below `size`, of each index: a bijection that `key` chooses."""
        if self.kind == "none":
            return indices
        if self.kind == "full":
            return _permutation(size, key)(indices)
        if self.kind == "blocks":
            return _in_blocks(indices, size, key)
        return _within(indices, self.window, size, key)


def _within(indices: Ints, width: int, size: int, key: str) -> Ints:
    """Each `width` indices in a row permuted among themselves; the last ones may be fewer."""
    placed = np.empty_like(indices)
    for block, at in _parts(indices // width):
        first = block * width
        permutation = _permutation(min(width, size - first), f"{key}/{block}")
        placed[at] = first + permutation(indices[at] - first)
    return placed


def _in_blocks(indices: Ints, size: int, key: str) -> Ints:
    """Blocks of PACKED_ROWS in any order, the rows of each in any order.

    The last block may be short, so that only the others can change places. The whole is turned by
    a drawn number first: the short one stands anywhere in the epoch.
    """
    whole = size // PACKED_ROWS
    turn = xxhash.xxh3_64_intdigest(f"{key}/turn".encode()) % size
    placed = (indices + turn) % size
    blocks, rows = np.divmod(placed, PACKED_ROWS)
    inner = blocks < whole
    if whole:
        blocks[inner] = _permutation(whole, f"{key}/blocks")(blocks[inner])
    return _within(blocks * PACKED_ROWS + rows, PACKED_ROWS, size, key)


@dataclass(frozen=True)
class Located:
    """Where samples are: the group's number and the window in its stream."""

    groups: Ints
    windows: Ints


class Order:
    """Sample index -> window. `sizes` are the windows of each group, all above 0."""

    def __init__(self, sizes: Sequence[int], seed: int, shuffle: Shuffle, stage: str = "") -> None:
        self.sizes, self.seed, self.shuffle, self._stage = tuple(sizes), seed, shuffle, stage
        self.epoch_samples = sum(sizes)
        """Samples in one epoch."""
        self._firsts = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    def locate(self, samples: Ints) -> Located:
        """The window of each sample; every epoch holds each window once."""
        epochs, places = np.divmod(samples, self.epoch_samples)
        groups = np.empty_like(samples)
        for epoch, at in _parts(epochs):
            key = f"{self._stage}order/{self.seed}/{epoch}"
            groups[at], places[at] = self._in_epoch(places[at], key)
        return Located(groups, places)

    def _in_epoch(self, places: Ints, key: str) -> tuple[Ints, Ints]:
        """(groups, windows) of places in an epoch."""
        if self.shuffle.kind == "blocks":
            # Each group goes through its blocks at its own pace: few are open at a time.
            mixed = _within(places, PACKED_ROWS, self.epoch_samples, f"{key}/mix")
            groups, windows = interleaved_all(self.sizes, mixed)
            for group in np.unique(groups).tolist():
                of = groups == group
                windows[of] = self.shuffle.place(windows[of], self.sizes[group], f"{key}/{group}")
            return groups, windows
        places = self.shuffle.place(places, self.epoch_samples, key)
        if self.shuffle.kind != "full" and len(self.sizes) > 1:
            return interleaved_all(self.sizes, places)
        if len(self.sizes) == 1:
            return np.zeros_like(places), places
        groups = np.searchsorted(self._firsts, places, side="right").astype(np.int64) - 1
        return groups, places - self._firsts[groups]

    def rows_of_epoch(
        self, first: int, apart: int, rows: int, count: int, first_tokens: Ints, seq_len: int
    ) -> tuple[Ints, Ints, Ints, Ints, Ints] | None:
        """`loader.order_kernels.full_rows`, which `locate` agrees with, in one call; None where
        the order is another, or the rows are not of one epoch."""
        epoch, last = divmod(first, self.epoch_samples)
        last += (count - 1) * apart + rows - 1
        if type(self) is not Order or self.shuffle.kind != "full" or last >= self.epoch_samples:
            return None
        permutation = _permutation(self.epoch_samples, f"{self._stage}order/{self.seed}/{epoch}")
        found: tuple[Ints, Ints, Ints, Ints, Ints] = full_rows(
            first, apart, rows, count, epoch * self.epoch_samples, self.epoch_samples,
            *permutation.facts, self._firsts, first_tokens, seq_len,
        )  # fmt: skip
        return found


def _parts(values: Ints) -> Iterator[tuple[int, npt.NDArray[np.bool_] | slice]]:
    """Each value that occurs, and where; values that are all equal are not searched."""
    if len(values) and values[0] == values[-1] and (values == values[0]).all():
        yield int(values[0]), slice(None)
        return
    for value in np.unique(values).tolist():
        yield value, values == value


class StagedOrder(Order):
    """Orders one after the other: an epoch is every stage in turn. Groups count through."""

    def __init__(self, stages: Sequence[Sequence[int]], seed: int, shuffle: Shuffle) -> None:
        super().__init__([size for sizes in stages for size in sizes], seed, shuffle)
        self._orders = [
            Order(sizes, seed, shuffle, f"stage{number}/") for number, sizes in enumerate(stages)
        ]
        samples = [order.epoch_samples for order in self._orders]
        self._starts = np.concatenate([[0], np.cumsum(samples)]).astype(np.int64)
        self._numbers = np.concatenate([[0], np.cumsum([len(sizes) for sizes in stages])])

    def locate(self, samples: Ints) -> Located:
        epochs, places = np.divmod(samples, self.epoch_samples)
        stages = np.searchsorted(self._starts, places, side="right") - 1
        groups, windows = np.empty_like(samples), np.empty_like(samples)
        for stage in np.unique(stages).tolist():
            at, order = stages == stage, self._orders[stage]
            inner = epochs[at] * order.epoch_samples + places[at] - self._starts[stage]
            located = order.locate(inner)
            groups[at] = located.groups + self._numbers[stage]
            windows[at] = located.windows
        return Located(groups, windows)


class WeightedOrder(Order):
    """The order under weights of the reader's choice, exact in every block of samples."""

    def __init__(
        self, sizes: Sequence[int], seed: int, shuffle: Shuffle, counts: Sequence[int]
    ) -> None:
        super().__init__(sizes, seed, shuffle)
        self.counts = np.array(counts, np.int64)
        self._ends = np.cumsum(self.counts)

    def locate(self, samples: Ints) -> Located:
        blocks, slots = np.divmod(samples, BLOCK)
        for block in np.unique(blocks):
            at = blocks == block
            slots[at] = _permutation(BLOCK, f"block/{self.seed}/{block}")(slots[at])
        groups = np.searchsorted(self._ends, slots, side="right").astype(np.int64)
        cursors = blocks * self.counts[groups] + slots - (self._ends - self.counts)[groups]
        windows = np.empty_like(cursors)
        for group in np.unique(groups):
            of_group = groups == group
            epochs, places = np.divmod(cursors[of_group], self.sizes[int(group)])
            for epoch in np.unique(epochs):
                at = epochs == epoch
                key = f"group/{self.seed}/{group}/{epoch}"
                places[at] = self.shuffle.place(places[at], self.sizes[int(group)], key)
            windows[of_group] = places
        return Located(groups, windows)


def block_counts(names: Sequence[str], weights: Mapping[str, float]) -> list[int]:
    """Samples of each group in a block: its share of BLOCK by largest remainder, at least 1.

    A weight of 0 leaves its group out (0 samples). Raises ConfigError for unknown or missing names.
    """
    for name in sorted(weights):
        if name not in names:
            raise ConfigError(f"weights name the group '{name}'.{nearest(name, names)}")
    for name in names:
        if not 0 <= weights.get(name, -1.0) < math.inf:
            raise ConfigError(
                f"the group '{name}' needs a finite weight of 0 or more; 0 leaves it out."
            )
    exact = [Fraction(str(weights[name])) for name in names]
    whole = sum(exact)
    if whole == 0:
        raise ConfigError("weights need at least one group with a positive weight.")
    shares = [share * BLOCK / whole for share in exact]
    counts = [max(int(share), 1) if share else 0 for share in shares]
    by_rest = sorted(range(len(names)), key=lambda g: (counts[g] - shares[g], g))
    while (missing := BLOCK - sum(counts)) > 0:
        for group in [g for g in by_rest if counts[g]][:missing]:
            counts[group] += 1
    while sum(counts) > BLOCK:  # groups raised to 1 are paid for by the largest
        counts[counts.index(max(counts))] -= 1
    return counts


def interleaved_all(sizes: Sequence[int], places: Ints) -> tuple[Ints, Ints]:
    """`interleaved` at each place, as (groups, windows)."""
    if len(sizes) == 1:
        return np.zeros_like(places), places
    if 2 * max(sizes) ** 2 < 1 << 62:  # all products fit
        found: tuple[Ints, Ints] = interleave(np.array(sizes, np.int64), places)
        return found
    pairs = np.array([interleaved(sizes, int(place)) for place in places], np.int64)
    return pairs.reshape(-1, 2)[:, 0], pairs.reshape(-1, 2)[:, 1]


def interleaved(sizes: Sequence[int], place: int) -> tuple[int, int]:
    """(group, window) at a place of the merge in which each group's windows are evenly spaced.

    Window w of W stands at (2w + 1) / 2W; ties go to the lower group. Exact integers.
    """
    for group, size in enumerate(sizes):
        low, high = 0, size
        while low < high:
            middle = (low + high) // 2
            if _place_of(sizes, group, middle) < place:
                low = middle + 1
            else:
                high = middle
        if low < size and _place_of(sizes, group, low) == place:
            return group, low
    raise IndexError(f"place {place} of {sum(sizes)}")


def _place_of(sizes: Sequence[int], group: int, window: int) -> int:
    """Windows of all groups that stand before window `window` of `group`."""
    before = window
    for other, size in enumerate(sizes):
        if other != group:
            # Windows v with (2v + 1) * sizes[group] < (2 * window + 1) * size, or <= if lower.
            bound = (2 * window + 1) * size
            bound += 1 if other < group else 0
            odd = -(-bound // sizes[group])  # 2v + 1 < odd
            before += min(max(odd // 2, 0), size)
    return before
