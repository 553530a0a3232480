"""Small states of all units merge into one; a leaf writes each partition's documents as a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline.errors import StageError
from pipeline.execution.exchange import finished_file, guarded, unit_tables, with_partition
from pipeline.execution.work import EachCall, Env, Made, MadeFile, MergeCall, OutputCall
from pipeline.files.tables import iter_batches, read_dataset, side_of, write_table
from pipeline.stage import Side


def run_each(call: EachCall, env: Env) -> Made:
    """One unit's small state, as output `rows`."""
    phase = call.phase
    side = side_of(call.context, env)
    found: list[pa.Table] = []
    for tables in unit_tables(call, env):
        if phase.each is None:
            table = tables[phase.reads[0]]
        else:
            table = guarded(
                env, f"phase '{phase.name}'", phase.each, {**side.tables, **tables}, side
            )
        found.append(with_partition(table, call))
    if not found and phase.each_schema is None:
        raise StageError(
            f"{env.where}: phase '{phase.name}' has no documents and declares no `each_schema`."
        )
    schema = phase.each_schema or found[0].schema
    joined = pa.concat_tables(found) if found else schema.empty_table()
    return Made({"rows": [write_table(env.scratch / "rows", joined, schema)]})


def run_merge(call: MergeCall, env: Env) -> Made:
    """The states of all units in one table, or (schema None) an artefact's files."""
    phase = call.phase
    side = side_of(call.context, env)
    if call.inputs:
        tables = (read_dataset(env.storage, data) for data in call.inputs)
        if phase.fold:
            table = _folded(tables, phase.fold, side, env, phase.name)
        else:
            table = pa.concat_tables(tables, promote_options="permissive")
    else:
        table = next((side.tables[n] for n in phase.reads if n in side.tables), pa.table({}))
    answer = guarded(env, f"phase '{phase.name}'", phase.merge, table, side)
    if isinstance(answer, pa.Table):
        if phase.schema is None:
            raise StageError(f"{env.where}: phase '{phase.name}' declares no schema for its table.")
        return Made({"rows": [write_table(env.scratch / "rows", answer, phase.schema)]})
    files = []
    for name in sorted(answer):
        path = env.scratch / f"artefact-{name}"
        path.write_bytes(answer[name])
        files.append(MadeFile(path, 0, {}, name))
    return Made({"artefact": files})


def _folded(tables: Iterator[pa.Table], fold: Any, side: Side, env: Env, phase: str) -> pa.Table:
    """Neighbours become one until one is left; memory is twice the largest state, not all."""
    stack: list[pa.Table] = []

    def fold_last() -> None:
        right = stack.pop()
        stack[-1] = guarded(env, f"phase '{phase}'", fold, stack[-1], right, side)

    for table in tables:
        stack.append(table.combine_chunks())  # in one piece once, not in every fold
        del table
        while len(stack) > 1 and stack[-2].num_rows <= 2 * stack[-1].num_rows:
            fold_last()
    while len(stack) > 1:
        fold_last()
    return stack[0]


def run_output(call: OutputCall, env: Env) -> Made:
    """One partition's documents as a finished file; none if it has no documents."""
    side = side_of(call.context, env)
    batches = iter_batches(env.storage, call.documents)
    file = guarded(env, f"step '{side.step}'", call.stage.write, batches, call.partition, side)
    return Made({"files": [finished_file(file, env, side)] if file else []})
