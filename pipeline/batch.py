"""Text with lazily computed lines and words, shared by neighbouring stages.

A `TextBatch` is a table of documents plus caches; a `Page` is one row of it. Three filters that
each split words cost twice what one shared split costs, hence the caches. A stage that rewrites
text makes a new batch, so a cache never outlives its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa

from pipeline.execution import watch

T = TypeVar("T")

# Scripts written without spaces: each character is a word of its own (DESIGN section 4).
_UNSPACED = (
    "\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u3040-\u309f\u30a0-\u30ff\u31f0-\u31ff"  # Hiragana, Katakana
    "\u0e00-\u0e7f\u0e80-\u0eff\u1780-\u17ff"  # Thai, Lao, Khmer
    "\u1000-\u109f\u0f00-\u0fff"  # Myanmar, Tibetan
)
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_WORD = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")

WORDS_VERSION = 1
"""Version of the definition of a word; stages that count words depend on it.

1: runs of non-space characters; each Han, kana, Thai, Lao, Khmer, Myanmar, Tibetan character alone.
"""


def split_words(text: str) -> list[str]:
    """Words of a text by the definition of DESIGN section 4."""
    if _HAS_UNSPACED.search(text):
        return _WORD.findall(text)
    return text.split()


class Page:
    """One document, as a filter's author sees it: `text`, `lines`, `words`, `url`, any column."""

    __slots__ = ("_batch", "_row")

    def __init__(self, batch: TextBatch, row: int) -> None:
        self._batch = batch
        self._row = row

    @classmethod
    def of(cls, text: str, **columns: Any) -> Page:
        """A page outside any run, for tests and notebooks."""
        table = pa.table({"text": pa.array([text], pa.large_string())})
        for name, value in columns.items():
            table = table.append_column(name, pa.array([value]))
        return next(iter(TextBatch(table)))

    @property
    def text(self) -> str:
        return self._batch.texts[self._row]

    @property
    def lines(self) -> list[str]:
        """The text split at newlines, unstripped."""
        return self._batch.lines[self._row]

    @property
    def words(self) -> list[str]:
        """The words of the whole text, see `split_words`."""
        return self._batch.words[self._row]

    @property
    def url(self) -> str:
        value = self["url"]
        return value if isinstance(value, str) else ""

    def __getitem__(self, column: str) -> Any:
        return self._batch.values(column)[self._row]


class TextBatch:
    """A table of whole documents with caches over its text. At most 32 MB or 8,192 rows."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._values: dict[str, list[Any]] = {}
        self._shared: dict[str, Any] = {}

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[Page]:
        return self.one_by_one(Page(self, row) for row in range(len(self)))

    def one_by_one(self, rows: Iterable[T]) -> Iterator[T]:
        """Rows of which each is one document's, under the watchdog: on Ray a worker that has one
        of them in hand for a minute is killed, and its work done again without that document."""
        if "doc_id" not in self.table.column_names:  # a batch of no run
            return iter(rows)
        return watch.one_by_one(lambda: self.values("doc_id"), rows)

    def column(self, name: str) -> pa.Array:
        """One column as a single Arrow array (no copy when it is in one chunk)."""
        column = self.table.column(name)
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def values(self, name: str) -> list[Any]:
        """One column as Python values, converted once."""
        if name not in self._values:
            self._values[name] = self.table.column(name).to_pylist()
        return self._values[name]

    def shared(self, name: str, compute: Callable[[TextBatch], T]) -> T:
        """The value of `compute(self)`, computed once for all stages that ask under `name`."""
        if name not in self._shared:
            self._shared[name] = compute(self)
        value: T = self._shared[name]
        return value

    @cached_property
    def texts(self) -> list[str]:
        return [text or "" for text in self.values("text")]

    @cached_property
    def lines(self) -> list[list[str]]:
        return [text.split("\n") for text in self.texts]

    @cached_property
    def words(self) -> list[list[str]]:
        return [split_words(text) for text in self.texts]

    def with_columns(self, columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> TextBatch:
        """A batch with columns replaced or added. Text caches survive only if the text does."""
        table = self.table
        for name, values in columns.items():
            at = table.schema.get_field_index(name)
            table = (
                table.append_column(name, values) if at < 0 else table.set_column(at, name, values)
            )
        batch = TextBatch(table)
        if "text" not in columns:
            batch._values = {k: v for k, v in self._values.items() if k not in columns}
            batch._shared = self._shared
            for cache in ("texts", "lines", "words"):
                if cache in self.__dict__:
                    batch.__dict__[cache] = self.__dict__[cache]
        return batch

    def without(self, columns: tuple[str, ...]) -> TextBatch:
        """A batch without some columns; caches are not kept."""
        present = [name for name in columns if name in self.table.column_names]
        return TextBatch(self.table.drop_columns(present)) if present else self

    def take(self, keep: pa.Array) -> TextBatch:
        """The rows where the boolean array `keep` is true, in order; itself if all are."""
        if keep.null_count == 0 and keep.true_count == len(keep):
            return self  # a filter would copy every text and every id
        return TextBatch(self.table.filter(keep))
