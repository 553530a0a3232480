"""Reads documents from plain text files: plain, gzip, zstd or bzip2, as their first bytes say.

A document is a whole file, a line, a paragraph (lines between blank ones), or what stands between
two separators. Blank ones are no documents. `offset` is the number of its first line, the first
line of the file being 0.

The charset is a byte order mark's, else told by the file's first megabyte (by all of it for whole
files), unless `encoding` names it; it is recorded in `charset`. What it cannot decode becomes
U+FFFD, but where files are cut into documents, one that is no UTF-8 in a UTF-8 file is refused as
`undecodable`. Where the compressed stream breaks, whole documents before it are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

import pyarrow as pa

from pipeline.schema import TEXT_DOCUMENTS
from pipeline.stage import Partition, Side, Source, SourceBatch, knob, location
from stages.charset import python_codec, whatwg_name
from stages.documents import MAX_TEXT_BYTES, BatchBuilder, refusal_key, row_key
from stages.lines import Lines, Unpacked, check_encoding, text_charset

_BINARY_HEAD = 8000
"""A file with a NUL in so many first bytes is binary, as git sees it (buffer_is_binary)."""


@dataclass(frozen=True)
class ReadText(Source):
    """Plain text: one document a file, a line, a paragraph, or a piece between separators."""

    paths: tuple[str, ...] = location()
    base: str | None = location(None)
    split: str = knob(
        "file", source="a folder of books is the usual case",
        choices=("file", "lines", "paragraphs"), help="what one document is",
    )  # fmt: skip
    separator: str = knob(
        "", source="off", help="a text between documents instead, such as <|endoftext|>"
    )
    encoding: str | None = knob(None, source="told by the first megabyte", help="a charset's label")
    max_document_bytes: int = knob(
        MAX_TEXT_BYTES, unit="bytes of UTF-8", source="DESIGN section 4", minimum=1
    )

    schema: ClassVar[pa.Schema] = TEXT_DOCUMENTS

    def check(self) -> None:
        check_encoding(self.encoding)
        if self.separator and self.split != "file":
            raise ValueError(f"`split: {self.split}` and a `separator`: give one of them.")
        if "\n" in self.separator or "\r" in self.separator:
            raise ValueError("the `separator` holds a line end; `split: paragraphs` may serve.")

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        builder = BatchBuilder(partition, self.schema, "text")
        if self.split == "file" and not self.separator:
            yield from self._whole(builder, stream)
        else:
            yield from self._pieces(builder, stream)
        yield from builder.rest()

    # --- one document a file -----------------------------------------------------------------

    def _whole(self, builder: BatchBuilder, stream: BinaryIO) -> Iterator[SourceBatch]:
        key = refusal_key(builder.partition.file, 0)
        unpacked = Unpacked(stream)
        data = _at_most(unpacked, 4 * self.max_document_bytes)  # UTF-32 shrinks to a quarter
        if unpacked.broken_at is not None:
            builder.damage(0, unpacked.size, unpacked.reason)  # half a book is no document
        elif data is None:
            yield from builder.refuse("too_large", 0, key)
        elif unpacked.size:
            text, charset = self._decoded(data)
            if b"\0" in text[:_BINARY_HEAD]:
                builder.damage(0, unpacked.size, "binary, no text")
            else:
                yield from self._add(builder, text, 0, charset)

    def _decoded(self, data: bytes) -> tuple[bytes, str]:
        charset = whatwg_name(self.encoding) or text_charset(data)
        text = data.decode(python_codec(charset), "replace").removeprefix("\ufeff")
        return text.encode("utf-8", "replace"), charset

    # --- pieces of a file --------------------------------------------------------------------

    def _pieces(self, builder: BatchBuilder, stream: BinaryIO) -> Iterator[SourceBatch]:
        lines = Lines(stream, self.max_document_bytes, whatwg_name(self.encoding) or "", blank=True)
        cut = {"lines": _each, "paragraphs": _paragraphs}.get(self.split)
        found = cut(lines) if cut else _between(lines, self.separator.encode())
        held = _Held(self.max_document_bytes)
        for start, piece, more in found:
            held.add(start, piece)
            if more:
                continue
            if held.too_large:
                key = refusal_key(builder.partition.file, held.start)
                yield from builder.refuse("too_large", held.start, key)
            elif held.data.strip():
                lines.count += 1
                yield from self._add(builder, held.data, held.start, lines.charset)
            if builder.done:
                break
            held = _Held(self.max_document_bytes)
        lines.note_damage(builder)

    def _add(
        self, builder: BatchBuilder, data: bytes, start: int, charset: str
    ) -> Iterator[SourceBatch]:
        key = refusal_key(builder.partition.file, start)
        if len(data) > self.max_document_bytes:
            yield from builder.refuse("too_large", start, key)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            yield from builder.refuse("undecodable", start, key)
            return
        if not text.strip():
            yield from builder.refuse("empty", start, key)
            return
        yield from builder.document(
            row_key({"body": text}),
            data,
            offset=start,
            content_type="text/plain",
            charset=charset,
        )


def _at_most(pieces: Unpacked, num_bytes: int) -> bytes | None:
    """All of a file; None if it is longer. It is read to its end, for what may be broken there."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > num_bytes:
            held = []
        else:
            held.append(piece)
    return None if size > num_bytes else b"".join(held)


class _Held:
    """The document that is being put together, up to the bound."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.start = 0
        self.too_large = False
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, start: int, piece: bytes | None) -> None:
        if piece is not None and not self._parts and not piece.strip():
            return  # blank lines before it
        if not self._parts and not self.too_large:
            lead = b"" if piece is None else piece[: len(piece) - len(piece.lstrip())]
            self.start = start + lead.count(b"\n")
        self._size += len(piece or b"")
        if piece is None or self._size > self.max_bytes:
            self.too_large, self._parts = True, []
        elif not self.too_large:
            self._parts.append(piece)

    @property
    def data(self) -> bytes:
        return b"".join(self._parts).strip(b"\r\n")


_Piece = tuple[int, bytes | None, bool]
"""(number of the line, bytes or None if too long, whether more of this document may follow)."""


def _each(lines: Lines) -> Iterator[_Piece]:
    for number, line in lines:
        yield number, line and line.rstrip(b"\r"), False


def _paragraphs(lines: Lines) -> Iterator[_Piece]:
    number = 0
    for number, line in lines:
        if line is not None and not line.strip():
            yield number, b"", False
        else:
            yield number, line and line.rstrip(b"\r") + b"\n", True
    if not lines.broken:
        yield number, b"", False


def _between(lines: Lines, separator: bytes) -> Iterator[_Piece]:
    """By pieces of the file, not by lines: some files of millions of documents are one line."""
    number, tail, keep = 0, b"", len(separator) - 1
    for data in lines.chunks():
        *whole, rest = (tail + data).split(separator)
        for piece in whole:
            yield number, piece, False
            number += piece.count(b"\n")
        cut = max(0, len(rest) - keep)
        if rest[:cut]:
            yield number, rest[:cut], True
            number += rest.count(b"\n", 0, cut)
        tail = rest[cut:]
    if not lines.broken:
        yield number, tail, False
