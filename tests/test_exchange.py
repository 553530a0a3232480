"""Scatter, sort, reduce through files against a group-by in plain Python."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import IntegrityError, StageError
from pipeline.execution import exchange
from pipeline.execution.combine import run_each, run_merge, run_output
from pipeline.execution.exchange import run_reduce, run_scatter
from pipeline.execution.schedule import BUCKET_BYTES, MAX_BUCKETS, num_buckets
from pipeline.execution.work import (
    Context,
    EachCall,
    Env,
    Made,
    MergeCall,
    OutputCall,
    ReduceCall,
    ScatterCall,
)
from pipeline.files.local_storage import LocalStorage
from pipeline.phases import Combine, Exchange, OutputFile, Tables
from pipeline.results.manifest import Dataset, FileRef
from pipeline.stage import Output, Side

Row = tuple[Any, bytes, str | None, int | None, int]
"""key, doc_id, file, offset, value"""
CONTEXT = Context("step", 0)
NAMES = ("key", "doc_id", "file", "offset", "value")
ORDER = ("doc_id", "file", "offset", "value")


def schema(key: pa.DataType) -> pa.Schema:
    kinds = (key, pa.binary(16), pa.string(), pa.int64(), pa.int64())
    return pa.schema(list(zip(NAMES, kinds, strict=True)))


def table_of(rows: Sequence[Row], key: pa.DataType) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(NAMES, row, strict=True)) for row in rows], schema(key))


def grouped(table: pa.Table, side: Side) -> pa.Table:
    """One row a run of equal keys, with all that stands in the group in order."""
    groups: list[dict[str, Any]] = []
    for row in table.to_pylist():
        if not groups or groups[-1]["key"] != row["key"]:
            groups.append({"key": row["key"], "rows": []})
        groups[-1]["rows"].append(repr(tuple(row[name] for name in ORDER)))
    return pa.Table.from_pylist(groups, groups_schema(table.schema.field("key").type))


def groups_schema(key: pa.DataType) -> pa.Schema:
    return pa.schema([("key", key), ("rows", pa.list_(pa.string()))])


def plain_groups(rows: Sequence[Row]) -> dict[Any, list[str]]:
    """The same in plain Python, nulls first."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)

    def place(row: Row) -> tuple[Any, ...]:
        _, doc_id, file, offset, value = row
        return (doc_id, file is not None, file or "", offset is not None, offset or 0, value)

    return {key: [repr(r[1:]) for r in sorted(group, key=place)] for key, group in found.items()}


class Place:
    """A workdir for one example."""

    def __init__(self, folder: str) -> None:
        self.storage = LocalStorage(folder)
        self.count = 0

    def env(self) -> Env:
        self.count += 1
        scratch = Path(self.storage.root, "scratch", str(self.count))
        scratch.mkdir(parents=True)
        return Env(self.storage, scratch, "node, unit u")

    def keep(self, path: Path, rows: int = 0) -> Dataset:
        """A local file as a stored output."""
        self.count += 1
        name = f"kept/{self.count}"
        self.storage.put(name, path)
        content = sha256(path.read_bytes()).hexdigest()
        return Dataset.of([FileRef(name, content, path.stat().st_size, rows)])

    def store(self, table: pa.Table, batch_rows: int = 3) -> Dataset:
        path = self.env().scratch / "table"
        pq.write_table(table, path, row_group_size=batch_rows)
        return self.keep(path, table.num_rows)

    def scatter(self, call: ScatterCall) -> tuple[Dataset, int]:
        made = run_scatter(call, self.env())
        [file] = made.outputs["rows"]
        return self.keep(file.path, file.rows), made.counters["num_buckets"]

    def reduce(self, call: ReduceCall) -> Made:
        return run_reduce(call, self.env())


@contextmanager
def place() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        yield Place(folder)


@dataclass(frozen=True)
class Layout:
    """All that must not matter, and the number of buckets."""

    units: tuple[int, ...]
    """Unit of each row, cyclic."""
    batch_rows: int
    run_bytes: int
    from_docs: bool
    buckets: int


