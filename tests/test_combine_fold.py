"""Folded states, and an exchange that reads the result of a combine: a piece at a time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exchange import CONTEXT, place

from pipeline.errors import StageError
from pipeline.execution.combine import run_merge
from pipeline.execution.exchange import run_scatter
from pipeline.execution.work import Context, MergeCall, ReduceCall, ScatterCall
from pipeline.phases import Combine, Exchange
from pipeline.stage import Side

VALUES = pa.schema([("value", pa.int64())])


def values_of(rows: list[int]) -> pa.Table:
    return pa.table({"value": pa.array(rows, pa.int64())})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=12))
def test_neighbouring_states_become_one_in_order_and_few_stand_beside_each_other(
    units: list[list[int]],
) -> None:
    seen: list[tuple[int, int]] = []

    def fold(left: pa.Table, right: pa.Table, side: Side) -> pa.Table:
        seen.append((left.num_rows, right.num_rows))
        return pa.concat_tables([left, right])

    phase = Combine("all", ("rows",), lambda table, side: table, VALUES, fold=fold)
    with place() as here:
        states = tuple(here.store(values_of(rows)) for rows in units)
        [file] = run_merge(MergeCall(phase, states, CONTEXT), here.env()).outputs["rows"]
        merged = pq.read_table(file.path)["value"].to_pylist()
    assert merged == [value for rows in units for value in rows]
    assert len(seen) == len(units) - 1


def test_states_of_one_size_are_folded_as_a_tree_and_not_one_by_one() -> None:
    sizes: list[int] = []

    def fold(left: pa.Table, right: pa.Table, side: Side) -> pa.Table:
        sizes.append(left.num_rows + right.num_rows)
        return pa.concat_tables([left, right])

    phase = Combine("all", ("rows",), lambda table, side: table, VALUES, fold=fold)
    with place() as here:
        states = tuple(here.store(values_of([n])) for n in range(64))
        run_merge(MergeCall(phase, states, CONTEXT), here.env())
    assert sum(sizes) <= 64 * 7  # one by one: 2 + 3 + ... + 64 = 2,079


def test_an_error_while_states_are_folded_says_where_it_stood() -> None:
    def fold(left: pa.Table, right: pa.Table, side: Side) -> pa.Table:
        raise ValueError("no")

    phase = Combine("all", ("rows",), lambda table, side: table, VALUES, fold=fold)
    with place() as here:
        states = (here.store(values_of([1])), here.store(values_of([2])))
        with pytest.raises(StageError, match=r"node, unit u, phase 'all'.*no"):
            run_merge(MergeCall(phase, states, CONTEXT), here.env())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=20), st.integers(1, 5))
def test_rows_of_a_combine_go_to_partitions_by_the_first_bytes_of_their_ids(
    homes: list[int], batch_rows: int
) -> None:
    names = [f"{n:02x}" * 16 for n in (5, 9, 200)]
    batches: list[int] = []

    def route(tables: Any, side: Side) -> pa.Table:
        assert "small" not in side.tables
        batches.append(tables["small"].num_rows)
        return tables["small"]

    kind = pa.schema([("value", pa.int64()), ("partition", pa.binary(8))])
    table = pa.Table.from_pylist(
        [{"value": i, "partition": bytes.fromhex(names[home])[:8]} for i, home in enumerate(homes)],
        schema=kind,
    )
    phase = Exchange(
        "home", ("small",), "partition", lambda table, side: table, kind, route,
        buckets="partition", order=("value",),
    )  # fmt: skip
    with place() as here:
        context = Context("step", 0, {"small": here.store(table, batch_rows)})
        scattered, _ = here.scatter(ScatterCall(phase, "all", False, {}, context, 3, names))
        for bucket in range(3):
            [file] = here.reduce(ReduceCall(phase, bucket, (scattered,), context)).outputs["rows"]
            found = pq.read_table(file.path)["value"].to_pylist()
            assert found == [i for i, home in enumerate(homes) if home == bucket]
    assert max(batches) <= batch_rows


def test_partitions_that_begin_with_the_same_bytes_are_refused() -> None:
    kind = pa.schema([("partition", pa.binary(8))])
    table = pa.table([pa.array([bytes(8)], pa.binary(8))], schema=kind)
    phase = Exchange(
        "home", ("small",), "partition", lambda table, side: table, kind, buckets="partition"
    )
    with place() as here:
        context = Context("step", 0, {"small": here.store(table)})
        call = ScatterCall(phase, "all", False, {}, context, 2, ["00" * 16, "00" * 8 + "11" * 8])
        with pytest.raises(StageError, match="begin with the same 8 bytes"):
            run_scatter(call, here.env())
