"""`python -m benchmarks NAME [--quick] [--json] [--data DIR] [--turns N]`.

NAME is a benchmark (a module of this folder with `run(options) -> Report`), or `self-test` (does
the measurer see all CPU time?), or `table` (the results into docs/benchmarks.md). With --json
standard output holds one object and nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import burner, report
from benchmarks.measure import MeasureError

EXIT_USAGE = 2


def built() -> list[str]:
    """Names of the benchmarks that exist."""
    return [name for name in report.RATIOS if importlib.util.find_spec(f"benchmarks.{name}")]


def _parser() -> argparse.ArgumentParser:
    shared = os.environ.get("TOKENMILL_SHARED", str(report.ROOT.parent / "shared"))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure Tokenmill against other tools."
    )
    parser.add_argument("name", metavar="NAME", help=f"{', '.join(built())}, self-test or table")
    parser.add_argument("--quick", action="store_true", help="one turn of the peer, less input")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.add_argument("--data", type=Path, default=Path(shared, "data"), metavar="DIR")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="turns (default 3)")
    parser.add_argument("--pages", type=int, metavar="N", help="at most N pages: a look only")
    parser.add_argument(
        "--minutes", type=float, default=2.0, metavar="M",
        help="CPU minutes of the peer that the input is sized for (default 2)",
    )  # fmt: skip
    parser.add_argument(
        "--dclm", type=Path, metavar="DIR",
        help="checkout of mlfoundations/dclm, which is on no registry: a peer of verdicts",
    )  # fmt: skip
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/NAME.json")
    return parser


def _show(found: dict[str, Any]) -> str:
    lines = [
        f"{found['name']}: {found['input']['documents']:,} documents; above 1 = ours is better"
    ]
    for bold, key in (("*", "ratios"), (" ", "other_ratios")):
        lines += [f"{bold} {name:<42} {value:8.2f}" for name, value in found[key].items()]
    for name, side in {"ours": found["ours"], **found["peers"]}.items():
        startup = side.get("startup", {}).get("cpu_seconds", 0.0)
        lines.append(
            f"  {name}: {side['cpu_seconds']:.1f} s CPU of which {startup:.1f} s start-up, "
            f"{side['wall_seconds']:.1f} s wall, {side['peak_pss_bytes'] >> 20} MB"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(arguments)
    if args.name == "self-test":
        return 0 if burner.self_test() else 1
    if args.name == "table":
        print(report.write_table(), end="")
        return 0
    if args.name not in built():
        state = "is not built yet" if args.name in report.RATIOS else "is no benchmark"
        names = ", ".join(built())
        print(f"'{args.name}' {state}; there are: {names}, self-test, table", file=sys.stderr)
        return EXIT_USAGE
    if args.turns < 1:
        print("--turns: expected at least 1", file=sys.stderr)
        return EXIT_USAGE
    options = report.Options(
        args.quick, args.data.resolve(), args.turns, args.pages, args.minutes, args.dclm
    )
    machine = report.machine(" ".join(["python -m benchmarks", *arguments]))
    try:
        made = importlib.import_module(f"benchmarks.{args.name}").run(options)
        made.machine = {**machine, "cpu_counted_by": made.ours["turns"][0]["method"]}
        found = made.to_json()
    except MeasureError as error:
        print(f"{args.name}: {error}", file=sys.stderr)
        return 1
    if args.save:
        print(f"wrote {report.save(found)}", file=sys.stderr)
    print(json.dumps(found, ensure_ascii=False) if args.json else _show(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
