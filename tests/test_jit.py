"""The disk cache of kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


FULL = """
import resource, warnings
from functions import one, other
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    print(one(), other())
(line,) = [str(of.message) for of in said]
assert "cannot be kept in" in line and "File too large" in line, line
"""


@pytest.mark.parametrize("module", ["stages.kernels.jit", "loader.jit"])
def test_where_no_file_can_be_written_functions_are_compiled_all_the_same(
    tmp_path: Path, module: str
) -> None:
    (tmp_path / "functions.py").write_text(
        f"from {module} import jit\n\n@jit\ndef one():\n    return 1\n\n"
        "@jit\ndef other():\n    return 2\n"
    )
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    environment.pop("NUMBA_CACHE_DIR", None)
    found = subprocess.run(
        [sys.executable, "-c", FULL], env=environment, capture_output=True, text=True, check=False
    )
    assert found.stdout.split() == ["1", "2"], found.stderr
    kept = [path.name for path in (tmp_path / "__pycache__").iterdir()]
    assert not [name for name in kept if name.endswith((".nbi", ".nbc")) or ".tmp" in name], kept
