"""The error tree, and the exit code that each class gives the command line.

    PipelineError            1   our own bug, when nothing more precise is known
      ConfigError            2   the YAML, a knob, a column, a reference
      InputError             3   a missing or damaged input, a workdir that cannot be used
      StageError             4   a stage failed on a document; carries step, partition, doc_id
      IntegrityError         5   bytes on storage are not what their manifest says

Every message says what failed, where, what was got, what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pipeline.files.addresses import redacted

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, the shell's convention of 128 + SIGINT."""


class PipelineError(Exception):
    """Base of all errors that the pipeline raises on purpose.

    Passwords and signatures of addresses are taken out of its text. `retryable` says that the same
    work may succeed later or elsewhere: it is then done again (`execution/attempts.py`).
    """

    exit_code = 1

    def __init__(self, *args: object, retryable: bool = False) -> None:
        super().__init__(*(redacted(arg) if isinstance(arg, str) else arg for arg in args))
        self.retryable = retryable


class ConfigError(PipelineError):
    """The configuration cannot be planned. Raised before any work starts."""

    exit_code = 2


class InputError(PipelineError):
    """An input or the workdir is missing, unreadable, full or damaged beyond the bound."""

    exit_code = 3


class StageError(PipelineError):
    """A stage failed, or broke its contract, on a document."""

    exit_code = 4


class IntegrityError(PipelineError):
    """Stored bytes contradict the manifest that names them, or two attempts disagree."""

    exit_code = 5


def nearest(name: str, valid: Iterable[str]) -> str:
    """A ` Did you mean ...?` sentence, or the list of valid names when none is near."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Valid: {', '.join(names)}." if names else ""
