"""A step's entry in the YAML -> its stage: catalogue or `module:Class`, knobs checked and typed."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from pipeline.errors import ConfigError, nearest
from pipeline.knobs import KnobInfo, as_counts, knob_info
from pipeline.planning.config import Config, StepSpec, expand
from pipeline.stage import Stage, is_frozen_stage, lacking

CATALOGUE_MODULE = "stages.catalogue"
"""Loaded by name: the engine imports no recipe."""


@cache
def first_run_note() -> str:
    """What the built-in stages have to say before they first work on a machine."""
    note: str = importlib.import_module(CATALOGUE_MODULE).first_run_note()
    return note


def catalogue() -> Mapping[str, str]:
    """Name -> `module:Class` of the built-in stages, in flow order."""
    names: Mapping[str, str] = importlib.import_module(CATALOGUE_MODULE).CATALOGUE
    return names


def stage_class(name: str, where: str) -> type[Stage]:
    """The class that a step names. Raises ConfigError."""
    target = name if ":" in name else catalogue().get(name, "")
    if not target:
        hint = nearest(name, catalogue())
        raise ConfigError(f"{where}: unknown stage '{name}'.{hint} Your own: module:Class.")
    module, _, qualname = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), qualname, None)
    except ImportError as error:
        raise ConfigError(
            f"{where}: cannot import the stage '{name}': {error}. Is its folder on the Python path?"
        ) from error
    if found is None:
        raise ConfigError(f"{where}: module '{module}' has no class '{qualname}'.")
    if not isinstance(found, type) or not is_frozen_stage(found):
        raise ConfigError(
            f"{where}: '{name}' is no stage: derive from Filter, TextMap or another class of "
            f"pipeline.stage and decorate with @dataclass(frozen=True)."
        )
    if missing := lacking(found):
        raise ConfigError(
            f"{where}: the stage '{name}' does not implement {missing}: see pipeline/stage.py."
        )
    return found


def build_stage(spec: StepSpec, config: Config) -> Stage:
    """The stage of a step with its knobs. Raises ConfigError with file, line and nearest name."""
    cls = stage_class(spec.stage, config.at(spec.line))
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, value in spec.knobs.items():
        where = config.at(spec.knob_lines.get(name, spec.line))
        if name not in fields:
            hint = nearest(name, fields)
            raise ConfigError(f"{where}: unknown knob '{name}' for {spec.stage}.{hint}")
        info = knob_info(fields[name])
        values[name] = typed_knob(name, value, hints[name], info, spec.stage, where)
    missing = [n for n, f in fields.items() if n not in values and _required(f)]
    if missing:
        where = config.at(spec.line)
        raise ConfigError(f"{where}: {spec.stage} needs the knob '{missing[0]}'.")
    try:
        stage = cls(**values)
        stage.check()
    except ValueError as error:
        raise ConfigError(f"{config.at(spec.line)}: {spec.stage}: {error}") from error
    return stage


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def typed_knob(name: str, value: Any, hint: Any, info: KnobInfo, stage: str, where: str) -> Any:
    """The value as the knob's type. Raises ConfigError for another type, or out of its bounds."""
    try:
        typed = msgspec.convert(as_counts(value) if info.counts else value, type=hint)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: knob '{name}' of {stage}: {error}; got {value!r}.") from error
    if info.choices and typed not in info.choices:
        valid = ", ".join(map(str, info.choices))
        raise ConfigError(
            f"{where}: knob '{name}' of {stage} is {value!r}, expected one of {valid}."
        )
    if isinstance(typed, (int, float)) and not isinstance(typed, bool):
        low, high = info.minimum, info.maximum
        # Said so that a NaN is within no bounds.
        if not ((low is None or typed >= low) and (high is None or typed <= high)):
            bounds = f"{'-inf' if low is None else low}..{'inf' if high is None else high}"
            raise ConfigError(
                f"{where}: knob '{name}' of {stage} is {value!r}, expected {bounds} {info.unit}."
            )
    if not info.identity and not info.reference and not info.input_steps:
        typed = _expanded(typed)
    return typed


def _expanded(value: Any) -> Any:
    if isinstance(value, str):
        return expand(value)
    if isinstance(value, tuple):
        return tuple(_expanded(item) for item in value)
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return value
