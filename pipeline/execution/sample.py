"""The text of dropped documents, kept so that every drop can be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.draw import draw_column
from pipeline.execution.work import MadeFile
from pipeline.files.tables import ParquetSink, fill

SAMPLE_ROWS = 100
"""Documents a reason and partition, those of lowest draw (DESIGN section 4)."""


class DroppedSample:
    """Collects dropped documents of one partition: none, all, or each reason's lowest draws."""

    def __init__(self, seed: int, keep: str, schema: pa.Schema, path: Path) -> None:
        self.seed, self.keep = seed, keep
        self.schema = schema.append(pa.field("drop_reason", pa.string()))
        self._kept: dict[str, tuple[npt.NDArray[np.uint64], pa.Table]] = {}
        self._path = path
        self._sink: ParquetSink | None = None

    def add(
        self,
        entered: pa.Table,
        processed: pa.Table,
        rows: npt.NDArray[np.int64],
        reasons: pa.Array,
    ) -> None:
        """Offer a batch: documents with the text that entered, or the one made here from html.

        Columns made here, such as the entry of a list that a URL met, come along.
        """
        if self.keep == "none" or reasons.null_count == len(reasons):
            return
        for reason in pc.unique(reasons.drop_null()).to_pylist():
            hit = pc.fill_null(pc.equal(reasons, reason), False).to_numpy(False)
            table = entered.filter(pa.array(hit))
            # An apply that takes rows out never stands behind html.
            if hit[rows].sum() == hit.sum():
                made = processed.filter(pa.array(hit[rows]))
                if "text" not in entered.column_names:
                    table = made
                else:
                    for name in made.column_names:
                        if name not in table.column_names:
                            table = table.append_column(name, made.column(name))
            self._offer(reason, fill(table, pa.schema(list(self.schema)[:-1])))

    def _offer(self, reason: str, table: pa.Table) -> None:
        if self.keep == "all":  # nothing to choose, so nothing to hold
            self._write(reason, table)
            return
        draws = draw_column(self.seed, "sample", table.column("doc_id"))
        if reason in self._kept:
            known, before = self._kept[reason]
            draws = np.concatenate([known, draws])
            table = pa.concat_tables([before, table])
        if len(draws) > SAMPLE_ROWS:
            lowest = np.sort(np.argsort(draws, kind="stable")[:SAMPLE_ROWS])
            draws, table = draws[lowest], table.take(pa.array(lowest))
        self._kept[reason] = (draws, table)

    def _write(self, reason: str, table: pa.Table) -> None:
        if self._sink is None:
            self._sink = ParquetSink(self._path, self.schema)
        column = pa.repeat(pa.scalar(reason, pa.string()), table.num_rows)
        self._sink.write(table.append_column("drop_reason", column))

    def close(self) -> MadeFile | None:
        """The sample as one file, or None if nothing was dropped."""
        for reason in sorted(self._kept):
            self._write(reason, self._kept[reason][1])
        return self._sink.close() if self._sink else None
