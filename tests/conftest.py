"""Shared fixtures: real inputs from $TOKENMILL_SHARED, runs of small configurations."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from pipeline.execution.runner import Options, RunResult, run
from pipeline.planning.config import parse_config
from pipeline.planning.plan import make_plan

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("TOKENMILL_SHARED", ROOT.parent / "shared"))

# Tests start hundreds of processes with the same modules: their bytecode is written and read again,
# whatever the shell says. Without it a quarter of a suite's CPU time is spent on compiling Python.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# An example's time says how busy the machine is, and the first one's that a kernel was loaded.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

RunConfig = Callable[..., RunResult]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pages and archives; tests that need it skip without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no shared data at {SHARED} (set TOKENMILL_SHARED)")
    return SHARED / "data"


@pytest.fixture(scope="session", autouse=True)
def built_indices(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Indices that tests build are theirs, not the user's."""
    os.environ["TOKENMILL_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_texts(shared_data: Path) -> list[dict[str, Any]]:
    """Some 400 real texts of several languages: {"id", "text", "url"}."""
    rows: list[dict[str, Any]] = []
    with gzip.open(shared_data / "text" / "libreoffice_help_multilingual.jsonl.gz", "rt") as lines:
        for number, line in enumerate(lines):
            if number % 6 == 0:
                text = json.loads(line)["text"]
                url = f"https://help.example/{number}"
                rows.append({"id": f"doc-{number}", "text": text, "url": url})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as JSON lines; gzip when the name says so, with the same bytes every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def split_files(folder: Path, rows: list[dict[str, Any]], files: int) -> list[Path]:
    """The rows over several files, one after the other."""
    return [write_jsonl(folder / f"part-{n}.jsonl", rows[n::files]) for n in range(files)]


@pytest.fixture
def run_yaml(tmp_path: Path) -> RunConfig:
    """`run_yaml(text, **options)` runs a configuration at 0 workers in its own workdir."""

    def call(text: str, workdir: Path | None = None, *overrides: str, **options: Any) -> RunResult:
        where = f"workdir={workdir or tmp_path / 'work'}"
        config = parse_config(text, "test.yaml", [where, *overrides])
        return run(make_plan(config), Options(**options))

    return call
