"""Rows meet by key, through files: scatter, sort, reduce.

A scatter file is bucket-major: R+1 little-endian uint64 offsets, then one Arrow IPC stream a
bucket. A reducer range-reads its slice of every scatter file, so N partitions make N files, not
N x R, and nothing large passes through the object store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import IntegrityError, PipelineError, StageError
from pipeline.execution.gather import gathered_last
from pipeline.execution.work import Context, EachCall, Env, Made, MadeFile, ReduceCall, ScatterCall
from pipeline.files.tables import bounded, iter_batches, read_dataset, side_of, write_table
from pipeline.phases import OutputFile
from pipeline.stage import Side

RUN_BYTES = 32 << 20
"""Rows that a scatter holds before it spills a sorted run to scratch."""

_IPC = pa.ipc.IpcWriteOptions(compression="lz4")


def guarded(env: Env, what: str, call: Any, *args: Any) -> Any:
    """Call a stage's function; its errors become StageErrors that say where."""
    try:
        return call(*args)
    except PipelineError:
        raise
    except Exception as error:
        raise StageError(f"{env.where}, {what}: {type(error).__name__}: {error}.") from error


def unit_tables(call: ScatterCall | EachCall, env: Env) -> Iterator[dict[str, pa.Table]]:
    """The tables of one unit: one of them batch by batch, the others whole.

    In batches come `docs`, or in an exchange the first table that it reads: signatures of a large
    partition are large.
    """
    streamed = next((name for name in call.inputs if _is_docs(name)), "docs")
    if isinstance(call, ScatterCall):
        streamed = next((name for name in call.phase.reads if name in call.inputs), "docs")
    whole = {
        name: read_dataset(env.storage, data, call.phase.columns if _is_docs(name) else None)
        for name, data in call.inputs.items()
        if name != streamed
    }
    if streamed not in call.inputs:
        yield from _single_batches(call, env) if isinstance(call, ScatterCall) else [whole]
        return
    columns = call.phase.columns if _is_docs(streamed) else None
    data = call.inputs[streamed]
    for batch in iter_batches(env.storage, data, columns):
        yield {**whole, streamed: batch}
    if not _is_docs(streamed) and not data.rows:  # one call, so that the columns are known
        yield {**whole, streamed: read_dataset(env.storage, data)}


def _single_batches(call: ScatterCall, env: Env) -> Iterator[dict[str, pa.Table]]:
    """The one result of a combine that an exchange reads, batch by batch."""
    name, data = call.phase.reads[0], call.context.tables[call.phase.reads[0]]
    for batch in iter_batches(env.storage, data):
        yield {name: batch}
    if not data.rows:
        yield {name: read_dataset(env.storage, data)}


def _scatter_context(call: ScatterCall) -> Context:
    """The context without the table that comes in batches."""
    if call.inputs:
        return call.context
    tables = {n: data for n, data in call.context.tables.items() if n != call.phase.reads[0]}
    return replace(call.context, tables=tables)


def _is_docs(name: str) -> bool:
    return name.partition(":")[0] == "docs"


def with_partition(table: pa.Table, call: ScatterCall | EachCall) -> pa.Table:
    if not call.is_partition or "partition" in table.column_names:
        return table
    unit = pa.scalar(bytes.fromhex(call.unit), pa.binary(16))
    return table.append_column("partition", pa.repeat(unit, table.num_rows))


# --- scatter ---------------------------------------------------------------------------------


def run_scatter(call: ScatterCall, env: Env) -> Made:
    """Route one unit's rows and write them bucket-major. Counter `num_buckets`."""
    phase = call.phase
    side = side_of(_scatter_context(call), env)
    runs: list[Path] = []
    held: list[pa.Table] = []
    held_bytes = rows = 0
    most = -1
    schema: pa.Schema | None = None
    for tables in unit_tables(call, env):
        tables = {**side.tables, **tables}
        if phase.route is None:
            table = tables[phase.reads[0]]
        else:
            table = guarded(env, f"phase '{phase.name}'", phase.route, tables, side)
        table = with_partition(table, call)
        schema = schema or table.schema
        if not table.schema.equals(schema):
            raise StageError(
                f"{env.where}, phase '{phase.name}': a batch was routed to the columns "
                f"({', '.join(map(str, table.schema))}), the first one to "
                f"({', '.join(map(str, schema))}). Route every batch to the same columns."
            )
        if table.num_rows == 0:
            held.append(table)
            continue
        buckets = guarded(env, f"phase '{phase.name}'", _buckets, table, call)
        most = max(most, int(buckets.max()))
        rows += table.num_rows
        held.append(table.append_column("#bucket", pa.array(buckets)))
        held_bytes += table.nbytes
        if held_bytes > RUN_BYTES:
            del tables, table  # the sort copies what is held: nothing else should stand beside it
            runs.append(_write_run(held, env.scratch / f"run-{len(runs)}"))
            held_bytes = 0
    num_buckets = call.num_buckets or most + 1
    path = env.scratch / "scatter"
    _write_scatter(path, runs, held, num_buckets)
    return Made({"rows": [MadeFile(path, rows)]}, {"num_buckets": num_buckets})


