"""What the text filters share: counts that several of them need, and ratios of counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.stage import TextBatch


def batch_word_counts(batch: TextBatch) -> Mapping[str, Any]:
    """The counts of `stages.kernels.words`, once for all filters that see the same text."""
    from stages.kernels.words import word_counts

    return batch.shared("word_counts", lambda batch: word_counts(batch.column("text")))


def ratio(part: Any, whole: Any) -> Any:
    """part / whole of integer arrays; NaN, which means not measured, where there is no whole.

    Counts are below 2^53, so the quotient is the one that Python's integers give.
    """
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole != 0)
