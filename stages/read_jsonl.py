"""Reads documents from JSON Lines files: plain, gzip, zstd or bzip2, as their first bytes say.

A line that is no JSON object (or not UTF-8) is refused as `bad_line`, one without a string in the
text field as `no_text`. Where the compressed stream breaks, the whole lines before it are read and
the rest of the file is damage. A non-empty file without any line is damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import orjson

from pipeline.stage import Partition, Side, SourceBatch
from stages.documents import MappedSource, add_row, refusal_key
from stages.lines import CHUNK, Lines


@dataclass(frozen=True)
class ReadJsonl(MappedSource):
    """One document a line. `offset` is the line's number in the file, the first line being 0.

    2: pages from `html` have the columns that pages of archives have.
    """

    version: ClassVar[int] = 2

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        fields = self.fields()
        builder = fields.builder(partition)
        # JSON escapes take up to six bytes a character; nothing longer can hold a document.
        lines = Lines(stream, max_line_bytes=6 * fields.max_bytes + CHUNK)
        for number, line in lines:
            if builder.done:
                break
            if line is None:
                key = refusal_key(partition.file, number)
                yield from builder.refuse("too_large", number, key)
                continue
            row = _parsed(line)
            if row is None:
                yield from builder.refuse("bad_line", number, refusal_key(partition.file, number))
            else:
                yield from add_row(builder, fields, row, number)
        lines.note_damage(builder)
        yield from builder.rest()


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line; None if it holds none."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None
