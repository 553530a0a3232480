"""What a classifier is worth on documents that it has not seen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.classify.words import Floats

KEPT = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of which the report says how many of the kept documents are positive."""
BINS = 10

Bools = npt.NDArray[np.bool_]


def auc(positive: Bools, scores: Floats) -> float | None:
    """The area under the ROC curve: how often a positive scores above a negative, ties half.

    None without documents of both classes.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, slot, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # The middle of the places, from 1, that equal scores share.
    middle = np.cumsum(counts) - (counts - 1) / 2
    above = middle[slot][positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def at_kept_share(positive: Bools, scores: Floats, share: float) -> dict[str, Any]:
    """Of the best `share`, at least one: threshold, precision, recall. Ties count by expectation.

    A tie at the threshold is cut at random by `keep_top`, hence the expectation.
    """
    wanted = max(1, math.floor(share * len(scores)))
    threshold = float(np.sort(scores)[-wanted])
    above, level = scores > threshold, scores == threshold
    part = (wanted - above.sum()) / level.sum()
    hits = float(positive[above].sum() + part * positive[level].sum())
    return {
        "kept_share": share,
        "documents": wanted,
        "threshold": round(threshold, 4),
        "precision": round(hits / wanted, 4),
        "recall": round(hits / max(int(positive.sum()), 1), 4),
    }


def at_threshold(positive: Bools, scores: Floats, threshold: float) -> dict[str, Any]:
    """Precision and recall of all documents that score at least `threshold`."""
    kept = scores >= threshold
    hits, found = int((positive & kept).sum()), int(kept.sum())
    return {
        "threshold": threshold,
        "documents": found,
        "precision": round(hits / found, 4) if found else None,
        "recall": round(hits / max(int(positive.sum()), 1), 4),
    }


def calibration(positive: Bools, scores: Floats) -> list[dict[str, Any]]:
    """By tenths of the score: documents, mean score, share of positives."""
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    rows = []
    for number in range(BINS):
        inside = bins == number
        count = int(inside.sum())
        rows.append(
            {
                "from": number / BINS,
                "to": (number + 1) / BINS,
                "documents": count,
                "mean_score": round(float(scores[inside].mean()), 4) if count else None,
                "positive_share": round(float(positive[inside].mean()), 4) if count else None,
            }
        )
    return rows


def held_out(positive: Bools, scores: Floats) -> dict[str, Any]:
    """The whole report of a hold-out; without documents it only says so."""
    found: dict[str, Any] = {
        "documents": len(scores),
        "positives": int(positive.sum()),
        "negatives": int((~positive).sum()),
    }
    area = auc(positive, scores)
    found["roc_auc"] = None if area is None else round(area, 4)
    if area is None:
        found["warning"] = "the hold-out lacks a class; sample more or raise holdout_permille"
    found["at_kept_share"] = (
        [at_kept_share(positive, scores, s) for s in KEPT] if len(scores) else []
    )
    found["at_threshold"] = [at_threshold(positive, scores, t) for t in (0.1, 0.25, 0.5, 0.75, 0.9)]
    found["calibration"] = calibration(positive, scores)
    return found


def rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The report as rows of one layout, for `inspect`.

    `at` is the kept share, the threshold, or where a tenth of the scores begins; `score` the
    threshold or the mean score; `precision` of a tenth its share of positives.
    """
    names = ("table", "at", "documents", "score", "precision", "recall", "roc_auc")
    found: list[dict[str, Any]] = [
        {"table": "all", "documents": report["documents"], "roc_auc": report["roc_auc"]}
    ]
    for table, at, score, precision in (
        ("at_kept_share", "kept_share", "threshold", "precision"),
        ("at_threshold", "threshold", "threshold", "precision"),
        ("calibration", "from", "mean_score", "positive_share"),
    ):
        for row in report[table]:
            shown = {"table": table, "at": row[at], "documents": row["documents"]}
            shown |= {"score": row[score], "precision": row[precision]}
            found.append({**shown, "recall": row.get("recall")})
    return [{name: row.get(name) for name in names} for row in found]
