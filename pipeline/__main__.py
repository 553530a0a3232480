"""`python -m pipeline`."""

import os
import sys

# NumPy's OpenBLAS starts a thread a core that spins for 0.1 CPU seconds, and no stage of ours
# multiplies matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pipeline.cli import main

sys.exit(main())
