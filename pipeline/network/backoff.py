"""Waiting between attempts: exponential backoff with full jitter, Retry-After honoured.

The jitter is drawn from the system's random generator and decides only when a request is sent.
"""

from __future__ import annotations

import email.utils
import random
import time

from pipeline.network.settings import current

_DRAW = random.SystemRandom()


class Backoff:
    """Counts failures in a row and waits after each."""

    def __init__(self) -> None:
        self.network = current()
        self.failures = 0

    def progress(self) -> None:
        """Something was gained: the next failure is a first one."""
        self.failures = 0

    def wait(self, retry_after: float | None = None) -> bool:
        """Wait for the next attempt; False, at once, if there is to be none."""
        self.failures += 1
        network = self.network
        if self.failures >= network.attempts:
            return False
        if retry_after is not None and retry_after > network.longest_retry_after_seconds:
            return False
        bound = min(network.longest_wait_seconds, network.first_wait_seconds * 2**self.failures / 2)
        time.sleep((retry_after or 0.0) + _DRAW.uniform(0, bound))
        return True


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (seconds or a date); None if it says nothing."""
    text = (value or "").strip()
    if text.isdigit() and len(text) < 10:
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())
