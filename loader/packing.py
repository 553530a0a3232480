"""From documents to rows of T tokens: which tokens of the line stand in a row.

    concat     window w of a stream is its tokens w * T .. (w + 1) * T - 1; documents are cut where
               they fall. Found by arithmetic.
    best_fit   a stream is cut into **blocks** of 1,024 * T tokens that follow each other; a block's
               documents, cut where the block begins and ends, are packed into exactly 1,024 rows,
               all full. The last block of a stream has the rest: ceil(rest / T) rows, padding in
               the last one. Found by packing the block.
    document   rows of whole documents in stored order, row group by row group; the rest of a row
               that the next document does not fit is padding, and only a document longer than T is
               cut. Rows are counted once from the documents' lengths, and kept beside the cache.

Each uses every token of a stream exactly once an epoch.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from loader.hot_cache import HotRowGroup
from loader.order import PACKED_ROWS
from loader.packing_kernels import best_fit, document_rows, runs_of_rows
from loader.row_group_line import RowGroupLine
from loader.row_groups import read_columns
from pipeline.errors import IntegrityError

Ints = npt.NDArray[np.int64]
PACKINGS = ("concat", "best_fit", "document")
_OPEN_BLOCKS = 4
"""Packed blocks kept beyond two a stream: each is some 10 kB to 2 MB."""


class Runs(NamedTuple):
    """Tokens that follow each other on the line and stand in one row, ascending by row."""

    rows_N: Ints
    begins_N: Ints
    lengths_N: Ints


class Packing(Protocol):
    """Where the rows' tokens are."""

    sizes: tuple[int, ...]
    """Rows of each stream."""

    def row_groups(self, groups: Ints, windows: Ints) -> Ints:
        """Row groups that these rows may need, ascending; nothing is read for that."""

    def runs(self, rows: Ints, groups: Ints, windows: Ints) -> Runs:
        """The runs of rows, given with their numbers in the batch; may read row groups."""


class Concat:
    """Windows of a stream."""

    def __init__(self, line: RowGroupLine, seq_len: int) -> None:
        self._line, self._seq_len = line, seq_len
        self.sizes = tuple(stream.windows(seq_len) for stream in line.streams)

    def runs(self, rows: Ints, groups: Ints, windows: Ints) -> Runs:
        begins = self._line.first_tokens[groups] + windows * self._seq_len
        left = self._line.first_tokens[groups + 1] - begins
        return Runs(rows, begins, np.minimum(left, self._seq_len))

    def row_groups(self, groups: Ints, windows: Ints) -> Ints:
        _, begins, lengths = self.runs(groups, groups, windows)
        return _between(self._line, begins, lengths)


