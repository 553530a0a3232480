"""The three models that LightGBM fits, and their parameters.

All were chosen by cross-validation over domains and by leaving out one origin
(`docs/notes/extraction-trials.md`): wide changes of them moved the macro F1 by less than .001.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError
from stages.extract.forest import Trees
from stages.extract.gold import TYPED_ORIGIN
from stages.extract.training.dataset import TrainingPage
from stages.extract.training.heap import trees_of
from stages.kernels.html_context import KINDS

Floats = npt.NDArray[np.float32]

_COMMON: Mapping[str, Any] = {
    "seed": 1, "deterministic": True, "force_row_wise": True, "verbose": -1,
    "bagging_fraction": 0.8, "bagging_freq": 1,
}  # fmt: skip
FIRST: Mapping[str, Any] = {
    **_COMMON, "objective": "cross_entropy", "num_leaves": 64, "max_depth": 6,
    "learning_rate": 0.09, "min_data_in_leaf": 60, "feature_fraction": 0.8,
    "feature_fraction_bynode": 0.4, "lambda_l2": 2.0, "max_bin": 255,
}  # fmt: skip
"""Main text or not, of a block: labels are shares of words, which this objective takes as such."""
SECOND: Mapping[str, Any] = {
    **FIRST, "num_leaves": 32, "max_depth": 5, "learning_rate": 0.07,
    "feature_fraction_bynode": 0.3,
}  # fmt: skip
KIND: Mapping[str, Any] = {
    **_COMMON, "objective": "multiclass", "num_class": len(KINDS), "num_leaves": 12,
    "max_depth": 4, "learning_rate": 0.07, "min_data_in_leaf": 12, "feature_fraction": 0.2,
    "lambda_l2": 3,
}  # fmt: skip
ROUNDS: Mapping[str, int] = {"first": 170, "second": 130, "kind": 70}

NEWS_ORIGINS = frozenset(("fundus", "scrapinghub-aeb", "zh-wced"))
NEWS_WEIGHT = 0.3
"""Origins of news only: their pages are articles, but of one sort, so they count less."""


def parameters() -> dict[str, Any]:
    """What is stated in the model's file."""
    return {
        "first": dict(FIRST),
        "second": dict(SECOND),
        "kind": dict(KIND),
        "rounds": dict(ROUNDS),
    }


def fit_blocks(which: str, rows: Floats, label: Floats, weight: Floats, threads: int) -> Trees:
    """The first or the second model; rows of weight 0 are left out."""
    trusted = weight > 0
    given = FIRST if which == "first" else SECOND
    return _fit(given, ROUNDS[which], rows[trusted], label[trusted], weight[trusted], threads)


def fit_kinds(vectors: Floats, pages: Sequence[TrainingPage], threads: int) -> Trees:
    """The model of page kinds. Raises InputError if no page tells its kind."""
    known = [kind_label(page) for page in pages]
    label = np.array([kind for kind, _ in known], dtype=np.float32)
    weight = np.array([weight for _, weight in known], dtype=np.float32)
    trusted = weight > 0
    if not trusted.any():
        raise InputError(
            f"no page of a known kind to learn from: expected pages of {TYPED_ORIGIN} or of "
            f"{', '.join(sorted(NEWS_ORIGINS))}"
        )
    return _fit(KIND, ROUNDS["kind"], vectors[trusted], label[trusted], weight[trusted], threads)


def kind_label(page: TrainingPage) -> tuple[int, float]:
    """The page's kind, as a number in `KINDS`, and how much it counts: 0 where it is not known."""
    if page.origin == TYPED_ORIGIN and page.page_type in KINDS:
        return KINDS.index(page.page_type), 1.0
    return (0, NEWS_WEIGHT) if page.origin in NEWS_ORIGINS else (0, 0.0)


def _fit(
    given: Mapping[str, Any], rounds: int, rows: Floats, label: Floats, weight: Floats, threads: int
) -> Trees:
    import lightgbm  # slow to import, and needed for training only

    data = lightgbm.Dataset(rows, label, weight=weight)
    booster = lightgbm.train({**given, "num_threads": threads}, data, rounds)
    return trees_of(booster, given["max_depth"])
