"""Tables to and from stored Parquet files, in bounded batches, with the same bytes every time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import IntegrityError, StageError
from pipeline.execution.work import Context, Env, MadeFile
from pipeline.files.local_storage import own_temporary_folder
from pipeline.files.packed import packed, stored_names, stored_schema, table_schema, unpacked
from pipeline.files.storage import Storage
from pipeline.results.manifest import Dataset
from pipeline.stage import Side

MAX_BATCH_BYTES = 32 << 20
MAX_BATCH_ROWS = 8192
"""A batch is at most 32 MB or 8,192 rows (DESIGN section 4)."""

# Statistics of long columns would put whole pages into the footer, and a dictionary of distinct
# texts only costs; short repeated strings gain from both.
_LONG = ("text", "html", "tokens", "signature")


def single_thread() -> None:
    """One thread a worker: Arrow, numba and OpenMP leave the other cores to other workers."""
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


class ParquetSink:
    """Writes tables of one schema to a local Parquet file in row groups of at most one batch."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.schema, self.rows = path, schema, 0
        short = [f.name for f in schema if f.name not in _LONG]
        stored = stored_schema(schema)
        # Ids take half the time of zstd, and a tenth more bytes.
        codec, level = ("zstd", 1) if stored.equals(schema) else ("lz4", None)
        self._writer = pq.ParquetWriter(
            path,
            stored,
            compression=codec,
            compression_level=level,
            use_dictionary=[n for n in short if pa.types.is_string(schema.field(n).type)] or False,
            write_statistics=short,
        )
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0

    def write(self, table: pa.Table) -> None:
        """Add rows; columns are selected and cast to the sink's schema. Raises StageError."""
        table = conform(table, self.schema, str(self.path.name))
        self.rows += table.num_rows
        for piece in bounded(table):
            size = piece.nbytes
            full = self._waiting_rows + piece.num_rows > MAX_BATCH_ROWS
            if self._waiting and (full or self._waiting_bytes + size > MAX_BATCH_BYTES):
                self._flush()
            self._waiting.append(piece)
            self._waiting_rows += piece.num_rows
            self._waiting_bytes += size

    def _flush(self) -> None:
        if self._waiting:
            table = packed(pa.concat_tables(self._waiting))
            self._writer.write_table(table, row_group_size=MAX_BATCH_ROWS)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def close(self) -> MadeFile:
        """Finish the file."""
        self._flush()
        self._writer.close()
        return MadeFile(self.path, self.rows)


def conform(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    """`table` with exactly the columns of `schema`, cast. Raises StageError on a missing one."""
    if table.schema.equals(schema):
        return table
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise StageError(
            f"{where}: the column '{missing[0]}' is missing; got {', '.join(table.column_names)}. "
            f"Return every declared column."
        )
    try:
        return table.select(schema.names).cast(schema)
    except (TypeError, ValueError, LookupError, NotImplementedError) as error:  # Arrow's too
        raise StageError(f"{where}: the columns are not as declared: {error}.") from error


def fill(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with the columns of `schema`; a column that it lacks is null."""
    for column in schema:
        if column.name not in table.column_names:
            table = table.append_column(column, pa.nulls(table.num_rows, column.type))
    return table.select(schema.names)


def bounded(table: pa.Table) -> Iterator[pa.Table]:
    """The rows in pieces of at most one batch; one row is always whole."""
    while table.num_rows > 1 and (
        table.num_rows > MAX_BATCH_ROWS or table.nbytes > MAX_BATCH_BYTES
    ):
        rows = min(MAX_BATCH_ROWS, max(1, table.num_rows // 2))
        piece = table.slice(0, rows)
        while piece.nbytes > MAX_BATCH_BYTES and rows > 1:
            rows = max(1, rows // 2)
            piece = table.slice(0, rows)
        yield piece
        table = table.slice(rows)
    if table.num_rows:
        yield table


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> MadeFile:
    """One table as one Parquet file."""
    sink = ParquetSink(path, schema)
    sink.write(table)
    return sink.close()


@dataclass(frozen=True)
class Groups:
    """Neighbouring row groups of one stored file, of which columns are read when asked for."""

    file: pq.ParquetFile
    numbers: tuple[int, ...]
    first_row: int
    """Number in the file of their first row."""

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Their rows; of `columns` those that the file has."""
        names = None if columns is None else stored_names(columns, self.file.schema_arrow)
        numbers = list(self.numbers)
        return unpacked(self.file.read_row_groups(numbers, columns=names, use_threads=False))


def iter_groups(
    storage: Storage, path: str, count: int, dictionaries: Sequence[str] = ()
) -> Iterator[Groups]:
    """The rows of a stored file, `count` row groups at a time; the columns in `dictionaries` come
    as Arrow dictionaries. Raises IntegrityError."""
    try:
        local = storage.local_path(path)
        source = local if local is not None else storage.open(path)
        names = list(dictionaries)
        with pq.ParquetFile(source, pre_buffer=False, read_dictionary=names) as file:
            first_row = 0
            for start in range(0, file.num_row_groups, count):
                numbers = tuple(range(start, min(start + count, file.num_row_groups)))
                yield Groups(file, numbers, first_row)
                first_row += sum(file.metadata.row_group(n).num_rows for n in numbers)
    except (FileNotFoundError, pa.ArrowInvalid, OSError) as error:
        raise IntegrityError(
            f"cannot read {storage.root}/{path}: {error}. Run "
            f"`python -m pipeline verify CONFIG --repair`, then run again."
        ) from error


def iter_batches(
    storage: Storage, dataset: Dataset, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The rows of a stored dataset, one row group at a time. Raises IntegrityError."""
    for ref in dataset.files:
        for group in iter_groups(storage, ref.path, 1):
            yield group.read(columns)


def read_dataset(
    storage: Storage, dataset: Dataset, columns: Sequence[str] | None = None
) -> pa.Table:
    """All rows of a stored dataset as one table; for side tables and small results."""
    batches = list(iter_batches(storage, dataset, columns))
    if batches:
        return pa.concat_tables(batches)
    for ref in dataset.files:
        schema = table_schema(pq.read_schema(storage.open(ref.path)))
        wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns])
        return wanted.empty_table()
    return pa.table({})


def artefact_folder(storage: Storage, dataset: Dataset) -> Path:
    """A local folder that holds the artefact's files; downloaded once a digest and machine."""
    first = storage.local_path(dataset.files[0].path)
    if first is not None:
        return first.parent
    root = own_temporary_folder("artefacts")
    folder = root / dataset.digest
    if not folder.exists():
        fresh = Path(tempfile.mkdtemp(dir=root))
        for ref in dataset.files:
            (fresh / Path(ref.path).name).write_bytes(storage.get(ref.path))
        try:
            fresh.rename(folder)
        except OSError:  # another worker was first
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def side_of(context: Context, env: Env, tables: Mapping[str, pa.Table] | None = None) -> Side:
    """The stage's view of a context: small tables read, artefacts on the local disk."""
    found = {name: read_dataset(env.storage, data) for name, data in context.tables.items()}
    folders = {name: artefact_folder(env.storage, data) for name, data in context.artefacts.items()}
    return Side(
        context.step,
        context.seed,
        {**found, **(tables or {})},
        folders,
        context.stages,
        env.scratch,
    )
