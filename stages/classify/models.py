"""A trained classifier: texts -> scores, 0 to 1, rounded to 1e-4. Loaded once a process.

A file that ends in `.npz` is a hashed linear model (`linear.py`), any other one a fastText model
(`fasttext_model.py`). A text without words has the score 0, whatever the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from pipeline.errors import ConfigError
from stages.classify.words import POSITIVE, Floats
from stages.content import Content

FASTTEXT, LINEAR = "fasttext", "linear"
FILES = {FASTTEXT: "model.bin", LINEAR: "model.npz"}
"""Kind of model -> its file in the artefact."""
DIGITS = 4
"""Of a score (design, section 4)."""


class Model(Protocol):
    """What every kind of model can do."""

    def scores(self, texts: pa.Array) -> Floats:
        """The probability of the positive class for each text, not rounded."""
        ...


def artefact_model(folder: Path) -> Path:
    """The model file of a classifier step. Raises ConfigError if there is none."""
    for name in FILES.values():
        if (folder / name).exists():
            return folder / name
    raise ConfigError(f"{folder} holds no {' or '.join(FILES.values())}: no classifier artefact.")


def load(path: Path, labels: Sequence[str] = (f"__label__{POSITIVE}",)) -> Model:
    """The model of a file; read once a process and content. Raises ConfigError.

    `labels` are those of a fastText model whose probabilities make the score.
    """
    return _load(Content(path), tuple(labels))


@lru_cache(maxsize=4)
def _load(content: Content, labels: tuple[str, ...]) -> Model:
    if content.path.suffix == ".npz":
        from stages.classify.linear import LinearModel

        return LinearModel.read(content.path)
    from stages.classify.fasttext_model import FastTextModel

    return FastTextModel(content.path, labels)


def rounded(scores: Floats) -> Floats:
    """Scores as they are judged and stored."""
    return scores.clip(0.0, 1.0).round(DIGITS)
