"""A sample of the documents whose verdict a move of bounds changes: those of lowest draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.audit.lookup import Run
from pipeline.draw import draw_column
from pipeline.files.tables import Groups, iter_groups
from pipeline.schema import PROVENANCE
from pipeline.stage import RowStage


@dataclass(frozen=True)
class Changed:
    """One document whose verdict at the segment's end changes."""

    document: dict[str, Any]
    """Provenance and `num_chars`."""
    metrics: dict[str, float | int | None]
    """What the step measured, without the step's prefix."""
    before: str | None
    """Drop reason in the run; None = kept."""
    after: str | None


class Sampler:
    """Keeps the places of the documents of lowest draw; reads them only at the end."""

    def __init__(self, run: Run, step: str, size: int) -> None:
        self.run, self.step, self.size = run, step, size
        self._kept: list[tuple[int, str, int, str | None, str | None]] = []
        """(draw, file, row, verdict before, verdict after), sorted."""

    def offer(
        self,
        path: str,
        rows: Groups,
        changed: npt.NDArray[np.int64],
        before: npt.NDArray[np.int32],
        after: npt.NDArray[np.int32],
        names: Sequence[tuple[str, str]],
    ) -> None:
        """Offer the changed ones of some rows; `names` has (step, reason) of each code."""
        if not self.size:
            return
        doc_ids = rows.read(["doc_id"])["doc_id"].take(changed)
        draws = draw_column(self.run.plan.config.seed, "whatif", doc_ids)
        for at in np.argsort(draws, kind="stable")[: self.size].tolist():
            row = int(changed[at])
            verdicts = [names[code][1] or None for code in (before[row], after[row])]
            place = (int(draws[at]), path, rows.first_row + row)
            self._kept.append((*place, verdicts[0], verdicts[1]))
        self._kept = sorted(self._kept, key=lambda one: one[:3])[: self.size]

    def read(self) -> list[Changed]:
        """The sampled documents, in order of their draws."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for path in sorted({one[1] for one in self._kept}):
            wanted = {one[2] for one in self._kept if one[1] == path}
            found.update({(path, row): read for row, read in self._rows(path, wanted).items()})
        stage = self.run.plan[self.step].stage
        assert isinstance(stage, RowStage)
        shown = (*PROVENANCE.names, "num_chars")
        return [
            Changed(
                {name: found[path, row][name] for name in shown},
                {name: found[path, row][f"{self.step}.{name}"] for name in stage.metric_types()},
                before,
                after,
            )
            for _, path, row, before, after in self._kept
        ]

    def _rows(self, path: str, wanted: set[int]) -> dict[int, dict[str, Any]]:
        """Row number in a file -> its columns."""
        found: dict[int, dict[str, Any]] = {}
        for group in iter_groups(self.run.storage, path, 1):
            size = group.file.metadata.row_group(group.numbers[0]).num_rows
            here = sorted(row for row in wanted if 0 <= row - group.first_row < size)
            if here:
                table = group.read().take([row - group.first_row for row in here])
                found.update(zip(here, table.to_pylist(), strict=True))
        return found
