"""classify: a score for each document, by a trained classifier or a model by path.

What the score decides: a bound (`min_score`, `max_score`), a draw (`alpha`, as GPT-3 kept pages:
`np.random.pareto(9) > 1 - score`, with the random number a hash of the doc_id and of the column's
name), or nothing: then `keep_top: {by: classify.score, share: 0.1}` behind it keeps an exact share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.stage import (
    Processed,
    RowStage,
    Rules,
    Side,
    TextBatch,
    at_least,
    at_most,
    equals,
    knob,
    model_file,
    reference,
)
from stages.classify.models import artefact_model, load, rounded
from stages.classify.words import POSITIVE


@dataclass(frozen=True)
class Classify(RowStage):
    """Adds the column `score`, the probability of the positive class; may drop by it.

    A text without words has the score 0.

    2: the Pareto draw is that of the column, so two steps draw apart; `alpha` is at least 0.1.
    """

    version: ClassVar[int] = 2

    draws: ClassVar[bool] = True

    classifier: str = reference("classifier", unless="file")
    file: str | None = model_file(None, help="fastText model (.bin, .ftz) or linear model (.npz)")
    labels: tuple[str, ...] = knob(
        (f"__label__{POSITIVE}",),
        unit="labels",
        source="train_classifier; a fastText model by path has its own (DCLM: __label__hq)",
        help="fastText labels whose probabilities make the score",
    )
    column: str = knob("score", unit="column", source="own choice")
    min_score: float | None = knob(
        None, unit="ratio", source="none: scores depend on the model", minimum=0, maximum=1
    )
    max_score: float | None = knob(
        None, unit="ratio", source="none: for what is not wanted", minimum=0, maximum=1
    )
    alpha: float | None = knob(
        None,
        unit="shape of the Pareto distribution",
        source="none: no draw; GPT-3 (arXiv:2005.14165, appendix A): 9",
        minimum=0.1,
        maximum=1000,
    )

    @property
    def adds(self) -> Mapping[str, pa.DataType]:  # type: ignore[override]
        return {self.column: pa.float32()}

    @property
    def metrics(self) -> Mapping[str, type]:  # type: ignore[override]
        drawn = {} if self.alpha is None else {"pareto": float, "drawn": int}
        return {"score": float, **drawn}

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """What reads the model; the file of a step may be of either kind."""
        linear = self.file is not None and self.file.endswith(".npz")
        return ("numpy",) if linear else ("fasttext-numpy2", "numpy")

    def check(self) -> None:
        if self.file and self.classifier:
            raise ValueError("give `file` or `classifier`, not both")
        if not self.column.isidentifier() or self.column in ("text", "doc_id", "source"):
            raise ValueError(
                f"column '{self.column}': expected a new name of letters, digits and _"
            )
        if not self.labels:
            raise ValueError("labels: name at least one")

    def rules(self) -> Rules:
        low = () if self.min_score is None else (at_least("score", self.min_score, "low_score"),)
        high = () if self.max_score is None else (at_most("score", self.max_score, "high_score"),)
        drawn = () if self.alpha is None else (equals("drawn", 1, "not_drawn"),)
        return (*low, *high, *drawn)

    def process(self, batch: TextBatch, side: Side) -> Processed:
        model = load(self._path(side), self.labels)
        score = rounded(model.scores(batch.column("text")))
        metrics: dict[str, Any] = {"score": score}
        if self.alpha is not None:
            draws = side.draw(f"pareto:{self.column}", batch.column("doc_id"))
            metrics["pareto"] = pareto(draws, self.alpha)
            metrics["drawn"] = (metrics["pareto"] > 1 - score).astype(np.int64)
        return Processed({self.column: pa.array(score, pa.float32())}, metrics)

    def _path(self, side: Side) -> Path:
        return Path(self.file) if self.file else artefact_model(side.artefacts["classifier"])


def pareto(draws: npt.NDArray[np.uint64], alpha: float) -> npt.NDArray[np.float64]:
    """Numbers distributed as `numpy.random.pareto(alpha)`, one for each uniform uint64.

    Rounded to 1e-6: the last digits of a power are those of a machine.
    """
    uniform = ((draws >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53
    return np.round(uniform ** (-1 / alpha) - 1, 6)
