"""The pages to erase: who they are, and what is looked for to know that they are gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.erasure.excluded import Entries
from pipeline.schema import DOC_ID

NAMES = ("url", "doc_id", "file", "offset")
"""Columns that say whose a row is."""
CONTENT = ("text", "html", "tokens")
WINDOW_BYTES = 48
"""Of a page's text that is looked for: longer than what pages share by chance."""
WINDOW_TOKENS = 24
WINDOWS = 12
"""A page and column: evenly spaced, so that no part of a page of usual length is left out."""
MIN_BYTES = 24
"""A shorter text is no page's own."""
_HEAD = 8


@dataclass
class Pages:
    """The pages that the entries name, as far as the workdir knows them."""

    entries: Entries
    places: set[tuple[bytes, str, int]] = field(default_factory=set)
    """(doc_id, file, offset): a document's identity."""
    texts: set[bytes] = field(default_factory=set)
    windows: set[bytes] = field(default_factory=set)
    """Parts of text, HTML and token ids."""
    urls: set[str] = field(default_factory=set)
    """As the workdir spells them."""

    def learn(self, table: pa.Table) -> None:
        """Note the identities of the rows whose URL meets an entry."""
        if "url" not in table.column_names or "doc_id" not in table.column_names:
            return
        hit, _ = self.entries.met(table["url"])
        if hit.any():
            rows = table.filter(pa.array(hit)).select([n for n in NAMES if n in table.column_names])
            for row in rows.to_pylist():
                self.urls.add(row["url"])
                self.places.add((row["doc_id"], row.get("file") or "", row.get("offset") or 0))

    def listen(self, table: pa.Table) -> None:
        """Note what rows of these pages say."""
        for name in CONTENT:
            if name in table.column_names:
                for value in table[name].to_pylist():
                    self._hear(value)

    def _hear(self, value: Any) -> None:
        if isinstance(value, list):
            for kind in (np.uint16, np.uint32):
                ids = np.array(value, np.uint32).astype(kind).tobytes()
                width = np.dtype(kind).itemsize
                if len(value) >= WINDOW_TOKENS:
                    self.windows.update(windows(ids, WINDOW_TOKENS * width, width))
        elif value:
            data = value.encode() if isinstance(value, str) else bytes(value)
            self.texts.add(data)
            self.windows.update(windows(data, WINDOW_BYTES))

    @cached_property
    def _doc_ids(self) -> pa.Array:
        return pa.array(sorted({place[0] for place in self.places}), DOC_ID)

    def rows_in(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """Which rows are of these pages: by identity, by URL, or by a piece of their text in a
        table that does not say whose its rows are."""
        names = table.column_names
        hit = np.zeros(table.num_rows, np.bool_)
        if "doc_id" in names and table.schema.field("doc_id").type == DOC_ID:
            hit = self._by_place(table)
            if "url" in names:
                hit |= self.entries.met(table["url"])[0]
            return hit
        for name, kind in zip(names, table.schema.types, strict=True):
            if is_text(kind):
                hit |= self._quoted(table[name])
        return hit

    def without(self, table: pa.Table) -> pa.Table:
        """The other rows of a table. Where these stand in the order of a page's words, and do not
        say whose they are (counts of pieces in order of first use), they come out sorted."""
        left = table.filter(pa.array(~self.rows_in(table)))
        column = self.tells(left)
        return left.sort_by(column) if column else left

    def tells(self, table: pa.Table) -> str | None:
        """A column of a table without identities whose neighbouring rows, read on, are a part of
        a page's text."""
        if "doc_id" in table.column_names or not self.texts:
            return None
        for name, kind in zip(table.column_names, table.schema.types, strict=True):
            if is_text(kind):
                values = [v.encode() if isinstance(v, str) else v for v in table[name].to_pylist()]
                data = b"".join(value or b"" for value in values)
                ends = np.cumsum([0, *(len(value or b"") for value in values)])
                for at in np.unique(ends).tolist():
                    part = data[at : at + MIN_BYTES]
                    if len(part) == MIN_BYTES and any(part in text for text in self.texts):
                        return str(name)
        return None

    def _by_place(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        found = pc.is_in(table["doc_id"], self._doc_ids).to_numpy(zero_copy_only=False)
        hit = np.array(found, np.bool_)
        if not hit.any() or not {"file", "offset"} <= set(table.column_names):
            return hit
        for at in np.flatnonzero(hit).tolist():
            row = {name: table[name][at].as_py() for name in ("doc_id", "file", "offset")}
            hit[at] = (row["doc_id"], row["file"] or "", row["offset"] or 0) in self.places
        return hit

    def _quoted(self, column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        long = pc.fill_null(pc.greater_equal(pc.binary_length(column), MIN_BYTES), False)
        hit = np.array(long.to_numpy(zero_copy_only=False), np.bool_)
        for at in np.flatnonzero(hit).tolist():
            value = column[at].as_py()
            data = value.encode() if isinstance(value, str) else value
            hit[at] = any(data in text for text in self.texts)
        return hit


def is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    )  # fmt: skip


def windows(data: bytes, size: int, step: int = 1) -> set[bytes]:
    """Some parts of `size` bytes, beginning at multiples of `step`; the whole if it is shorter."""
    if len(data) <= size:
        return {data} if len(data) >= MIN_BYTES else set()
    last = (len(data) - size) // step
    starts = {round(last * n / (WINDOWS - 1)) * step for n in range(WINDOWS)}
    found = {data[start : start + size] for start in starts}
    return {part for part in found if len(set(part)) > 8}  # no row of dashes


class Windows:
    """A set of byte strings that data is searched for, all at once."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._by_head: dict[bytes, list[bytes]] = {}
        for part in sorted(set(parts)):
            self._by_head.setdefault(part[:_HEAD], []).append(part)
        heads = list(self._by_head)
        self._heads = np.array([int.from_bytes(head, "little") for head in heads], np.uint64)
        self._pairs = np.zeros(1 << 16, np.bool_)
        for head in heads:
            self._pairs[head[0] | head[1] << 8] = True

    def __len__(self) -> int:
        return sum(map(len, self._by_head.values()))

    def find(self, data: bytes) -> list[tuple[int, bytes]]:
        """(place, part) of every part in the data."""
        length = len(data) - _HEAD + 1
        if length <= 0 or not len(self._heads):
            return []
        each = np.frombuffer(data, np.uint8)
        pairs = each[:length] | each[1 : length + 1].astype(np.uint16) << np.uint16(8)
        at = np.flatnonzero(self._pairs[pairs])
        heads: Any = np.ndarray((length,), "<u8", data, strides=(1,))
        at = at[np.isin(heads[at], self._heads)]
        return [
            (place, part)
            for place in at.tolist()
            for part in self._by_head[data[place : place + _HEAD]]
            if data.startswith(part, place)
        ]
