"""Token shards -> batches of numpy arrays, in an order that a crash or a resize cannot change.

    loader = Loader(open_dataset("runs/c4like/dataset"), seq_len=2048, batch_size=512)
    for batch in loader:
        step(batch.tokens_BT, batch.labels_BT)
        save(loader.state_dict())

Shapes: B rows of this rank, T = seq_len. Every token of a split is an input exactly once an epoch:
the last window of a stream is padded, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from loader.dataset import Dataset
from loader.order import BLOCK, Order, Shuffle, StagedOrder, WeightedOrder, block_counts
from loader.row_groups import RowGroupCache
from pipeline.errors import ConfigError, IntegrityError

IGNORED = -100
"""Label of a position without a loss: torch.nn.functional.cross_entropy's ignore_index."""
PAD = 0
"""Input id where there is no token; its label is always IGNORED."""
STATE_FORMAT = 1
"""Bump when the meaning of a state changes. 1: first layout."""
CACHE_BYTES = 1 << 30
"""128 row groups of 4 M uint16 ids."""


@dataclass(frozen=True)
class Batch:
    """One batch of this rank."""

    tokens_BT: npt.NDArray[np.int64]
    labels_BT: npt.NDArray[np.int64]
    """The next token, or IGNORED: at padding, and where the next token is another document's."""
    position_ids_BT: npt.NDArray[np.int64]
    """Place in the document, counted from the window's start for one that began before it."""
    cu_seqlens: npt.NDArray[np.int32]
    """Starts of all documents in the flattened B*T tokens, and B*T: what flash-attn takes."""
    max_seqlen: int
    samples_B: npt.NDArray[np.int64]
    """Sample index of each row; -1 for the rows that fill up the last batch."""
    groups_B: npt.NDArray[np.int64]
    """Number of each row's group in `Loader.groups`, which names a group once for each of its
    stages; -1 where samples_B is."""


