"""`stages [NAME]`: the catalogue with every knob, its default, unit and source."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from pipeline.knobs import knob_info
from pipeline.planning.build import catalogue, stage_class
from pipeline.stage import Stage


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `stages`."""
    parser.add_argument("name", nargs="?", help="only this stage")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    """Print stages and knobs."""
    names = [args.name] if args.name else list(catalogue())
    found = {name: describe(stage_class(name, "stages")) for name in names}
    if args.json:
        print(json.dumps(found))
        return 0
    for name, stage in found.items():
        print(f"{name}  ({stage['class']})\n    {stage['summary']}")
        for knob in stage["knobs"]:
            unit = f" {knob['unit']}" if knob["unit"] else ""
            source = f"  # {knob['source'] or knob['help']}".rstrip(" #")
            print(f"      {knob['name']} = {knob['default']}{unit}{source}")
        print()
    return 0


def describe(cls: type[Stage]) -> dict[str, Any]:
    """A stage's class, first line of its docstring, and knobs."""
    knobs = []
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        info = knob_info(field)
        default: Any = "(required)"
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        knobs.append(
            {
                "name": field.name,
                "default": default,
                "unit": info.unit,
                "source": info.source,
                "help": info.help,
                "identity": info.identity,
            }
        )
    summary = (cls.__doc__ or "").strip().partition("\n")[0]
    return {"class": f"{cls.__module__}:{cls.__qualname__}", "summary": summary, "knobs": knobs}
