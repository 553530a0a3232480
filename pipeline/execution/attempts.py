"""Works that failed for a passing reason, such as a server that is away: tried again, later.

What `retryable` errors come from has been tried for a while where it happened (`network:
{attempts: 8}`). A server that comes back within minutes then costs a pause, and no run: the work is
done again, twice at most, while others go on. Pauses are drawn from the system's random generator
and decide only when a work is done.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter

from pipeline.errors import PipelineError
from pipeline.execution.work import Work
from pipeline.network.settings import Network

_log = logging.getLogger(__name__)
_DRAW = random.SystemRandom()


class Attempts:
    """The works of a run that wait for their next attempt, and how often each has failed."""

    MAX_ERRORS = 2
    """How often a work is done again after an error that says `retryable`."""

    def __init__(self, network: Network) -> None:
        self._longest = network.longest_wait_seconds
        self._errors: Counter[str] = Counter()
        self._waiting: list[tuple[float, Work]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def failed(self, work: Work, error: PipelineError) -> None:
        """Keep the work until its pause is over, or raise the error: it is no passing one, or came
        too often. A pause is half of `longest_wait_seconds` to the whole, and twice that before
        the last attempt."""
        self._errors[work.key] += 1
        errors = self._errors[work.key]
        if not error.retryable or errors > self.MAX_ERRORS:
            raise error
        pause = self._longest * 2 ** (errors - 1) * _DRAW.uniform(0.5, 1)
        _log.warning(
            "attempt %d of %d in %.0f s: %s, unit %s: %s",
            errors + 1, self.MAX_ERRORS + 1, pause, work.node, work.unit[:12], error,
        )  # fmt: skip
        self._waiting.append((time.monotonic() + pause, work))

    def due(self) -> list[Work]:
        """The works whose pause is over; they wait no longer."""
        now = time.monotonic()
        due = [work for at, work in self._waiting if at <= now]
        self._waiting = [(at, work) for at, work in self._waiting if at > now]
        return due

    def sleep(self, seconds: float) -> None:
        """Return when a work is due, or after so many seconds."""
        first = min((at for at, _ in self._waiting), default=0.0)
        time.sleep(max(0.0, min(seconds, first - time.monotonic())))

    def clear(self) -> None:
        self._waiting.clear()
