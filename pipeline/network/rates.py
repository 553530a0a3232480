"""One limit of requests a second by host, for all workers of a run.

Whoever holds the slots (this process, or one Ray actor for a whole cluster) spaces them. A worker
that meets its slot more than `LATE_SECONDS` late gives it back unused and asks again; slots are
spaced by (1 + LATE_SECONDS) / rate. So however late single workers are, no second holds more
requests than the limit: rate + 1 of them span rate x spacing - LATE_SECONDS >= 1 second.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

from pipeline.network.settings import current

LATE_SECONDS = 0.2


class Slots(Protocol):
    """Who hands out the slots of hosts."""

    def slot(self, host: str, rate: float) -> float:
        """Seconds from now to the next free slot, which is now taken."""

    def pause(self, host: str, seconds: float) -> None:
        """No slot before so many seconds have gone: the server asked for it."""


class Spacing:
    """The slots themselves; of one process, or the body of the run's actor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Who held the slots before may have given one away just now: begin a spacing later.
        self._start = time.monotonic()
        self._next: dict[str, float] = {}

    def slot(self, host: str, rate: float) -> float:
        spacing = (1 + LATE_SECONDS) / rate
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next.get(host, self._start + spacing))
            self._next[host] = at + spacing
            return at - now

    def pause(self, host: str, seconds: float) -> None:
        with self._lock:
            until = time.monotonic() + seconds
            self._next[host] = max(until, self._next.get(host, 0.0))


class OfActor:
    """The slots of an actor that the driver made, asked from any worker."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def slot(self, host: str, rate: float) -> float:
        import ray

        return float(ray.get(self.actor.slot.remote(host, rate)))

    def pause(self, host: str, seconds: float) -> None:
        import ray

        ray.get(self.actor.pause.remote(host, seconds))


_slots: Slots = Spacing()


def use_slots(slots: Slots) -> None:
    """Ask these for the slots of all requests of this process."""
    global _slots
    _slots = slots


def wait_for_slot(host: str) -> None:
    """Return when a request to this host may be sent: at once, and only one."""
    rate = current().rate(host)
    while rate:
        asked = time.monotonic()
        wait = _slots.slot(host, rate)
        # On this clock the slot lies between asked + wait and now + wait.
        time.sleep(wait)
        if time.monotonic() - (asked + wait) <= LATE_SECONDS:
            return


def pause(host: str, seconds: float) -> None:
    """Let no worker of the run ask this host before so many seconds have gone."""
    if current().rate(host):
        _slots.pause(host, seconds)
