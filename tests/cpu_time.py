"""Time in proportion to the input, told without knowing how fast the machine is."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any


def assert_time_in_proportion(call: Callable[[Any], Any], hostile: str | bytes) -> None:
    """Eight times the input takes about eight times as long: 24 is allowed, quadratic is 64.

    The eighth is the start and the end, where inputs differ from more of the same. What takes it
    less than 10 ms is judged as if it took 10: quadratic time must be seconds for the whole. Of
    three tries the quickest counts: what the work takes when nothing else disturbs it.
    """
    part = len(hostile) // 16
    eighth = hostile[:part] + hostile[-part:]  # type: ignore[operator]  # both str or both bytes
    allowed = 24 * max(0.01, min(_seconds(call, eighth) for _ in range(3)))
    found: list[float] = []
    while len(found) < 3 and min(found, default=allowed) >= allowed:
        found.append(_seconds(call, hostile))
    assert min(found) < allowed, f"{min(found):.2f} s, {allowed / 24:.3f} s for an eighth of it"


def _seconds(call: Callable[[Any], Any], value: str | bytes) -> float:
    """CPU time without the collector of cycles, whose time grows with all objects of the tests."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        call(value)
        return time.process_time() - start
    finally:
        gc.enable()
