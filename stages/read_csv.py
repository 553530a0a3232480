"""Reads documents from CSV and TSV files: plain, gzip, zstd or bzip2, as their first bytes say.

Quoting is that of RFC 4180, by Python's `csv`: a quoted field may hold the delimiter, line ends and
doubled quotes. A row that does not parse, or has another number of fields than the header, is
refused as `bad_line` with the line on which it starts. A lost quote must not swallow the rows
behind it: reading goes on at the line after the one that is refused.

The charset is a byte order mark's, else told by the first megabyte, unless `encoding` names it. In
a UTF-8 file a row that is no UTF-8 is refused as `undecodable`. Where the compressed stream breaks,
the whole lines before it are read and the rest of the file is damage.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from pipeline.errors import InputError, nearest
from pipeline.stage import Partition, Side, SourceBatch, knob
from stages.charset import whatwg_name
from stages.documents import MappedSource, add_row, refusal_key
from stages.lines import CHUNK, Lines, check_encoding

_TABS = re.compile(r"\.(?:tsv|tab)(?:\.\w+)?$", re.IGNORECASE)
_REREADS = 4
"""Lines are read again behind a broken row, in all up to so many times the bytes of the file: a
hostile file could ask for its square."""


@dataclass(frozen=True)
class ReadCsv(MappedSource):
    """One document a row. `offset` is the number of its first line, the first line being 0."""

    delimiter: str | None = knob(
        None, unit="character", source="RFC 4180; a tab in files named .tsv or .tab (IANA)"
    )
    quote: str = knob('"', unit="character", source="RFC 4180", help="empty: nothing is quoted")
    escape: str | None = knob(
        None, unit="character", source="RFC 4180 doubles quotes", help="such as a backslash"
    )
    header: bool = knob(True, source="most files have one", help="the first row names the columns")
    names: tuple[str, ...] = knob(
        (), source="off", help="names of the columns, for files without a header or instead of it"
    )
    max_row_bytes: int = knob(
        32 << 20, unit="bytes", minimum=1024,
        source="a lost quote reads on so far, and Python's csv holds 4 bytes a character",
        help="a longer row is too_large",
    )  # fmt: skip
    encoding: str | None = knob(None, source="told by the first megabyte", help="a charset's label")

    def check(self) -> None:
        super().check()
        if not self.header and not self.names:
            raise ValueError("`header: false` needs `names: [...]`, the columns in their order.")
        if len(set(self.names)) < len(self.names):
            raise ValueError("`names` has a name twice.")
        check_encoding(self.encoding)
        for name in ("delimiter", "quote", "escape"):
            value = getattr(self, name)
            if value is not None and len(value) > 1:
                raise ValueError(f"`{name}` is {value!r}, expected one character.")
        given = [self.delimiter or ",", self.quote, self.escape]
        if any(mark in ("\n", "\r") for mark in given):
            raise ValueError("a line end cannot be a `delimiter`, `quote` or `escape`.")
        if len({mark for mark in given if mark}) < sum(map(bool, given)):
            raise ValueError("`delimiter`, `quote` and `escape` cannot be the same character.")

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        fields = self.fields()
        builder = fields.builder(partition)
        bound = self.max_row_bytes
        # The limit is the process's: it is only raised, and the bound is reached before it.
        csv.field_size_limit(max(csv.field_size_limit(), bound))
        lines = Lines(stream, bound, whatwg_name(self.encoding) or "", blank=True)
        delimiter = self.delimiter or ("\t" if _TABS.search(partition.file) else ",")
        source = _Source(lines, bound)
        if self.names:
            _check_names(partition, self.names, fields.names())
        header = self.header
        for start, row in source.rows(self._reader(source, delimiter), self.names, header):
            if isinstance(row, str):
                yield from builder.refuse(row, start, refusal_key(partition.file, start))
            elif header:
                header = False
                _check_names(partition, source.names, fields.names())
            else:
                values = {
                    name: cell if cell or name == fields.body else None
                    for name, cell in zip(source.names, row, strict=True)
                }
                yield from add_row(builder, fields, values, start, lines.charset)
            if builder.done:
                break
        lines.note_damage(builder)
        yield from builder.rest()

    def _reader(self, lines: Iterator[str], delimiter: str) -> Any:
        return csv.reader(
            lines,
            delimiter=self.delimiter or delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape,
            doublequote=self.escape is None,
            strict=True,
        )


class _Source:
    """Gives the csv reader its lines, and takes back those of a row that came to nothing."""

    def __init__(self, lines: Lines, bound: int) -> None:
        self.lines, self.bound = lines, bound
        self.names: Sequence[str] = ()
        self._fresh = iter(lines)
        self._again: deque[tuple[int, bytes | None]] = deque()
        self._row: list[tuple[int, bytes | None]] = []
        self._held = self._read = self._reread = 0
        self.ended = False

    def __iter__(self) -> _Source:
        return self

    def __next__(self) -> str:
        """The next line for the row that is being read. Raises _Refused."""
        if self._again:
            number, line = self._again.popleft()
        else:
            try:
                number, line = next(self._fresh)
            except StopIteration:
                self.ended = True
                raise
            self._read += len(line or b"")
        self._row.append((number, line))
        self._held += len(line or b"") + 1
        if line is None or self._held > self.bound:
            raise _Refused("too_large")
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError:
            raise _Refused("undecodable") from None

    def rows(
        self, reader: Any, names: Sequence[str], has_header: bool
    ) -> Iterator[tuple[int, list[str] | str]]:
        """(number of the first line, cells or the reason of a refusal) of each row.

        The first row that is whole is the header, if the file has one.
        """
        self.names = names
        while True:
            self._row, self._held = [], 0
            try:
                cells: list[str] = next(reader)
            except StopIteration:
                return
            except _Refused as refused:
                yield from self._refuse(refused.reason)
                continue
            except csv.Error:
                if self.lines.broken and self.ended:
                    # Its end is in what could not be read: its other lines are no rows.
                    yield self._row[0][0], "bad_line"
                    return
                yield from self._refuse("bad_line")
                continue
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue  # a blank line
            if has_header:
                has_header = False
                self.names = names or [cell.strip() for cell in cells]
            elif len(cells) != len(self.names):
                yield from self._refuse("bad_line")
                continue
            yield self._row[0][0], cells

    def _refuse(self, reason: str) -> Iterator[tuple[int, str]]:
        """Refuse the first line of the row and read the others again."""
        again = self._row[1:]
        size = sum(len(line or b"") for _, line in again)
        yield self._row[0][0], reason
        if self._reread + size <= _REREADS * self._read + CHUNK:
            self._reread += size
            self._again.extendleft(reversed(again))
        else:
            for number, _ in again:
                yield number, reason


class _Refused(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = reason


def _check_names(partition: Partition, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise InputError if a column that is read is not in the header, or is there twice."""
    for name in wanted:
        if names.count(name) != 1 and names.count(name.split(".")[0]) != 1:
            problem = "twice" if name in names else "not"
            raise InputError(
                f"{partition.path}: source '{partition.source}' reads column '{name}', which its "
                f"header has {problem}: {', '.join(names)[:500]}.{nearest(name, names)} "
                f"Name the right column in the step's knobs, or give `names:`."
            )
