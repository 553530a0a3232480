"""The loader's CUDA code, compiled for the processor: its functions are the kernels' own."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

KINDS = [
    *((16, "int64"), (32, "int32"), (15, "int64"), (17, "int32"), (18, "int64"), (11, "int32")),
    (31, "int64"),
]
"""(bits of an id, type of the outputs)."""


def compiled(source: str, kind: tuple[int, str], folder: Path) -> Any:
    """The library of a C++ text that includes files of `loader/`; skips without a compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here to run the kernels' code on the CPU")
    outs = {"int64": "long long", "int32": "int"}[kind[1]]
    (folder / "host.cpp").write_text(source)
    command = [compiler, "-O1", "-shared", "-fPIC", "-w", f"-DBITS={kind[0]}", f"-DOUT={outs}"]
    command += [f"-I{ROOT / 'loader'}", "-o", str(folder / "host.so"), str(folder / "host.cpp")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(folder / "host.so"))
