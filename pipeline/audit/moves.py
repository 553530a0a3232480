"""A step's stage with other bounds, and which knobs and rules that moves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.audit.bounds import bound_knobs
from pipeline.audit.lookup import Run
from pipeline.errors import ConfigError, nearest
from pipeline.knobs import knob_info
from pipeline.planning.build import build_stage
from pipeline.results.records import config_from_json
from pipeline.stage import RowStage, Stage


@dataclass(frozen=True)
class Move:
    """A knob with its value in the run and the one that is asked about."""

    knob: str
    before: Any
    after: Any
    unit: str


@dataclass(frozen=True)
class MovedRule:
    """The bounds of one rule in the run and after the move; None where there is none."""

    metric: str
    before: tuple[float | None, float | None]
    """(minimum, maximum), both inclusive."""
    after: tuple[float | None, float | None]


def moved_stage(run: Run, step_id: str, settings: Sequence[str]) -> tuple[RowStage, list[Move]]:
    """The step's stage with other bounds. Raises ConfigError for a knob that is no bound."""
    ids = [step.id for step in run.plan.steps]
    if step_id not in ids:
        raise ConfigError(f"run {run.label} has no step '{step_id}'.{nearest(step_id, ids)}")
    stage = run.plan[step_id].stage
    bounds = bound_knobs(stage) if isinstance(stage, RowStage) else ()
    names = [field.name for field in dataclasses.fields(stage)]  # type: ignore[arg-type]
    overrides = []
    for setting in settings:
        name, mark, _ = setting.partition("=")
        if not mark:
            raise ConfigError(f"'{setting}': expected knob=value, for example min_words=100.")
        if name not in names:
            raise ConfigError(f"'{step_id}' has no knob '{name}'.{nearest(name, names)}")
        if name not in bounds:
            can = f"only {', '.join(bounds)} can" if bounds else "no knob of this step can"
            raise ConfigError(
                f"'{step_id}.{name}' takes part in what is measured, so the stored metrics do not "
                f"tell: {can}. Run it: --set steps.{step_id}.{setting}"
            )
        overrides.append(f"steps.{step_id}.{setting}")
    config = config_from_json(run.record["config"], overrides)
    [spec] = [spec for spec in config.steps if spec.id == step_id]
    built = build_stage(dataclasses.replace(spec, line=0, knob_lines={}), config)
    wanted = {setting.partition("=")[0]: None for setting in settings}
    changed = {name: getattr(built, name) for name in wanted}
    moved = dataclasses.replace(stage, **changed)  # type: ignore[type-var]
    assert isinstance(moved, RowStage)
    assert isinstance(stage, RowStage)
    missing = [rule.metric for rule in moved.rules() if rule.metric not in stage.metric_types()]
    if missing:
        raise ConfigError(
            f"'{step_id}' with {', '.join(settings)} judges '{missing[0]}', which this run did not "
            f"measure. Run it: --set steps.{step_id}.{settings[0]}"
        )
    units = {f.name: knob_info(f).unit for f in dataclasses.fields(stage)}  # type: ignore[arg-type]
    return moved, [Move(n, getattr(stage, n), value, units[n]) for n, value in changed.items()]


def moved_rules(before: Stage, after: RowStage) -> list[MovedRule]:
    """The rules whose bounds differ, in order."""
    assert isinstance(before, RowStage)
    sides = [
        {(rule.metric, rule.name): (rule.minimum, rule.maximum) for rule in stage.rules()}
        for stage in (before, after)
    ]
    none = (None, None)
    return [
        MovedRule(key[0], sides[0].get(key, none), sides[1].get(key, none))
        for key in {**sides[0], **sides[1]}
        if sides[0].get(key, none) != sides[1].get(key, none)
    ]
