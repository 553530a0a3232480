"""The lease: a courtesy that refuses a second driver on one workdir.

Correctness never rests on it (put-if-absent manifests do). A dead owner on this host is taken over
at once; another host's lease after 60 s without a heartbeat.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from pathlib import Path
from types import TracebackType

from pipeline.errors import InputError
from pipeline.files.storage import AlreadyExists, Storage

PATH = "lease.json"
STALE_SECONDS = 60.0
HEARTBEAT_SECONDS = 10.0
SETTLE_SECONDS = 0.2
"""How long a taker waits to see whether another one has taken the same dead owner's lease."""


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """Start time of a process in clock ticks since boot, or '' where it cannot be known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _alive(owner: dict[str, object]) -> bool:
    try:
        heartbeat, pid = float(str(owner.get("heartbeat", 0))), int(str(owner.get("pid", 0)))
    except ValueError:
        return False
    if owner.get("host") != socket.gethostname():
        return time.time() - heartbeat < STALE_SECONDS
    if owner.get("boot_id") != _boot_id() or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _process_start(pid) == owner.get("process_start", "")


class Lease:
    """Holds `lease.json` while the `with` block runs. Raises InputError if another driver does."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.owner: dict[str, object] = {
            "host": socket.gethostname(),
            "boot_id": _boot_id(),
            "pid": os.getpid(),
            "process_start": _process_start(os.getpid()),
            "token": secrets.token_hex(8),
        }
        self._last = 0.0

    def _body(self) -> bytes:
        return json.dumps({**self.owner, "heartbeat": time.time()}).encode()

    def __enter__(self) -> Lease:
        for _ in range(3):
            try:
                self.storage.put(PATH, self._body(), if_absent=True)
                return self
            except AlreadyExists:
                owner = self._owner()
            if owner is None:
                continue
            if _alive(owner):
                raise InputError(
                    f"another driver works on {self.storage.root}: pid {owner.get('pid')} on "
                    f"{owner.get('host')}. Wait for it, end it, or give another workdir "
                    f"(--set workdir=...)."
                )
            # Of several that take a dead owner's lease over, the one that wrote last has it.
            self.storage.put(PATH, self._body())
            time.sleep(SETTLE_SECONDS)
            if self._is_ours():
                return self
        raise InputError(f"cannot take {self.storage.root}/{PATH}: another driver is faster.")

    def _owner(self) -> dict[str, object] | None:
        """Who holds the lease: None = nobody, {} = a file that says nothing."""
        try:
            owner = json.loads(self.storage.get(PATH))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return owner if isinstance(owner, dict) else {}

    def _is_ours(self) -> bool:
        return (self._owner() or {}).get("token") == self.owner["token"]

    def heartbeat(self) -> None:
        """Renew the lease if the last renewal is old enough."""
        now = time.monotonic()
        if now - self._last > HEARTBEAT_SECONDS:
            self._last = now
            self.storage.put(PATH, self._body())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_ours():
            self.storage.delete(PATH)
