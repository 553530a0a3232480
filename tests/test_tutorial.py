"""Executes docs/tutorial.md: writes its files, runs its commands, compares what they print."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n\n?)?^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the comment right above it."""

    mark: str
    language: str
    body: str

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """(command, lines that it should print) of a console block with `$` prompts."""
        for part in re.split(r"^\$ ", self.body, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield command, [line for line in shown.splitlines() if line.strip()]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = _BLOCK.finditer(page.read_text("utf-8"))
    return [Block(m["mark"] or "", m["language"], m["body"]) for m in found]


def shell(command: str, folder: Path) -> str:
    """What a command prints; `python` is this one, and it must end well."""
    bin_folder = folder / ".bin"
    bin_folder.mkdir(exist_ok=True)
    python = bin_folder / "python"
    if not python.exists():
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "100",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def spaced(text: str) -> str:
    return " ".join(text.split())


def compare(command: str, shown: list[str], printed: str) -> None:
    """Every line shown is the beginning of a printed one, in order; spaces do not count."""
    lines = iter([spaced(line) for line in printed.splitlines()])
    for line in shown:
        assert any(found.startswith(spaced(line)) for found in lines), (
            f"$ {command}\nshown and not printed there: {line}\nprinted:\n{printed}"
        )


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    kinds = []
    for block in blocks(TUTORIAL):
        kind, _, name = block.mark.partition(": ")
        kinds.append(kind)
        if kind == "file":
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.body, "utf-8")
        elif kind == "run":
            for command, shown in block.commands():
                compare(command, shown, shell(command, tmp_path))
    assert set(kinds) == {"file", "run"}, "a block of the tutorial is not executed"
    assert kinds.count("run") >= 6


def test_the_first_filter_of_the_tutorial_is_at_most_ten_lines() -> None:
    code = next(block.body for block in blocks(TUTORIAL) if block.language == "python")
    filter_class = next(n for n in ast.parse(code).body if isinstance(n, ast.ClassDef))
    lines = ast.unparse(filter_class).splitlines()
    written = [line for line in lines if line.strip() and '"""' not in line]
    assert len(written) <= 10, "\n".join(written)
