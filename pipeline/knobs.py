"""Knobs: dataclass fields that say their unit, source and bounds, and know their identity."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KEY = "tokenmill"
_COUNT = re.compile(r"(\d[\d_]*)(?:\.(\d+))?(?:[eE]\+?(\d{1,2}))? ?([KMBT]?)")
_THOUSANDS = {"": 0, "K": 3, "M": 6, "B": 9, "T": 12}


@dataclass(frozen=True)
class KnobInfo:
    """What a stage's field says about itself."""

    unit: str = ""
    source: str = ""
    """Where the default comes from: a paper, a code version, a measurement."""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    identity: bool = True
    """False for places (paths, caches), which change where bytes come from, never which, and for
    bounds that only refuse or warn."""
    model_file: bool = False
    """The value is a path, or are paths, whose content digests enter the key."""
    reference: str = ""
    """The value names an artefact step of this kind."""
    unless: str = ""
    """No step is looked for where this other knob has a value."""
    counts: bool = False
    """Whole numbers may be written 1_000_000, 1e9 or 2.5B, also inside mappings and lists."""
    input_steps: bool = False
    """The value names steps whose documents are the stage's inputs."""


_PLAIN = KnobInfo()


def _field(default: Any, info: KnobInfo) -> Any:
    metadata = {_KEY: info}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, (dict, list)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def knob(
    default: Any = dataclasses.MISSING,
    *,
    unit: str = "",
    source: str = "",
    help: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] = (),
    identity: bool = True,
    counts: bool = False,
) -> Any:
    """A field with a default, its unit and the source of that default. Part of the identity.

    `identity=False` is for bounds that only refuse or warn: they change no output byte. With
    `counts` whole numbers may be written as `as_counts` reads them.
    """
    info = KnobInfo(unit, source, help, minimum, maximum, choices, identity, counts=counts)
    return _field(default, info)


def as_counts(value: Any) -> Any:
    """`value` with each count in it as an int: `2.5B` (K, M, B, T), `1_000_000`, `1e9`.

    What is no whole number stays as it is, for the type to refuse it.
    """
    if isinstance(value, Mapping):
        return {key: as_counts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_counts(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (found := _COUNT.fullmatch(value.strip())):
        whole, rest, exponent, unit = found.groups(default="")
        power = int(exponent or 0) + _THOUSANDS[unit] - len(rest)
        digits = int(whole.replace("_", "") + rest)
        if power >= 0:
            return digits * 10**power
        if digits % 10**-power == 0:
            return digits // 10**-power
    return value


def location(default: Any = dataclasses.MISSING, *, help: str = "") -> Any:
    """A field that says where, not what: paths, base, caches. No part of the identity."""
    return _field(default, KnobInfo(help=help, identity=False))


def model_file(default: Any = None, *, source: str = "", help: str = "") -> Any:
    """A path to a model or list. What is part of the identity are the digest of its content and its
    name below the folder that holds it."""
    return _field(default, KnobInfo(source=source, help=help, identity=False, model_file=True))


def model_files(*, help: str = "") -> Any:
    """Paths as of `model_file`, none by default. A phase is keyed by them if it names the knob."""
    return _field((), KnobInfo(help=help, identity=False, model_file=True))


def reference(kind: str, *, optional: bool = False, unless: str = "") -> Any:
    """The id of an artefact step of this kind; by default the nearest one above.

    `unless` names a knob that takes its place, such as a model's path.
    """
    default, about = None if optional else "", f"step id of a {kind}"
    return _field(default, KnobInfo(identity=False, reference=kind, unless=unless, help=about))


def input_steps(*, help: str = "") -> Any:
    """Ids of steps whose documents the stage gets, apart from those of its other such knobs.

    They take the place of `inputs:`. A combine reads those of one step as `docs:<step id>`.
    """
    return _field((), KnobInfo(identity=False, input_steps=True, help=help))


def knob_info(field: dataclasses.Field[Any]) -> KnobInfo:
    """The KnobInfo of a dataclass field; a plain field is an identity knob without a source."""
    info = field.metadata.get(_KEY, _PLAIN)
    assert isinstance(info, KnobInfo)
    return info
