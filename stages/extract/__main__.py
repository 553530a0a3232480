"""`python -m stages.extract predict GOLD ...` and `python -m stages.extract train GOLD ...`.

Exit codes are the pipeline's: 2 for wrong options, 3 for an input that is missing or broken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipeline.errors import EXIT_INTERRUPTED, PipelineError
from stages.extract.predict import add_predict_command

TRAIN_HELP = "train the model of the engine `blocks`, and cross-validate it"


def _parser(command: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stages.extract", description="Predict with, and train, the extractor."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_predict_command(commands)
    if command == "train":
        # Training needs libraries that extraction does not: loaded only when it is asked for.
        from stages.extract.training import add_train_command

        add_train_command(commands)
    else:
        commands.add_parser("train", help=TRAIN_HELP, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parser(arguments[0] if arguments else None).parse_args(arguments)
    try:
        return int(args.run(args))
    except PipelineError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
