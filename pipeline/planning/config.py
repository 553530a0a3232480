"""YAML -> Config, with the line of every key, so that an error can point at it.

Only the shape is checked here: which keys exist, what a step looks like. What the steps mean
together (columns, cycles, references) is `plan`'s work.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import ConfigError, nearest
from pipeline.network.settings import Network, parse_network

STEP_ID = re.compile(r"[a-z][a-z0-9_]*")

SETTINGS: Mapping[str, Any] = {
    "name": None,
    "seed": 0,
    "workdir": None,
    "keep_dropped": "sample",  # text of dropped documents: none | sample | all
    "max_drop_ratio": 0.995,  # a step that drops more stops the run (DESIGN section 4)
    "max_damage_ratio": 0.05,  # of the input bytes (DESIGN section 5.7)
    "exclude_urls": None,  # a file of pages that must not enter (docs/erase.md)
    "exclude_domains": None,  # a file of domains, each with all below it
    "address": None,  # a Ray cluster; else RAY_ADDRESS, else a local one
    "network": {},  # how inputs are fetched (pipeline/network/settings.py)
}


@dataclass(frozen=True)
class StepSpec:
    """One entry of `steps`, not yet checked against its stage."""

    id: str
    stage: str
    """A catalogue name or `module:Class`."""
    knobs: Mapping[str, Any]
    inputs: tuple[str, ...] | None
    """None = the default input."""
    line: int
    knob_lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """A parsed configuration."""

    path: str
    name: str
    seed: int
    workdir: str
    steps: tuple[StepSpec, ...]
    keep_dropped: str = "sample"
    max_drop_ratio: float = 0.995
    max_damage_ratio: float = 0.05
    exclude_urls: str | None = None
    exclude_domains: str | None = None
    address: str | None = None
    network: Network = field(default_factory=Network)

    def at(self, line: int) -> str:
        """`file:line` for an error message."""
        return f"{self.path}:{line}" if line else self.path


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `no` is a country, not false; 1e-3 is a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file and apply `KEY=VALUE` overrides. Raises ConfigError with file and line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror}. Give a YAML file, "
            f"for example configs/c4like.yaml."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}.") from error
    return parse_config(text, str(path), overrides)


def parse_config(text: str, path: str, overrides: Sequence[str] = ()) -> Config:
    """Parse YAML text; `path` names it in errors."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is not None:
            _check_characters(root, path)
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply, or an alias within itself.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 0
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}:{line}: not valid YAML: {problem}.") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}:1: expected a mapping with name, workdir and steps.")
    keys = _mapping(root, path)
    for key, (_, line) in keys.items():
        if key not in SETTINGS and key != "steps":
            hint = nearest(key, [*SETTINGS, "steps"])
            raise ConfigError(f"{path}:{line}: unknown key '{key}'.{hint}")
    values = {key: _plain(node) for key, (node, _) in keys.items() if key != "steps"}
    lines = {key: line for key, (_, line) in keys.items()}
    if "steps" not in keys or not isinstance(keys["steps"][0], yaml.SequenceNode):
        raise ConfigError(f"{path}:{lines.get('steps', 1)}: expected a list under 'steps'.")
    steps = tuple(_step(node, path) for node in keys["steps"][0].value)
    config = _settings(values, lines, path, steps)
    for override in overrides:
        config = _override(config, override)
    cache = config.network.cache
    return replace(
        config,
        workdir=expand(config.workdir),
        exclude_urls=config.exclude_urls and expand(config.exclude_urls),
        exclude_domains=config.exclude_domains and expand(config.exclude_domains),
        network=replace(config.network, cache=expand(cache) if cache else None),
    )


def _check_characters(node: yaml.Node, path: str) -> None:
    """Raise ConfigError for half a character ("\\ud83d" alone), which no file can hold."""
    if isinstance(node, yaml.ScalarNode):
        try:
            node.value.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"{path}:{node.start_mark.line + 1}: {node.value[:40]!a} has a lone surrogate, "
                f"which is no character. Write the whole one, or \\U and eight digits."
            ) from error
        return
    parts = node.value
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    for part in parts:
        _check_characters(part, path)


