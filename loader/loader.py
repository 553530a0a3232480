"""Token shards -> batches, in an order that a crash or a resize cannot change.

    loader = Loader(open_dataset("runs/c4like/dataset"), seq_len=2048, batch_size=512)
    for batch in loader:
        step(batch.tokens_BT, batch.labels_BT)
        save(loader.state_dict())

Shapes: B rows of this rank, T = seq_len. Every token of a split is an input exactly once an epoch:
rows are padded, never dropped. A batch is planned (`loader.plan`), then filled by a backend; both
are done ahead of the caller by threads, and none of that shows in the state.
"""

from __future__ import annotations

import operator
import os
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import compress
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from loader import documents as of_documents
from loader.backends import made_backend
from loader.dataset import Dataset
from loader.hot_cache import HotCache, default_cache
from loader.numpy_backend import Batch, NumpyBackend
from loader.order import (
    BLOCK,
    PACKED_ROWS,
    Order,
    Shuffle,
    StagedOrder,
    WeightedOrder,
    block_counts,
)
from loader.packing import PACKINGS, BestFit, Concat, Documents, Packing
from loader.pieces import MOST_BATCHES
from loader.plan import IGNORED, PAD, Backend, Plan, PlanningBackend
from loader.planner import Planner
from loader.row_group_line import MEMORY_BYTES, RowGroupLine
from loader.windows import LineTable, Windows
from pipeline.errors import ConfigError, IntegrityError, nearest

__all__ = ["Batch", "IGNORED", "Loader", "PAD"]

