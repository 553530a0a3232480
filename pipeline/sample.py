"""The text of dropped documents, kept so that every drop can be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.draw import draw_column
from pipeline.tables import ParquetSink, fill
from pipeline.work import MadeFile

SAMPLE_ROWS = 100
"""Documents a reason and partition, those of lowest draw (DESIGN section 4)."""


class DroppedSample:
    """Collects dropped documents of one partition: none, all, or each reason's lowest draws."""

    def __init__(self, seed: int, keep: str, schema: pa.Schema) -> None:
        self.seed, self.keep = seed, keep
        self.schema = schema.append(pa.field("drop_reason", pa.string()))
        self._kept: dict[str, tuple[npt.NDArray[np.uint64], pa.Table]] = {}

    def add(
        self,
        entered: pa.Table,
        processed: pa.Table,
        rows: npt.NDArray[np.int64],
        reasons: pa.Array,
    ) -> None:
        """Offer a batch: documents as processed where they still are, else as they entered."""
        if self.keep == "none" or reasons.null_count == len(reasons):
            return
        for reason in pc.unique(reasons.drop_null()).to_pylist():
            hit = pc.fill_null(pc.equal(reasons, reason), False).to_numpy(False)
            processed_hit = hit[rows]
            table = processed.filter(pa.array(processed_hit))
            if table.num_rows < hit.sum():  # an apply took the rows out: only `entered` has them
                table = entered.filter(pa.array(hit))
            self._offer(reason, fill(table, pa.schema(list(self.schema)[:-1])))

    def _offer(self, reason: str, table: pa.Table) -> None:
        draws = draw_column(self.seed, "sample", table.column("doc_id"))
        if reason in self._kept:
            known, before = self._kept[reason]
            draws = np.concatenate([known, draws])
            table = pa.concat_tables([before, table])
        if self.keep == "sample" and len(draws) > SAMPLE_ROWS:
            lowest = np.sort(np.argsort(draws, kind="stable")[:SAMPLE_ROWS])
            draws, table = draws[lowest], table.take(pa.array(lowest))
        self._kept[reason] = (draws, table)

    def write(self, path: Path) -> MadeFile | None:
        """The sample as one file, or None if nothing was dropped."""
        if not self._kept:
            return None
        sink = ParquetSink(path, self.schema)
        for reason in sorted(self._kept):
            table = self._kept[reason][1]
            column = pa.repeat(pa.scalar(reason, pa.string()), table.num_rows)
            sink.write(table.append_column("drop_reason", column))
        return sink.close()