def _settings(
    values: Mapping[str, Any], lines: Mapping[str, int], path: str, steps: tuple[StepSpec, ...]
) -> Config:
    name = values.get("name") or Path(path).stem
    settings = {**SETTINGS, **values, "name": name}
    settings["workdir"] = settings["workdir"] or f"runs/{name}"
    where = f"{path}:{lines.get('network', 1)}"
    settings["network"] = parse_network(settings["network"] or {}, where)
    kinds: dict[str, Any] = {
        "name": str, "seed": int, "workdir": str, "keep_dropped": str,
        "max_drop_ratio": (int, float), "max_damage_ratio": (int, float),
        "exclude_urls": (str, type(None)), "exclude_domains": (str, type(None)),
        "address": (str, type(None)),
    }  # fmt: skip
    for key, kind in kinds.items():
        value = settings[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            expected = (
                "a whole number" if kind is int else "a number" if key[:3] == "max" else "text"
            )
            where = f"{path}:{lines.get(key, 1)}"
            raise ConfigError(f"{where}: '{key}' is {value!r}, expected {expected}.")
    if settings["keep_dropped"] not in ("none", "sample", "all"):
        raise ConfigError(
            f"{path}:{lines['keep_dropped']}: keep_dropped is '{settings['keep_dropped']}', "
            f"expected none, sample or all."
        )
    if not 0 <= settings["seed"] < 2**64:
        raise ConfigError(f"{path}:{lines['seed']}: seed must be in 0..2^64-1.")
    return Config(path=path, steps=steps, **settings)


def _mapping(node: yaml.MappingNode, path: str) -> dict[str, tuple[yaml.Node, int]]:
    found: dict[str, tuple[yaml.Node, int]] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in found:
            raise ConfigError(
                f"{path}:{line}: '{key}' is given twice (first in line {found[key][1]})."
            )
        found[key] = (value_node, line)
    return found


def _plain(node: yaml.Node) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:  # such as the date 2026-02-30
        problem = getattr(error, "problem", None) or str(error)
        line = node.start_mark.line + 1
        raise ConfigError(f"line {line}: not a value of YAML: {problem}.") from error
    finally:
        loader.dispose()


def _step(node: yaml.Node, path: str) -> StepSpec:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return StepSpec(_default_id(str(node.value)), str(node.value), {}, None, line)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}:{line}: a step is a stage name with its knobs.")
    keys = _mapping(node, path)
    stages = [key for key in keys if key not in ("id", "inputs")]
    if len(stages) != 1:
        got = ", ".join(stages) or "none"
        raise ConfigError(f"{path}:{line}: a step names one stage, got {got}.")
    stage = stages[0]
    knob_node, stage_line = keys[stage]
    knobs, knob_lines = _knobs(knob_node, stage, stage_line, path)
    step_id = str(_plain(keys["id"][0])) if "id" in keys else _default_id(stage)
    if not STEP_ID.fullmatch(step_id):
        raise ConfigError(
            f"{path}:{line}: step id '{step_id}' must match {STEP_ID.pattern}. Give an `id:`."
        )
    inputs = _inputs(keys["inputs"], path) if "inputs" in keys else None
    return StepSpec(step_id, stage, knobs, inputs, stage_line, knob_lines)


def _default_id(stage: str) -> str:
    """The stage's name; for `module:Class` the class in snake case."""
    name = stage.rpartition(":")[2]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() if ":" in stage else name


def _knobs(
    node: yaml.Node, stage: str, line: int, path: str
) -> tuple[dict[str, Any], dict[str, int]]:
    if isinstance(node, yaml.ScalarNode) and node.value in ("", "null", "~"):
        return {}, {}
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}:{line}: the knobs of '{stage}' must be a mapping, like {{}}.")
    keys = _mapping(node, path)
    return {k: _plain(n) for k, (n, _) in keys.items()}, {k: at for k, (_, at) in keys.items()}


def _inputs(entry: tuple[yaml.Node, int], path: str) -> tuple[str, ...]:
    value = _plain(entry[0])
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names) or not names:
        raise ConfigError(f"{path}:{entry[1]}: `inputs` is a list of step ids.")
    return tuple(names)


def _override(config: Config, override: str) -> Config:
    key, mark, text = override.partition("=")
    if not mark:
        raise ConfigError(f"--set {override}: expected KEY=VALUE, for example workdir=/data/x.")
    try:
        node = yaml.compose(text, Loader=_Loader)
        value = None if node is None else _plain(node)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML: {error}.") from error
    if node is not None:
        _check_characters(node, f"--set {key}")
    if not key.startswith("steps."):
        if key.startswith("network."):
            known = dataclasses.asdict(config.network)
            key, value = "network", {**known, key.removeprefix("network."): value}
        if key not in SETTINGS:
            hint = nearest(key, [*SETTINGS, "network.<key>", "steps.<id>.<knob>"])
            raise ConfigError(f"--set {override}: unknown key '{key}'.{hint}")
        values = {name: getattr(config, name) for name in SETTINGS} | {key: value}
        return _settings(values, {key: 0}, config.path, config.steps)
    _, step_id, knob = [*key.split(".", 2), "", ""][:3]
    ids = [step.id for step in config.steps]
    if step_id not in ids or not knob:
        raise ConfigError(f"--set {override}: no step '{step_id}'.{nearest(step_id, ids)}")
    steps = tuple(
        replace(
            step,
            knobs={**step.knobs, knob: value},
            knob_lines={**step.knob_lines, knob: step.knob_lines.get(knob, step.line)},
        )
        if step.id == step_id
        else step
        for step in config.steps
    )
    return replace(config, steps=steps)


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def expand(path: str) -> str:
    """`${NAME:-default}` expanded from the environment. Only paths and URIs are expanded."""

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = os.environ.get(name) or default
        if found is None:
            close = difflib.get_close_matches(name, os.environ, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(f"'{path}': the environment has no {name}.{hint}")
        return found

    return _VARIABLE.sub(value, path)
