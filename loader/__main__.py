"""`python -m loader bench DATASET`."""

from __future__ import annotations

import sys

from loader import bench
from pipeline.errors import PipelineError


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] != "bench":
        print("usage: python -m loader bench DATASET [--help]", file=sys.stderr)
        return 2
    try:
        return bench.main(arguments[1:])
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
