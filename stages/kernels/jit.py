"""The one way kernels are compiled: nopython, without the GIL, no fastmath, cached on disk.

Numba's cache looks at the time stamp of a kernel's own file only. A kernel that calls one of
another file would go on running the old one after an edit or an update, and write wrong values
without an error. So a cached kernel is valid only for the content of all kernel files of its
folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TextIO, TypeVar, cast

import numba
import xxhash

from pipeline.execution.warm_up import Busy, impatient, note_compiling
from pipeline.execution.watch import rest, resume
from pipeline.machine_code import MachineCode

F = TypeVar("F", bound=Callable[..., Any])
PATIENCE = 300
"""Seconds that a process waits for another one's compiling; the longest takes 25."""


class SharedCache(MachineCode):
    """Numba's cache on disk, of whose kernels the processes of a machine compile each only once.

    A process that finds none takes the kernel's lock and looks again; saving frees the lock, as
    does the end of the process. A kernel may need others for its own compiling, never the other
    way round, so nobody waits in a circle.
    """

    _compiling: ClassVar[int] = 0

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        # Private to numba, hence the test; a numba without it fails here, not by stale code.
        self._cache_file._source_stamp = sources_stamp(_folder(function))
        self._lock: TextIO | None = None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = super().load_overload(sig, target_context)
        if found is None:
            rest()
        if found is None and self._lock is None and self._take_lock():
            found = super().load_overload(sig, target_context)
            if found is None:
                note_compiling()
            else:
                resume()
                self._free_lock()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        finally:
            resume()
            self._free_lock()

    def _take_lock(self) -> bool:
        """False where the folder knows no locks: then each process compiles for itself."""
        try:
            self._impl.locator.ensure_cache_path()
            name = f"{self._impl.filename_base}.lock"
            lock = Path(self.cache_path, name).open("w")  # noqa: SIM115  # held until it is saved
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if impatient() and not SharedCache._compiling:
                    lock.close()
                    raise Busy from None
                if not _locked_in_time(lock):
                    lock.close()
                    return False
        except OSError:
            return False
        self._lock = lock
        SharedCache._compiling += 1
        return True

    def _free_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            SharedCache._compiling -= 1


def _locked_in_time(lock: TextIO) -> bool:
    """Wait for a lock; False if its owner does not come to an end."""
    last = time.monotonic() + PATIENCE
    while time.monotonic() < last:
        time.sleep(0.02)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def _cached(compiled: Any, function: F) -> F:
    compiled._cache = SharedCache(function)
    return cast(F, _without_literals(compiled))


def _without_literals(compiled: Any) -> Any:
    """The kernel, compiled for `int64` where another one calls it with a number that is written
    there. Numba compiles it once more for each such number and truth value otherwise."""
    template = compiled.get_call_template

    def get_call_template(args: Any, kws: Any) -> Any:
        return template(tuple(map(_plain, args)), {name: _plain(kws[name]) for name in kws})

    compiled.get_call_template = get_call_template
    return compiled


def _plain(kind: Any) -> Any:
    types = numba.types
    written = types.IntegerLiteral | types.BooleanLiteral | types.Tuple
    return types.unliteral(kind) if isinstance(kind, written) else kind


def jit(function: F) -> F:
    """`function` compiled on its first call."""
    return _cached(numba.njit(nogil=True, no_cfunc_wrapper=True)(function), function)


def is_compiled(kernel: Any) -> bool:
    """Whether the disk holds machine code of a kernel, for its folder's files as they are now."""
    return bool(kernel._cache._cache_file._load_index())


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
    return _cached(numba.njit(nogil=True, no_cfunc_wrapper=True, _nrt=False)(function), function)


def inner(function: F) -> F:
    """`function` for the use of other kernels alone, allocating nothing: no entry from Python.

    Boxing tuples of arrays costs more time to compile than a kernel does.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    # A call between kernels hands over some 80 words of array descriptors: inlined always.
    options["forceinline"] = True
    return cast(F, _without_literals(numba.njit(nogil=True, **options)(function)))


def leaf(function: F) -> F:
    """Like `inner`, for one that is called from many places and takes an array or two.

    Calling it costs little, and its callers stay small: code inlined everywhere is compiled
    everywhere. LLVM may still inline it.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    return cast(F, _without_literals(numba.njit(nogil=True, **options)(function)))


def part(function: F) -> F:
    """For a step of one kernel, which takes most of its room: its statements become the kernel's
    own before anything is typed. Handing dozens of arrays over took longer to compile."""
    return cast(F, numba.njit(nogil=True, inline="always", _nrt=False)(function))


def called(kernel: Any) -> Any:
    """A kernel of `jit_bare` as a `part` of another one."""
    return part(kernel.py_func)


def shared(kernel: Any) -> Any:
    """A kernel of `jit_bare` as a `leaf` for other kernels."""
    return leaf(kernel.py_func)
