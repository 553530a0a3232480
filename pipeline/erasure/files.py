"""The files that hold pages, and each of them written again without these."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.audit.collect import kind_of as gc_kind
from pipeline.erasure.pages import CONTENT, NAMES, Pages
from pipeline.erasure.tables import kind_of, opened, rewrite, tables_of
from pipeline.files.local_storage import file_sha256
from pipeline.files.storage import AlreadyExists, Storage
from pipeline.results.manifest import Dataset, FileRef

TABLES = ("step outputs", "documents", "token shards", "dataset files")
"""What gc calls the files that may hold rows of documents."""


def stored_tables(storage: Storage) -> Iterator[tuple[str, str]]:
    """(path, kind) of every file of the workdir that may hold rows of documents."""
    for info in storage.list(""):
        if gc_kind(info.path) in TABLES:
            kind = kind_of(storage, info.path)
            if kind != "raw":
                yield info.path, kind


def find(storage: Storage, pages: Pages, beat: Callable[[], None]) -> dict[str, str]:
    """Learn the pages' identities and texts; path -> kind of the files that hold rows of them."""
    files = [(*file, _columns(storage, *file)) for file in stored_tables(storage)]
    for path, kind, columns in files:
        beat()
        if {"url", "doc_id"} <= columns:
            for table in tables_of(storage, path, kind, NAMES):
                pages.learn(table)
    held: dict[str, str] = {}
    unnamed = []
    for path, kind, columns in files:
        beat()
        if "doc_id" not in columns:
            unnamed.append((path, kind))
        elif any(pages.rows_in(table).any() for table in tables_of(storage, path, kind, NAMES)):
            held[path] = kind
            for table in tables_of(storage, path, kind, (*NAMES, *CONTENT)):
                pages.listen(table.filter(pages.rows_in(table)))
    for path, kind in unnamed:  # rows that say not whose they are: by what they say
        for table in tables_of(storage, path, kind):
            if path not in held and (pages.rows_in(table).any() or pages.tells(table)):
                held[path] = kind
    return held


def _columns(storage: Storage, path: str, kind: str) -> set[str]:
    """Names of a file's columns; of a file that is no Parquet those that it may have."""
    if kind != "parquet":
        return set(NAMES)
    with opened(storage, path) as file:
        return set(file.schema_arrow.names)


@dataclass
class Rewritten:
    """Old files -> the same without the pages; written when first asked for."""

    storage: Storage
    pages: Pages
    held: Mapping[str, str]
    made: dict[str, FileRef | None] = field(default_factory=dict)
    """Old path -> new file; None = nothing was left of a published one."""

    def ref(self, old: FileRef) -> FileRef | None:
        """What takes the place of a file in a manifest or a version."""
        if old.path not in self.held:
            return old
        if old.path not in self.made:
            self.made[old.path] = self._write(old.path)
        new = self.made[old.path]
        if new is None:
            return None
        info = dict(old.info)
        info |= {name: value for name, value in new.info.items() if name in info}
        return FileRef(new.path, new.sha256, new.num_bytes, new.rows, info)

    def dataset(self, old: Dataset) -> Dataset:
        """What takes the place of an output."""
        if not any(ref.path in self.held for ref in old.files):
            return old
        return Dataset.of([new for ref in old.files if (new := self.ref(ref)) is not None])

    def _write(self, path: str) -> FileRef | None:
        folder = Path(tempfile.mkdtemp(dir=self.storage.scratch_root()))
        try:
            target = folder / "rewritten"
            facts: dict[str, Any] = rewrite(self.storage, path, self.held[path], target, self.pages)
            rows = facts.pop("rows")
            published = not path.startswith("steps/")
            if published and not rows:
                return None
            sha256, size = file_sha256(target), target.stat().st_size
            if published:
                name = re.sub(r"-[0-9a-f]{8}(\.[a-z.]+)$", rf"-{sha256[:8]}\1", path)
                self._put_once(name, target)
            else:
                output, _, file = path.rpartition("/")
                name = f"{output.rpartition('-')[0]}-{secrets.token_hex(4)}/{file}"
                self.storage.put(name, target)
            return FileRef(name, sha256, size, rows, {"documents": rows, **facts})
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _put_once(self, name: str, target: Path) -> None:
        try:
            self.storage.put(name, target, if_absent=True)
        except AlreadyExists:
            return  # an earlier attempt: the name is that of the content
