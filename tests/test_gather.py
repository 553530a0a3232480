"""Rows in another order: what `take` gives, for every column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.execution.gather import gathered, gathered_last
from pipeline.schema import TOKENS

LISTS = st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=6), max_size=8)


@given(LISTS, st.data())
def test_any_rows_are_those_that_take_gives(lists: list[list[int]], data: st.DataObject) -> None:
    names = pa.array([str(len(row)) for row in lists], pa.string())
    table = pa.table({"tokens": pa.array(lists, TOKENS), "name": names})
    start = data.draw(st.integers(0, len(lists)))
    table = table.slice(start)
    places = st.integers(0, max(table.num_rows - 1, 0))
    rows = np.array(data.draw(st.lists(places, max_size=9)) if table.num_rows else [], np.int64)
    found = gathered(pa.concat_tables([table]), rows)
    found.validate(full=True)
    assert found.equals(table.take(pa.array(rows)))
    assert found.schema == table.schema


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int64(), pa.float32(), pa.string(),
                                  pa.bool_(), pa.list_(pa.int8())])  # fmt: skip
def test_lists_of_any_type_are_taken(kind: pa.DataType) -> None:
    cells = {pa.string(): "a", pa.bool_(): True, pa.list_(pa.int8()): [1]}
    cell = cells.get(kind, 3)
    values = pa.array([[cell, cell], [], [cell]], pa.list_(kind))
    table = pa.concat_tables([pa.table({"a": values}), pa.table({"a": values.slice(1)})])
    rows = np.array([4, 0, 0, 3, 1])
    assert gathered(table, rows).equals(table.take(pa.array(rows)))


def test_nulls_stay_nulls() -> None:
    for cells in ([[1], None, [2]], [[1], [None, 2], []]):
        table = pa.table({"a": pa.array(cells, TOKENS)})
        assert gathered(table, np.array([2, 1])).to_pylist() == table.take([2, 1]).to_pylist()


def test_rows_in_their_order_are_the_table_itself() -> None:
    table = pa.table({"a": [1, 2, 3]})
    assert gathered(table, np.arange(3)) is table
    assert gathered(table, np.arange(2)).num_rows == 2


def test_the_last_holder_lets_go_of_its_columns() -> None:
    ids = pa.array([[n, n + 1] for n in range(500)], pa.list_(pa.uint16()))
    held = [pa.table({"tokens": ids, "at": np.arange(500)})]
    expected = held[0].take(pa.array([3, 1]))
    assert gathered_last(held, np.array([3, 1])).equals(expected)
    assert not held
