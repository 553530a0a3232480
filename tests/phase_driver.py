"""Runs the phases of a global stage over partitions in memory: what an engine must amount to.

    outcome = run_stage(MinhashDedup(), partitions, buckets=3)
    outcome.kept, outcome.dropped      # tables; `dropped` has reason and matched_doc_id

No files, no Ray, no cache: about a hundred lines to test stages against.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from pipeline.execution.measured import metric_array
from pipeline.stage import (
    Apply,
    Combine,
    Emit,
    Exchange,
    GlobalStage,
    Processed,
    Side,
    TextBatch,
)

Parts = dict[bytes, pa.Table]


@dataclass(frozen=True)
class Outcome:
    """What a step made of its documents."""

    kept: pa.Table
    dropped: pa.Table
    """The dropped documents with `reason` and `matched_doc_id`."""
    metrics: pa.Table
    """(doc_id, file, offset) and the metrics of every document."""
    tables: Mapping[str, Parts]
    """The rows of every phase, by partition or bucket."""


def partition_id(index: int) -> bytes:
    return xxhash.xxh3_128_digest(f"partition {index}".encode())


def run_stage(
    stage: GlobalStage,
    partitions: Sequence[pa.Table],
    buckets: int = 4,
    batch_rows: int = 100,
    shuffle: int | None = None,
) -> Outcome:
    """Run every phase in order. `shuffle` seeds a random order of rows before each sort."""
    stage.check()
    docs = {partition_id(i): table for i, table in enumerate(partitions)}
    tables: dict[str, Parts] = {"docs": docs}
    small: dict[str, pa.Table] = {}
    answers: list[tuple[pa.Table, Processed]] = []
    for phase in stage.phases():
        side = Side("step", 0, dict(small))
        if isinstance(phase, Emit):
            tables[phase.name] = {
                key: checked(
                    [phase.call(TextBatch(b), side) for b in batches(part, batch_rows)],
                    phase.schema,
                )
                for key, part in docs.items()
            }
        elif isinstance(phase, Exchange):
            routed = route(phase, tables, small, batch_rows)
            tables[phase.name] = exchange(phase, routed, list(docs), side, buckets, shuffle)
        elif isinstance(phase, Combine):
            small[phase.name] = combine(phase, tables, small, batch_rows, side)
        elif isinstance(phase, Apply):
            for key, part in docs.items():
                mine = Side("step", 0, {phase.reads: tables[phase.reads][key]})
                answers += [(b, phase.call(TextBatch(b), mine)) for b in batches(part, batch_rows)]
    return judge(stage, answers, tables)


def batches(table: pa.Table, rows: int) -> list[pa.Table]:
    return [table.slice(i, rows) for i in range(0, max(table.num_rows, 1), rows)]


def checked(parts: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """The parts as one table; their schema must be the declared one."""
    for part in parts:
        assert part.schema.equals(schema), f"{part.schema} is not {schema}"
    return pa.concat_tables([schema.empty_table(), *parts])


def route(
    phase: Exchange | Combine, tables: Mapping[str, Parts], small: Mapping[str, pa.Table], rows: int
) -> list[pa.Table]:
    """The rows that every partition of `reads` gives, with the column `partition`."""
    call = phase.route if isinstance(phase, Exchange) else phase.each
    large = [name for name in phase.reads if name not in small]
    if not large:
        return [small[phase.reads[0]]]
    found = []
    for key in sorted(set().union(*(tables[name] for name in large))):
        given = {name: small.get(name, tables.get(name, {}).get(key)) for name in phase.reads}
        if "docs" in given and phase.columns:
            given["docs"] = given["docs"].select(phase.columns)
        streamed = large[0] if isinstance(phase, Exchange) else "docs"
        calls = [given]
        if streamed in given:
            calls = [{**given, streamed: batch} for batch in batches(given[streamed], rows)]
        for tables_of_call in calls:
            side = Side("step", 0, {})
            part = call(tables_of_call, side) if call else tables_of_call[phase.reads[0]]
            if "partition" not in part.column_names and len(key) == 16:  # no bucket
                ids = pa.array([key] * part.num_rows, pa.binary(16))
                part = part.append_column("partition", ids)
            found.append(part)
    return found


def exchange(
    phase: Exchange, routed: list[pa.Table], parts: list[bytes], side: Side, buckets: int,
    shuffle: int | None,
) -> Parts:  # fmt: skip
    """Scatter by key, sort, reduce."""
    table = pa.concat_tables(routed)
    if shuffle is not None:
        rows = list(range(table.num_rows))
        random.Random(shuffle).shuffle(rows)
        table = table.take(pa.array(rows, pa.int64()))
    keys = table[phase.key].to_pylist()
    if phase.buckets == "partition":
        names, where = parts, [next(p for p in parts if p.startswith(key)) for key in keys]
    else:
        names = [b.to_bytes(2, "big") for b in range(buckets)]
        where = [names[xxhash.xxh3_64_intdigest(repr(key).encode()) % buckets] for key in keys]
    order = [(name, "ascending", "at_start") for name in dict.fromkeys((phase.key, *phase.order))]
    found = {}
    for name in names:
        mine = table.filter(pa.array([w == name for w in where], pa.bool_()))
        mine = mine.take(pc.sort_indices(mine, sort_keys=order))
        reduced = phase.reduce(mine, side)
        assert isinstance(reduced, pa.Table)
        assert phase.schema is not None
        found[name] = checked([reduced.select(phase.schema.names)], phase.schema)
    return found


def combine(
    phase: Combine,
    tables: Mapping[str, Parts],
    small: Mapping[str, pa.Table],
    rows: int,
    side: Side,
) -> pa.Table:
    parts = route(phase, tables, small, rows)
    if phase.each_schema is not None:
        parts = [
            checked([part.select(phase.each_schema.names)], phase.each_schema) for part in parts
        ]
    if phase.fold:
        state = functools.reduce(lambda a, b: phase.fold(a, b, side), parts)
    else:
        state = pa.concat_tables(parts)
    merged = phase.merge(state, side)
    assert isinstance(merged, pa.Table)
    assert phase.schema is not None
    return checked([merged], phase.schema)


def judge(
    stage: GlobalStage, answers: list[tuple[pa.Table, Processed]], tables: Mapping[str, Parts]
) -> Outcome:
    """Apply verdicts, then rules on the metrics; the first reason that holds is given."""
    kept, dropped, metrics = [], [], []
    for table, answer in answers:
        size = table.num_rows
        values = {
            name: metric_array(name, answer.metrics.get(name, [None] * size), kind, size, "test")
            for name, kind in stage.metric_types().items()
        }
        reasons = verdicts(stage, answer, values, size)
        matched = answer.matched if answer.matched is not None else pa.nulls(size, pa.binary(16))
        table = TextBatch(table).with_columns(answer.columns).table
        gone = pa.array([reason is not None for reason in reasons], pa.bool_())
        kept.append(table.filter(pc.invert(gone)))
        table = table.append_column("reason", pa.array(reasons, pa.string()))
        dropped.append(table.append_column("matched_doc_id", matched).filter(gone))
        nodes = {name: table[name] for name in ("doc_id", "file", "offset")}
        metrics.append(pa.table({**nodes, **values}))
    return Outcome(
        pa.concat_tables(kept), pa.concat_tables(dropped), pa.concat_tables(metrics), tables
    )


def verdicts(
    stage: GlobalStage, answer: Processed, values: Mapping[str, pa.Array], size: int
) -> list[str | None]:
    drop = answer.drop.to_pylist() if answer.drop is not None else [False] * size
    reasons: list[str | None] = [answer.reason if d else None for d in drop]
    for rule in stage.rules():
        low, high = rule.reasons()
        for row, value in enumerate(values[rule.metric].to_pylist()):
            broken: Any = None
            if value is not None and rule.minimum is not None and value < rule.minimum:
                broken = low
            if value is not None and rule.maximum is not None and value > rule.maximum:
                broken = high
            reasons[row] = reasons[row] or broken
    return reasons
