"""The export `hf`: Parquet files with a column `input_ids`, for Hugging Face `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loader.exports.format import Facts, Part, Reader, Writer
from loader.exports.stored_order import BATCH_ROWS, Block

FILE_TOKENS = 500_000_000
"""A file closes with the block that reaches this many tokens: some 0.7 GB."""
SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32()))])


class ParquetWriter(Writer):
    """`<split>-00000-of-<files>.parquet`, a document a row, a row group a block, zstd."""

    def __init__(self, folder: Path, split: str, facts: Facts) -> None:
        super().__init__(folder, split, facts)
        self._files: list[Path] = []
        self._open: pq.ParquetWriter | None = None
        self._tokens = 0

    def write(self, block: Block) -> None:
        if self._open is None:
            self._files.append(self.folder / f"{self.split}-{len(self._files):05d}.part")
            self._open = pq.ParquetWriter(
                self._files[-1], SCHEMA, compression="zstd", write_page_checksum=True
            )
        offsets = np.concatenate([[0], np.cumsum(block.lengths)]).astype(np.int32)
        ids = pa.array(block.tokens.astype(self.dtype))
        lists = pa.ListArray.from_arrays(pa.array(offsets), ids)
        self._open.write_table(pa.table([lists], schema=SCHEMA), row_group_size=len(lists))
        self._tokens += len(block.tokens)
        if self._tokens >= FILE_TOKENS:
            self._end_file()

    def _end_file(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open, self._tokens = None, 0

    def close(self) -> None:
        self._end_file()
        for number, path in enumerate(self._files):
            path.rename(self.folder / file_name(self.split, number, len(self._files)))

    def abort(self) -> None:
        self._end_file()


def file_name(split: str, number: int, count: int) -> str:
    """The name by which `datasets` knows a split's files."""
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


class ParquetReader(Reader):
    """Rows of the files in order of their numbers."""

    def parts(self) -> Iterator[Part]:
        files = sorted(self.folder.glob(f"{self.split}-*-of-*.parquet"))
        names = [file_name(self.split, number, len(files)) for number in range(len(files))]
        self.expect(self.folder, [path.name for path in files], names, "files")
        for path in files:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                self.expect(path, file.schema_arrow.equals(SCHEMA), True, "schema")
                for group in range(file.num_row_groups):  # of all at once it would hold all
                    for batch in file.iter_batches(
                        BATCH_ROWS, row_groups=[group], use_threads=False
                    ):
                        lists = batch.column("input_ids")
                        lengths = np.diff(lists.offsets.to_numpy()).astype(np.int64)
                        yield Part(lists.flatten().to_numpy(), lengths)
