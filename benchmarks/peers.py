"""Peers live in virtual environments of their own, made on first use from pinned versions.

`peers/<name>.txt` pins every package, dependencies included; the environment's folder carries the
list's digest, so that a moved pin makes a new one. Nothing but the package registry is asked.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import MeasureError

HERE = Path(__file__).resolve().parent
LISTS = HERE / "peers"
ENVIRONMENTS = HERE / ".venvs"


def pins(name: str) -> dict[str, str]:
    """Package -> version, from the peer's list. Raises MeasureError."""
    path = LISTS / f"{name}.txt"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in LISTS.glob("*.txt")))
        raise MeasureError(f"no peer '{name}'; there are: {known}")
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line:
            package, equals, version = line.partition("==")
            if not equals:
                raise MeasureError(f"{path}: '{line}' is not pinned with ==")
            found[package] = version
    return found


def environment(name: str) -> Path:
    """Folder of the peer's environment, there or not."""
    wanted = "\n".join(f"{package}=={version}" for package, version in pins(name).items())
    tag = f"{sys.version_info.major}{sys.version_info.minor}"
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    return ENVIRONMENTS / f"{name}-py{tag}-{digest}"


def python_of(name: str) -> Path:
    """The interpreter of the peer's environment, made now if it is not there."""
    folder = environment(name)
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _make(name, folder)
    return folder / "bin" / "python"


def _make(name: str, folder: Path) -> None:
    print(f"making the environment of {name} at {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    python = str(folder / "bin" / "python")
    wanted = [f"{package}=={version}" for package, version in pins(name).items()]
    # No dependencies: the list names them all, with some that the peer's own bounds forbid.
    _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
          "--only-binary", ":all:", *wanted])  # fmt: skip
    (folder / "complete").touch()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise MeasureError(f"{' '.join(command[:5])} ... failed:\n{done.stderr[-2000:]}")


def peer_environment() -> Mapping[str, str]:
    """Variables under which a peer runs: one thread a process, as ours, and no network."""
    return {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
