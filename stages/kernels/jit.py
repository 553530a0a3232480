"""The one way kernels are compiled: nopython, without the GIL, no fastmath, cached on disk.

Numba's cache looks at the time stamp of a kernel's own file only. A kernel that calls one of
another file would go on running the old one after an edit or an update, and write wrong values
without an error. So a cached kernel is valid only for the content of all kernel files of its
folder.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import xxhash

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """`function` compiled on its first call."""
    compiled = numba.njit(nogil=True)(function)
    compiled.enable_caching()
    # Private to numba, hence the test; a numba without it fails here, not by stale code.
    compiled._cache._cache_file._source_stamp = sources_stamp(_folder(function))
    return cast(F, compiled)


def _folder(function: Callable[..., Any]) -> Path:
    return Path(function.__code__.co_filename).parent


@lru_cache(maxsize=8)
def sources_stamp(folder: Path) -> str:
    """A digest of the names and contents of a folder's Python files."""
    digest = xxhash.xxh3_128()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def jit_bare(function: F) -> F:
    """Like `jit`, for a kernel that allocates nothing: it counts no references to arrays.

    The counts are atomic and made at each use of a tuple's array: they took half of the time of the
    scanner of web pages. Compilation fails where such a kernel allocates.
    """
    compiled = numba.njit(nogil=True, _nrt=False)(function)
    compiled.enable_caching()
    compiled._cache._cache_file._source_stamp = sources_stamp(_folder(function))
    return cast(F, compiled)


def inner(function: F) -> F:
    """`function` for the use of other kernels alone, allocating nothing: no entry from Python.

    Boxing tuples of arrays costs more time to compile than a kernel does.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    # A call between kernels hands over some 80 words of array descriptors: inlined always.
    options["forceinline"] = True
    return cast(F, numba.njit(nogil=True, **options)(function))


def leaf(function: F) -> F:
    """Like `inner`, for one that is called from many places and takes an array or two.

    Calling it costs little, and its callers stay small: code inlined everywhere is compiled
    everywhere. LLVM may still inline it.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    return cast(F, numba.njit(nogil=True, **options)(function))


def inner_allocating(function: F) -> F:
    """Like `inner`, for one that allocates."""
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(F, numba.njit(nogil=True, **options)(function))
