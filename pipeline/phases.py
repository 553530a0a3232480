"""Phases of a global step: emit, exchange, combine, apply. Each is a node of the plan.

MinHash, for one, is: emit signatures, exchange bands, combine clusters, exchange keep, apply. A
phase is keyed by only the knobs it names, so another band layout costs no text pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

if TYPE_CHECKING:
    from pipeline.batch import TextBatch
    from pipeline.stage import Processed, Side

Tables = Mapping[str, pa.Table]


@dataclass(frozen=True)
class OutputFile:
    """A finished file that a phase made: the engine hashes it and puts it under its final name."""

    path: Path
    """Local file under `side.scratch`."""
    publish_as: str
    """Final path in the workdir; `{checksum}` becomes the first 8 hex digits of its sha256."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Facts for the dataset's index; JSON values only."""


@dataclass(frozen=True)
class Emit:
    """Row-wise: kept documents -> a side table. Fused into each segment that feeds the step."""

    name: str
    call: Callable[[TextBatch, Side], pa.Table]
    schema: pa.Schema
    knobs: tuple[str, ...] = ()
    """The knobs that this phase reads; only they are in its key."""


@dataclass(frozen=True)
class Exchange:
    """Rows of `reads` meet by key. The result does not depend on how many partitions there are.

    `route` runs on every partition of `reads` and gives rows with the column `key`. It gets a
    dict of tables: the first table in `reads` in batches (one call each, answers concatenated), the
    others of that partition whole, as small results of earlier `Combine` phases. Without `route`
    the rows of the one table in `reads` go as they are. The engine adds the column `partition`
    (where the rows came from) unless it is there. `reduce`
    gets the whole key groups of a bucket, sorted by (key, *order) with nulls first, and gives a
    table of `schema`, or finished files; `Combine` results named in `reads` stand in its
    `side.tables`. Empty buckets are reduced too, except with `buckets="value"`.
    """

    name: str
    reads: tuple[str, ...]
    """Names of earlier phases; `docs` = the documents that enter the step, `docs:<step id>` = those
    of one of its inputs."""
    key: str
    reduce: Callable[[pa.Table, Side], pa.Table | Sequence[OutputFile]]
    schema: pa.Schema | None
    route: Callable[[Tables, Side], pa.Table] | None = None
    knobs: tuple[str, ...] = ()
    buckets: Literal["hash", "partition", "value"] = "hash"
    """By hash of the key; one a partition of the documents (the key is its id, or the first bytes
    of it); one a key value 0..n-1."""
    order: tuple[str, ...] = ("doc_id", "file", "offset")
    """Further sort columns behind the key; `partition` may be one."""
    columns: tuple[str, ...] | None = None
    """Of `docs`: the only columns to read."""


@dataclass(frozen=True)
class Combine:
    """Every partition's small state, merged into one. `each` runs a partition, `merge` once.

    `each` gets what `Exchange.route` gets, but only `docs` in batches. `merge` gets the rows of all
    partitions as one table, in order of partition id (an empty table without columns when `reads`
    is empty), and gives a table of `schema`, or (schema None) an artefact: file name -> bytes.
    `Combine` results named in `reads` stand in `side.tables` of both calls; with only such in
    `reads`, `each` is not called and `merge` gets the first of them.

    With `fold` the states are never in memory together: two neighbours of about equal size become
    one, as in a tree, and `merge` gets the last one. `fold` must be associative.
    """

    name: str
    reads: tuple[str, ...]
    merge: Callable[[pa.Table, Side], pa.Table | Mapping[str, bytes]]
    schema: pa.Schema | None
    each: Callable[[Tables, Side], pa.Table] | None = None
    each_schema: pa.Schema | None = None
    knobs: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    fold: Callable[[pa.Table, pa.Table, Side], pa.Table] | None = None
    judge: Callable[[pa.Table, Side], Sequence[str]] | None = None
    """Called with the merged table before a run publishes, also where it was made by an earlier
    run: gives warnings, or raises StageError. It is in no key."""


@dataclass(frozen=True)
class Apply:
    """Row-wise: drop, rewrite or add columns by this partition's rows of `reads`."""

    name: str
    reads: str
    """An earlier Exchange with `buckets="partition"`; its rows stand in `side.tables[reads]`."""
    call: Callable[[TextBatch, Side], Processed]
    knobs: tuple[str, ...] = ()
    drops: bool = True
    """False: only the stage's rules drop documents here, so that `whatif` knows each verdict."""


Phase = Emit | Exchange | Combine | Apply
