"""Progress: lines for logs, bars for terminals, nothing when quiet; a terminal survives Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, write_jsonl

from pipeline.execution.progress import Bars, Lines, Progress, Quiet, make_progress


def report(progress: Progress) -> None:
    progress.note("warning: [a] note")
    progress.node("first", 3, 1)
    progress.node("cached", 2, 2)
    progress.node("empty", 0, 0)
    progress.advance("first", 1000)
    progress.advance("first", 500)
    progress.close()


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report(Quiet())
    assert capsys.readouterr() == ("", "")


def test_lines_are_one_a_finished_node_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    report(Lines())
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "warning: [a] note"
    assert re.fullmatch(r"  cached +2 done  2 from an earlier run, 0\.0 s", lines[1])
    assert re.fullmatch(r"  empty +0 done  0\.0 s", lines[2])
    assert re.fullmatch(
        r"  first +3 done  1,500 documents, 1 from an earlier run, 0\.0 s", lines[3]
    )
    assert len(lines) == 4


def test_an_unfinished_node_has_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.node("first", 2, 0)
    lines.advance("first", 1)
    lines.close()
    assert capsys.readouterr().err == ""


def test_bars_show_works_documents_and_notes_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    report(Bars())
    out, err = capsys.readouterr()
    assert out == ""
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err)
    assert "warning: [a] note" in shown
    assert re.search(r"first .*3/3 +1,500 documents", shown)
    assert re.search(r"cached .*2/2 ", shown)


def test_bars_are_for_terminals_lines_for_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_progress(quiet=True), Quiet)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert isinstance(make_progress(quiet=False), Lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bars = make_progress(quiet=False)
    bars.close()
    assert isinstance(bars, Bars)


# --- the real command on a terminal ------------------------------------------------------------

CONFIG = """\
workdir: {workdir}
steps:
  - read_jsonl: {{paths: ["{inputs}/*.jsonl"], id: id}}
  - gopher_quality: {{min_words: 1, min_stop_words: 0}}
  - write_documents: {{}}
"""


class Terminal:
    """A pseudo-terminal with the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.workdir = folder / "work"
        config = folder / "line.yaml"
        config.write_text(CONFIG.format(workdir=self.workdir, inputs=folder / "in"))
        self.master, self.slave = pty.openpty()
        self.resize(24, 100)
        self.before = termios.tcgetattr(self.slave)
        self.shown = b""
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", str(config), "--workers", "0"],
            cwd=ROOT, env={**environment, "TERM": "xterm"},
            stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def resize(self, rows: int, columns: int) -> None:
        """As a window manager does: the kernel sends SIGWINCH to the terminal's processes."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.master], [], [], min(left, 0.05))[0]:
                self.shown += os.read(self.master, 1 << 16)

    def works(self) -> int:
        folder = self.workdir / "manifests"
        return len(list(folder.glob("*.json"))) if folder.is_dir() else 0

    def until(self, works: int) -> None:
        deadline = time.monotonic() + 60
        while self.works() < works and self.process.poll() is None:
            assert time.monotonic() < deadline
            self.read(0.02)

    def finish(self) -> int:
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self.read(0.05)
        self.read(0.2)
        return int(self.process.returncode)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(tmp_path: Path, real_texts: list[dict[str, Any]]) -> Iterator[Terminal]:
    for number in range(120):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", real_texts[number::120])
    found = Terminal(tmp_path)
    yield found
    found.close()


def is_sane(terminal: Terminal) -> bool:
    """Echo and line mode as before, and the cursor, hidden while bars are drawn, shown again."""
    hidden, shown = terminal.shown.rfind(b"\x1b[?25l"), terminal.shown.rfind(b"\x1b[?25h")
    return bool(termios.tcgetattr(terminal.slave) == terminal.before and 0 <= hidden < shown)


def test_bars_survive_a_resize_of_the_terminal_and_show_the_whole_run(terminal: Terminal) -> None:
    for works, (rows, columns) in enumerate([(24, 100), (5, 20), (1, 1), (50, 200)]):
        terminal.until(5 * works + 1)
        terminal.resize(rows, columns)
        terminal.read(0.15)
    assert terminal.finish() == 0, terminal.shown.decode(errors="replace")
    assert b"Traceback" not in terminal.shown
    assert b"120/120" in terminal.shown
    assert b"dataset version 1" in terminal.shown
    assert is_sane(terminal)


def test_ctrl_c_under_bars_ends_with_130_and_leaves_the_terminal_sane(terminal: Terminal) -> None:
    terminal.until(5)
    terminal.resize(10, 40)
    os.write(terminal.master, b"\x03")  # the key itself: the kernel makes a SIGINT of it
    assert terminal.finish() == 130, terminal.shown.decode(errors="replace")
    assert 5 <= terminal.works() < 240
    assert b"Traceback" not in terminal.shown
    assert b"interrupted: finished work is kept" in terminal.shown
    assert is_sane(terminal)
    assert not (terminal.workdir / "lease.json").exists()


def test_ctrl_c_twice_is_as_good_as_once(terminal: Terminal) -> None:
    terminal.until(5)
    for _ in range(2):
        os.kill(terminal.process.pid, signal.SIGINT)
        time.sleep(0.002)
    assert terminal.finish() in (130, -signal.SIGINT)
    assert termios.tcgetattr(terminal.slave) == terminal.before


LOST = """
import os, signal
from pipeline.execution import interrupts

class Thing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

class Broken:
    def __del__(self):
        raise ValueError("said")

interrupts.listen()
Broken()
Thing()
try:
    interrupts.check()
except KeyboardInterrupt:
    print("heard")
"""


def test_a_ctrl_c_that_falls_into_a_destructor_is_heard_and_prints_no_traceback() -> None:
    words = [sys.executable, "-c", LOST]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "heard\n"
    assert "KeyboardInterrupt" not in done.stderr
    assert "ValueError: said" in done.stderr
