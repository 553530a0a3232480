"""What turns a filter's bounds into bounds by language.

A rule has one bound for all documents. So where the bound depends on the language, the distance to
it is a metric too, and the rule holds it against 0: `mean_word_length_above_min` is the value less
its language's least value, `mean_word_length_below_max` the greatest less the value; a document
breaks the rule where it is negative, and where there is no bound it is null. The reasons are those
of the plain rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pipeline.stage import Filter, Rule, Rules, TextBatch, knob, model_file
from stages.language.codes import TABLES
from stages.limits.table import KEYS, SOURCE, TABLE, table

ABOVE, BELOW = "above_min", "below_max"


@dataclass(frozen=True)
class ByLanguage(Filter):
    """A filter whose bounds may depend on `lang`. Subclasses give plain rules and measures."""

    compiles: ClassVar[bool] = True

    per_language: bool = knob(
        False,
        unit="true or false",
        source="the papers and their code: one bound for all; FineWeb-2 has one a language",
    )
    thresholds: str | None = model_file(
        None,
        source=SOURCE,
        help="folder of configurations like FineWeb-2's, for per_language; none: its figures",
    )

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Bounds by language need the language."""
        return ("text", "lang") if self.per_language else ("text",)

    @property
    def files(self) -> tuple[str, ...]:  # type: ignore[override]
        """The shipped figures, and the tables of codes, where they are used."""
        if not self.per_language:
            return ()
        return (str(TABLES),) if self.thresholds else (str(TABLES), str(TABLE))

    @property
    def judging(self) -> tuple[str, ...]:  # type: ignore[override]
        """Bounds by language are measured as distances to them; bounds for all only judge."""
        return () if self.per_language else ("plain_rules",)

    def check(self) -> None:
        if self.thresholds is not None and not self.per_language:
            raise ValueError("`thresholds` is for `per_language: true`")

    def plain_rules(self) -> Rules:
        """The rules with the bounds of the knobs, for documents without bounds of their own."""
        raise NotImplementedError

    def measure_plain(self, batch: TextBatch) -> Mapping[str, Any]:
        """The metrics of the plain rules."""
        raise NotImplementedError

    def rules(self) -> Rules:
        return distance_rules(self.plain_rules()) if self.per_language else self.plain_rules()

    def measure_batch(self, batch: TextBatch) -> Mapping[str, Any]:
        found = self.measure_plain(batch)
        if not self.per_language:
            return found
        labels = batch_labels(batch, self.thresholds)
        return {**found, **distances(self.plain_rules(), found, labels, self.thresholds)}


def scripts(batch: TextBatch) -> Sequence[str | None]:
    """The script of each document as `language` found it; None where it was not asked."""
    if "lang_script" in batch.table.column_names:
        return batch.values("lang_script")
    return [None] * len(batch)


def batch_labels(batch: TextBatch, thresholds: str | None) -> list[str | None]:
    """For every document, the table's label of its language, and of its script where known."""
    known = table(thresholds)
    return [
        known.label(language, script)
        for language, script in zip(batch.values("lang"), scripts(batch), strict=True)
    ]


def _sides(rule: Rule) -> list[tuple[str, str, float, str]]:
    """(knob, metric of the distance, bound, reason) of each bound that languages have."""
    low, high = rule.reasons()
    found = [
        (f"min_{rule.metric}", f"{rule.metric}_{ABOVE}", rule.minimum, low),
        (f"max_{rule.metric}", f"{rule.metric}_{BELOW}", rule.maximum, high),
    ]
    return [
        (name, metric, bound, reason)
        for name, metric, bound, reason in found
        if name in KEYS and bound is not None
    ]


def distance_rules(rules: Rules) -> Rules:
    """The rules, in their order, with distances in place of bounds that languages have."""
    made: list[Rule] = []
    for rule in rules:
        sides = _sides(rule)
        made += [Rule(metric, 0, None, reason) for _, metric, _, reason in sides]
        names = {name for name, *_ in sides}
        left = replace(
            rule,
            minimum=None if f"min_{rule.metric}" in names else rule.minimum,
            maximum=None if f"max_{rule.metric}" in names else rule.maximum,
        )
        # A rule without bounds still declares its metric.
        made.append(left)
    return tuple(made)


def distances(
    rules: Rules, measured: Mapping[str, Any], labels: Sequence[str | None], thresholds: str | None
) -> dict[str, Any]:
    """The distance metrics of `distance_rules`; null where there is no bound or no value."""
    limits = table(thresholds).limits
    found: dict[str, Any] = {}
    for rule in rules:
        for name, metric, default, _ in _sides(rule):
            bounds = {label: limits[label].get(name, default) for label in set(labels) if label}
            row = np.array([bounds.get(label or "", default) for label in labels], np.float64)
            values = np.asarray(measured[rule.metric], dtype=np.float64)
            distance = values - row if name.startswith("min_") else row - values
            found[metric] = np.where(np.isfinite(row), distance, np.nan)
    return found
