"""`quarantine/<partition id>.json`: documents that a step leaves out, as they hang or kill it.

Written by hand or by the watchdog. A partition's entries are part of its own works' keys and of
nothing else.
"""

from __future__ import annotations

import json

from pipeline.errors import InputError, StageError
from pipeline.files.storage import Storage

FOLDER = "quarantine"
Entry = tuple[str, str]
"""doc_id as 32 hex digits, step id."""


class NewlyQuarantinedError(StageError):
    """A work whose partition has entries that its key does not know: it has to be made anew."""

    def __init__(self, where: str, unit: str, entries: tuple[Entry, ...]) -> None:
        said = ", ".join(f"{doc_id} at step '{step}'" for doc_id, step in entries)
        super().__init__(f"{where}: put into quarantine, as it took too long: {said}")
        self.unit, self.entries = unit, entries

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (str(self), self.unit, self.entries)


def _restored(said: str, unit: str, entries: tuple[Entry, ...]) -> NewlyQuarantinedError:
    error = NewlyQuarantinedError("", unit, entries)
    error.args = (said,)
    return error


def path_of(unit: str) -> str:
    return f"{FOLDER}/{unit}.json"


def read_quarantine(storage: Storage) -> dict[str, list[Entry]]:
    """Documents to skip, by partition id. Raises InputError."""
    found = {}
    for info in storage.list(FOLDER):
        if info.path.endswith(".json"):
            unit = info.path.rpartition("/")[2].removesuffix(".json")
            found[unit] = entries_of(storage, unit)
    return found


def entries_of(storage: Storage, unit: str) -> list[Entry]:
    """The entries of one partition, sorted; none if there is no list. Raises InputError."""
    path = path_of(unit)
    try:
        named = {(entry["doc_id"], entry["step"]) for entry in json.loads(storage.get(path))}
        for doc_id, _ in named:
            bytes.fromhex(doc_id)
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a quarantine list: {error}. "
            f'Expected [{{"doc_id": "<32 hex digits>", "step": "<step id>"}}].'
        ) from error
    return sorted(named)


def add(storage: Storage, unit: str, doc_id: str, step: str) -> bool:
    """Put a document on its partition's list; False if it is there."""
    entries = entries_of(storage, unit)
    if (doc_id, step) in entries:
        return False
    _store(storage, unit, sorted([*entries, (doc_id, step)]))
    return True


def remove(storage: Storage, unit: str, doc_id: str, step: str) -> None:
    """Take a document off its partition's list."""
    left = [entry for entry in entries_of(storage, unit) if entry != (doc_id, step)]
    if left:
        _store(storage, unit, left)
    else:
        storage.delete(path_of(unit))


def _store(storage: Storage, unit: str, entries: list[Entry]) -> None:
    rows = [{"doc_id": doc_id, "step": step} for doc_id, step in entries]
    storage.put(path_of(unit), json.dumps(rows, indent=1).encode() + b"\n")
