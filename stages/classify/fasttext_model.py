"""fastText supervised models: training that gives equal bytes for equal input, and scores.

With `thread=1` fastText 0.9 and its forks fill the first tenth of the input matrix with random
numbers and leave the rest as malloc gave it (measured with fasttext-numpy2 0.10.4: four trainings
in one process gave one model and three times "Encountered NaN"). So a model is trained in a process
of its own, in which glibc hands out zeros: MALLOC_PERTURB_=255 fills memory with its complement, 0,
and a low MALLOC_MMAP_THRESHOLD_ takes large blocks fresh from the system. With more threads the
result depends on their timing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError
from stages.classify.words import NEGATIVE, POSITIVE, Floats
from stages.fasttext_file import load_fasttext

ZEROED = {"MALLOC_PERTURB_": "255", "MALLOC_MMAP_THRESHOLD_": "1024"}
"""What makes glibc give zeros."""
_MEANT_OTHERWISE = re.compile("__label__|</s>")
"""What fastText reads as a label or as the end of a line wherever it stands."""
_SURROGATES = re.compile("[\ud800-\udfff]")
_TRAIN = """
import json, sys
import fasttext
import numpy as np
call = json.load(sys.stdin)
model = fasttext.train_supervised(call["text"], thread=1, verbose=0, **call["knobs"])
finite = all(np.isfinite(m).all() for m in (model.get_input_matrix(), model.get_output_matrix()))
if not finite:
    sys.exit("the matrices hold NaN or infinity")
model.save_model(call["model"])
"""


def line_of(text: str) -> str:
    """A text as the one line that fastText reads: no line break, label or end of line in it."""
    line = _SURROGATES.sub("\ufffd", text).replace("\0", " ")
    return " ".join(_MEANT_OTHERWISE.sub(" ", line).split())


def train(
    examples: Iterable[tuple[str, bool]], knobs: Mapping[str, Any], scratch: Path, where: str
) -> Path:
    """A model file in `scratch`, trained on (text, is positive) in this order.

    Equal examples and knobs give equal bytes. Raises ConfigError where training fails, NaN
    included: another learning rate would be another model, so none is tried.
    """
    lines, model = scratch / "train.txt", scratch / "model.bin"
    with lines.open("w", encoding="utf-8", newline="\n") as out:
        for text, positive in examples:
            out.write(f"__label__{POSITIVE if positive else NEGATIVE} {line_of(text)}\n")
    done = subprocess.run(
        [sys.executable, "-I", "-c", _TRAIN],
        input=json.dumps({"text": str(lines), "model": str(model), "knobs": dict(knobs)}),
        env={**os.environ, **ZEROED},
        capture_output=True,
        text=True,
        check=False,
    )
    lines.unlink()
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1].rstrip(
            "."
        )
        raise ConfigError(
            f"{where}: fastText's training failed: {reason}. A lower `learning_rate` "
            f"(now {knobs.get('lr')}) or more text helps against NaN."
        )
    return model


class FastTextModel:
    """Scores by the raw `predict`, equal in every fork of the package."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self._model = load_fasttext(path)
        known = self._model.get_labels()
        missing = [label for label in labels if label not in known]
        if missing:
            raise ConfigError(
                f"{path} has no label '{missing[0]}'; it has {', '.join(known[:8])}. Name those "
                f"whose probability is the score by `labels`."
            )
        self._labels, self._count = frozenset(labels), len(known)

    def scores(self, texts: pa.Array) -> Floats:
        """The sum of the probabilities of the wanted labels; 0 for a text without words."""
        found = np.zeros(len(texts), np.float64)
        for row, text in enumerate(texts.to_pylist()):
            line = line_of(text or "")
            if line:
                answer = self._model.f.predict(line + "\n", self._count, 0.0, "strict")
                found[row] = sum(float(p) for p, label in answer if label in self._labels)
        return found
