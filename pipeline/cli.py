"""The command line: parsing, errors to exit codes, nothing else.

Commands that live outside the engine (`export`, `sample`) are loaded by name, since the engine
imports no recipe.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from pipeline.errors import EXIT_INTERRUPTED, PipelineError
from pipeline.execution import interrupts

COMMANDS = {
    "run": "run a configuration: crawl in, documents and token shards out",
    "plan": "show the DAG, what is cached, the partitions; start nothing",
    "stages": "list every stage with its knobs, units and sources",
    "inspect": "print a step's table, a document file or a token shard",
    "explain": "every metric, bound and verdict of one document",
    "whatif": "the verdicts with other bounds, from the stored metrics of a run",
    "trace": "from a token back to its page",
    "verify": "hash every file that a manifest names; --repair forgets the damaged ones",
    "erase": "a new version without some pages, and nothing left of them in the workdir",
    "gc": "delete what no kept run and no version needs",
}
OUTSIDE = {
    "export": ("loader.export", "a dataset for Megatron-LM, nanotron, MDS, litdata, nanoGPT, HF"),
    "sample": ("samples.generate", "generate a small web of our own writing, as WARC"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tokenmill",
        description="From raw web crawl to GPU-ready tokens with one YAML file.",
        epilog="Exit codes: 2 configuration, 3 input, 4 stage, 5 integrity, 1 our bug, 130 Ctrl-C.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        sub = commands.add_parser(name, help=help_text, description=help_text)
        importlib.import_module(f"pipeline.commands.{name}").add(sub)
    for name, (_, help_text) in OUTSIDE.items():
        commands.add_parser(name, help=help_text, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.path.insert(0, os.getcwd())  # the user's own stages stand beside the configuration
    outside = OUTSIDE.get(arguments[0]) if arguments else None
    args = None if outside else _parser().parse_args(arguments)
    interrupts.listen()
    try:
        if outside is not None:
            return int(importlib.import_module(outside[0]).main(arguments[1:]))
        assert args is not None
        return int(importlib.import_module(f"pipeline.commands.{args.command}").main(args))
    except PipelineError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: finished work is kept; the same command goes on.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def add_config(parser: argparse.ArgumentParser) -> None:
    """The arguments that name and change a configuration."""
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, like configs/c4like.yaml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="override a setting or any knob: workdir=/data/x, steps.web.paths='[\"a.warc.gz\"]'",
    )  # fmt: skip


def add_run(parser: argparse.ArgumentParser, name: str = "RUN", more: str = "") -> None:
    """The arguments that name a run."""
    parser.add_argument(
        "run", metavar=name, help=f"a workdir, its YAML file, a run record of it{more}"
    )
    parser.add_argument(
        "--run", dest="run_id", metavar="ID", help="the run whose id begins so (default: newest)"
    )


def count(text: str) -> int:
    """A whole number of at least 0, for argparse."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
    return value