layouts = st.builds(
    Layout,
    units=st.lists(st.integers(0, 4), min_size=1, max_size=9).map(tuple),
    batch_rows=st.integers(1, 9),
    run_bytes=st.sampled_from([0, 60, 500, 64 << 20]),
    from_docs=st.booleans(),
    buckets=st.sampled_from([1, 2, 8]),
)
KEYS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.uint64(): st.sampled_from([0, 1, 2**63, 2**64 - 1, 2**53 + 1, 2**53]),
    pa.int64(): st.integers(-2, 2),
    pa.binary(16): st.sampled_from([bytes(16), b"\xff" * 16, b"a" * 15 + b"b", b"a" * 16]),
    pa.binary(4): st.sampled_from([b"abcd", b"abce"]),
    pa.binary(20): st.sampled_from([b"x" * 20, b"x" * 19 + b"y"]),
}


def some_rows(key: pa.DataType, largest: int = 40) -> st.SearchStrategy[list[Row]]:
    ids = st.sampled_from([b"A" * 16, b"B" * 16, bytes(16)])
    files = st.sampled_from([None, "", "a", "b/c", "\U0001f600"])
    numbers = st.none() | st.integers(-1, 2)
    row = st.tuples(KEYS[key] | st.none(), ids, files, numbers, st.integers(0, 3))
    return st.lists(row, max_size=largest)


def keyed(key: pa.DataType, from_docs: bool) -> Exchange:
    reads, route = ("rows",), None
    if from_docs:
        reads, route = ("docs",), lambda tables, side: tables["docs"]
    return Exchange("meet", reads, "key", grouped, groups_schema(key), route, order=ORDER)


def met(here: Place, rows: Sequence[Row], key: pa.DataType, layout: Layout) -> list[bytes]:
    """The reduced file of every bucket."""
    phase = keyed(key, layout.from_docs)
    units: dict[int, list[Row]] = {unit: [] for unit in layout.units}
    for number, row in enumerate(rows):
        units[layout.units[number % len(layout.units)]].append(row)
    scattered = []
    for unit in sorted(units):
        data = here.store(table_of(units[unit], key), layout.batch_rows)
        inputs = {phase.reads[0]: data}
        name = f"{unit:032x}"
        call = ScatterCall(phase, name, True, inputs, CONTEXT, layout.buckets)
        scattered.append(here.scatter(call)[0])
    found = []
    for bucket in range(layout.buckets):
        made = here.reduce(ReduceCall(phase, bucket, tuple(scattered), CONTEXT))
        found.append(made.outputs["rows"][0].path.read_bytes())
    return found


def read(files: Sequence[bytes]) -> list[pa.Table]:
    return [pq.read_table(pa.BufferReader(file)) for file in files]


@pytest.mark.parametrize("key", KEYS, ids=str)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_rows_meet_by_key_as_in_a_plain_group_by(key: pa.DataType, data: st.DataObject) -> None:
    rows, layout = data.draw(some_rows(key)), data.draw(layouts)
    with place() as here, mock.patch.object(exchange, "RUN_BYTES", layout.run_bytes):
        buckets = read(met(here, rows, key, layout))
    found = [group for bucket in buckets for group in bucket.to_pylist()]
    assert {group["key"]: group["rows"] for group in found} == plain_groups(rows)
    assert len(found) == len(plain_groups(rows))  # no key in two buckets
    for bucket in buckets:
        keys = [group["key"] for group in bucket.to_pylist()]
        assert keys == sorted(keys, key=lambda key: (key is not None, key))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_bytes_do_not_depend_on_how_rows_are_split_over_units_and_batches(
    data: st.DataObject,
) -> None:
    key = data.draw(st.sampled_from([pa.uint64(), pa.binary(16)]))
    rows, one, other = data.draw(some_rows(key)), data.draw(layouts), data.draw(layouts)
    shuffled = data.draw(st.permutations(rows))
    with place() as here:
        with mock.patch.object(exchange, "RUN_BYTES", one.run_bytes):
            first = met(here, rows, key, one)
        with mock.patch.object(exchange, "RUN_BYTES", other.run_bytes):
            second = met(here, shuffled, key, replace(other, buckets=one.buckets))
    assert first == second


