"""Kernels are compiled once a machine, by its processes in turn."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.execution.warm_up import Busy, impatient, note_compiling, take_turns
from stages.catalogue import CATALOGUE
from stages.kernels import compiled_before

ROOT = Path(__file__).parents[1]
KERNELS = """
from stages.kernels.jit import jit

@jit
def one(x):
    return x + 1

@jit
def two(x):
    return x * 2
"""
ASK = """
import json, sys
from kernels import one, two
from pipeline.execution.warm_up import take_turns

take_turns([lambda: one(1), lambda: two(1)])
print(json.dumps({k.__name__: sum(k.stats.cache_misses.values()) for k in (one, two)}))
"""
LOADED = """
import json
from stages.kernels.jit import SharedCache
from pipeline.stage import Side
from pipeline.execution.warm_up import example_batch, take_turns
from stages.c4 import C4Lines, C4Sentences
from stages.extract import Extract
from stages.extract.stage import _Reader
from stages.fineweb import FinewebQuality
from stages.gopher import GopherQuality, GopherRepetition
from stages.dedup.minhash import MinhashDedup
from stages.normalise import Normalise
from stages.pii import Pii

asked, load = [], SharedCache.load_overload

def noted(self, sig, context):
    asked.append(self._name)
    return load(self, sig, context)

SharedCache.load_overload = noted
filters = [C4Lines(), C4Sentences(), FinewebQuality(), GopherQuality(), GopherRepetition(),
           Normalise(), Pii()]
stages = [Extract(), MinhashDedup(), *filters]
take_turns(call for stage in stages for call in stage.warm_up())
before = len(asked)
page = b"<title>A page</title><div class=comments><ul><li>An entry<li>Another</ul></div>"
page += b"<table><tr><td>1<td>2<tr><td>3<td>4</table><pre>code</pre>" + b"<p>Some text." * 40
reader = _Reader("blocks", {"format": "text", "comments": "keep", "model": None})
assert reader.read(page, None, None)[0].text
for stage in filters:
    stage.process(example_batch(), Side("again", 0))
MinhashDedup().signatures(example_batch(), Side("again", 0))
print(json.dumps([before, asked[before:]]))
"""


def python(folder: Path, code: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    if folder != ROOT:
        environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_what_another_process_is_busy_with_is_done_at_the_end() -> None:
    made: list[str] = []

    def busy() -> None:
        if impatient():
            raise Busy
        made.append("busy elsewhere")

    take_turns([busy, lambda: made.append("free")])
    assert made == ["free", "busy elsewhere"]
    assert not impatient()


def test_later_steps_are_compiled_for_before_waiting_and_only_where_something_compiles() -> None:
    made: list[str] = []

    def busy() -> None:
        if impatient():
            raise Busy
        made.append("busy elsewhere")

    def busy_for_long() -> None:
        raise Busy

    ahead = [busy_for_long, lambda: made.append("ahead")]
    take_turns([busy], lambda: ahead)
    assert made == ["ahead", "busy elsewhere"]
    take_turns([note_compiling], lambda: ahead)
    assert made == ["ahead", "busy elsewhere", "ahead"]
    take_turns([lambda: None], lambda: ahead)
    assert len(made) == 3


def test_a_small_run_takes_a_library_and_a_large_one_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from stages import tokenize
    from stages.tokenize import SMALL_INPUT, Tokenize

    monkeypatch.setattr(tokenize, "_kernel_is_compiled", lambda: False)
    assert Tokenize().sized(SMALL_INPUT) == Tokenize()
    assert Tokenize().sized(SMALL_INPUT - 1).backend == "libraries"
    assert not Tokenize().sized(0).warm_up()
    assert Tokenize(backend="kernel").sized(0).backend == "kernel"


def test_a_kernel_that_another_run_compiled_is_taken_at_any_size() -> None:
    from stages.encoders.tables import compile_kernel, kernel_is_compiled
    from stages.tokenize import Tokenize

    compile_kernel()
    assert kernel_is_compiled()
    assert Tokenize().sized(0) == Tokenize()
    assert Tokenize(backend="libraries").sized(0).backend == "libraries"


def test_an_error_of_a_call_is_left_to_the_first_batch() -> None:
    made: list[str] = []

    def broken_later() -> None:
        if impatient():
            raise Busy
        raise ValueError("no kernel of ours")

    take_turns([lambda: 1 // 0, broken_later, lambda: made.append("the rest")])
    assert made == ["the rest"]
    assert not impatient()


def test_kernels_count_as_compiled_once_that_was_after_their_sources_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    source, cache = tmp_path / "kernel.py", tmp_path / "__pycache__"
    source.write_text("")
    assert not compiled_before(tmp_path)
    cache.mkdir()
    (cache / "kernel.nbi").write_bytes(b"")
    os.utime(source, (1, 1))
    assert compiled_before(tmp_path)
    os.utime(cache / "kernel.nbi", (0, 0))
    assert not compiled_before(tmp_path)


def test_processes_side_by_side_compile_each_kernel_once(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text(KERNELS)
    processes = [python(tmp_path, ASK) for _ in range(3)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    misses = [json.loads(output) for output in outputs]
    assert sum(found["one"] for found in misses) == 1, misses
    assert sum(found["two"] for found in misses) == 1, misses


def test_after_the_warm_up_no_batch_asks_for_another_kernel() -> None:
    process = python(ROOT, LOADED)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0
    before, later = json.loads(output)
    assert before > 15
    assert later == []


def reached(module: str, seen: set[str]) -> set[str]:
    """The module and all modules of the stages that it imports, anywhere in its source."""
    if module in seen or module.partition(".")[0] not in ("stages", "tokenizer_training"):
        return seen
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    seen.add(module)
    for node in ast.walk(ast.parse(Path(spec.origin).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            reached(node.module, seen)
    return seen


def test_a_stage_that_says_that_it_compiles_has_kernels() -> None:
    classes = [getattr(importlib.import_module(m), c) for m, _, c in
               (spec.partition(":") for spec in CATALOGUE.values())]  # fmt: skip
    compiling = [cls for cls in classes if cls.compiles]
    assert len(compiling) > 10
    for cls in compiling:
        modules = set[str]()
        for base in cls.__mro__:
            reached(base.__module__, modules)
        assert any(name.startswith("stages.kernels") for name in modules), cls
