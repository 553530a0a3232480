"""That a library gave the ids of `tokenizers` on the check's texts, kept for the next process.

The check takes seconds of CPU, and each worker of a run would make it again. What is kept is only
that all was equal, under a digest of everything that the answer depends on: the tokenizer.json, the
check's texts, Python, the files of each package (as their `RECORD` lists them), those of this
folder and of the kernels with their tables, and the processor that kernels are compiled for. Any
change of one of them is another name, under which nothing stands yet. A refusal is never kept: it
is told in every run.

What changes a package's files without its installer is not noticed by `RECORD`. The check on the
first documents of each process and on one in N while it works is there all the same.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from stages.url_lists import default_cache

_log = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_KERNELS = _HERE.parent / "kernels"
PACKAGES = ("tokenizers", "numpy", "numba", "llvmlite", "pyarrow")
"""Besides the library itself."""
_REPLACED = "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "NUMBA_DISABLE_JIT"


def facts(
    backend: type, package: str, tokenizer: str, texts: Sequence[Sequence[str]]
) -> Mapping[str, Any]:
    """All that the answer depends on. `texts` are those of each part of the check."""
    digest = hashlib.sha256()
    for part in texts:
        digest.update(len(part).to_bytes(8, "big"))
        for text in part:
            data = text.encode()
            digest.update(len(data).to_bytes(8, "big") + data)
    return {
        "backend": f"{backend.__module__}.{backend.__qualname__}",
        "tokenizer": hashlib.sha256(tokenizer.encode()).hexdigest(),
        "texts": digest.hexdigest(),
        "packages": {name: _package(name) for name in sorted({*PACKAGES, package})},
        "sources": {folder.name: _sources(folder) for folder in (_HERE, _KERNELS)},
        "python": sys.version,
        "machine": platform.machine(),
        "processor": _target(),
        "numba": [os.environ.get(name, "") for name in _REPLACED],
    }


def is_known(facts: Mapping[str, Any]) -> bool:
    """True if a process found that all was equal, with all of these facts."""
    try:
        return bool(json.loads(_path(facts).read_bytes()) == facts)
    except (OSError, ValueError):
        return False


def keep(facts: Mapping[str, Any]) -> None:
    """Write it down for others. Where that cannot be, the next process checks again."""
    path = _path(facts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(facts, file)
        Path(file.name).replace(path)
    except OSError as error:
        _log.debug("the verdict of a check of encoders was not kept: %s", error)


def _path(facts: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return default_cache() / "encoders" / f"{digest}.json"


@lru_cache(maxsize=16)
def _package(name: str) -> str:
    """Version and a digest of the list of its files; empty where there is no such package."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    record = found.read_text("RECORD") or ""
    return f"{found.version} {hashlib.sha256(record.encode()).hexdigest()}"


@lru_cache(maxsize=2)
def _sources(folder: Path) -> str:
    """A digest of the names and contents of a folder's code and tables."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.py"), *folder.glob("*.json")]):
        data = path.read_bytes()
        digest.update(path.name.encode() + b"\0" + len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _target() -> str:
    """What LLVM compiles for."""
    from llvmlite import binding

    features: Mapping[str, bool] = binding.get_host_cpu_features()
    names = ",".join(sorted(name for name, has in features.items() if has))
    return f"{binding.get_host_cpu_name()} {names}"
