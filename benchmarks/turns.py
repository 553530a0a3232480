"""Both sides in turn in one run: A B A B, each in a fresh folder, never at the same time."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Usage, measure
from benchmarks.report import ROOT
from benchmarks.web import Web

Command = Callable[[Web, Path], Sequence[str]]
"""(input, output folder) -> command line."""
Look = Callable[[Path], Any]
"""What is read from a turn's output before it is deleted; not measured."""


@dataclass
class Side:
    """One side of a comparison, and its turns so far."""

    name: str
    command: Command
    look: Look
    env: Mapping[str, str] = field(default_factory=dict)
    turns: list[Usage] = field(default_factory=list)
    _startup: Usage | None = None
    found: Any = None
    """What `look` read from the last turn."""

    def start_up(self, web: Web, warm: bool = True) -> Usage:
        """An empty run: the start-up input. With `warm` run twice, so that disk caches are warm."""
        if warm:
            self._once(web, "start-up, first time")
        self._startup = self._once(web, "start-up")
        return self._startup

    @property
    def startup(self) -> Usage:
        """What the empty run used."""
        assert self._startup is not None, f"{self.name}: start_up comes before turns"
        return self._startup

    def turn(self, web: Web) -> Usage:
        usage = self._once(web, f"turn {len(self.turns) + 1}")
        self.turns.append(usage)
        return usage

    def trial(self, web: Web) -> Usage:
        """A run to learn the speed from; no turn."""
        return self._once(web, "trial")

    def _once(self, web: Web, what: str) -> Usage:
        folder = Path(tempfile.mkdtemp(prefix="tokenmill-benchmark-"))
        try:
            command = self.command(web, folder / "out")
            usage = measure(
                command, cwd=ROOT, env={"PYTHONUNBUFFERED": "1", **self.env}, log=folder / "log"
            )
            self.found = self.look(folder / "out")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        say(
            f"{self.name}, {what}: {usage.cpu_seconds:.1f} s CPU, {usage.wall_seconds:.1f} s wall, "
            f"{usage.peak_pss_bytes >> 20} MB"
        )
        return usage


def say(line: str) -> None:
    """Progress, for people: standard output is for the result alone."""
    print(line, file=sys.stderr, flush=True)


def alternate(first: Side, first_turns: int, second: Side, second_turns: int, web: Web) -> None:
    """Turns of both sides one after the other, until each has had its number."""
    for at in range(max(first_turns, second_turns)):
        if at < first_turns:
            first.turn(web)
        if at < second_turns:
            second.turn(web)


def pages_for(side: Side, trial: Web, seconds: float, least: int) -> int:
    """Pages that the side does in so many CPU seconds, from a trial run; start-up left out."""
    spent = max(side.trial(trial).cpu_seconds - side.startup.cpu_seconds, 0.1)
    return max(least, int(seconds * trial.documents / spent))
