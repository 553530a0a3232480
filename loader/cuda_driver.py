"""Kernels compiled at run time and launched through the driver: NVRTC and libcuda, by ctypes.

PyTorch brings both libraries; nothing else is needed, no compiler and no headers.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

_PORTABLE, _MAPPED, _READ_ONLY = 0x01, 0x02, 0x08
"""CU_MEMHOSTREGISTER_PORTABLE (every context), _DEVICEMAP, _READ_ONLY (a mapping of a file)."""
_USE_HOST_POINTER = 91
"""CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM."""
_READ_ONLY_SUPPORTED = 113
"""CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED."""


class CudaError(RuntimeError):
    """A call of the driver or of the compiler failed; says which and why."""


@cache
def driver() -> Any:
    """libcuda. Raises CudaError without one."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise CudaError(f"no CUDA driver on this machine ({error})") from error


def _compiler(version: str) -> Any:
    """NVRTC of PyTorch's CUDA version, such as '13.0'. Raises CudaError."""
    major = version.partition(".")[0]
    names = [f"libnvrtc.so.{major}", "libnvrtc.so"]
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        found = sorted(Path(folder).glob(f"*/lib/libnvrtc.so.{major}*"))
        names += [str(path) for path in found if ".alt." not in path.name]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise CudaError(f"no NVRTC of CUDA {major} beside PyTorch; tried {', '.join(names)}")


def compiled(
    source: str, defines: Mapping[str, object], capability: tuple[int, int], version: str
) -> bytes:
    """Machine code of a CUDA C++ source for a device. Raises CudaError with the compiler's log."""
    rtc = _compiler(version)
    program = ctypes.c_void_p()
    made = rtc.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"expand.cu", 0, None, None
    )
    if made:
        raise CudaError(f"nvrtcCreateProgram: error {made}")
    options = [f"--gpu-architecture=sm_{capability[0]}{capability[1]}"]
    options += [f"-D{name}={value}" for name, value in defines.items()]
    words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    size = ctypes.c_size_t()
    if rtc.nvrtcCompileProgram(program, len(options), words):
        rtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        rtc.nvrtcGetProgramLog(program, log)
        raise CudaError(f"compiling for {options[0]}: {log.value.decode()}")
    rtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    code = ctypes.create_string_buffer(size.value)
    rtc.nvrtcGetCUBIN(program, code)
    rtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw


class Context:
    """A device's primary context, which PyTorch uses too, and the driver's calls for it."""

    def __init__(self, device: int) -> None:
        self._cuda = driver()
        # Holds the GIL: for calls shorter than the wait to have it back from another thread.
        self._short = ctypes.PyDLL("libcuda.so.1")
        handle, context = ctypes.c_int(), ctypes.c_void_p()
        self._check(self._cuda.cuDeviceGet(ctypes.byref(handle), device), "cuDeviceGet")
        retained = self._cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), handle)
        self._check(retained, "cuDevicePrimaryCtxRetain")
        self.handle = int(context.value or 0)
        self._events: list[int] = []
        self._pinned: list[Any] = []

    def use(self) -> None:
        """Make it the calling thread's; a new thread has none."""
        self._check(self._short.cuCtxSetCurrent(ctypes.c_void_p(self.handle)), "cuCtxSetCurrent")

    def functions(self, code: bytes, names: Sequence[str]) -> list[int]:
        """Load compiled code; the kernels' handles."""
        self.use()
        module, handles = ctypes.c_void_p(), []
        self._check(self._cuda.cuModuleLoadData(ctypes.byref(module), code), "load")
        for name in names:
            found = ctypes.c_void_p()
            got = self._cuda.cuModuleGetFunction(ctypes.byref(found), module, name.encode())
            self._check(got, name)
            handles.append(int(found.value or 0))
        return handles

    def event(self) -> int:
        """An event without a time; who waits for it sleeps."""
        with contextlib.suppress(IndexError):
            return self._events.pop()
        found = ctypes.c_void_p()
        self._check(self._cuda.cuEventCreate(ctypes.byref(found), 1 | 2), "cuEventCreate")
        return int(found.value or 0)

    def forget(self, event: int) -> None:
        """Give an event back for another use; who waits for it already is not touched by that."""
        self._events.append(event)

    def pinned(self, count: int) -> Any:
        """Pinned int32 memory, `count` of them or more, as an array that owns it."""
        with contextlib.suppress(IndexError):
            found = self._pinned.pop()
            if len(found) >= count:
                return found
        import torch

        return torch.empty(max(count, 256), dtype=torch.int32, pin_memory=True).numpy()

    def unpinned(self, array: Any) -> None:
        """Give pinned memory back for another use; nothing on the device may use it any more."""
        self._pinned.append(array)

    def passed(self, event: int) -> None:
        """Let the calling thread wait for an event."""
        if self._short.cuEventQuery(ctypes.c_void_p(event)):  # not yet, or an error: the next says
            done = self._cuda.cuEventSynchronize(ctypes.c_void_p(event))
            self._check(done, "cuEventSynchronize")

    def wait(self, stream: int, event: int) -> None:
        """Let a stream wait for an event."""
        done = self._short.cuStreamWaitEvent(ctypes.c_void_p(stream), ctypes.c_void_p(event), 0)
        self._check(done, "cuStreamWaitEvent")

    def _check(self, result: int, what: str) -> None:
        check(self._cuda, result, what)


def addresses(names: Sequence[str]) -> list[int]:
    """Addresses of the driver's functions."""
    cuda = driver()
    return [int(ctypes.cast(getattr(cuda, name), ctypes.c_void_p).value or 0) for name in names]


def check(cuda: Any, result: int, what: str) -> None:
    """Raise CudaError unless a driver call gave 0."""
    if result:
        text = ctypes.c_char_p()
        cuda.cuGetErrorString(result, ctypes.byref(text))
        why = text.value.decode() if text.value else "unknown"
        raise CudaError(f"{what}: CUDA error {result}, {why}")


def _attribute(number: int, device: int) -> int:
    cuda, found, handle = driver(), ctypes.c_int(), ctypes.c_int()
    check(cuda, cuda.cuDeviceGet(ctypes.byref(handle), device), "cuDeviceGet")
    check(cuda, cuda.cuDeviceGetAttribute(ctypes.byref(found), number, handle), "attribute")
    return found.value


def reads_registered_memory(device: int) -> bool:
    """Do kernels of a device reach registered host memory by the process's own addresses?"""
    return bool(_attribute(_USE_HOST_POINTER, device))


def register(address: int, size: int, device: int) -> None:
    """Let kernels of every device read these pages over the bus. Raises CudaError.

    By the driver, not the runtime: a refusal then leaves no error behind for PyTorch to trip over.
    """
    cuda = driver()
    Context(device).use()
    flags = _PORTABLE | _MAPPED | (_READ_ONLY if _attribute(_READ_ONLY_SUPPORTED, device) else 0)
    done = cuda.cuMemHostRegister_v2(ctypes.c_void_p(address), ctypes.c_size_t(size), flags)
    check(cuda, done, f"registering {size:,} mapped bytes")


def unregister(address: int) -> None:
    """Before the pages go. At the end of the process CUDA may be gone first: nothing is left."""
    driver().cuMemHostUnregister(ctypes.c_void_p(address))
