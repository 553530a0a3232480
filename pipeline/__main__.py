"""`python -m pipeline`, and the console script."""

import sys

from pipeline.process import prepare

prepare()  # before NumPy and Arrow are imported, which look once

from pipeline.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