@settings(max_examples=30, deadline=None)
@given(data=st.data(), layout=layouts)
def test_rows_go_home_to_the_partition_that_their_key_names(
    data: st.DataObject, layout: Layout
) -> None:
    partitions = [f"{number:032x}" for number in range(4)]
    homes = st.sampled_from([bytes.fromhex(name) for name in partitions])
    rows = [(data.draw(homes), *row[1:]) for row in data.draw(some_rows(pa.uint64()))]
    kind = schema(pa.binary(16))
    phase = Exchange(
        "home", ("rows",), "key", lambda table, side: table, kind, buckets="partition", order=ORDER
    )
    with place() as here:
        stored = here.store(table_of(rows, pa.binary(16)), layout.batch_rows)
        call = ScatterCall(phase, "b00001", False, {"rows": stored}, CONTEXT, 4, partitions)
        scattered, count = here.scatter(call)
        assert count == 4
        for bucket, name in enumerate(partitions):
            made = here.reduce(ReduceCall(phase, bucket, (scattered,), CONTEXT))
            found = pq.read_table(made.outputs["rows"][0].path).to_pylist()
            mine = [row for row in rows if row[0] == bytes.fromhex(name)]
            expected = [group for group in plain_groups(mine).values()] or [[]]
            assert [repr(tuple(row[n] for n in ORDER)) for row in found] == expected[0]


@settings(max_examples=30, deadline=None)
@given(
    keys=st.lists(st.lists(st.integers(0, 6), max_size=8), min_size=1, max_size=4),
    run_bytes=st.sampled_from([0, 64 << 20]),
)
def test_a_key_that_is_a_number_is_its_bucket(keys: list[list[int]], run_bytes: int) -> None:
    phase = replace(keyed(pa.int32(), True), buckets="value")
    with place() as here, mock.patch.object(exchange, "RUN_BYTES", run_bytes):
        scattered, counts = [], []
        for unit, numbers in enumerate(keys):
            rows = [(number, bytes(16), None, unit, at) for at, number in enumerate(numbers)]
            docs = {"docs": here.store(table_of(rows, pa.int32()), 2)}
            made, count = here.scatter(ScatterCall(phase, f"{unit:032x}", True, docs, CONTEXT, 0))
            assert count == max(numbers, default=-1) + 1
            scattered.append(made)
            counts.append(count)
        for bucket in range(max(counts)):
            made = here.reduce(ReduceCall(phase, bucket, tuple(scattered), CONTEXT))
            found = pq.read_table(made.outputs["rows"][0].path).to_pylist()
            expected = sum(numbers.count(bucket) for numbers in keys)
            assert [(group["key"], len(group["rows"])) for group in found] == (
                [(bucket, expected)] if expected else []
            )


def test_without_any_row_every_bucket_is_there_and_empty() -> None:
    layout = Layout((0, 1, 2), 3, 0, True, 4)
    with place() as here:
        buckets = read(met(here, [], pa.uint64(), layout))
        assert [bucket.num_rows for bucket in buckets] == [0] * 4
        assert all(bucket.schema.equals(groups_schema(pa.uint64())) for bucket in buckets)
        none_at_all = here.reduce(ReduceCall(keyed(pa.uint64(), False), 0, (), CONTEXT))
        assert none_at_all.outputs["rows"][0].rows == 0
        files = replace(keyed(pa.uint64(), False), schema=None)
        assert here.reduce(ReduceCall(files, 0, (), CONTEXT)).outputs == {"files": []}


def test_the_partition_that_a_row_came_from_is_added_and_not_overwritten() -> None:
    kind = pa.schema([*schema(pa.uint64()), ("partition", pa.binary(16))])
    phase = Exchange("meet", ("rows",), "key", lambda table, side: table, kind, order=ORDER)
    rows: list[Row] = [(1, bytes(16), "f", 0, 0), (1, bytes(16), "f", 1, 0)]
    with place() as here:
        plain = table_of(rows, pa.uint64())
        own = plain.append_column("partition", pa.array([b"z" * 16] * 2, pa.binary(16)))
        for table, expected in ((plain, bytes.fromhex("ab" * 16)), (own, b"z" * 16)):
            inputs = {"rows": here.store(table)}
            scattered, _ = here.scatter(ScatterCall(phase, "ab" * 16, True, inputs, CONTEXT, 1))
            made = here.reduce(ReduceCall(phase, 0, (scattered,), CONTEXT))
            found = pq.read_table(made.outputs["rows"][0].path)
            assert found["partition"].to_pylist() == [expected] * 2


