"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread stands. Where that is a callback of a C
library, as when a kernel is loaded from its cache, the exception is printed and forgotten. So the
signal is remembered too, and looked at between two works.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

_asked = threading.Event()


def listen() -> None:
    """Remember Ctrl-C from here on; it raises KeyboardInterrupt as before."""
    _asked.clear()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
        if sys.unraisablehook is sys.__unraisablehook__:
            sys.unraisablehook = _unraisable


def _interrupt(number: int, frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Of a Ctrl-C that falls into a destructor Python prints a traceback; `check` raises it."""
    if not (_asked.is_set() and issubclass(lost.exc_type, KeyboardInterrupt)):
        sys.__unraisablehook__(lost)


def check() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and got lost."""
    if _asked.is_set():
        raise KeyboardInterrupt
