"""The funnel of a run: documents into each step, dropped by reason, kept; and its alarms."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import InputError, StageError
from pipeline.execution.schedule import Schedule
from pipeline.phases import Emit
from pipeline.planning.nodes import SegmentNode
from pipeline.planning.plan import Plan
from pipeline.stage import RowStage

MIN_DOCUMENTS = 1000
"""Below this many documents a step's drop ratio is not judged (DESIGN section 4)."""


@dataclass
class FunnelRow:
    """One step of the funnel."""

    step: str
    documents_in: int
    dropped: dict[str, int]
    """By drop reason."""
    quarantined: int = 0

    @property
    def kept(self) -> int:
        return self.documents_in - sum(self.dropped.values()) - self.quarantined


@dataclass
class Funnel:
    """What happened to every document of a run, step by step."""

    rows: list[FunnelRow] = field(default_factory=list)
    input_bytes: int = 0
    damage: list[dict[str, Any]] = field(default_factory=list)
    silent_rules: list[str] = field(default_factory=list)
    """`<step id>.<rule>` of rules that dropped nothing in the whole run."""
    used: dict[str, dict[str, int]] = field(default_factory=dict)
    """`<step id>.<what>` -> what was used there, such as a library -> documents."""

    def warnings(self) -> list[str]:
        """What steps warn of (`used` as `warning...`), and where different things were used."""
        found = []
        for what, values in self.used.items():
            if ".warning" in what:
                found += [f"{what.partition('.')[0]}: {value}" for value in values]
            elif len(values) > 1:
                mix = ", ".join(f"{v} ({n:,} documents)" for v, n in sorted(values.items()))
                found.append(f"{what}: more than one was used: {mix}")
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "steps": [
                {
                    "step": row.step,
                    "documents_in": row.documents_in,
                    "dropped": row.dropped,
                    "quarantined": row.quarantined,
                    "kept": row.kept,
                }
                for row in self.rows
            ],
            "input_bytes": self.input_bytes,
            "damage": self.damage,
            "rules_that_never_fired": self.silent_rules,
            "used": self.used,
        }


def make_funnel(plan: Plan, schedule: Schedule) -> Funnel:
    """Add up the counters of all finished segments, in the order of the plan."""
    funnel = Funnel()
    rows: dict[str, FunnelRow] = {}
    for name, node in schedule.nodes.items():
        if not isinstance(node, SegmentNode) or name.endswith(".docs"):
            continue
        chain = [node.source.id] if node.source else []
        chain += [link.step.id for link in node.links if not isinstance(link.phase, Emit)]
        dropped: Counter[tuple[str, str]] = Counter()
        entered = quarantined = 0
        for manifest in schedule.results[name].values():
            counters = manifest.counters
            entered += counters["documents_in"]
            quarantined += counters["quarantined"]
            for both, count in counters["dropped"].items():
                step, _, reason = both.partition("\t")
                dropped[step, reason] += count
            funnel.input_bytes += counters.get("input_bytes", 0)
            funnel.damage += counters.get("damage", [])
            for both, count in counters.get("used", {}).items():
                what, _, value = both.partition("\t")
                found = funnel.used.setdefault(what, {})
                found[value] = found.get(value, 0) + count
        for step in chain:
            here = {reason: n for (at, reason), n in sorted(dropped.items()) if at == step}
            row = rows.setdefault(step, FunnelRow(step, 0, {}))
            row.documents_in += entered
            for reason, count in here.items():
                row.dropped[reason] = row.dropped.get(reason, 0) + count
            entered -= sum(here.values())
        if chain:
            rows[chain[0]].quarantined += quarantined
    order = [step.id for step in plan.steps]
    funnel.rows = sorted(rows.values(), key=lambda row: order.index(row.step))
    funnel.silent_rules = _silent_rules(plan, rows)
    return funnel


def _silent_rules(plan: Plan, rows: dict[str, FunnelRow]) -> list[str]:
    silent = []
    for step in plan.steps:
        row = rows.get(step.id)
        if row is None or not row.documents_in or not isinstance(step.stage, RowStage):
            continue
        for rule in step.stage.rules():
            bounds = (rule.minimum, rule.maximum)
            for reason, bound in zip(rule.reasons(), bounds, strict=True):
                name = f"{step.id}.{reason}"
                if bound is not None and name not in row.dropped and name not in silent:
                    silent.append(name)
    return silent


def check_drops(plan: Plan, funnel: Funnel) -> None:
    """Raises StageError if a step dropped more than `max_drop_ratio` of over 1,000 documents."""
    for row in funnel.rows:
        dropped = sum(row.dropped.values())
        if row.documents_in <= MIN_DOCUMENTS:
            continue
        ratio = dropped / row.documents_in
        if ratio > plan.config.max_drop_ratio:
            worst = max(row.dropped, key=lambda reason: row.dropped[reason])
            raise StageError(
                f"step '{row.step}' dropped {dropped:,} of {row.documents_in:,} documents "
                f"({ratio:.2%}), above max_drop_ratio {plan.config.max_drop_ratio:.2%}; most by "
                f"{worst}. Look at the dropped sample (`inspect`), mend the knob, or raise "
                f"max_drop_ratio. Nothing was published."
            )


def check_damage(plan: Plan, funnel: Funnel) -> None:
    """Raises InputError if more than `max_damage_ratio` of the input bytes is unreadable."""
    lost = sum(entry["num_bytes"] for entry in funnel.damage)
    if funnel.input_bytes and lost / funnel.input_bytes > plan.config.max_damage_ratio:
        worst = max(funnel.damage, key=lambda entry: entry["num_bytes"])
        raise InputError(
            f"{lost:,} of {funnel.input_bytes:,} input bytes are unreadable "
            f"({lost / funnel.input_bytes:.1%}), above max_damage_ratio "
            f"{plan.config.max_damage_ratio:.1%}; worst: {worst['file']} ({worst['reason']}). "
            f"Replace the file or raise max_damage_ratio. Nothing was published."
        )