def _buckets(table: pa.Table, call: ScatterCall) -> npt.NDArray[np.int32]:
    return bucket_of(table.column(call.phase.key), call)


def bucket_of(key: pa.ChunkedArray, call: ScatterCall) -> npt.NDArray[np.int32]:
    """Bucket of every row, by the exchange's kind. Raises where a row would have none."""
    kind = call.phase.buckets
    if kind == "value":
        if key.null_count or pc.min(key).as_py() < 0:
            raise ValueError("a key is null or negative, expected 0..n-1")
        return np.asarray(key.to_numpy(), dtype=np.int32)
    if kind == "partition":
        width = key.type.byte_width
        at = {bytes.fromhex(name)[:width]: n for n, name in enumerate(call.partitions)}
        if len(at) < len(call.partitions):
            raise ValueError(f"two partitions have ids that begin with the same {width} bytes")
        return np.array([at[value] for value in key.to_pylist()], dtype=np.int32)
    bits = _key_bits(key)
    # fmix64 (MurmurHash3): buckets must not follow structure in the key's low bits.
    bits = bits ^ (bits >> np.uint64(33))
    bits = bits * np.uint64(0xFF51AFD7ED558CCD)
    bits = bits ^ (bits >> np.uint64(33))
    return (bits % np.uint64(call.num_buckets)).astype(np.int32)


