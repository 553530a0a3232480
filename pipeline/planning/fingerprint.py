"""Identity of stages, inputs and results: canonical JSON, hashed.

Anything without a stable identity (a lambda, an object with a default repr, `__main__`) is refused,
since a key that lies serves stale data. Worker counts, hosts, times and scratch paths never enter.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.files.uris import find_inputs, fixed_prefix, open_input
from pipeline.knobs import knob_info
from pipeline.schema import FORMAT_VERSION
from pipeline.stage import Stage

BUILT_IN = ("pipeline", "stages", "tokenizer_training")
"""Packages whose stages are identified by their `version`; all others by their source."""


def canonical(value: Any, where: str = "value") -> Any:
    """`value` as JSON types with one form per meaning. Raises ConfigError for anything else."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key], where) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [canonical(item, where) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((canonical(item, where) for item in value), key=str)
    raise ConfigError(
        f"{where}: a {type(value).__name__} has no stable identity. "
        f"Use numbers, strings, lists or mappings."
    )


def digest(value: Any) -> str:
    """128 bits of sha256 over the canonical JSON, as 32 hex digits."""
    text = json.dumps(canonical(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def stage_name(stage: Stage) -> str:
    """`module:Class` of a stage."""
    return f"{type(stage).__module__}:{type(stage).__qualname__}"


def identity(stage: Stage, seed: int, knobs: Iterable[str] | None = None) -> dict[str, Any]:
    """What makes two stages equal: name, version or source, libraries, knobs, models, seed.

    `knobs` restricts the identity knobs to those that a phase reads.
    """
    cls = type(stage)
    wanted = None if knobs is None else set(knobs)
    values: dict[str, Any] = {}
    models: dict[str, str | list[str]] = {}
    for field in dataclasses.fields(stage):  # type: ignore[arg-type]
        info, value = knob_info(field), getattr(stage, field.name)
        if info.model_file:
            if value and (wanted is None or field.name in wanted):
                models[field.name] = _file_digests(stage, value)
        elif info.identity and (wanted is None or field.name in wanted):
            values[field.name] = canonical(value, f"{stage_name(stage)}.{field.name}")
    for path in stage.files:
        name = Path(path).name
        while name in models:  # another folder's file of that name
            name += "'"
        models[name] = path_digest(path)
    built_in = cls.__module__.partition(".")[0] in BUILT_IN
    return {
        "format": FORMAT_VERSION,
        "stage": stage_name(stage),
        "version": cls.version if built_in else source_digest(cls.__module__, cls.depends_on),
        "libraries": {name: library_version(name) for name in stage.libraries},
        "knobs": values,
        "models": models,
        "seed": seed if stage.draws else None,
    }


def _file_digests(stage: Stage, value: Any) -> str | list[str]:
    if isinstance(value, str):
        return path_digest(stage.content_of(value))
    return [path_digest(stage.content_of(path)) for path in value]


@cache
def library_version(name: str) -> str:
    """Installed version of a distribution; of `unicodedata` the version of the running Python's."""
    if name == "unicodedata":
        return unicodedata.unidata_version
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(
            f"the distribution '{name}' is not installed: pip install {name}"
        ) from None


@cache
def path_digest(path: str) -> str:
    """Content digest of a model file, or of every file of a folder or pattern, each with its name.

    Names count from the folder, the pattern's fixed part or the file's own folder on: what is in
    `adult/domains` must not pass for what is in `bank/domains`, and stages read a file by its
    suffix. Where they lie does not count.
    """
    pattern = path.removeprefix("file://")
    files = find_inputs(pattern)
    if not files:
        pattern = pattern.rstrip("/") + "/**"
        files = find_inputs(pattern)
    if not files:
        raise ConfigError(f"model or list not found: {path}. Give the path of an existing file.")
    root = fixed_prefix(pattern)
    root = (root if "://" in root else os.path.abspath(root)).rstrip("/") + "/"
    parts = []
    for info in files:
        with open_input(info.path) as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        parts.append((info.path.removeprefix(root), content))
    return digest(sorted(parts))


def source_digest(module: str, depends_on: tuple[str, ...] = ()) -> str:
    """Digest of the source of a user's module (its whole package if any) and of `depends_on`."""
    if module == "__main__":
        raise ConfigError(
            "a stage defined in __main__ has no importable name: move it to a module of its own."
        )
    parts: list[tuple[str, str]] = []
    for name in (module, *depends_on):
        for path in _source_files(name):
            parts.append((path.name, hashlib.sha256(path.read_bytes()).hexdigest()))
    return digest(parts)


def _source_files(module: str) -> list[Path]:
    top = module.partition(".")[0]
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    package = getattr(sys.modules.get(top), "__path__", None) if "." in module else None
    if package:
        return sorted(path for root in package for path in Path(root).rglob("*.py"))
    if file is None:
        raise ConfigError(f"module '{module}' has no source file, so its stages have no identity.")
    return [Path(file)]