STATE_FORMAT = 1
"""Bump when the meaning of a state changes. 1: first layout."""
CACHE_BYTES = 64 << 30
"""Of the hot cache on disk: 34 G tokens of uint16."""
MEMORY = "memory"
_AHEAD_BYTES = 64 << 20
_AHEAD_BATCHES = 64
"""How far ahead row groups are fetched, at most."""
_FAR = 1 << 62
"""Samples without end stop here: the numbers of a batch's rows stay in 64 bits."""


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
        packing: str = "concat",
        epochs: int | None = 1,
        rank: int = 0,
        world_size: int = 1,
        cross_document_labels: bool = False,
        cache: str | Path | None = None,
        cache_bytes: int | None = None,
        dtype: str = "int64",
        backend: Backend | str | None = None,
        prefetch: int | None = None,
        threads: int = 2,
    ) -> None:
        """`weights` None: every window once an epoch; `epochs` None: without end.

        Of a dataset with stages an epoch is all stages in order, or the one that `stage` names.
        `cache`: a folder for decoded row groups (None: `hot_cache.default_cache()`), or "memory";
        `cache_bytes` bounds it (None: 64 GiB on disk, 1 GiB in memory). `prefetch` batches are made
        ahead by `threads` threads (None: 2 to 16, up to 64 MiB; 0: made when they are asked for).
        `backend` None: numpy arrays of `dtype` (int64 or int32); or a name of
        `loader.backends.NAMES`. Raises ConfigError, and InputError or IntegrityError from shards.
        """
        # Numbers of numpy would end up in the state, which a checkpoint of torch refuses to load.
        seq_len, batch_size, seed = map(operator.index, (seq_len, batch_size, seed))
        rank, world_size = operator.index(rank), operator.index(world_size)
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
        if prefetch is None:
            prefetch = max(2, min(16, _AHEAD_BYTES // (16 * seq_len * batch_size // world_size)))
        if prefetch < 0 or threads < 1:
            raise ConfigError(
                f"prefetch = {prefetch}, threads = {threads}: expected prefetch of 0 or more and "
                f"at least one thread."
            )
        if (epochs is not None and epochs < 0) or (cache_bytes is not None and cache_bytes < 1):
            raise ConfigError(
                f"epochs = {epochs}, cache_bytes = {cache_bytes}: expected epochs of 0 or more "
                f"(None: without end) and at least one byte (None: the default)."
            )
        if packing not in PACKINGS:
            raise ConfigError(f"packing = {packing!r}.{nearest(str(packing), PACKINGS)}")
        self.dataset, self.seq_len, self.batch_size = dataset, seq_len, batch_size
        self.world_size = world_size
        self._split, self._seed, self._epochs = split, seed, epochs
        self._rank, self._rows = rank, batch_size // world_size
        self._across, self._packing_name = cross_document_labels, packing
        self._shuffle = Shuffle.parse(shuffle)
        self._streams = dataset.streams(split, stage)
        self.groups = tuple(stream.group for stream in self._streams)
        stages = sorted({stream.stage for stream in self._streams})
        if weights is not None and len(stages) > 1:
            raise ConfigError(
                f"weights over a dataset with the stages {', '.join(dataset.stages)}: its order is "
                f"a mixture already. Name one (`stage`), or leave `weights` out."
            )
        folder = None if cache == MEMORY else Path(cache or default_cache()).absolute()
        default = MEMORY_BYTES if folder is None else CACHE_BYTES
        bound = default if cache_bytes is None else cache_bytes
        if backend is None:
            backend = NumpyBackend(dtype, 2 * prefetch + threads + 4)
        elif isinstance(backend, str):
            backend = made_backend(backend, dtype, threads + 2, threads)
        bits = dataset.id_bits if backend.packed else 8 * dataset.dtype.itemsize
        self.line = RowGroupLine(dataset, self._streams, HotCache(folder, bound, bits), threads)
        stored = int(self.line.edges_R[-1]) * bits // 8
        if stored > bound and self._shuffle.kind == "full" and packing != "best_fit":
            warnings.warn(
                f"{dataset.root}: {stored / 1e9:.1f} GB of ids are shuffled as one, and the cache "
                f"holds {bound / 1e9:.1f} GB: most rows will decode a row group of their own. Give "
                f"more `cache_bytes`, or packing='best_fit' or shuffle={{'window': N}}, which stay "
                f"in few row groups at a time.",
                stacklevel=2,
            )
        made = _packing(packing, self.line, seq_len, folder, threads)
        self._counts = None if weights is None else block_counts(self.groups, weights)
        self.order = self._ordered(made.sizes, stages)
        self._planner = Planner(self.line, self.order, made, seq_len, cross_document_labels)
        self._backend = backend
        self._planning = backend if isinstance(backend, PlanningBackend) else None
        self.ahead = prefetch
        """Batches made ahead."""
        at_once = backend.rows_at_once(seq_len) // self._rows
        self._unit = max(1, min(prefetch // 2, at_once, MOST_BATCHES))
        self._threads = ThreadPoolExecutor(threads, "loader-batch") if prefetch else None
        self._coming: deque[tuple[list[int], Future[list[Any]]]] = deque()
        self._ready: deque[tuple[int, Any]] = deque()
        self.consumed = 0
        self._next = self._fetched = 0
        self._process: int | None = None
        self._closed = False

    def _ordered(self, sizes: Sequence[int], stages: Sequence[int]) -> Order:
        shuffle = self._shuffle
        if self._packing_name == "best_fit" and shuffle.kind == "full":
            shuffle = Shuffle("blocks")
        if self._counts is not None:
            return WeightedOrder(sizes, self._seed, shuffle, self._counts)
        if len(stages) > 1:
            of_stage = [[stream.stage == number for stream in self._streams] for number in stages]
            by_stage = [list(compress(sizes, chosen)) for chosen in of_stage]
            return StagedOrder(by_stage, self._seed, shuffle)
        return Order(sizes, self._seed, shuffle)

    # --- iteration -----------------------------------------------------------------------------

    @property
    def total(self) -> int | None:
        """Samples of all epochs; None = without end."""
        return None if self._epochs is None else self._epochs * self.order.epoch_samples

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._closed:
            raise ConfigError("this loader is closed: make another one, and load its state.")
        if self._process not in (None, os.getpid()):
            raise ConfigError(
                "this loader's threads stayed behind in the process that used it first (fork): "
                "make one in each process, with its `rank` and `world_size`."
            )
        self._process = os.getpid()
        if self._threads is None:
            if self.total is not None and self.consumed >= self.total:
                raise StopIteration
            (filled,) = self._made(self.consumed, 1)
            self.consumed = self._after(self.consumed)
            return self._backend.give(filled)
        if not self._ready:
            self._start_ahead(self._threads)
            if not self._coming:
                raise StopIteration
            afters, coming = self._coming[0]
            try:
                made = coming.result()
            except BaseException:
                self._forget()  # so that the next call tries the same batch again
                raise
            self._coming.popleft()
            self._ready.extend(zip(afters, made, strict=True))
            self._start_ahead(self._threads)
        self.consumed, filled = self._ready.popleft()
        return self._backend.give(filled)

    def plan(self, consumed: int | None = None) -> Plan:
        """The plan of this rank's batch after so many consumed samples (None: the next one).

        Consumes nothing, and may be called from any thread.
        """
        (plan,) = self.plans(self.consumed if consumed is None else consumed, 1)
        return plan

    def plans(self, consumed: int, count: int) -> list[Plan]:
        """Plans of `count` batches that follow each other, as `plan` gives one."""
        return self._planner.plans(self._samples(consumed, count), count)

    def _windows(self, table: LineTable, consumed: int, count: int) -> Windows:
        """The windows of `count` batches that follow each other."""
        if self.total is None or consumed + count * self.batch_size <= self.total:
            first = consumed + self._rank * self._rows
            found = self._planner.windows_of_epoch(table, first, self.batch_size, self._rows, count)
            if found is not None:
                return found
        return self._planner.windows(table, self._samples(consumed, count), self._rows)

    def _samples(self, consumed: int, count: int) -> npt.NDArray[np.int64]:
        """Sample of each row of `count` batches of this rank; -1 after the last one."""
        firsts = consumed + self.batch_size * np.arange(count) + self._rank * self._rows
        samples_R: npt.NDArray[np.int64] = (firsts[:, None] + np.arange(self._rows)).ravel()
        if self.total is not None:
            samples_R[samples_R >= self.total] = -1
        return samples_R

    def documents(
        self, batch: Batch | Plan, columns: Sequence[str] = of_documents.COLUMNS
    ) -> pa.Table:
        """The documents of a batch, a row a segment, as `loader.documents.documents` says."""
        plan = batch if isinstance(batch, Plan) else batch.plan
        return of_documents.documents(self.line, plan, columns)

    def close(self) -> None:
        """Make nothing more ahead. A closed loader's state can still be taken."""
        self._closed = True
        self._forget()
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        self.line.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _after(self, first: int) -> int:
        """Samples consumed once the batch that begins at `first` is given out."""
        after = first + self.batch_size
        return after if self.total is None else min(after, self.total)

    def _start_ahead(self, threads: ThreadPoolExecutor) -> None:
        # While row groups are still coming a batch waits for its own alone.
        unit = self._unit if self.line.whole else 1
        while sum(len(afters) for afters, _ in self._coming) + unit <= max(self.ahead, unit):
            afters: list[int] = []
            first = self._next
            while len(afters) < unit and (self.total is None or self._next < self.total):
                self._fetch_ahead()
                self._next = self._after(self._next)
                afters.append(self._next)
            if not afters:
                return
            self._coming.append((afters, threads.submit(self._made, first, len(afters))))

    def _made(self, first: int, count: int) -> list[Any]:
        if self._planning is not None and self.line.whole:
            table = self._planner.table
            if table is not None:
                return list(self._planning.fill_windows(self._windows(table, first, count)))
        return list(self._backend.fill_all(self.plans(first, count)))

    def _fetch_ahead(self) -> None:
        """Let row groups be fetched that batches far ahead need; two steps for each batch."""
        self._fetched = max(self._fetched, self._next)
        for _ in range(2):
            ahead = (self._fetched - self._next) // self.batch_size
            if ahead >= _AHEAD_BATCHES or not self.line.idle:
                return
            first = self._fetched + self._rank * self._rows
            last = first + self._rows
            if self.total is not None:
                last = min(last, self.total)
            if first >= last:
                return
            self.line.want(self._planner.row_groups(np.arange(first, last, dtype=np.int64)))
            self._fetched += self.batch_size

    def _forget(self) -> None:
        for _, coming in self._coming:
            coming.cancel()
        self._coming.clear()
        self._ready.clear()
        self._next = self._fetched = self.consumed

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
        consumed: Any = state.get("consumed")
        end = _FAR if self.total is None else self.total
        if not isinstance(consumed, Integral) or not 0 <= int(consumed) <= end:
            raise IntegrityError(
                f"loader state: consumed is {consumed!r}, expected 0 to {end:,} samples "
                f"(epochs = {self._epochs}). Load a state of this loader, or give it more epochs."
            )
        self.consumed = int(consumed)
        self._forget()

    def _identity(self) -> dict[str, Any]:
        """Everything that the order and content of samples depend on."""
        mixture: list[object] = [self.groups, self._counts, BLOCK if self._counts else None]
        if self.dataset.stages:
            mixture.append([stream.stage for stream in self._streams])
        name = {"concat": "concatenate"}.get(self._packing_name, self._packing_name)
        packing: list[object] = [name, PAD, IGNORED, self._across]
        if self._packing_name == "best_fit":
            packing.append(PACKED_ROWS)
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


def _packing(
    name: str, line: RowGroupLine, seq_len: int, folder: Path | None, threads: int
) -> Packing:
    if name == "concat":
        return Concat(line, seq_len)
    if name == "best_fit":
        return BestFit(line, seq_len)
    return Documents(line, seq_len, folder, threads)


def _digest(value: object) -> str:
    return xxhash.xxh3_64_hexdigest(repr(value).encode())
