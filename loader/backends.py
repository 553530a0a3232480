"""Which backend fills batches: by name, or by what the machine has."""

from __future__ import annotations

import importlib.util
from typing import Any

from loader.numpy_backend import NumpyBackend
from loader.plan import Backend
from pipeline.errors import ConfigError, nearest

NAMES = ("auto", "numpy", "ring", "gather")
"""`auto`: the ring where PyTorch has a CUDA device that can run it, else numpy arrays."""
KEEP = 12


def cuda_lacks() -> str:
    """Why the CUDA backends cannot run here; empty if they can."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed (pip install 'tokenmill[loader]')"
    import torch

    if not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} sees no CUDA device"
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is not built for CUDA"
    if torch.cuda.get_device_capability() < (8, 0):
        return f"{torch.cuda.get_device_name()} has a compute capability below 8.0"
    return ""


def made_backend(
    name: str, dtype: str = "int64", slots: int = 4, threads: int = 2, **options: Any
) -> Backend:
    """The backend of a name. Raises ConfigError for an unknown one, or one that cannot run here.

    `slots`: launches under way at once. `threads` of its own copy for the ring.
    """
    if name not in NAMES:
        raise ConfigError(f"backend = '{name}'.{nearest(name, NAMES)}")
    lack = cuda_lacks() if name != "numpy" else ""
    if name == "numpy" or (name == "auto" and lack):
        return NumpyBackend(dtype, KEEP)
    if lack:
        raise ConfigError(f"backend = '{name}': {lack}. 'auto' takes numpy then.")
    import torch

    from loader.torch_gather import GatherBackend
    from loader.torch_ring import RingBackend

    options |= {"dtype": getattr(torch, dtype), "slots": slots}
    return GatherBackend(**options) if name == "gather" else RingBackend(threads=threads, **options)
