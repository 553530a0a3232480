"""The memory that training is said to take, against what it takes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """
import json, sys
import numpy as np
from tokenizer_training.counts import memory_of
from tokenizer_training.bpe import BpeOptions
from tokenizer_training.train import train_on_counts
from stages.kernels.piece_counts import PieceCounts

def pieces(number, letters):
    draw = np.random.default_rng(7)
    sizes = draw.integers(3, 12, number)
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    data = draw.integers(97, 97 + letters, int(ends[-1])).astype(np.uint8)
    counts = draw.integers(1, 50, number).astype(np.int64)
    for array in (data, ends, counts):
        array.setflags(write=False)
    return PieceCounts(data, ends, counts)

options = BpeOptions(2000, "llama3")
made = pieces(int(sys.argv[1]), int(sys.argv[2]))
train_on_counts(made, options)
status = open("/proc/self/status").read()  # getrusage counts the parent's from before exec
peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
print(json.dumps([memory_of(made), peak]))
"""


@pytest.mark.parametrize("letters", [4, 26])
def test_training_takes_no_more_memory_than_is_said(letters: int) -> None:
    said, peak = [], []
    for number in (1000, 600_000):
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(number), str(letters)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        for of, value in zip((said, peak), json.loads(done.stdout), strict=True):
            of.append(value)
    assert peak[1] - peak[0] < said[1] - said[0], "what grows with the sample"
    assert peak[1] < said[1] + 150_000_000, "with Python, Arrow and numba, which are not counted"
