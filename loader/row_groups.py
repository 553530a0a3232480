"""Row groups of token shards: read, verified, and kept in a bounded cache.

No token reaches a batch before the xxh3-128 of its row group's bytes equals the index.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from loader.dataset import Dataset, Stream
from pipeline.errors import InputError, IntegrityError


@dataclass(frozen=True)
class RowGroup:
    """One decoded row group."""

    tokens: npt.NDArray[Any]
    """All ids in a row, in the dataset's dtype."""
    starts: npt.NDArray[np.int64]
    """Position of each document's first token, ascending."""

    @property
    def num_bytes(self) -> int:
        return self.tokens.nbytes + self.starts.nbytes


class RowGroupCache:
    """Verified row groups, the least recently used leaving when `max_bytes` is passed.

    One is always kept, whatever its size.
    """

    def __init__(self, dataset: Dataset, max_bytes: int) -> None:
        self._dataset, self._max_bytes = dataset, max_bytes
        self._held: OrderedDict[tuple[str, int], RowGroup] = OrderedDict()
        self.num_bytes = 0

    def get(self, stream: Stream, number: int) -> RowGroup:
        """Row group `number` of the stream. Raises IntegrityError with file and row group."""
        key = (stream.files[number], stream.row_groups[number])
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        found = read_row_group(self._dataset, stream, number)
        self._held[key] = found
        self.num_bytes += found.num_bytes
        while self.num_bytes > self._max_bytes and len(self._held) > 1:
            _, gone = self._held.popitem(last=False)
            self.num_bytes -= gone.num_bytes
        return found


def read_row_group(dataset: Dataset, stream: Stream, number: int) -> RowGroup:
    """Read and verify one row group. Raises IntegrityError where it is not what was written."""
    file, row_group = stream.files[number], stream.row_groups[number]
    where = f"{dataset.path(file)}, row group {row_group}"
    try:
        with dataset.filesystem.open_input_file(dataset.path(file)) as source:
            table = pq.ParquetFile(source).read_row_group(
                row_group, columns=["num_tokens", "tokens"], use_threads=False
            )
        lists = table["tokens"].combine_chunks()
        values = lists.flatten().to_numpy()
    except FileNotFoundError as error:
        raise InputError(
            f"{where}: no such file. The dataset is not whole: copy it again."
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise _damaged(where, "unreadable", "a Parquet row group", str(error)) from error
    lengths = table["num_tokens"].to_numpy().astype(np.int64)
    stored = np.diff(lists.offsets.to_numpy())
    if values.dtype != dataset.dtype:
        raise _damaged(where, f"ids of type {values.dtype}", str(dataset.dtype))
    expected = (stream.documents[number], int(stream.starts[number + 1] - stream.starts[number]))
    if (len(lengths), len(values)) != expected or not np.array_equal(stored, lengths):
        got = f"{len(lengths)} documents, {len(values)} tokens"
        raise _damaged(where, got, f"{expected[0]} documents, {expected[1]} tokens")
    checksum = xxhash.xxh3_128_hexdigest(values.data)
    if checksum != stream.checksums[number]:
        raise _damaged(where, f"xxh3-128 {checksum}", stream.checksums[number])
    return RowGroup(values, np.cumsum(lengths) - lengths)


def _damaged(where: str, got: str, expected: str, detail: str = "") -> IntegrityError:
    more = f" ({detail})" if detail else ""
    return IntegrityError(
        f"{where}: got {got}{more}, expected {expected}. The file is damaged: restore or copy it "
        f"again; the order of samples is unchanged by that."
    )
