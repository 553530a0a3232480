"""`erase RUN --urls FILE`: a new version without these pages, and nothing left of them."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from dataclasses import asdict

from pipeline.audit.display import counted, paint, size_text
from pipeline.erasure.erase import Erased, erase
from pipeline.erasure.exclusion import read_entries
from pipeline.erasure.replay import Replayed
from pipeline.execution.runner import Options, run
from pipeline.files.uris import open_storage
from pipeline.results.records import workdir_of

_SHOWN = 8


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `erase`."""
    parser.add_argument("run", metavar="RUN", help="a workdir, or its YAML file")
    parser.add_argument("--urls", metavar="FILE", help="pages, one URL a line")
    parser.add_argument("--domains", metavar="FILE", help="domains, each with all below it")
    parser.add_argument(
        "--retrain", action="store_true",
        help="train tokenizers and classifiers anew where the pages were in their sample, and run "
        "all that stands behind them",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    """Erase and report. Returns 0; errors are raised."""
    entries = read_entries(args.urls, "urls") if args.urls else []
    entries += read_entries(args.domains, "domains") if args.domains else []
    storage = open_storage(workdir_of(args.run))

    def rerun(made: Replayed) -> int | None:
        with contextlib.redirect_stdout(sys.stderr):
            return run(made.plan, Options(limit=made.record["limit"])).version

    def say(text: str) -> None:
        if not args.json:
            print(text, file=sys.stderr)

    report = erase(storage, entries, args.retrain, rerun, say)
    if args.json:
        print(json.dumps(asdict(report)))
    else:
        _print(report, storage.root)
    return 0


def _print(report: Erased, root: str) -> None:
    proof = report.proof
    print(
        f"{root}: {counted(report.pages, 'document')} erased that {report.entries:,} new lines of "
        f"the list name"
    )
    for folder, number in report.versions.items():
        print(f"  {folder}: version {number} is in force, without them")
    published = [new for new in report.files_rewritten.values() if new and "steps/" not in new]
    print(
        f"  {counted(len(report.files_rewritten), 'file')} written anew "
        f"({len(published)} published), {counted(len(report.files_deleted), 'file')} and "
        f"{counted(report.manifests_deleted, 'manifest')} deleted"
    )
    for path in report.versions_deleted:
        print(f"  {path} named them and is gone")
    for step, kind in report.trained.items():
        fate = "was made anew" if report.retrained else "is kept (--retrain makes another)"
        print(paint(f"  the {kind} of '{step}' had them among its documents and {fate}", "yellow"))
    for line in report.not_carried_over:
        print(f"  not carried over, the next run does it anew: {line}")
    print(
        f"\nproof: {proof.parts:,} parts of their text, HTML, token ids and URLs looked for in "
        f"{counted(proof.files, 'file')} ({proof.columns:,} columns of {proof.tables:,} tables, "
        f"{size_text(proof.num_bytes)} decoded): {paint('none', 'green')} left"
    )
    if proof.shared:
        print(f"  {counted(len(proof.shared), 'other page')} say in part what they said:")
        for doc_id, files in list(proof.shared.items())[:_SHOWN]:
            print(f"    {doc_id} in {files[0]}")
    print(
        "\nout of reach: the inputs themselves, exports, copies and backups of the workdir, "
        "versions that an object store keeps, models trained on the data."
    )
