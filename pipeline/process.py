"""What a process of the pipeline sets for itself, before it imports anything large.

In a Ray worker the libraries are there already, and have looked at the variables that Ray gave it.
"""

from __future__ import annotations

import gc
import os

PURGE_MILLISECONDS = 100
"""Freed memory goes back to the system this much later: zeroing what is soon asked for again is a
tenth of a run (docs/notes/documents-to-shards.md). After each work all of it goes at once."""
GARBAGE = (20_000, 20, 20)
"""Thresholds of Python's search for cycles. Its own (700, 10, 10) take a tenth of start-up, over
modules and classes that all stay; tables are no objects that it could find."""


def prepare() -> None:
    """Raises nothing, changes no output; what the user's environment says holds."""
    # NumPy's OpenBLAS starts a thread a core that spins for 0.1 CPU seconds, and no stage of ours
    # multiplies matrices.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", str(PURGE_MILLISECONDS))
    gc.set_threshold(*GARBAGE)
