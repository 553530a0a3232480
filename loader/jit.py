"""The one way the loader's functions are compiled: without the GIL, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from pipeline.machine_code import MachineCode

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """`function` compiled on its first call.

    What is on disk goes by the time stamp of the function's own file, so a file's functions call
    none of another file.
    """
    compiled = numba.njit(nogil=True)(function)
    compiled._cache = MachineCode(function)
    return cast(F, compiled)
