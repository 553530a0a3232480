"""`gc RUN`: delete what no kept run and no dataset version needs."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from pipeline.audit.collect import KINDS, Collected, collect
from pipeline.audit.display import counted, paint, size_text
from pipeline.cli import count
from pipeline.errors import ConfigError
from pipeline.execution.lease import Lease
from pipeline.files.uris import open_storage
from pipeline.results.records import runs_of, workdir_of


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `gc`."""
    parser.add_argument("run", metavar="RUN", help="a workdir, or its YAML file")
    parser.add_argument(
        "--keep-runs", type=count, default=3, metavar="N",
        help="keep what the last N runs need (default 3)",
    )  # fmt: skip
    parser.add_argument(
        "--min-age-hours", type=_hours, default=24.0, metavar="H",
        help="spare anything younger (default 24)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="say it, delete nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _hours(text: str) -> float:
    hours = float(text)
    if not hours >= 0:
        raise ConfigError(f"--min-age-hours {text}: expected a number of at least 0.")
    return hours


def main(args: argparse.Namespace) -> int:
    """Collect and report. Returns 0; errors are raised."""
    storage = open_storage(workdir_of(args.run))
    seconds = args.min_age_hours * 3600
    if args.dry_run or not runs_of(storage):  # without a run it refuses, and leaves no lease
        done = collect(storage, args.keep_runs, seconds, True)
    else:
        with Lease(storage) as lease:
            done = collect(storage, args.keep_runs, seconds, False, lease.heartbeat)
    if args.json:
        print(json.dumps({"dry_run": args.dry_run, **asdict(done)}))
        return 0
    _print(done, args, storage.root)
    return 0


def _print(done: Collected, args: argparse.Namespace, root: str) -> None:
    what = "would delete" if args.dry_run else "deleted"
    print(
        f"{root}: {len(done.runs_kept)} of {counted(done.runs, 'run')} and "
        f"{counted(done.versions, 'dataset version')} kept\n"
    )
    head = f"  {'':<14} {what + ' files':>18} {'bytes':>12} {'kept files':>14} {'bytes':>12}"
    print(paint(head, "dim"))
    for kind in (*KINDS, "all"):
        names = KINDS if kind == "all" else (kind,)
        gone, kept = [
            (sum(side[n].files for n in names), sum(side[n].num_bytes for n in names))
            for side in (done.deleted, done.kept)
        ]
        line = (
            f"  {kind:<14} {gone[0]:>18,} {size_text(gone[1]):>12} {kept[0]:>14,} "
            f"{size_text(kept[1]):>12}"
        )
        print(paint(line, "bold") if kind == "all" else line)
    if done.spared.files:
        print(
            f"\n  {counted(done.spared.files, 'file')} ({size_text(done.spared.num_bytes)}) that "
            f"nothing needs spared: younger than {args.min_age_hours:g} h (--min-age-hours)"
        )