class BestFit:
    """Blocks of full rows."""

    def __init__(self, line: RowGroupLine, seq_len: int) -> None:
        self._line, self._seq_len = line, seq_len
        self.sizes = tuple(stream.windows(seq_len) for stream in line.streams)
        self._packed: OrderedDict[tuple[int, int], tuple[Ints, Ints, Ints]] = OrderedDict()
        self._turn = threading.Lock()

    def runs(self, rows: Ints, groups: Ints, windows: Ints) -> Runs:
        blocks, inner = np.divmod(windows, PACKED_ROWS)
        keys = groups * (int(blocks.max()) + 1) + blocks
        parts: list[tuple[Ints, Ints, Ints]] = []
        for key in np.unique(keys).tolist():
            at = np.flatnonzero(keys == key)
            packed = self._block(int(groups[at[0]]), int(blocks[at[0]]))
            parts.append(runs_of_rows(*packed, inner[at], rows[at]))
        if len(parts) == 1:
            return Runs(*parts[0])
        found = Runs(*(np.concatenate(of) for of in zip(*parts, strict=True)))
        order = np.argsort(found.rows_N, kind="stable")
        return Runs(*(of[order] for of in found))

    def row_groups(self, groups: Ints, windows: Ints) -> Ints:
        first, tokens = self._extent(groups, windows // PACKED_ROWS)
        return _between(self._line, first, tokens)

    def _extent(self, groups: Ints, blocks: Ints) -> tuple[Ints, Ints]:
        """First token of blocks, and their numbers of tokens."""
        size = PACKED_ROWS * self._seq_len
        first = self._line.first_tokens[groups] + blocks * size
        return first, np.minimum(self._line.first_tokens[groups + 1] - first, size)

    def _block(self, group: int, block: int) -> tuple[Ints, Ints, Ints]:
        """(first run of each row, begins, lengths) of a block, packed now or lately."""
        key = (group, block)
        with self._turn:
            if key in self._packed:
                self._packed.move_to_end(key)
                return self._packed[key]
        first, tokens = (int(one[0]) for one in self._extent(np.array([group]), np.array([block])))
        numbers = _between(self._line, np.array([first]), np.array([tokens]))
        begins = _documents(self._line, numbers, first, first + tokens)
        rows = min(PACKED_ROWS, self.sizes[group] - block * PACKED_ROWS)
        packed: tuple[Ints, Ints, Ints] = best_fit(
            begins, np.diff(begins, append=first + tokens), self._seq_len, rows
        )
        with self._turn:
            self._packed[key] = packed
            while len(self._packed) > 2 * len(self.sizes) + _OPEN_BLOCKS:
                self._packed.popitem(last=False)
        return packed


class Documents:
    """Rows of whole documents."""

    def __init__(self, line: RowGroupLine, seq_len: int, folder: Path | None, threads: int) -> None:
        self._line, self._seq_len = line, seq_len
        counts = _kept(folder, line, seq_len, lambda: _counted(line, seq_len, threads))
        self._row_edges: Ints = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._first_rows = self._row_edges[line.first_row_groups]
        self.sizes = tuple(np.diff(self._first_rows).tolist())
        self._begins: dict[int, tuple[HotRowGroup, Ints]] = {}

    def runs(self, rows: Ints, groups: Ints, windows: Ints) -> Runs:
        places = self._first_rows[groups] + windows
        numbers = np.searchsorted(self._row_edges, places, side="right") - 1
        unique, which = np.unique(numbers, return_inverse=True)
        held = self._line.hold(unique)
        tables = [
            self._table(number, one) for number, one in zip(unique.tolist(), held, strict=True)
        ]
        inner = (places - self._row_edges[numbers]).tolist()
        ends = [tables[at][row : row + 2] for at, row in zip(which.tolist(), inner, strict=True)]
        pairs = np.array(ends, np.int64).reshape(-1, 2)
        return Runs(rows, pairs[:, 0] + self._line.edges_R[numbers], pairs[:, 1] - pairs[:, 0])

    def row_groups(self, groups: Ints, windows: Ints) -> Ints:
        places = self._first_rows[groups] + windows
        return np.unique(np.searchsorted(self._row_edges, places, side="right") - 1)

    def _table(self, number: int, held: HotRowGroup) -> Ints:
        """Where each row of a row group begins in it, and its end."""
        known = self._begins.get(number)
        if known is not None and known[0] is held:
            return known[1]
        wanted = int(self._row_edges[number + 1] - self._row_edges[number])
        table = np.full(wanted + 1, held.num_tokens, np.int64)
        found = document_rows(_ends(held), self._seq_len, table[:wanted])
        if found != wanted:
            place = self._line.place(number)
            raise IntegrityError(
                f"{self._line.dataset.path(place.file)}, row group {place.row_group}: got {found} "
                f"rows of {self._seq_len} tokens, expected {wanted} as counted from num_tokens. "
                f"Remove the folder `rows` of the loader's cache, then start again."
            )
        if len(self._begins) > 4096:
            self._begins = {}
        self._begins[number] = held, table
        return table


def _ends(held: HotRowGroup) -> Ints:
    return np.append(held.starts[1:], held.num_tokens).astype(np.int64)


def _between(line: RowGroupLine, begins: Ints, lengths: Ints) -> Ints:
    """Row groups of runs of tokens, ascending, each once."""
    first = np.searchsorted(line.edges_R, begins, side="right") - 1
    last = np.searchsorted(line.edges_R, begins + lengths - 1, side="right") - 1
    most = int((last - first).max(initial=0)) + 1
    found = first[:, None] + np.arange(most)
    return np.unique(found[found <= last[:, None]])


def _documents(line: RowGroupLine, numbers: Ints, begin: int, end: int) -> Ints:
    """Where the documents of these row groups begin on the line, from `begin` on, which does."""
    held = line.hold(numbers)
    pairs = zip(numbers.tolist(), held, strict=True)
    starts = np.concatenate([one.starts + line.edges_R[number] for number, one in pairs])
    inner = starts[(starts > begin) & (starts < end)]
    return np.unique(np.append(begin, inner))


def _counted(line: RowGroupLine, seq_len: int, threads: int) -> Ints:
    """Rows of each row group, from the column num_tokens alone."""

    def count(number: int) -> int:
        column = read_columns(line.dataset, line.place(number), ["num_tokens"])["num_tokens"]
        ends = np.cumsum(column.to_numpy().astype(np.int64))
        return int(document_rows(ends, seq_len, np.empty(0, np.int64)))

    with ThreadPoolExecutor(threads, "loader-count") as pool:
        return np.array(list(pool.map(count, range(len(line.edges_R) - 1))), np.int64)


def _kept(folder: Path | None, line: RowGroupLine, seq_len: int, count: Callable[[], Ints]) -> Ints:
    """The counts of this length from their file, made now if there is no sound one."""
    if folder is None:
        return count()
    said = [line.dataset.fingerprint, seq_len]
    said += [(stream.split, stream.group, stream.stage) for stream in line.streams]
    path = folder / "rows" / f"{xxhash.xxh3_128_hexdigest(repr(said).encode())}.counts"
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        body, digest = content[:-16], content[-16:]
        if xxhash.xxh3_128_digest(body) == digest and len(body) == 8 * (len(line.edges_R) - 1):
            return np.frombuffer(body, "<i8").astype(np.int64)
    counts = count()
    with contextlib.suppress(OSError):  # counted again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.stem}-{uuid.uuid4().hex[:8]}.part")
        body = counts.astype("<i8").tobytes()
        part.write_bytes(body + xxhash.xxh3_128_digest(body))
        os.replace(part, path)
    return counts
