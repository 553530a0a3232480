"""The watchdog: a process that kills its parent when one document takes too long, and says which.

`python -I watchdog.py FILE_DESCRIPTOR PARENT SECONDS`; `watch.py` starts it and says what it sees.
The document goes to `quarantine/`, and the work is done again without it. Where nobody would do it
again it only warns.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.execution import quarantine
from pipeline.execution.watch import PAGE_BYTES, InHand, read_page  # after the path


def main(descriptor: int, parent: int, seconds: float) -> None:
    """Look every second, or sooner for a short limit, until the parent has ended."""
    page = mmap.mmap(descriptor, PAGE_BYTES, access=mmap.ACCESS_READ)
    told = 0
    while not select.select([sys.stdin], [], [], min(1.0, seconds / 4))[0]:
        found = read_page(page[:])
        if found is None or found.number == told or _age(found) < found.seconds:
            continue
        told = found.number
        if found.place.kill:
            _kill(page, parent, found)
        else:
            place = found.place
            print(
                f"warning: step '{place.step}' has had the document {found.doc_id.hex()} of "
                f"partition {place.unit} for {found.seconds:g} s. To leave it out, end the run and "
                f"name it in {quarantine.path_of(place.unit)}; on Ray that happens by itself.",
                file=sys.stderr, flush=True,
            )  # fmt: skip


def _kill(page: mmap.mmap, parent: int, late: InHand) -> None:
    from pipeline.files.uris import open_storage

    place, added = late.place, False
    entry = (place.unit, late.doc_id.hex(), place.step)
    try:
        storage = open_storage(place.root)
        added = _still(page, late) and quarantine.add(storage, *entry)
    except Exception as error:  # killed all the same: a run that ends is better than one that hangs
        print(f"warning: {entry} is not in quarantine: {error}", file=sys.stderr, flush=True)
    if _still(page, late):
        os.kill(parent, signal.SIGKILL)
    elif added:
        quarantine.remove(storage, *entry)


def _age(found: InHand) -> float:
    return time.monotonic() - found.since


def _still(page: mmap.mmap, late: InHand) -> bool:
    found = read_page(page[:])
    return found is not None and found.number == late.number


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
