"""mix: how much of each group is written. Makes the artefact `mixture`; reads no document.

The arithmetic lives in `pipeline.sampling`, for the tokenizer's sample needs it too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.errors import nearest
from pipeline.sampling import MAX_COPIES, MAX_EPOCHS, VALIDATION_PERMILLE
from pipeline.stage import Stage, knob


@dataclass(frozen=True)
class Mix(Stage):
    """Weights, epochs, token budget and validation split of the token shards.

    Without `weights` every document is written once (or, with `tokens`, every group keeps its
    natural share). With weights a group's share of the train tokens is its weight over their sum;
    the total is `tokens`, else the largest at which no group passes `max_epochs`. A group that
    would pass it stops the run with the figures. Validation documents are written once each.
    """

    kind: ClassVar[str] = "mixture"
    reads: ClassVar[tuple[str, ...]] = ()

    weights: Mapping[str, float] | None = knob(
        None,
        unit="relative weight by group",
        source="everything once: no reweighting unless asked",
        help="group -> weight; groups of several columns are written `web/en`; 0 leaves one out",
    )
    by: tuple[str, ...] = knob(
        ("source",), unit="columns", source="DESIGN section 6", help="columns that make a group"
    )
    max_epochs: float = knob(
        MAX_EPOCHS,
        unit="epochs",
        source="Muennighoff et al. 2023, arXiv:2305.16264: up to 4 epochs cost little",
        maximum=MAX_COPIES,
    )
    tokens: int | None = knob(
        None,
        unit="train tokens",
        source="the largest total that max_epochs allows",
        minimum=1,
    )
    validation_permille: int = knob(
        VALIDATION_PERMILLE,
        unit="documents in 1,000",
        source="tfds c4_utils.py: md5(url) % 1000 == 0",
        minimum=0,
        maximum=999,
    )

    def check(self) -> None:
        if not self.by or len(set(self.by)) != len(self.by):
            raise ValueError(f"by = {list(self.by)}: name at least one column, each once.")
        if not (math.isfinite(self.max_epochs) and self.max_epochs > 0):
            raise ValueError(f"max_epochs = {self.max_epochs:g}, expected a positive number.")
        if self.weights is None:
            return
        for group, weight in sorted(self.weights.items()):
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"weight {weight:g} of '{group}', expected 0 or more.")
        if not any(self.weights.values()):
            raise ValueError("weights need at least one group with a positive weight.")

    def check_sources(self, sources: Sequence[str]) -> None:
        if self.weights is None or self.by != ("source",):
            return
        for group in sorted(self.weights):
            if group not in sources:
                raise ValueError(
                    f"weights name the source '{group}', which no document has."
                    f"{nearest(group, sources)}"
                )
        for source in sorted(sources):
            if source not in self.weights:
                raise ValueError(
                    f"the source '{source}' has no weight. Give it one; 0 leaves it out."
                )
