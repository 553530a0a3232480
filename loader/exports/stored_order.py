"""Documents of a split in stored order: ascending (h, doc_id, copy, file, offset), all shards.

h = draw("shuffle", doc_id, copy) with the dataset's seed (DESIGN section 7). With stages each is
in that order, one after the other. A streaming merge: a shard's rows are in order, and shard k of S
holds one range of h, so the shards of one (group, S) follow each other and are one **run**. Memory:
some `BATCH_ROWS` documents a run (groups, times appended dumps), whatever the number of shards, and
a compressed row group. Row groups are verified against the index as they pass: a damaged one raises
before its last batch is given out.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from loader.dataset import Dataset, shard_number
from pipeline.draw import draw_column
from pipeline.errors import InputError, IntegrityError
from pipeline.schema import SHARD_FOOTER

BATCH_ROWS = 512
"""Documents of one run decoded at a time: about 1 MB of ids of the web's mean document."""
_COLUMNS = ["doc_id", "copy", "file", "offset", "num_tokens", "tokens"]
_TIES = ("doc_id", "copy", "file", "offset")


@dataclass(frozen=True)
class Block:
    """Some documents that follow each other."""

    stage: int
    """Number of the stage, from 0; 0 where the mixture has none."""
    lengths: npt.NDArray[np.int64]
    """Tokens of each document, end-of-document id included."""
    tokens: npt.NDArray[Any]
    """Their ids in a row, in the dataset's dtype."""


def stored_order(dataset: Dataset, split: str) -> Iterator[Block]:
    """Every document of a split, in blocks, in stored order.

    Raises ConfigError for a split that the dataset lacks, InputError and IntegrityError for a
    shard that is missing or is not what the index says.
    """
    dataset.check_split(split)
    rows = dataset.index.filter(pc.equal(dataset.index["split"], split))
    for stage in sorted(set(rows["stage"].to_pylist())):
        of_stage = rows.filter(pc.equal(rows["stage"], stage))
        runs = [_Run(dataset, files) for files in _runs(dataset, of_stage)]
        for lengths, tokens in _merged(runs):
            yield Block(stage, lengths, tokens)


# --- runs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """Rows of a run: their h, and the columns of `_COLUMNS`."""

    h: npt.NDArray[np.uint64]
    table: pa.Table

    def slice(self, start: int, stop: int) -> _Rows:
        return _Rows(self.h[start:stop], self.table.slice(start, stop - start))


_Groups = list[dict[str, Any]]
"""Index rows of one file, by row group."""


def _runs(dataset: Dataset, rows: pa.Table) -> list[list[_Groups]]:
    """Shards that follow each other in h: the same group and number of shards, number by number.

    Two appended dumps may have as many shards: shard k of the second then goes to a run of its own.
    """
    files: dict[str, _Groups] = defaultdict(list)
    keys = [(name, "ascending") for name in ("group", "file", "row_group")]
    for row in rows.sort_by(keys).to_pylist():
        files[row["file"]].append(row)
    runs: dict[tuple[str, int, int], list[tuple[int, _Groups]]] = defaultdict(list)
    seen: dict[tuple[str, int, int], int] = defaultdict(int)
    for file, groups in files.items():
        group, number, count = groups[0]["group"], shard_number(file), _shard_count(dataset, file)
        turn = seen[group, count, number]
        seen[group, count, number] += 1
        runs[group, count, turn].append((number, groups))
    return [
        [groups for _, groups in sorted(found, key=lambda pair: pair[0])]
        for _, found in sorted(runs.items())
    ]


def _shard_count(dataset: Dataset, file: str) -> int:
    """S of a shard, from its footer."""
    where = dataset.path(file)
    with _opened(dataset, file) as source:
        raw = (pq.ParquetFile(source).metadata.metadata or {}).get(SHARD_FOOTER)
    if raw is None:
        raise IntegrityError(f"{where}: its footer lacks 'tokenmill'. Restore or copy it again.")
    return int(json.loads(raw)["shards"])


def _opened(dataset: Dataset, file: str) -> Any:
    try:
        return dataset.filesystem.open_input_file(dataset.path(file))
    except FileNotFoundError as error:
        raise InputError(
            f"{dataset.path(file)}: no such file. The dataset is not whole: copy it again."
        ) from error
    except OSError as error:
        raise InputError(
            f"{dataset.path(file)} cannot be opened: {error}. Mend that, then try again."
        ) from error


