"""What a source's work knows of excluded pages: the list, its entries, the key that they make.

Which list is in force, and what a partition meets of it, is `pipeline.erasure.exclusion`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pipeline.erasure.url_form import domain_entries, url_entry
from pipeline.errors import IntegrityError
from pipeline.files.storage import Storage
from pipeline.files.uris import open_storage
from pipeline.planning.fingerprint import digest
from pipeline.stage import SourceBatch

FOLDER = "exclusions"
REASON = "excluded"
"""Drop reason after the source's id."""


@dataclass(frozen=True)
class Excluding:
    """What a source's work must know to leave pages out."""

    path: str
    """The stored list."""
    base: str
    """The key of the work if it met no entry."""


class Entries:
    """A set of entries that URLs are looked up in."""

    def __init__(self, entries: Iterable[str]) -> None:
        self.all = frozenset(entries)
        self._domains = any(entry.startswith("d:") for entry in self.all)

    def of(self, url: str | None) -> list[str]:
        """The entries that a URL meets."""
        if not url:
            return []
        found = [entry] if (entry := url_entry(url)) in self.all else []
        if self._domains:
            found += [entry for entry in domain_entries(url) if entry in self.all]
        return found

    def named(self, url: str) -> bool:
        """True if a URL meets an entry."""
        return bool(self.of(url))

    def met(
        self, urls: pa.Array | pa.ChunkedArray | Sequence[str | None]
    ) -> tuple[npt.NDArray[np.bool_], set[str]]:
        """Where a column's URLs meet an entry, and which entries are met."""
        values = urls.to_pylist() if isinstance(urls, pa.Array | pa.ChunkedArray) else list(urls)
        hits = [self.of(url) for url in values]
        return np.array([bool(hit) for hit in hits], np.bool_), {e for hit in hits for e in hit}

    @property
    def digest(self) -> str:
        return digest(sorted(self.all))


def work_key(base: str, met: Iterable[str]) -> str:
    """The key of a source's work that met these entries."""
    entries = sorted(met)
    return digest({"base": base, REASON: entries}) if entries else base


def stored_entries(storage: Storage, path: str) -> list[str]:
    try:
        entries: list[str] = orjson.loads(storage.get(path))["entries"]
    except (orjson.JSONDecodeError, KeyError, TypeError, FileNotFoundError) as error:
        raise IntegrityError(
            f"{storage.root}/{path} is no list of excluded pages: {error}. Restore it: without it "
            f"a run would bring back what was erased."
        ) from error
    return entries


@functools.lru_cache(maxsize=4)
def _loaded(root: str, path: str) -> Entries:
    return Entries(stored_entries(open_storage(root), path))


def entries_at(storage: Storage, path: str) -> Entries:
    """A stored list, read once a process: its name is that of its content."""
    return _loaded(storage.root, path)


def without_excluded(batch: SourceBatch, entries: Entries) -> tuple[SourceBatch, int, set[str]]:
    """The batch without the documents and refusals that meet an entry; how many, which entries."""
    hits = [entries.of(row.get("url")) for row in batch.refused]
    met = {entry for hit in hits for entry in hit}
    refused = [row for row, hit in zip(batch.refused, hits, strict=True) if not hit]
    gone = len(hits) - len(refused)
    documents = batch.documents
    if documents is not None and "url" in documents.column_names:
        hit, found = entries.met(documents["url"])
        met |= found
        gone += int(hit.sum())
        documents = documents.filter(pa.array(~hit)) if hit.any() else documents
    return replace(batch, documents=documents, refused=refused), gone, met
