"""Compiled functions on disk: numba's cache, which does without where nothing can be written."""

from __future__ import annotations

import warnings
from typing import Any

from numba.core.caching import FunctionCache


class MachineCode(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function. Where its folder is full the function is compiled all the
    same, with one warning a process: the next process compiles it again."""

    _said = False

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            if not MachineCode._said:
                MachineCode._said = True
                warnings.warn(
                    f"compiled functions cannot be kept in {self.cache_path} "
                    f"({error.strerror or error}): every process compiles them again. Make room "
                    f"there, or name another folder in NUMBA_CACHE_DIR.",
                    stacklevel=2,
                )
