"""The disk cache of kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

INNER = "from stages.kernels.jit import jit\n\n@jit\ndef inner():\n    return {value}\n"
OUTER = (
    "from inner import inner\nfrom stages.kernels.jit import jit\n\n"
    "@jit\ndef outer():\n    return inner()\n"
)
CALL = (
    "from outer import outer; from stages.kernels.jit import is_compiled;"
    "there = is_compiled(outer); found = outer(); assert is_compiled(outer);"
    "print(found, sum(outer.stats.cache_hits.values()), there)"
)


def call(folder: Path) -> list[str]:
    """What `outer` gives in a new process, how often it came from the cache, and whether that was
    told before."""
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(root)])}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", CALL]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_an_edit_of_a_called_kernel_in_another_file_is_never_answered_from_the_cache(
    tmp_path: Path,
) -> None:
    (tmp_path / "inner.py").write_text(INNER.format(value=1))
    (tmp_path / "outer.py").write_text(OUTER)
    assert call(tmp_path) == ["1", "0", "False"]
    assert call(tmp_path) == ["1", "1", "True"]
    (tmp_path / "inner.py").write_text(INNER.format(value=2))
    assert call(tmp_path) == ["2", "0", "False"]
