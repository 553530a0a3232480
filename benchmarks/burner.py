"""Self-test of `measure`: burns a known CPU time in places that are easy to miss.

Run as a program it burns SECONDS in each of four processes and says what each burned: itself, a
child that it waits for, a child that it ignores (SIGCHLD ignored, so its time is in no parent's
account), and a daemon made by a double fork with setsid, which init adopts and which outlives it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import METHODS, MeasureError, Usage, measure

PLACES = ("itself", "waited", "ignored", "daemon")
ROOT = Path(__file__).resolve().parent.parent


def burn(seconds: float, out: Path, place: str) -> None:
    """Compute until this process has used so much CPU; then write how much it was."""
    while time.process_time() < seconds:
        sum(range(10_000))
    (out / place).write_text(repr(time.process_time()))


def main(seconds: float, out: Path) -> None:
    """Burn in all places; returns while the daemon is still burning."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            burn(2 * seconds, out, "daemon")
        os._exit(0)
    os.wait()
    child = os.fork()
    if child == 0:
        burn(seconds, out, "waited")
        os._exit(0)
    os.waitpid(child, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        burn(seconds, out, "ignored")
        os._exit(0)
    burn(seconds, out, "itself")
    with contextlib.suppress(ChildProcessError):  # it ended unnoticed, as intended
        os.waitpid(child, 0)


def check(method: str, seconds: float = 1.0) -> tuple[Usage, float]:
    """(what `measure` says, what the burners say). Raises MeasureError."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.burner", str(seconds), folder]
        usage = measure(command, method=method, cwd=ROOT, grace=60.0)
        burned = sum(float((Path(folder) / place).read_text()) for place in PLACES)
    return usage, burned


def self_test(seconds: float = 1.0, tolerance: float = 0.05) -> bool:
    """Check every method that works here; print to stderr. True if all are within tolerance."""
    good = True
    for method in METHODS:
        try:
            usage, burned = check(method, seconds)
        except MeasureError as error:
            print(f"{method:<9} cannot be used here: {error}", file=sys.stderr)
            continue
        off = usage.cpu_seconds / burned - 1
        fine = abs(off) <= tolerance
        good &= fine
        print(
            f"{method:<9} measured {usage.cpu_seconds:.2f} s, burned {burned:.2f} s in "
            f"{len(PLACES)} processes, {off:+.1%} {'ok' if fine else 'WRONG'}",
            file=sys.stderr,
        )
    return good


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]))
