"""`run CONFIG`: do the work and print the funnel."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from typing import Any

from pipeline.cli import add_config, count
from pipeline.execution.progress import make_progress
from pipeline.execution.runner import Options, RunResult, run
from pipeline.planning.config import load_config
from pipeline.planning.plan import make_plan
from pipeline.results.funnel import Funnel


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `run`."""
    add_config(parser)
    parser.add_argument(
        "--workers", type=count, default=os.cpu_count() or 1, metavar="N",
        help="local CPU slots (default: the machine's cores); 0 = in this process, without Ray",
    )  # fmt: skip
    parser.add_argument("--address", help="a Ray cluster, as ray.init takes it")
    parser.add_argument("--until", metavar="STEP", help="stop after this step; publish nothing")
    parser.add_argument("--limit", type=count, metavar="N", help="the first N documents a source")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def main(args: argparse.Namespace) -> int:
    """Run and report. Returns 0; errors are raised."""
    config = load_config(args.config, args.overrides)
    plan = make_plan(config)
    options = Options(args.workers, args.address or config.address, args.until, args.limit)
    # Ray prints notices of its own on stdout, which belongs to the summary.
    with contextlib.redirect_stdout(sys.stderr):
        result = run(plan, options, make_progress(args.quiet or args.json))
    if args.json:
        print(json.dumps(summary_json(result)))
    else:
        print_summary(result, config.workdir)
    return 0


def summary_json(result: RunResult) -> dict[str, Any]:
    """The summary of a run as JSON values."""
    return {
        "run_id": result.run_id,
        "version": result.version,
        "seconds": round(result.seconds, 3),
        "works_executed": result.executed,
        "works_reused": result.reused,
        "warnings": result.warnings,
        "funnel": result.funnel.to_json(),
        "totals": result.dataset.get("totals", []),
        "fingerprint": result.dataset.get("fingerprint"),
    }


def print_summary(result: RunResult, workdir: str) -> None:
    """The funnel, the damage and what was published, for people."""
    print_funnel(result.funnel)
    for entry in result.funnel.damage:
        print(
            f"damage: {entry['file']}: {entry['num_bytes']:,} bytes from offset "
            f"{entry['offset']:,} unreadable: {entry['reason']}"
        )
    if result.funnel.silent_rules:
        print(f"rules that never fired: {', '.join(result.funnel.silent_rules)}")
    for group in result.dataset.get("totals", []):
        stage = f".{group['stage']}" if "stage" in group else ""
        wanted = f" of {group['wanted_tokens']:,} wanted" if group["shortfall_tokens"] else ""
        print(
            f"{group['split']}{stage}/{group['group']}: {group['written_documents']:,} documents, "
            f"{group['written_tokens']:,} tokens{wanted} in {group['shards']} shards "
            f"({group['epochs']:g} epochs)"
        )
    if result.version is not None:
        print(f"dataset version {result.version} in {workdir}/dataset")
    print(f"{result.executed} works done, {result.reused} reused, {result.seconds:.1f} s")
    sys.stdout.flush()


def print_funnel(funnel: Funnel) -> None:
    """Documents into each step, kept, and dropped by reason."""
    width = max((len(row.step) for row in funnel.rows), default=4)
    print(f"{'step':<{width}} {'in':>10} {'kept':>10}  dropped")
    for row in funnel.rows:
        reasons = ", ".join(
            f"{reason.removeprefix(row.step + '.')} {count:,}"
            for reason, count in sorted(row.dropped.items(), key=lambda item: (-item[1], item[0]))
        )
        if row.quarantined:
            reasons = f"{reasons}{', ' if reasons else ''}quarantined {row.quarantined:,}"
        print(f"{row.step:<{width}} {row.documents_in:>10,} {row.kept:>10,}  {reasons}")