# --- damage and errors -------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), from_end=st.integers(0, 24), run=st.booleans())
def test_a_scatter_file_cut_short_is_an_integrity_error_and_never_fewer_rows(
    share: float, from_end: int, run: bool
) -> None:
    key, phase = pa.uint64(), keyed(pa.uint64(), True)
    rows: list[Row] = [(n, bytes(16), "a file", n, n) for n in range(30)]
    with place() as here, mock.patch.object(exchange, "RUN_BYTES", 500 if run else 1 << 20):
        docs = {"docs": here.store(table_of(rows, key), 5)}
        scattered, _ = here.scatter(ScatterCall(phase, "0" * 32, True, docs, CONTEXT, 3))
        path = Path(here.storage.root, scattered.files[0].path)
        whole = path.read_bytes()
        cut = len(whole) - from_end if from_end else int(len(whole) * share)
        path.write_bytes(whole[:cut])
        found, refused = 0, 0
        for bucket in range(3):
            try:
                made = here.reduce(ReduceCall(phase, bucket, (scattered,), CONTEXT))
                groups = pq.read_table(made.outputs["rows"][0].path).num_rows
                assert groups == len(bucket_rows(whole, bucket))
                found += groups
            except IntegrityError:
                refused += 1
        assert refused or found == len(rows)
        assert refused or cut == len(whole)


def bucket_rows(data: bytes, bucket: int) -> pa.Table:
    start, end = (
        int.from_bytes(data[8 * at : 8 * at + 8], "little") for at in (bucket, bucket + 1)
    )
    return pa.ipc.open_stream(data[start:end]).read_all() if end > start else pa.table({})


def test_a_missing_scatter_file_is_an_integrity_error() -> None:
    gone = Dataset.of([FileRef("steps/gone", "0" * 64, 10, 1)])
    with (
        place() as here,
        pytest.raises(IntegrityError, match=r"node, unit u.*steps/gone.*--repair"),
    ):
        here.reduce(ReduceCall(keyed(pa.uint64(), False), 0, (gone,), CONTEXT))


def scatter_error(table: pa.Table, phase: Exchange, partitions: Sequence[str] = ()) -> str:
    with place() as here:
        inputs = {"rows": here.store(table)}
        call = ScatterCall(phase, "0" * 32, True, inputs, CONTEXT, len(partitions), partitions)
        with pytest.raises(StageError) as caught:
            here.scatter(call)
    return str(caught.value)


def test_rows_that_could_go_nowhere_are_a_stage_error_and_are_not_lost() -> None:
    phase = keyed(pa.uint64(), False)
    value, home = replace(phase, buckets="value"), replace(phase, buckets="partition")
    negative = table_of([(-1, bytes(16), None, 0, 0)], pa.int64())
    null = table_of([(None, bytes(16), None, 0, 0)], pa.int64())
    strange = table_of([(b"s" * 16, bytes(16), None, 0, 0)], pa.binary(16))
    text = table_of([("key", bytes(16), None, 0, 0)], pa.string())
    for message in (
        scatter_error(negative, value),
        scatter_error(null, value),
        scatter_error(strange, home, ["0" * 32]),
        scatter_error(text, phase, ["0" * 32]),
        scatter_error(negative.drop_columns(["key"]), phase, ["0" * 32]),
    ):
        assert "node, unit u, phase 'meet'" in message


def test_an_error_in_a_stage_function_says_where_it_stood() -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("no")

    rows = table_of([(1, bytes(16), None, 0, 0)], pa.uint64())
    phase = keyed(pa.uint64(), False)
    with place() as here:
        where = r"node, unit u, phase 'meet': ZeroDivisionError: no"
        inputs = {"rows": here.store(rows)}
        routed = replace(phase, route=broken)
        with pytest.raises(StageError, match=where):
            here.scatter(ScatterCall(routed, "0" * 32, True, inputs, CONTEXT, 1))
        scattered, _ = here.scatter(ScatterCall(phase, "0" * 32, True, inputs, CONTEXT, 1))
        for reduce, message in ((broken, where), (lambda t, s: t.drop_columns(["key"]), "'key'")):
            with pytest.raises(StageError, match=message):
                here.reduce(ReduceCall(replace(phase, reduce=reduce), 0, (scattered,), CONTEXT))
        with pytest.raises(StageError, match="declares no schema"):
            here.reduce(ReduceCall(replace(phase, schema=None), 0, (scattered,), CONTEXT))


