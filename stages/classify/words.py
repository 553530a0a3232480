"""Names that every part of the classifiers shares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
POSITIVE, NEGATIVE = "positive", "negative"
"""The two classes: documents that are wanted, and those to tell them from."""
