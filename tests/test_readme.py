"""README.md does what it says: its commands are run beside a copy of its inputs, output compared.

`.ci/run` runs the same commands with their installation, in a fresh virtual environment; here they
run in this one, in the driver's process, without network.
"""

from __future__ import annotations

import ast
import doctest
import importlib.metadata
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_tutorial import Block, blocks, compare, shell

from pipeline.planning.config import load_config
from pipeline.planning.plan import make_plan

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
COPIED = ("configs", "samples")
"""The code is that of the tree, whose kernels are compiled once for all tests."""

pytestmark = pytest.mark.skipif(not README.exists(), reason="no README.md yet")


@dataclass(frozen=True)
class Copy:
    """A copy of the tree in which the README's first run was done."""

    folder: Path
    printed: str

    @property
    def shard(self) -> str:
        return next((self.folder / "runs/c4like/dataset/shards").glob("train-web-0-*")).name


def marked(name: str) -> Block:
    """The console block below `<!-- ci: NAME -->` or `<!-- test: NAME -->`."""
    found = [b for b in blocks(README) if b.mark in (f"ci: {name}", f"test: {name}")]
    assert len(found) == 1, f"README.md marks {len(found)} blocks as {name}"
    return found[0]


def pipeline_commands(text: str) -> Iterator[str]:
    """The commands of a console block that run the pipeline, without prompts and comments."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.removeprefix("$ ").split("&&"):
            command = re.sub(r"\s+#.*$", "", part).strip()
            found = re.match(r"(?:\.venv/bin/)?(?:python3? -m pipeline|tokenmill) (.*)", command)
            if found:
                yield f"python -m pipeline {found.group(1)}"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    folder = tmp_path_factory.mktemp("readme")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name)
    (command,) = pipeline_commands(marked("run").body)
    return Copy(folder, shell(f"{command} --workers 0", folder))


def as_pinned() -> bool:
    """True if the libraries that decide the bytes are those of constraints.txt."""
    text = (ROOT / "constraints.txt").read_text("utf-8")
    pinned = {k.lower(): v for k, v in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}
    plan = make_plan(load_config(str(ROOT / "configs/c4like.yaml"), ["workdir=none"]))
    names = {"pyarrow", *(name for step in plan.steps for name in step.stage.libraries)}
    return all(pinned.get(name) == importlib.metadata.version(name) for name in names)


@pytest.fixture
def pinned() -> None:
    """Skips where the README's figures need not hold."""
    if not as_pinned():
        pytest.skip("other library versions than those of constraints.txt")


@pytest.fixture
def in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("in_root", "pinned")
def test_the_first_command_prints_the_funnel_that_the_readme_shows(copy: Copy) -> None:
    shown = [b for b in blocks(README) if b.language == "text" and b.body.startswith("step ")]
    assert len(shown) == 1
    compare("run", shown[0].body.splitlines(), copy.printed)


@pytest.mark.usefixtures("in_root", "pinned")
def test_the_shard_is_what_the_readme_shows(copy: Copy) -> None:
    session = next(b.body for b in blocks(README) if b.language == "python" and ">>>" in b.body)
    assert f"dataset/shards/{copy.shard}" in session
    lines = [line.removeprefix(">>> ") for line in session.splitlines() if line.startswith(">>> ")]
    code = [f"print(repr({x}))" if is_expression(x) else x for x in lines]
    (copy.folder / "session.py").write_text("\n".join(code), "utf-8")
    shown = [line for line in session.splitlines() if not line.startswith(">>> ")]
    compare("the session", shown, shell("python session.py", copy.folder))


def is_expression(line: str) -> bool:
    return isinstance(ast.parse(line).body[0], ast.Expr)


def test_every_look_at_the_finished_run_works_as_written(copy: Copy) -> None:
    url = "https://www.northlane.example/2021/02/post-11.html"
    looks = ("plan", "run configs/c4like.yaml", "explain", "inspect", "trace", "stages")
    done = []
    for block in blocks(README):
        if block.language != "console" or block.mark:
            continue
        for command in pipeline_commands(block.body):
            arguments = command.removeprefix("python -m pipeline ")
            if not arguments.startswith(looks) or "--address" in arguments or "/data/" in arguments:
                continue
            filled = command.replace(" URL", f" {url}")
            filled = re.sub(r"train-web-0-X+\.parquet", copy.shard, filled)
            if arguments.startswith("run") and "--workers" not in arguments:
                filled += " --workers 0"
            printed = shell(filled, copy.folder)
            done.append(arguments.split()[0])
            if arguments.startswith("run"):
                assert re.search(r"^0 works done", printed, re.MULTILINE), printed
    assert {"plan", "run", "explain", "inspect", "trace", "stages"} <= set(done)


def test_the_filter_of_the_readme_works_and_has_ten_lines(tmp_path: Path) -> None:
    code = next(b.body for b in blocks(README) if "class Shout" in b.body)
    body = code[code.index("@dataclass") :].strip()
    assert len(body.splitlines()) <= 10
    (tmp_path / "my_filters.py").write_text(code, "utf-8")
    (tmp_path / "docs.jsonl").write_text('{"text": "ALL LOUD HERE"}\n{"text": "quiet"}\n')
    (tmp_path / "my.yaml").write_text(
        "name: mine\nworkdir: run\nsteps:\n  - read_jsonl: {paths: [docs.jsonl]}\n"
        "  - id: shout\n    my_filters:Shout: {max_upper: 0.25}\n  - write_documents: {}\n"
    )
    printed = shell("python -m pipeline run my.yaml --workers 0", tmp_path)
    assert re.search(r"^shout +2 +1 +upper_too_high 1$", printed, re.MULTILINE)


def test_every_python_block_of_the_readme_can_be_parsed() -> None:
    for block in blocks(README):
        if block.language == "python" and ">>>" not in block.body:
            ast.parse(block.body)


def test_the_examples_of_docs_shards_work(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy.folder)
    page = doctest.testfile(str(ROOT / "docs" / "shards.md"), module_relative=False)
    assert (page.failed, page.attempted > 20) == (0, True)
