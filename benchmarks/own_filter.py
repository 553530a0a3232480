"""What a user's own filter costs as a stage, against its Python called in a loop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.stage import Filter, Page, Rules, Side, TextBatch, at_most, knob

BATCH = 8192


def upper_ratio(text: str) -> float:
    """The README's example: the share of letters that are upper case."""
    letters = [c for c in text if c.isalpha()]
    return sum(map(str.isupper, letters)) / max(len(letters), 1)


@dataclass(frozen=True)
class Shout(Filter):
    """The same as a stage."""

    max_upper: float = knob(0.3, unit="ratio", source="the README's example")

    def measure(self, page: Page) -> dict[str, float]:
        return {"upper": upper_ratio(page.text)}

    def rules(self) -> Rules:
        return (at_most("upper", self.max_upper),)


def own_filter_ratio(texts: Sequence[str], turns: int = 7) -> float:
    """Median over turns of CPU seconds of the plain loop / those of the stage, side after side."""
    ids = pa.array([n.to_bytes(16, "big") for n in range(len(texts))], pa.binary(16))
    table = pa.table({"doc_id": ids, "text": pa.array(texts, pa.large_string())})
    batches = [table.slice(at, BATCH) for at in range(0, len(texts), BATCH)]
    stage, side = Shout(), Side("shout", 1)

    def as_stage() -> list[Any]:
        found = [stage.process(TextBatch(batch), side).metrics["upper"] for batch in batches]
        return [value for values in found for value in values]

    found = []
    for _ in range(turns):
        plain, expected = _timed(lambda: [upper_ratio(text) for text in texts])
        ours, values = _timed(as_stage)
        assert values == expected
        found.append(plain / ours)
    return statistics.median(found)


def _timed(call: Callable[[], list[Any]]) -> tuple[float, list[Any]]:
    begun = time.process_time()
    found = call()
    return time.process_time() - begun, found