def test_a_batch_with_other_columns_than_the_first_is_a_stage_error() -> None:
    def moody(tables: Tables, side: Side) -> pa.Table:
        first = tables["docs"]["value"][0].as_py() == 0
        return tables["docs"] if first else tables["docs"].drop_columns(["value"])

    rows: list[Row] = [(n, bytes(16), None, n, n) for n in range(4)]
    phase = replace(keyed(pa.uint64(), True), route=moody)
    with place() as here:
        docs = {"docs": here.store(table_of(rows, pa.uint64()), 2)}
        with pytest.raises(StageError, match=r"node, unit u, phase 'meet'.*value"):
            here.scatter(ScatterCall(phase, "0" * 32, True, docs, CONTEXT, 2))


# --- combine and outputs -----------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    units=st.lists(st.lists(st.integers(0, 99), max_size=7), min_size=1, max_size=4),
    batch_rows=st.integers(1, 4),
)
def test_states_of_all_units_merge_in_order_of_unit(
    units: list[list[int]], batch_rows: int
) -> None:
    state = pa.schema([("value", pa.int64()), ("partition", pa.binary(16))])

    def double(tables: Tables, side: Side) -> pa.Table:
        doubled = pa.compute.multiply(tables["docs"]["value"], 2)
        return pa.table({"value": doubled})

    def merge(table: pa.Table, side: Side) -> dict[str, bytes]:
        return {"all.txt": repr(table.to_pylist()).encode(), "also": b"x"}

    phase = Combine("sum", ("docs",), merge, None, double, state)
    with place() as here:
        states = []
        for number, values in enumerate(units):
            docs = here.store(pa.table({"value": pa.array(values, pa.int64())}), batch_rows)
            call = EachCall(phase, f"{number:032x}", True, {"docs": docs}, CONTEXT)
            [file] = run_each(call, here.env()).outputs["rows"]
            states.append(here.keep(file.path, file.rows))
        made = run_merge(MergeCall(phase, tuple(states), CONTEXT), here.env())
        files = {file.name: file.path.read_bytes() for file in made.outputs["artefact"]}
    expected = [
        {"value": 2 * value, "partition": number.to_bytes(16, "big")}
        for number, values in enumerate(units)
        for value in values
    ]
    assert files == {"all.txt": repr(expected).encode(), "also": b"x"}


class Leaf(Output):
    """An output that writes where it is told."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def write(self, batches: Any, partition: str, side: Side) -> OutputFile | None:
        rows = sum(batch.num_rows for batch in batches)
        if not rows:
            return None
        path = (self.folder or side.scratch) / "out"
        path.write_bytes(b"%d rows" % rows)
        return OutputFile(path, f"documents/{partition}", {"documents": rows})


def test_an_output_is_one_finished_file_a_partition_and_none_without_documents(
    tmp_path: Path,
) -> None:
    with place() as here:
        for values, content in (([1, 2, 3], b"3 rows"), ([], None)):
            docs = here.store(pa.table({"value": pa.array(values, pa.int64())}), 2)
            made = run_output(OutputCall(Leaf(None), "p", docs, CONTEXT), here.env())
            found = [(f.path.read_bytes(), f.publish_as, f.rows) for f in made.outputs["files"]]
            assert found == ([(content, "documents/p", 3)] if content else [])
        docs = here.store(pa.table({"value": [1]}))
        with pytest.raises(StageError, match="not under the scratch folder"):
            run_output(OutputCall(Leaf(tmp_path), "p", docs, CONTEXT), here.env())


@given(st.integers(0, 2**50), st.integers(0, 10**6))
def test_the_number_of_buckets_is_a_power_of_two_that_grows_with_bytes_and_units(
    total: int, units: int
) -> None:
    count = num_buckets(total, units)
    assert count & (count - 1) == 0
    assert 1 <= count <= MAX_BUCKETS
    assert count == MAX_BUCKETS or (count * BUCKET_BYTES >= total and 8 * count >= units)
    assert num_buckets(total * 2, units) >= count
    assert num_buckets(total, units + 8) >= count