class _Run:
    """The rows of one run, read when asked for; `held` are those not given out yet."""

    def __init__(self, dataset: Dataset, files: Sequence[_Groups]) -> None:
        self._dataset = dataset
        self._batches = self._read(files)
        self._last = np.uint64(0)
        self.held = _Rows(np.empty(0, np.uint64), pa.table({}))
        self.ended = False
        self.more()

    def more(self) -> None:
        """Add the next batch to `held`, or note that there is none."""
        batch = next(self._batches, None)
        if batch is None:
            self.ended = True
        elif len(self.held.h):
            h = np.concatenate([self.held.h, batch.h])
            self.held = _Rows(h, pa.concat_tables([self.held.table, batch.table]))
        else:
            self.held = batch

    def take(self, bound: np.uint64 | None) -> _Rows:
        """Give out the held rows with h < bound (None: all)."""
        count = len(self.held.h)
        if bound is not None:
            count = int(np.searchsorted(self.held.h, bound, side="left"))
        taken = self.held.slice(0, count)
        self.held = self.held.slice(count, len(self.held.h))
        return taken

    def _read(self, files: Sequence[_Groups]) -> Iterator[_Rows]:
        for groups in files:
            with _opened(self._dataset, groups[0]["file"]) as source:
                where = self._dataset.path(groups[0]["file"])
                try:
                    file = pq.ParquetFile(source)
                    for group in groups:
                        yield from self._read_group(file, group, where)
                except (OSError, pa.ArrowException) as error:
                    raise _damaged(where, "unreadable", "a token shard", str(error)) from error

    def _read_group(
        self, file: pq.ParquetFile, group: dict[str, Any], path: str
    ) -> Iterator[_Rows]:
        """The batches of one row group. Raises IntegrityError where the index says otherwise."""
        where = f"{path}, row group {group['row_group']}"
        hasher, documents, tokens = xxhash.xxh3_128(), 0, 0
        batches = file.iter_batches(
            BATCH_ROWS, row_groups=[group["row_group"]], columns=_COLUMNS, use_threads=False
        )
        waiting: _Rows | None = None
        for batch in batches:
            table = pa.Table.from_batches([batch])
            values = _flat(table)
            if values.dtype != self._dataset.dtype:
                raise _damaged(where, f"ids of type {values.dtype}", str(self._dataset.dtype))
            hasher.update(values.data)
            documents, tokens = documents + len(table), tokens + len(values)
            if waiting is not None:
                yield waiting
            waiting = _Rows(self._ordered(table, where), table)
        found = (documents, tokens, hasher.hexdigest())
        expected = (group["documents"], group["tokens"], group["checksum"])
        if found != expected:
            raise _damaged(where, _said(found), _said(expected))
        if waiting is not None:
            yield waiting

    def _ordered(self, table: pa.Table, where: str) -> npt.NDArray[np.uint64]:
        """h of the rows. Raises IntegrityError where they descend."""
        lengths = table["num_tokens"].to_numpy()
        if not np.array_equal(pc.list_value_length(table["tokens"]).to_numpy(), lengths):
            raise _damaged(where, "num_tokens unlike the tokens' lengths", "equal ones")
        seed = self._dataset.shuffle_seed
        copies = table["copy"].to_numpy()
        h = np.zeros(len(table), np.uint64)
        for copy in np.unique(copies):
            at = copies == copy
            h[at] = draw_column(seed, "shuffle", table["doc_id"].filter(pa.array(at)), int(copy))
        if len(h) and (h[0] < self._last or (h[1:] < h[:-1]).any()):
            raise _damaged(where, "rows not in the order of their draws", "ascending draws")
        self._last = h[-1] if len(h) else self._last
        return h


def _flat(table: pa.Table) -> npt.NDArray[Any]:
    chunks = [chunk.flatten().to_numpy() for chunk in table["tokens"].chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def _said(found: tuple[int, int, str]) -> str:
    return f"{found[0]} documents, {found[1]} tokens, xxh3-128 {found[2]}"


def _damaged(where: str, got: str, expected: str, detail: str = "") -> IntegrityError:
    more = f" ({detail})" if detail else ""
    return IntegrityError(
        f"{where}: got {got}{more}, expected {expected}. The file is damaged: restore or copy it "
        f"again."
    )


# --- merge -------------------------------------------------------------------------------------


def _merged(runs: Sequence[_Run]) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]:
    """(lengths, tokens) of all rows in order.

    What a run has not read yet is not below its last held row: rows below the least of these can
    be given out. Rows equal to it wait for their equals.
    """
    while True:
        open_runs = [run for run in runs if not run.ended]
        bound = min((run.held.h[-1] for run in open_runs), default=None)
        taken = [rows for run in runs if len((rows := run.take(bound)).h)]
        if taken:
            yield _joined(taken)
        if bound is None:
            return
        for run in open_runs:
            if run.held.h[-1] == bound:
                run.more()


def _joined(parts: Sequence[_Rows]) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """The rows of several runs in one order; those of one run are in order already."""
    table = parts[0].table
    if len(parts) > 1:
        table = pa.concat_tables([part.table for part in parts])
        h = np.concatenate([part.h for part in parts])
        order = np.argsort(h, kind="stable")
        _settle_ties(order, h[order], table)
        table = table.select(["num_tokens", "tokens"]).take(pa.array(order))
    return table["num_tokens"].to_numpy().astype(np.int64), _flat(table)


def _settle_ties(order: npt.NDArray[Any], h: npt.NDArray[np.uint64], table: pa.Table) -> None:
    """Sort rows of equal h by the rest of the key, nulls first, in place. They are rare."""
    equal = np.flatnonzero(h[1:] == h[:-1])
    if not len(equal):
        return
    columns = [table[name] for name in _TIES]
    for start in equal[np.r_[True, h[equal[1:]] != h[equal[:-1]]]].tolist():
        stop = int(np.searchsorted(h, h[start], side="right"))

        def key(row: int) -> list[tuple[bool, Any]]:
            values = [column[row].as_py() for column in columns]
            sortable = [v.encode() if isinstance(v, str) else v for v in values]
            return [(v is not None, v) if v is not None else (False, 0) for v in sortable]

        order[start:stop] = sorted(order[start:stop].tolist(), key=key)
