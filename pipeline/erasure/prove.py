"""Proof that pages are gone: every byte of the workdir is looked at, decoded where it is a table.

Looked for are the pages' identities and URLs in every table, and parts of their text, HTML and
token ids in every column and raw file. What a row of another page says too is that page's own: it
is counted as `shared` and shown, not held against the proof.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.erasure.pages import NAMES, Pages, Windows, is_text
from pipeline.erasure.tables import kind_of, tables_of
from pipeline.files.storage import Storage
from pipeline.planning.fetching import FetchingSource, Kept

_SHOWN = 50
_IN_URL = frozenset(b"-._~:/?#[]@!$&'()*+,;=%") | frozenset(range(48, 58)) | frozenset(
    [*range(65, 91), *range(97, 123)]
)  # fmt: skip


@dataclass
class Proof:
    """What was looked at, and what was found."""

    files: int = 0
    tables: int = 0
    columns: int = 0
    num_bytes: int = 0
    """Decoded bytes that were searched."""
    parts: int = 0
    """Distinct parts of text, HTML, token ids, and URLs, that were looked for."""
    found: list[str] = field(default_factory=list)
    """`path: what`, where a page is still there; empty = proven absent."""
    shared: dict[str, list[str]] = field(default_factory=dict)
    """doc_id of another page, or its URL as it was fetched -> the files in which it says what an
    erased page said."""


def prove(
    storage: Storage,
    pages: Pages,
    but: str,
    keepers: Sequence[type[FetchingSource]],
    beat: Callable[[], None],
) -> Proof:
    """Look at every file of the workdir `but` the one that holds what is looked for.

    Files that `keepers` keep are looked at record by record.
    """
    return _Search(storage, pages).run(but, keepers, beat)


class _Search:
    def __init__(self, storage: Storage, pages: Pages) -> None:
        self.storage, self.pages, self.proof = storage, pages, Proof()
        self.urls = {url.encode() for url in pages.urls if len(url) >= 8}
        self.windows = Windows(pages.windows | self.urls)
        self.proof.parts = len(self.windows)
        self.doubts: list[tuple[str, bytes]] = []
        """(path, part) in a place that says not whose it is."""
        self.others: set[bytes] = set()
        """Parts that other pages have too."""

    def run(
        self, but: str, keepers: Sequence[type[FetchingSource]], beat: Callable[[], None]
    ) -> Proof:
        looked_at: set[str] = {but}
        for keeper in keepers:
            for kept in keeper.kept(self.storage):
                beat()
                self.proof.files += kept.path not in looked_at
                looked_at.add(kept.path)
                self._kept(kept)
        for info in self.storage.list(""):
            beat()
            if info.path in looked_at:
                continue
            self.proof.files += 1
            kind = kind_of(self.storage, info.path)
            if kind == "raw":
                self._raw(info.path)
                continue
            self.proof.tables += 1
            columns: set[str] = set()
            for table in tables_of(self.storage, info.path, kind):
                columns |= set(table.column_names)
                self._table(info.path, table)
            self.proof.columns += len(columns)
        for path, part in self.doubts:
            if part not in self.others:
                what = "its URL" if part in self.urls else "a part of its text"
                self._say(path, what)
        return self.proof

    def _say(self, path: str, what: str) -> None:
        line = f"{path}: {what}"
        if line not in self.proof.found and len(self.proof.found) < _SHOWN:
            self.proof.found.append(line)

    def _kept(self, kept: Kept) -> None:
        """A record says whose it is: a page that says or links to what is erased is another one."""
        self.proof.num_bytes += len(kept.content)
        if any(self.pages.entries.of(url) for url in kept.urls):
            self._say(kept.path, "a record of it")
        for _, part in self.windows.find(kept.content):
            if part not in self.urls:
                self.others.add(part)
                files = self.proof.shared.setdefault(kept.urls[0] if kept.urls else "", [])
                if kept.path not in files and len(files) < _SHOWN:
                    files.append(kept.path)

    def _raw(self, path: str) -> None:
        data = self.storage.get(path)
        for piece in (data, *_unzipped(data)):
            self.proof.num_bytes += len(piece)
            for at, part in self.windows.find(piece):
                after = piece[at + len(part) : at + len(part) + 1]
                if part in self.urls and after and after[0] in _IN_URL:
                    continue  # of another URL that goes on
                self.doubts.append((path, part))

    def _table(self, path: str, table: pa.Table) -> None:
        if "doc_id" in table.column_names or "url" in table.column_names:
            names = [name for name in NAMES if name in table.column_names]
            if self.pages.rows_in(table.select(names)).any():
                self._say(path, "a row of it")
        for name, column in zip(table.column_names, table.columns, strict=True):
            for first, data, offsets in _buffers(column):
                self.proof.num_bytes += len(data)
                for at, part in self.windows.find(data):
                    row = first + int(np.searchsorted(offsets, at, side="right")) - 1
                    self._hit(path, table, row, name, part)

    def _hit(self, path: str, table: pa.Table, row: int, column: str, part: bytes) -> None:
        if "doc_id" not in table.column_names:
            self.doubts.append((path, part))
            return
        self.others.add(part)
        if part in self.urls and column != "url":
            return  # a link to it
        if part in self.urls:
            return  # the beginning of another URL: the row's own was looked up above
        files = self.proof.shared.setdefault(table["doc_id"][row].as_py().hex(), [])
        if path not in files and len(files) < _SHOWN:
            files.append(path)


def _unzipped(data: bytes) -> list[bytes]:
    if data[:2] != b"\x1f\x8b":
        return []
    try:
        return [gzip.decompress(data)]
    except (OSError, EOFError, zlib.error):
        return []


def _buffers(column: pa.ChunkedArray) -> list[tuple[int, bytes, Any]]:
    """(first row, bytes, where each row begins in them) of a column of strings or token ids."""
    found = []
    first = 0
    for chunk in column.chunks:
        array, width = chunk, 1
        if pa.types.is_list(chunk.type) and pa.types.is_integer(chunk.type.value_type):
            array, width = chunk, chunk.type.value_type.bit_width // 8
        elif not is_text(chunk.type):
            first += len(chunk)
            continue
        large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
        offsets = np.frombuffer(array.buffers()[1], np.int64 if large else np.int32)
        offsets = offsets[array.offset : array.offset + len(array) + 1].astype(np.int64) * width
        values = array.buffers()[3] if width > 1 else array.buffers()[2]
        if len(offsets) and values is not None:
            data = values.slice(int(offsets[0]), int(offsets[-1] - offsets[0])).to_pybytes()
            found.append((first, data, offsets - offsets[0]))
        first += len(chunk)
    return found
