"""CPU seconds of a tree of processes from samples of /proc, without counting anything twice.

A process is a member if its environment carries the marker, or if its parent is a member when it
is first seen (a program may overwrite its environment: setproctitle does). Of every member the last
sight is kept: its own time (utime + stime), and the time of the children that it has waited for
(cutime + cstime), which holds all of their time up to the end. So

    value(P) = own(P) + max(waited(P), sum of value(C) over the children C of P that are gone)
    total    = sum of value(P) over the members that live, or are gone and whose parent is none

The maximum counts a child that was waited for once, with what it did after it was last seen; and a
child whose parent ignores SIGCHLD, or died first, by its last sight. What a process does between
its last sight and its end is lost only where no member waits for it: at most one interval.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sight:
    """What /proc/PID/stat says of one process."""

    pid: int
    parent: int
    started: int
    """Ticks since boot: with the pid, the process's identity."""
    own: float
    waited: float
    zombie: bool


def look(pid: int) -> Sight | None:
    """The process now; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the name may hold spaces and brackets
    user, system, waited_user, waited_system = (int(fields[at]) for at in (11, 12, 13, 14))
    return Sight(
        pid,
        int(fields[1]),
        int(fields[19]),
        (user + system) / TICKS,
        (waited_user + waited_system) / TICKS,
        fields[0] in (b"Z", b"X"),
    )


class Ledger:
    """The last sight of every member, and their total."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], Sight] = {}
        self._parent: dict[tuple[int, int], tuple[int, int] | None] = {}
        self._living: dict[int, tuple[int, int]] = {}

    def observe(self, sights: Mapping[int, Sight]) -> None:
        """Take the sights of all living members; a member that is not among them is gone."""
        living = {pid: (pid, sight.started) for pid, sight in sights.items()}
        for pid, sight in sights.items():
            key = living[pid]
            self._last[key] = sight
            parent = living.get(sight.parent) or self._living.get(sight.parent)
            self._parent[key] = parent
        self._living = living

    @property
    def processes(self) -> int:
        """Members ever seen."""
        return len(self._last)

    def total(self) -> float:
        """CPU seconds of all members up to their last sights."""
        living = set(self._living.values())
        gone: dict[tuple[int, int], list[tuple[int, int]]] = {}
        roots: list[tuple[int, int]] = []
        for key, parent in self._parent.items():
            if key in living or parent is None or parent not in self._last:
                roots.append(key)
            else:
                gone.setdefault(parent, []).append(key)

        def value(key: tuple[int, int]) -> float:
            sight = self._last[key]
            return sight.own + max(sight.waited, sum(map(value, gone.get(key, ()))))

        return sum(map(value, roots))


class Marked:
    """Finds the members of one tree among all processes."""

    def __init__(self, marker: str) -> None:
        self.marker = marker.encode()
        self._members: dict[int, int] = {}  # pid -> started
        self._others: set[int] = set()

    def sights(self) -> dict[int, Sight]:
        """Living members, zombies included, by pid."""
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self._others &= pids
        found: dict[int, Sight] = {}
        for pid in sorted(pids - self._others):
            sight = look(pid)
            if sight is None:
                continue
            if self._members.get(pid) == sight.started or self._is_member(sight):
                self._members[pid] = sight.started
                found[pid] = sight
            else:
                self._others.add(pid)
        return found

    def _is_member(self, sight: Sight) -> bool:
        if sight.parent in self._members:
            return True
        try:
            with open(f"/proc/{sight.pid}/environ", "rb") as file:
                return self.marker in file.read().split(b"\0")
        except OSError:
            return False  # gone, a kernel thread, or another user's
