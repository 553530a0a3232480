"""Row groups of token shards: fetched with retry, decoded, verified.

No token leaves here before the xxh3-128 of its row group's bytes equals the index, and no document
before the lists' lengths equal `num_tokens`. What is read of a file is its footer and the two
columns' bytes of the row group.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from loader.dataset import Dataset, Place, Stream
from loader.pages import tokens_of_chunk
from pipeline.errors import InputError, IntegrityError

RETRIES = 4
"""Times that a failed read is tried again."""
BACKOFF_SECONDS = 0.1
"""Pause before the first of them; each pause is four times the one before: 8.5 s in all."""
_BODY, _LENGTHS = "tokens.list.element", "num_tokens"
T = TypeVar("T")


@dataclass(frozen=True)
class RowGroup:
    """One decoded row group."""

    tokens: npt.NDArray[Any]
    """All ids in a row, in the dataset's dtype."""
    starts: npt.NDArray[np.int64]
    """Position of each document's first token, ascending."""


def read_row_group(dataset: Dataset, stream: Stream, number: int) -> RowGroup:
    """Row group `number` of the stream, verified. Raises as `fetch` does."""
    return fetch(dataset, stream.place(number))


def fetch(dataset: Dataset, place: Place) -> RowGroup:
    """One row group, read and verified; read once more where it is not what was written.

    Reads that fail are repeated with pauses. Raises InputError where the file is missing or cannot
    be read, IntegrityError where it is damaged, both with file and row group.
    """
    try:
        return _fetch(dataset, place)
    except IntegrityError:
        # Damaged on its way, or damaged as it stands: the second look tells.
        return _fetch(dataset, place)


def read_columns(dataset: Dataset, place: Place, names: list[str]) -> pa.Table:
    """Columns of one row group as they stand, not verified. Raises as `fetch` does."""
    return _asked(dataset, place, lambda file: _table(file, place, names))


def _fetch(dataset: Dataset, place: Place) -> RowGroup:
    lengths, values, stored = _asked(dataset, place, lambda file: _decoded(dataset, file, place))
    where = _where(dataset, place)
    if values.dtype != dataset.dtype:
        raise _damaged(where, f"ids of type {values.dtype}", str(dataset.dtype))
    starts = np.cumsum(lengths) - lengths
    if (len(lengths), len(values)) != (place.documents, place.tokens) or not np.array_equal(
        stored, starts
    ):
        got = f"{len(lengths)} documents, {len(values)} tokens"
        raise _damaged(where, got, f"{place.documents} documents, {place.tokens} tokens")
    checksum = xxhash.xxh3_128_hexdigest(values.data)
    if checksum != place.checksum:
        raise _damaged(where, f"xxh3-128 {checksum}", place.checksum)
    return RowGroup(values, starts)


def _decoded(
    dataset: Dataset, source: Any, place: Place
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[np.int64]]:
    """(num_tokens, ids, starts of the lists) of a row group."""
    file = pq.ParquetFile(source)
    lengths = _table(file, place, [_LENGTHS])[_LENGTHS].to_numpy().astype(np.int64)
    columns = file.metadata.row_group(place.row_group)
    (column,) = (
        column
        for column in map(columns.column, range(columns.num_columns))
        if column.path_in_schema == _BODY
    )
    kind = file.schema_arrow.field("tokens").type
    if column.dictionary_page_offset is None and kind.value_type == pa.type_for_alias(
        dataset.dtype.newbyteorder("=").name
    ):
        chunk = source.read_at(column.total_compressed_size, column.data_page_offset)
        found = tokens_of_chunk(chunk, column, dataset.dtype, place.tokens, place.documents)
        if found is not None:
            return lengths, *found
    lists = _table(file, place, ["tokens"])["tokens"].combine_chunks()
    values = lists.flatten().to_numpy()
    return lengths, values, lists.offsets.to_numpy()[:-1].astype(np.int64)


def _table(source: Any, place: Place, names: list[str]) -> pa.Table:
    file = source if isinstance(source, pq.ParquetFile) else pq.ParquetFile(source)
    return file.read_row_group(place.row_group, columns=names, use_threads=False)


def _asked(dataset: Dataset, place: Place, read: Callable[[Any], T]) -> T:
    """`read` of the opened file, tried again where reading fails."""
    where, pause = _where(dataset, place), BACKOFF_SECONDS
    for tried in range(RETRIES + 1):
        try:
            with dataset.filesystem.open_input_file(dataset.path(place.file)) as source:
                return read(source)
        except FileNotFoundError as error:
            raise InputError(
                f"{where}: no such file. The dataset is not whole: copy it again."
            ) from error
        except (pa.ArrowException, IndexError, ValueError) as error:
            raise _damaged(where, "unreadable", "a Parquet row group", str(error)) from error
        except OSError as error:
            # Arrow reports a broken page as an OSError without a number, a failed read with one
            # on local disks and without on others: both get their tries.
            if error.errno is None and (tried == RETRIES or _local(dataset)):
                raise _damaged(where, "unreadable", "a Parquet row group", str(error)) from error
            if tried == RETRIES:
                raise InputError(
                    f"{where} cannot be read, {tried + 1} tries: {error}. Mend that, then resume."
                ) from error
        time.sleep(pause)
        pause *= 4
    raise AssertionError("the last try returns or raises")


def _local(dataset: Dataset) -> bool:
    return str(dataset.filesystem.type_name) == "local"


def _where(dataset: Dataset, place: Place) -> str:
    return f"{dataset.path(place.file)}, row group {place.row_group}"


def _damaged(where: str, got: str, expected: str, detail: str = "") -> IntegrityError:
    more = f" ({detail})" if detail else ""
    return IntegrityError(
        f"{where}: got {got}{more}, expected {expected}. The file is damaged: restore or copy it "
        f"again; the order of samples is unchanged by that."
    )
