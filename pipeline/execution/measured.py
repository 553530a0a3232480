"""What the stages of a segment measured, typed and as long as the batch; whose an error is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.batch import TextBatch
from pipeline.errors import StageError
from pipeline.stage import Processed, RowStage, Side


def metric_array(name: str, values: Any, kind: pa.DataType, length: int, where: str) -> pa.Array:
    """Metric values as an Arrow array of the declared type; NaN becomes null.

    Raises StageError when the length or the type is wrong.
    """
    try:
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if isinstance(values, np.ndarray):
            array = pa.array(values, from_pandas=True)
        elif isinstance(values, pa.Array):
            array = values
        else:
            array = pa.array(values, from_pandas=True)
        array = array.cast(kind) if array.type != kind else array
    except (TypeError, ValueError, OverflowError, NotImplementedError) as error:  # Arrow's too
        raise StageError(
            f"{where}: metric '{name}' cannot be stored as {kind}: {error}. "
            f"Return numbers, or declare the metric's type in `metrics`."
        ) from error
    if len(array) != length:
        raise StageError(
            f"{where}: metric '{name}' has {len(array)} values for {length} documents. "
            f"Return one value a document."
        )
    return array


def num_chars(table: pa.Table) -> pa.Array | None:
    """Characters of each text; None without texts."""
    if "text" not in table.column_names:
        return None
    counts = pc.utf8_length(table.column("text")).cast(pa.int64())
    return counts.combine_chunks() if isinstance(counts, pa.ChunkedArray) else counts


def spread(values: pa.Array, rows: npt.NDArray[np.int64], length: int) -> pa.Array:
    """Values of some rows as a column of the whole batch; null for the others."""
    if len(rows) == length:
        return values
    at = np.full(length, -1, dtype=np.int64)
    at[rows] = np.arange(len(rows))
    return values.take(pa.array(at, mask=at < 0))


def check_metrics(
    answer: Processed, stage: RowStage, length: int, where: str
) -> dict[str, pa.Array]:
    """The declared metrics of an answer, typed; one that it lacks is null. Raises StageError."""
    types = stage.metric_types()
    for name in answer.metrics:
        if name not in types:
            raise StageError(
                f"{where}: the metric '{name}' is not declared. Add it to "
                f"`metrics: ClassVar = {{'{name}': float}}` or bound it by a rule."
            )
    return {
        name: metric_array(name, answer.metrics[name], kind, length, where)
        if name in answer.metrics
        else pa.nulls(length, kind)
        for name, kind in types.items()
    }


def first_failure(
    call: Any, batch: TextBatch, side: Side, error: Exception
) -> tuple[str, Exception]:
    """doc_id (hex) of the first document on which the call fails alone, and its error."""
    for row in range(len(batch)):
        one = TextBatch(batch.table.slice(row, 1))
        try:
            call(one, side)
        except Exception as alone:
            return one.values("doc_id")[0].hex(), alone
    return "of the whole batch only", error
