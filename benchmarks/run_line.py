"""How a result was made, in a line: the command, its input, the turns of every side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def turns_of(side: Json) -> int:
    return len(side.get("turns", ()))


def run_line(found: Json) -> str:
    """Of a result with `machine`, `input`, `ours` and `peers`; a part of the input is named."""
    sides = []
    for name, side in {"ours": found["ours"], **found["peers"]}.items():
        part = f" ({side['documents']:,} documents)" if "documents" in side else ""
        sides.append(f"{name.replace('_', ' ')} {turns_of(side)}{part}")
    quick = "; `--quick` is less input and one turn of the peers"
    return (
        f"Made by `{found['machine']['command']}` on {found['input']['documents']:,} documents; "
        f"turns: {', '.join(sides)}{quick if '--quick' in found['machine']['command'] else ''}."
    )
