"""Compiled kernels: Python that numba makes into machine code, once a machine."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent


def compiled_before(folder: Path = FOLDER) -> bool:
    """Whether kernels were compiled here since their sources changed. True where one cannot tell:
    numba keeps them elsewhere if it is told to, or if this folder cannot be written."""
    if "NUMBA_CACHE_DIR" in os.environ or not os.access(folder, os.W_OK):
        return True
    made = [path.stat().st_mtime for path in (folder / "__pycache__").glob("*.nbi")]
    changed = max(path.stat().st_mtime for path in folder.glob("*.py"))
    return bool(made) and max(made) >= changed
