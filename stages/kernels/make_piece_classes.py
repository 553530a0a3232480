"""Writes `piece_classes.json` from the regular expressions of the `tokenizers` that runs.

    python -m stages.kernels.make_piece_classes

Another version of Unicode cuts other pieces: a new file is a new `version` of every stage that
uses it. The file holds inclusive ranges of code points by class.
"""

from __future__ import annotations

import json

import numpy as np
from tokenizers import Regex, pre_tokenizers

from stages.kernels.piece_classes import CLASSES, TABLE
from stages.kernels.unicode_tables import NUM_CODE_POINTS


def ranges(pattern: str) -> list[list[int]]:
    """Inclusive ranges of the code points that the expression matches."""
    codes = np.delete(np.arange(NUM_CODE_POINTS), np.arange(0xD800, 0xE000))
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    belongs = np.ones(NUM_CODE_POINTS + 1, dtype=np.int8)
    belongs[0xD800:0xE000] = belongs[-1] = 0
    left = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text)
    for _, (start, end) in left:
        belongs[codes[start:end]] = 0
    edges = np.diff(np.concatenate([[0], belongs]))
    return [
        [int(first), int(end) - 1]
        for first, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    ]


def main() -> None:
    lines = [
        f"{json.dumps(name)}: {json.dumps(ranges(pattern), separators=(',', ':'))}"
        for name, (_, pattern) in CLASSES.items()
    ]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