def _key_bits(key: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """64 bits that equal keys share; 0 for a null one."""
    null = key.is_null().to_numpy() if key.null_count else None
    if pa.types.is_fixed_size_binary(key.type):
        array = key.combine_chunks() if isinstance(key, pa.ChunkedArray) else key
        width = key.type.byte_width
        data = np.frombuffer(array.buffers()[1], dtype=np.uint8)
        data = data[array.offset * width : (array.offset + len(array)) * width]
        first = np.zeros((len(array), 8), dtype=np.uint8)
        first[:, : min(width, 8)] = data.reshape(-1, width)[:, :8]
        bits = first.view(np.uint64).reshape(-1)
    elif pa.types.is_integer(key.type):
        # Nulls are filled first: with one to_numpy would go through float64.
        bits = key.fill_null(0).to_numpy().astype(np.uint64)
    else:
        raise TypeError(f"a key is {key.type}, expected an integer or fixed-size binary")
    if null is not None:
        bits[null] = 0
    return bits


def _bucket_slices(tables: list[pa.Table]) -> dict[int, pa.Table]:
    """Rows of each bucket, in the order they came. Empties the list, to free it early."""
    if not tables:
        return {}
    table = pa.concat_tables(tables)
    tables.clear()
    buckets = table.column("#bucket").to_numpy()
    order = np.argsort(buckets, kind="stable")
    held = [table.drop_columns(["#bucket"])]
    del table
    table = gathered_last(held, order)
    numbers, starts = np.unique(buckets[order], return_index=True)
    ends = [*starts[1:], len(buckets)]
    return {
        int(number): table.slice(start, end - start)
        for number, start, end in zip(numbers, starts, ends, strict=True)
    }


def _taken(held: list[pa.Table]) -> list[pa.Table]:
    """The tables with rows, which `held` lets go of."""
    full = [table for table in held if table.num_rows]
    held.clear()
    return full


def _write_run(held: list[pa.Table], path: Path) -> Path:
    slices = _bucket_slices(_taken(held))
    write_buckets(path, lambda n: [slices[n]] if n in slices else [], max(slices) + 1)
    return path


def _write_scatter(path: Path, runs: list[Path], held: list[pa.Table], num_buckets: int) -> None:
    empty = held[0] if held and not any(table.num_rows for table in held) else None
    last = _bucket_slices(_taken(held))

    def parts_of(bucket: int) -> list[pa.Table]:
        parts = [part for run in runs for part in read_bucket_of(run, bucket)]
        parts += [last[bucket]] if bucket in last else []
        if not parts and empty is not None and bucket == 0:
            return [empty]  # keeps the schema when there is no row at all
        return parts

    write_buckets(path, parts_of, num_buckets)


def write_buckets(path: Path, parts_of: Callable[[int], list[pa.Table]], num_buckets: int) -> None:
    """Offsets, then one stream a bucket."""
    with path.open("wb") as out:
        offsets = np.zeros(num_buckets + 1, dtype="<u8")
        out.write(offsets.tobytes())
        offsets[0] = out.tell()
        for bucket in range(num_buckets):
            _write_stream(out, parts_of(bucket))
            offsets[bucket + 1] = out.tell()
        out.seek(0)
        out.write(offsets.tobytes())


def _write_stream(out: Any, parts: list[pa.Table]) -> None:
    if not parts:
        return
    schema = parts[0].schema.remove_metadata()
    with pa.ipc.new_stream(out, schema, options=_IPC) as writer:
        for part in parts:
            for piece in bounded(part):
                writer.write_table(piece.combine_chunks())


def read_bucket_of(run: Path, bucket: int) -> list[pa.Table]:
    with run.open("rb") as stream:
        count = int(np.frombuffer(stream.read(8), dtype="<u8")[0]) // 8 - 1
        if bucket >= count:
            return []
        stream.seek(8 * bucket)
        start, end = np.frombuffer(stream.read(16), dtype="<u8")
        if start == end:
            return []
        stream.seek(int(start))
        return [pa.ipc.open_stream(stream.read(int(end - start))).read_all()]


# --- reduce ----------------------------------------------------------------------------------


def read_bucket(env: Env, call: ReduceCall) -> pa.Table:
    """The rows of one bucket from every scatter file, unsorted. Raises IntegrityError."""
    found: list[pa.Table] = []
    for dataset in call.scattered:
        for ref in dataset.files:
            try:
                head = env.storage.get_range(ref.path, 0, 8)
                count = int(np.frombuffer(head, dtype="<u8")[0]) // 8 - 1
                if call.bucket >= count:
                    continue
                ends = env.storage.get_range(ref.path, 8 * call.bucket, 16)
                start, end = (int(x) for x in np.frombuffer(ends, dtype="<u8"))
                if end > start:
                    data = env.storage.get_range(ref.path, start, end - start)
                    if len(data) != end - start:  # a stream cut between batches would just end
                        raise ValueError(f"it ends at byte {start + len(data):,} of {end:,}")
                    found.append(pa.ipc.open_stream(data).read_all())
            except (OSError, pa.ArrowInvalid, ValueError, IndexError) as error:
                raise IntegrityError(
                    f"{env.where}: cannot read {ref.path}: {error}. Run "
                    f"`python -m pipeline verify CONFIG --repair`, then run again."
                ) from error
    if not found:
        return pa.table({})
    return pa.concat_tables(found, promote_options="permissive").unify_dictionaries()


def sort_rows(held: list[pa.Table], key: str, order: tuple[str, ...]) -> pa.Table:
    """Rows in ascending (key, *order), nulls first, of the one table in `held`. Empties the list:
    the sort copies what stands there, and a shard's rows are the most that a process holds."""
    table = held[0]
    if table.num_rows < 2:
        return held.pop()
    names = [key, *(name for name in order if name in table.column_names and name != key)]
    at = pc.sort_indices(table, sort_keys=[(name, "ascending", "at_start") for name in names])
    del table
    return gathered_last(held, at.to_numpy())


def run_reduce(call: ReduceCall, env: Env) -> Made:
    """Sort one bucket's rows and reduce them. Output `rows`, or finished `files`."""
    phase = call.phase
    table = read_bucket(env, call)
    if table.num_columns == 0:
        if phase.schema is None:
            return Made({"files": []})
        return Made(
            {"rows": [write_table(env.scratch / "rows", phase.schema.empty_table(), phase.schema)]}
        )
    held = [table]
    del table
    table = sort_rows(held, phase.key, phase.order)
    side = side_of(call.context, env)
    answer = guarded(env, f"phase '{phase.name}'", phase.reduce, table, side)
    if isinstance(answer, pa.Table):
        if phase.schema is None:
            raise StageError(f"{env.where}: phase '{phase.name}' declares no schema for its table.")
        return Made({"rows": [write_table(env.scratch / "rows", answer, phase.schema)]})
    return Made({"files": [finished_file(file, env, side) for file in answer]})


def finished_file(file: OutputFile, env: Env, side: Side) -> MadeFile:
    if side.scratch not in file.path.parents:
        raise StageError(f"{env.where}: {file.path} is not under the scratch folder of the call.")
    return MadeFile(file.path, int(file.info.get("documents", 0)), file.info, "", file.publish_as)
