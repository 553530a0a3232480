"""`verify RUN|DATASET`: is every stored byte what its manifest and its dataset version say?"""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import sys
from collections.abc import Callable
from dataclasses import asdict

from pipeline.audit.display import counted, cut, paint, size_text, width
from pipeline.audit.expected import Report
from pipeline.audit.verify import repair, verify, verify_dataset
from pipeline.errors import ConfigError, InputError, IntegrityError
from pipeline.execution.lease import Lease
from pipeline.files.uris import open_storage
from pipeline.results.records import workdir_of

_SHOWN = 20
"""Problems printed without --json."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `verify`."""
    parser.add_argument(
        "run", metavar="RUN|DATASET", help="a workdir, its YAML file, or a dataset's folder"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="hash the files of earlier runs too, not their sizes only",
    )
    parser.add_argument(
        "--repair", action="store_true",
        help="check all, delete what is damaged and the manifests that name it: the next run "
        "redoes only that",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    """Verify and report. Returns 0 if all is whole or was repaired; raises IntegrityError."""
    storage = open_storage(workdir_of(args.run))
    if next(storage.list(""), None) is None:
        raise InputError(f"{storage.root} is empty or missing. Give a workdir or a configuration.")
    dataset = storage.info("dataset.json") is not None
    if dataset and args.repair:
        raise ConfigError(
            f"{storage.root} is a dataset without the run that made it: nothing can be made again "
            f"from it. Copy what is damaged again, or give the workdir."
        )
    repaired: list[str] = []
    if dataset:
        folder, name = posixpath.split(_absolute(args.run))
        report = verify_dataset(open_storage(folder), name, _progress(lambda: None))
    elif args.repair:
        with Lease(storage) as lease:
            report = verify(storage, True, _progress(lease.heartbeat))
            repaired = repair(storage, report)
    else:
        report = verify(storage, args.all, _progress(lambda: None))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    if args.json:
        found = asdict(report)
        del found["keys_of"]
        print(json.dumps({"ok": not report.problems, **found, "repaired": repaired}))
    else:
        _print(report, storage.root)
        if repaired:
            _print_repaired(report, repaired, args.run)
    if report.problems and dataset:
        raise IntegrityError(
            f"{counted(len(report.problems), 'problem')} in {storage.root}, expected none. Copy "
            f"these files again."
        )
    if report.problems and not args.repair:
        raise IntegrityError(
            f"{counted(len(report.problems), 'problem')} in {storage.root}, expected none. Run "
            f"`python -m pipeline verify {args.run} --repair`, then the same run again: only lost "
            f"work is redone."
        )
    return 0


def _absolute(place: str) -> str:
    """The folder without a slash behind it, so that it has a name."""
    return place.rstrip("/") if "://" in place else os.path.abspath(place)


def _progress(heartbeat: Callable[[], None]) -> Callable[[int, int, int], None]:
    def show(done: int, total: int, num_bytes: int) -> None:
        heartbeat()
        if sys.stderr.isatty():
            text = f"\r{done:,} of {total:,} files, {size_text(num_bytes)}"
            print(text, end="", file=sys.stderr)

    return show


def _print(report: Report, root: str) -> None:
    state = paint("all as written", "green") if not report.problems else ""
    print(
        f"{root}: {counted(report.manifests, 'manifest')}, {counted(report.files, 'file')} "
        f"({size_text(report.num_bytes)} hashed), {counted(report.shards, 'shard')}, "
        f"{counted(report.versions, 'dataset version')}{': ' if state else ''}{state}"
    )
    if report.sizes_only:
        print(f"  of {counted(report.sizes_only, 'file')} of earlier runs the size only (--all)")
    for problem in report.problems[:_SHOWN]:
        print(f"\n  {paint(problem.kind, 'red')}  {problem.path}")
        print(f"           {cut(problem.found, 3 * width())}")
        for name in problem.named_by[:4]:
            print(paint(f"           named by {name}", "dim"))
    if len(report.problems) > _SHOWN:
        print(f"\n  and {len(report.problems) - _SHOWN:,} more (--json has them all)")


def _print_repaired(report: Report, repaired: list[str], run: str) -> None:
    manifests = sum(path.startswith("manifests/") for path in repaired)
    print(
        f"\nrepaired: {counted(manifests, 'manifest')} and "
        f"{counted(len(repaired) - manifests, 'other file')} deleted or restored."
    )
    command = f"python -m pipeline run {run}" if run.endswith((".yaml", ".yml")) else "the same run"
    print(f"Run {command} again, with the same --set and --limit: only lost work is redone.")
    for problem in report.problems:
        versions = [name for name in problem.named_by if " version " in name]
        if versions and not set(versions) & set(report.in_force):
            print(
                f"{problem.path} belongs to {', '.join(versions)} alone: only a run of that "
                f"version's configuration makes it again."
            )
