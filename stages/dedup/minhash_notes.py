"""What the plan says of a MinHash layout: its S-curve, what removes, what clusters take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stages.dedup.forests import MERGE_BYTES

if TYPE_CHECKING:
    from stages.dedup.minhash import MinhashDedup

SHORT_SHINGLE = 20
"""Characters below which the plan warns (NeMo Curator's own warning; recipes, trap 13)."""


def candidate_probability(jaccard: float, bands: int, rows: int) -> float:
    """P(two documents of this Jaccard similarity share a band): the S-curve."""
    return 1.0 - (1.0 - jaccard**rows) ** bands


def plan_notes(stage: MinhashDedup) -> list[str]:
    """Lines for the plan."""
    curve = ", ".join(
        f"{j:g} {candidate_probability(j, stage.bands, stage.rows):.3f}"
        for j in (0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    )
    notes = [f"P(candidate) by Jaccard, {stage.bands} bands x {stage.rows} rows: {curve}"]
    if stage.verify == "signature":
        error = math.sqrt(stage.threshold * (1 - stage.threshold) / stage.num_hashes)
        notes.append(f"removed from an estimated Jaccard of {stage.threshold} (s.e. {error:.3f})")
    if stage.verify == "exact":
        notes.append(
            f"removed from a Jaccard of {stage.threshold}, exact; the texts of candidates are read "
            f"again, the shingles of one cluster (8 bytes each) are held at once"
        )
    if stage.shingle == "characters" and stage.ngram < SHORT_SHINGLE:
        notes.append(
            f"shingles of fewer than {SHORT_SHINGLE} characters make false candidates, about 5 % "
            f"by NeMo Curator's count"
        )
    most = stage.cluster_memory // MERGE_BYTES
    notes.append(
        f"a document in a duplicate cluster takes 16 bytes, 24 with its cluster, {MERGE_BYTES} "
        f"while clusters merge: {most:,} fit in cluster_memory {stage.cluster_memory:,}"
    )
    return notes
