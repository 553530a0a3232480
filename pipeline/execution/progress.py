"""Progress of a run: live bars on a terminal, plain lines elsewhere, nothing with --quiet."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol


class Progress(Protocol):
    """Hears of nodes and works. Losing it loses nothing."""

    def node(self, name: str, total: int, cached: int) -> None:
        """A node starts, with so many works, some of them finished in an earlier run."""

    def advance(self, name: str, documents: int) -> None:
        """One work of a node is done, with so many documents in."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def close(self) -> None: ...


class Quiet:
    """Says nothing."""

    def node(self, name: str, total: int, cached: int) -> None: ...

    def advance(self, name: str, documents: int) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


class Lines:
    """One line a finished node, for logs and pipes."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}
        self._totals: dict[str, tuple[int, int]] = {}
        self._documents: dict[str, int] = {}
        self._started: dict[str, float] = {}

    def node(self, name: str, total: int, cached: int) -> None:
        self._totals[name] = (total, cached)
        self._left[name] = total - cached
        self._documents[name] = 0
        self._started[name] = time.monotonic()
        if self._left[name] == 0:
            self._line(name)

    def advance(self, name: str, documents: int) -> None:
        self._left[name] -= 1
        self._documents[name] += documents
        if self._left[name] == 0:
            self._line(name)

    def _line(self, name: str) -> None:
        total, cached = self._totals[name]
        seconds = time.monotonic() - self._started[name]
        documents = f"{self._documents[name]:,} documents" if self._documents[name] else ""
        reused = f"{cached} from an earlier run" if cached else ""
        tail = ", ".join(part for part in (documents, reused, f"{seconds:.1f} s") if part)
        print(f"  {name:<36} {total:>5} done  {tail}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None: ...


class Bars:
    """Live bars. rich redraws them at every width, so a resize does no harm."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._console = Console(stderr=True)
        self._bars: Any = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[documents]:>10,} documents"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._bars.start()
        self._ids: dict[str, Any] = {}
        self._documents: dict[str, int] = {}

    def node(self, name: str, total: int, cached: int) -> None:
        self._documents[name] = 0
        self._ids[name] = self._bars.add_task(name, total=total, completed=cached, documents=0)

    def advance(self, name: str, documents: int) -> None:
        self._documents[name] += documents
        self._bars.update(self._ids[name], advance=1, documents=self._documents[name])

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._bars.stop()


def make_progress(quiet: bool) -> Progress:
    """Bars on a terminal, lines elsewhere."""
    if quiet:
        return Quiet()
    return Bars() if sys.stderr.isatty() else Lines()
