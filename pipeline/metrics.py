"""Metric values as stages return them, typed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import StageError


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
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
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