class Loader:
    """Iterates over batches once; `state_dict` counts the samples of batches already given out.

    `batch_size` counts the rows of all ranks together; rank r of `world_size` W gets rows
    r*B/W .. (r+1)*B/W - 1 of each batch, so that the batches of all ranks together are the same for
    every W that divides it. A state from one world size or batch size continues on another.
    """

    def __init__(
        self,
        dataset: Dataset,
        seq_len: int,
        batch_size: int,
        *,
        seed: int = 0,
        split: str = "train",
        stage: str | None = None,
        weights: Mapping[str, float] | None = None,
        shuffle: str | Mapping[str, int] = "full",
        epochs: int | None = 1,
        rank: int = 0,
        world_size: int = 1,
        cross_document_labels: bool = False,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """`weights` None: every window once an epoch; `epochs` None: without end.

        Of a dataset with stages an epoch is all stages in order, or the one that `stage` names.
        """
        if seq_len < 1 or batch_size < 1 or not 0 <= rank < world_size:
            raise ConfigError(
                f"seq_len = {seq_len}, batch_size = {batch_size}, rank = {rank} of {world_size}: "
                f"expected lengths above 0 and 0 <= rank < world_size."
            )
        if batch_size % world_size:
            raise ConfigError(
                f"batch_size = {batch_size} is not divisible by world_size = {world_size}; it "
                f"counts the rows of all ranks together."
            )
        self.dataset, self.seq_len, self.batch_size = dataset, seq_len, batch_size
        self._split, self._seed, self._epochs = split, seed, epochs
        self._rank, self._rows = rank, batch_size // world_size
        self._across = cross_document_labels
        self._shuffle = Shuffle.parse(shuffle)
        self._streams = dataset.streams(split, stage)
        stages = sorted({stream.stage for stream in self._streams})
        if weights is not None and len(stages) > 1:
            raise ConfigError(
                f"weights over a dataset with the stages {', '.join(dataset.stages)}: its order is "
                f"a mixture already. Name one (`stage`), or leave `weights` out."
            )
        self.groups = tuple(stream.group for stream in self._streams)
        self._cache = RowGroupCache(dataset, cache_bytes)
        sizes = [stream.windows(seq_len) for stream in self._streams]
        if weights is None:
            self._counts: list[int] | None = None
            self.order = Order(sizes, seed, self._shuffle)
            if len(stages) > 1:
                of_stage = [
                    [stream.stage == number for stream in self._streams] for number in stages
                ]
                by_stage = [list(compress(sizes, chosen)) for chosen in of_stage]
                self.order = StagedOrder(by_stage, seed, self._shuffle)
        else:
            self._counts = block_counts(self.groups, weights)
            self.order = WeightedOrder(sizes, seed, self._shuffle, self._counts)
        self.consumed = 0

    # --- iteration -----------------------------------------------------------------------------

    @property
    def total(self) -> int | None:
        """Samples of all epochs; None = without end."""
        return None if self._epochs is None else self._epochs * self.order.epoch_samples

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self.total is not None and self.consumed >= self.total:
            raise StopIteration
        first = self.consumed + self._rank * self._rows
        samples = np.arange(first, first + self._rows, dtype=np.int64)
        after = self.consumed + self.batch_size
        if self.total is not None:
            samples[samples >= self.total] = -1
            after = min(after, self.total)
        batch = self._batch(samples)
        self.consumed = after
        return batch

    def _batch(self, samples_B: npt.NDArray[np.int64]) -> Batch:
        shape = (len(samples_B), self.seq_len)
        tokens_BT = np.full(shape, PAD, np.int64)
        labels_BT = np.full(shape, IGNORED, np.int64)
        position_ids_BT = np.empty(shape, np.int64)
        groups_B = np.full(len(samples_B), -1, np.int64)
        real = np.flatnonzero(samples_B >= 0)
        located = self.order.locate(samples_B[real])
        groups_B[real] = located.groups
        windows = dict(zip(real.tolist(), located.windows.tolist(), strict=True))
        starts = []
        for row in range(len(samples_B)):
            starts_row = np.zeros(1, np.int64)
            if row in windows:
                starts_row = self._fill(
                    int(groups_B[row]), windows[row], tokens_BT[row], labels_BT[row]
                )
            lengths = np.diff(starts_row, append=self.seq_len)
            position_ids_BT[row] = np.arange(self.seq_len) - np.repeat(starts_row, lengths)
            starts.append(starts_row + row * self.seq_len)
        ends = [*starts, np.array([tokens_BT.size])]
        cu_seqlens = np.concatenate(ends).astype(np.int32)
        longest = int(np.diff(cu_seqlens).max())
        return Batch(
            tokens_BT, labels_BT, position_ids_BT, cu_seqlens, longest, samples_B, groups_B
        )

    def _fill(
        self,
        group: int,
        window: int,
        tokens_T: npt.NDArray[np.int64],
        labels_T: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int64]:
        """Fill a row with a window; gives the starts of its documents, and of its padding."""
        values, starts = self._window(group, window)
        inputs = values[: self.seq_len]
        tokens_T[: len(inputs)] = inputs
        labels_T[: len(values) - 1] = values[1:]
        if not self._across:
            labels_T[starts[starts > 0] - 1] = IGNORED
        inner = starts[(starts > 0) & (starts < len(inputs))]
        padding = [len(inputs)] if len(inputs) < self.seq_len else []
        return np.concatenate([[0], inner, padding]).astype(np.int64)

    def _window(
        self, group: int, window: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Up to T + 1 tokens of a stream from token window * T on; places of document starts."""
        stream = self._streams[group]
        begin = window * self.seq_len
        end = min(begin + self.seq_len + 1, stream.tokens)
        values, starts = [], []
        number = int(np.searchsorted(stream.starts, begin, side="right")) - 1
        while stream.starts[number] < end:
            first = int(stream.starts[number])
            held = self._cache.get(stream, number)
            values.append(held.tokens[max(begin - first, 0) : end - first])
            at = np.searchsorted(held.starts, [begin - first, end - first])
            starts.append(held.starts[at[0] : at[1]] + first - begin)
            number += 1
        return np.concatenate(values).astype(np.int64), np.concatenate(starts)

    # --- state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where training is: under 1 KB, the same on every rank, free of rank and world size."""
        return {**self._identity(), "consumed": self.consumed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the last consumed sample. Raises IntegrityError if the order differs."""
        for name, expected in self._identity().items():
            if state.get(name) != expected:
                raise IntegrityError(
                    f"loader state: {name} is {state.get(name)!r} in the state, {expected!r} here. "
                    f"Resuming would train on other samples; open what the state was made with."
                )
        self.consumed = int(state["consumed"])

    def _identity(self) -> dict[str, Any]:
        """Everything that the order and content of samples depend on."""
        mixture: list[object] = [self.groups, self._counts, BLOCK if self._counts else None]
        if self.dataset.stages:
            mixture.append([stream.stage for stream in self._streams])
        packing = ["concatenate", PAD, IGNORED, self._across]
        return {
            "format": STATE_FORMAT,
            "dataset": self.dataset.fingerprint,
            "split": self._split,
            "seed": self._seed,
            "shuffle": str(self._shuffle),
            "mixture": _digest(mixture),
            "packing": _digest(packing),
            "seq_len": self.seq_len,
        }


def _digest(value: object) -> str:
    return xxhash.xxh3_64_hexdigest(repr(value).encode())
