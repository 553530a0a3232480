"""Kernels compiled at run time and launched through the driver: NVRTC and libcuda, by ctypes.

PyTorch brings both libraries; nothing else is needed, no compiler and no headers.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Mapping, Sequence
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


class Function:
    """A kernel of compiled code, loaded into the context that is current."""

    def __init__(self, code: bytes, name: str) -> None:
        self._cuda = driver()
        self._module, self._function = ctypes.c_void_p(), ctypes.c_void_p()
        self._check(self._cuda.cuModuleLoadData(ctypes.byref(self._module), code), "load")
        self._check(
            self._cuda.cuModuleGetFunction(
                ctypes.byref(self._function), self._module, name.encode()
            ),
            name,
        )
        self._name = name

    def launch(self, blocks: int, threads: int, stream: int, values: Sequence[Any]) -> None:
        """Queue the kernel on a stream. `values` are ctypes values, one an argument."""
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        done = self._cuda.cuLaunchKernel(
            self._function, blocks, 1, 1, threads, 1, 1, 0, ctypes.c_void_p(stream), pointers, None
        )
        self._check(done, f"launch of {self._name}")

    def _check(self, result: int, what: str) -> None:
        check(self._cuda, result, what)


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
    flags = _PORTABLE | _MAPPED | (_READ_ONLY if _attribute(_READ_ONLY_SUPPORTED, device) else 0)
    done = cuda.cuMemHostRegister_v2(ctypes.c_void_p(address), ctypes.c_size_t(size), flags)
    check(cuda, done, f"registering {size:,} mapped bytes")


def unregister(address: int) -> None:
    """Before the pages go. At the end of the process CUDA may be gone first; nothing is left then."""
    driver().cuMemHostUnregister(ctypes.c_void_p(address))
