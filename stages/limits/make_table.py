"""Writes fineweb2.json: the figures of FineWeb-2's configurations, a row a language.

python -m stages.limits.make_table CONFIGS COMMIT

CONFIGS is the folder `configs` of the repository `huggingface/fineweb-2` at COMMIT. Only figures
are stored; the stop words there are content of others (see `stages.limits.stop_words`).
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from stages.limits.table import KEYS, read_configs

TARGET = Path(__file__).with_name("fineweb2.json")


def _stored(bound: float) -> float | None:
    """JSON knows no infinite number: null is no bound."""
    return bound if math.isfinite(bound) else None


def main(configs: Path, commit: str) -> None:
    found = read_configs(configs)
    rows = [
        f'"{label}":{json.dumps([_stored(limits[key]) for key in KEYS], separators=(",", ":"))}'
        for label, limits in sorted(found.limits.items())
    ]
    head = f'"source": "huggingface/fineweb-2 {commit[:12]}, configs/*.yml (figures only)"'
    text = f'{{{head},\n"keys": {json.dumps(KEYS)},\n"rows": {{\n' + ",\n".join(rows) + "\n}}\n"
    TARGET.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
