"""One driver a workdir: a living owner is respected, a dead one taken over, at once or in time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.execution import lease
from pipeline.execution.lease import PATH, STALE_SECONDS, Lease
from pipeline.files.local_storage import LocalStorage
from pipeline.files.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return LocalStorage(str(tmp_path))


@pytest.fixture
def other(storage: Storage) -> dict[str, Any]:
    """The owner that a living process of this host would write: this very process."""
    return {**Lease(storage).owner, "token": "other", "heartbeat": time.time()}


@pytest.fixture
def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def write(storage: Storage, owner: Any) -> None:
    storage.put(PATH, json.dumps(owner).encode())


def is_refused(storage: Storage) -> bool:
    before = storage.get(PATH)
    try:
        with Lease(storage):
            assert json.loads(storage.get(PATH))["pid"] == os.getpid()
        assert storage.info(PATH) is None
        return False
    except InputError:
        assert storage.get(PATH) == before
        return True


def test_the_lease_is_there_while_the_block_runs_and_gone_behind_it(storage: Storage) -> None:
    with Lease(storage) as held:
        owner = json.loads(storage.get(PATH))
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
        assert abs(owner["heartbeat"] - time.time()) < 30
        assert is_refused(storage)
        assert held.storage is storage
    assert storage.info(PATH) is None


def fails_inside(storage: Storage) -> None:
    with Lease(storage):
        raise KeyboardInterrupt


def test_an_error_inside_gives_the_lease_back(storage: Storage) -> None:
    with pytest.raises(KeyboardInterrupt):
        fails_inside(storage)
    assert storage.info(PATH) is None


def test_a_living_process_of_this_host_is_respected_however_old_its_heartbeat(
    storage: Storage, other: dict[str, Any]
) -> None:
    write(storage, {**other, "heartbeat": 0})
    assert is_refused(storage)
    with pytest.raises(InputError, match=rf"pid {os.getpid()} on .*--set workdir="):
        Lease(storage).__enter__()


def test_a_dead_process_of_this_host_is_taken_over_at_once(
    storage: Storage, other: dict[str, Any], dead_pid: int
) -> None:
    write(storage, {**other, "pid": dead_pid})
    assert not is_refused(storage)


def test_a_pid_that_another_process_got_since_is_taken_over(
    storage: Storage, other: dict[str, Any]
) -> None:
    write(storage, {**other, "process_start": "1"})
    assert not is_refused(storage)


def test_an_owner_from_before_a_reboot_is_taken_over(
    storage: Storage, other: dict[str, Any]
) -> None:
    write(storage, {**other, "boot_id": "another boot"})
    assert not is_refused(storage)


@pytest.mark.parametrize(("age", "refused"), [(0, True), (55, True), (65, False), (9e8, False)])
def test_another_host_is_respected_for_a_minute_after_its_last_heartbeat(
    storage: Storage, other: dict[str, Any], age: float, refused: bool
) -> None:
    assert STALE_SECONDS == 60
    write(storage, {**other, "host": "elsewhere", "heartbeat": time.time() - age})
    assert is_refused(storage) == refused


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b"\xff\xfe", b'{"pid": "x"}', b'{"heartbeat": null}', b"{}"]
)
def test_a_lease_that_says_nothing_is_taken_over(storage: Storage, content: bytes) -> None:
    storage.put(PATH, content)
    assert not is_refused(storage)


@pytest.mark.parametrize("dead", [True, False], ids=["of a dead owner", "of a free workdir"])
def test_of_eight_racing_takers_one_gets_the_lease(
    storage: Storage, other: dict[str, Any], dead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dead:
        write(storage, {**other, "process_start": "1"})
        both_looked = threading.Barrier(8)
        look = lease._alive

        def all_look_before_one_acts(owner: dict[str, object]) -> bool:
            alive = look(owner)
            if owner.get("process_start") == "1":
                both_looked.wait(10)
            return alive

        monkeypatch.setattr(lease, "_alive", all_look_before_one_acts)
    start, over = threading.Barrier(8), threading.Barrier(8)
    got: list[int] = []

    def take(number: int) -> None:
        start.wait(10)
        try:
            with Lease(storage):
                got.append(number)
                over.wait(20)
        except InputError:
            over.wait(20)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert storage.info(PATH) is None


def test_a_heartbeat_is_written_every_ten_seconds_and_not_more_often(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("pipeline.execution.lease.time.monotonic", lambda: clock[0])
    with Lease(storage) as held:
        held.heartbeat()
        first = storage.get(PATH)
        clock[0] += 9
        held.heartbeat()
        assert storage.get(PATH) == first
        clock[0] += 2
        held.heartbeat()
        assert json.loads(storage.get(PATH))["heartbeat"] > json.loads(first)["heartbeat"]


def test_a_driver_whose_lease_was_taken_over_leaves_the_new_one_alone(
    storage: Storage, other: dict[str, Any]
) -> None:
    with Lease(storage):
        write(storage, other)
    assert json.loads(storage.get(PATH))["token"] == "other"
