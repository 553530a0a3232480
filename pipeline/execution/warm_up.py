"""Compiling kernels: once a machine, by all its workers side by side.

Every process of a machine needs the same kernels, and each compiles once: the first to need one
takes its lock (`stages.kernels.jit`), the others wait and load it. Waiting is a waste while other
kernels are still to be compiled, so before its first batch a worker goes through the calls that
need kernels, leaves out for later what another one is busy with, and waits only at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import pyarrow as pa

from pipeline.batch import TextBatch
from pipeline.schema import DOC_ID

_log = logging.getLogger(__name__)
Call = Callable[[], object]


class Busy(Exception):
    """Another process compiles this kernel at the moment."""


_impatient = False


def impatient() -> bool:
    """True if a kernel that is being compiled elsewhere is to raise Busy; else it is waited for."""
    return _impatient


_compiled = 0


def note_compiling() -> None:
    """This process has begun to compile a kernel."""
    global _compiled
    _compiled += 1


def take_turns(calls: Iterable[Call], ahead: Callable[[], Iterable[Call]] = tuple) -> None:
    """Make all calls: first those whose kernels nobody else is compiling, then the rest.

    In between come the calls of `ahead`, where this machine compiles for the first time: those that
    another process is busy with are left to it, and a machine whose kernels are there makes none.
    An error of a call is passed over: the first batch meets it too, and there it is told with the
    step and the document.
    """
    before = _compiled
    later = _tried(calls)
    if later or _compiled > before:
        _tried(ahead())
    for call in later:
        try:
            call()
        except Exception as error:
            _log.debug("left to the first batch: %r", error)


def _tried(calls: Iterable[Call]) -> list[Call]:
    """Make the calls; those that another process is busy with."""
    global _impatient
    busy: list[Call] = []
    _impatient = True
    try:
        for call in calls:
            try:
                call()
            except Busy:
                busy.append(call)
            except Exception as error:
                _log.debug("left to the first batch: %r", error)
    finally:
        _impatient = False
    return busy


def example_batch() -> TextBatch:
    """One small document, for calls whose result nobody looks at."""
    text = "A line of text, as short as it may be.\nAnother one, with the number 2."
    return TextBatch(
        pa.table(
            {
                "doc_id": pa.array([bytes(16)], DOC_ID),
                "file": pa.array(["example"], pa.string()),
                "offset": pa.array([0], pa.int64()),
                "text": pa.array([text], pa.large_string()),
                "lang": pa.array(["en"], pa.string()),
                "url": pa.array(["https://example.org/"], pa.string()),
            }
        )
    )
