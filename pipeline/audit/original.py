"""The original bytes of a document: what its input file holds at the place that it came from.

The file says itself what it is: Parquet by its first bytes, WARC by what starts at the offset
(gzip, zstd or plain), else lines.
"""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa

from pipeline.audit.lookup import Run
from pipeline.audit.shards import first_line, open_parquet, read_row
from pipeline.errors import InputError, PipelineError
from pipeline.files.uris import open_input, open_storage, split_uri
from pipeline.planning.inputs import list_inputs

HEAD_BYTES = 1 << 20
"""A WARC record's headers and first bytes are looked for in this many bytes."""
BODY_BYTES = 1000
"""Bytes of a record's page that are shown."""
HTTP_SHOWN = (b"content-type", b"content-encoding", b"transfer-encoding")
"""HTTP headers that are shown: those that decide how the page is decoded."""
_RECORD = re.compile(rb"WARC/[01]\.\d")
_ARC_LINE = re.compile(
    rb"[A-Za-z][A-Za-z0-9+.-]{0,31}:[^\n]* \S+ \d{12,18} [^\n]*?(?P<length>\d{1,12})\r?\n"
)
_MEMBER = re.compile(rb"\x1f\x8b\x08|\x28\xb5\x2f\xfd")
_MEMBER_RECORDS = 1 << 22
"""No member of an archive is looked for that holds more records than this."""
_GZIP, _ZSTD, _BZIP2, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"PAR1"


@dataclass(frozen=True)
class Original:
    """What stands in an input file at a document's place."""

    path: str
    kind: str
    """`WARC record`, `row`, `line`."""
    headers: str
    """Of a WARC record; empty elsewhere."""
    body: str
    """First characters of the block, or the row or line."""


def input_path(run: Run, source: str, file: str) -> str:
    """Where an input file of a run lies now. Raises InputError, ConfigError."""
    step = next((step for step in run.plan.steps if step.id == source), None)
    if step is None:
        raise InputError(f"the run has no source '{source}'.")
    alone = dataclasses.replace(run.plan, steps=(step,))
    folder = str(run.record["config"].get("folder", "."))
    with contextlib.chdir(folder if os.path.isdir(folder) else "."):
        inputs, _ = list_inputs(alone, split=False)
    for partition in inputs[source]:
        if partition.file == file:
            return partition.path
    raise InputError(
        f"the paths of source '{source}' match no file '{file}' any more: it was moved or deleted."
    )


def read_original(path: str, place: Mapping[str, Any]) -> Original:
    """The record, row or line of a document (`offset`, `url`). Raises InputError."""
    try:
        with open_input(path) as stream:
            magic = stream.read(4)
            if magic != _PARQUET:
                for start in _starts(stream, place["offset"]):
                    stream.seek(start)
                    found = _archived(stream, path, place["url"])
                    if found is not None:
                        return found
                stream.seek(0)
                return _line(stream, magic, path, place["offset"])
        root, name = split_uri(path)
        with open_parquet(open_storage(root), name) as file:
            row = read_row(file, place["offset"], path)
        return Original(path, f"row {place['offset']:,}", "", _row_text(row))
    except PipelineError:
        raise
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid) as error:
        raise InputError(
            f"{path} cannot be read at {place['offset']:,}: {first_line(error)}."
        ) from error


def _row_text(row: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {value!r}" for name, value in row.items())


# --- WARC and ARC ------------------------------------------------------------------------------


def _starts(stream: BinaryIO, offset: int) -> Iterator[int]:
    """Where the record of an offset may begin: there, or in a member of several records before."""
    yield offset
    before = min(offset, _MEMBER_RECORDS)
    stream.seek(offset - before)
    data = stream.read(before + len(_ZSTD) - 1)
    for found in reversed(list(_MEMBER.finditer(data))):
        if found.start() < before:
            yield offset - before + found.start()


def _archived(stream: BinaryIO, path: str, url: str | None) -> Original | None:
    """The record at the stream's place, or None if none starts there.

    Of a member of several records the URL decides which it is.
    """
    head = stream.read(4)
    stream.seek(-len(head), io.SEEK_CUR)
    data = b""
    for chunk in _decompressed(stream, head):
        data += chunk
        if len(data) >= HEAD_BYTES:
            break
    if arc := _ARC_LINE.match(data):
        http, page = _http(data[arc.end() :][: int(arc["length"])])
        text = b"\n".join([arc.group().rstrip(), *http]).decode("utf-8", "replace")
        return Original(path, "ARC record", text, page[:BODY_BYTES].decode("utf-8", "replace"))
    return _record(data, path, url) if data.lstrip()[:5].upper() == b"WARC/" else None


def _record(data: bytes, path: str, url: str | None) -> Original:
    """The first record of the data that is a page of this URL, else its first record."""
    at = chosen = len(data) - len(data.lstrip())
    while url and at >= 0:
        headers = data[at : data.find(b"\r\n\r\n", at)]
        is_page = b"WARC-Type: response" in headers or b"WARC-Type: resource" in headers
        if is_page and url.encode() in headers:
            chosen = at
            break
        following = _RECORD.search(data, at + 5)
        at = following.start() if following else -1
    blank = b"\r\n\r\n" if b"\r\n\r\n" in data[chosen:] else b"\n\n"
    head, _, block = data[chosen:].partition(blank)
    http, page = _http(block[: _content_length(head)])
    text = b"\n".join([head, *http]).decode("utf-8", "replace")
    kind = "WARC record" if at == chosen else "first WARC record of the member that holds the page,"
    return Original(path, kind, text, page[:BODY_BYTES].decode("utf-8", "replace"))


def _http(block: bytes) -> tuple[list[bytes], bytes]:
    """The HTTP status line with the headers that matter, and the page."""
    if not block.startswith(b"HTTP/"):
        return [], block
    head, _, page = block.partition(b"\r\n\r\n")
    status, *lines = head.splitlines()
    return [status, *(line for line in lines if line.lower().startswith(HTTP_SHOWN))], page


def _content_length(head: bytes) -> int:
    for line in head.splitlines():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return len(head) + HEAD_BYTES


def _decompressed(stream: BinaryIO, head: bytes) -> Iterator[bytes]:
    """Decompressed pieces from here: of one gzip member, one zstd stream, or as they are."""
    if head.startswith(_GZIP):
        member = zlib.decompressobj(31)
        while not member.eof and (data := stream.read(1 << 14)):
            yield member.decompress(data)
    elif head.startswith(_ZSTD):
        unpacked = pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")
        while data := unpacked.read(1 << 14):
            yield data
    else:
        while data := stream.read(1 << 14):
            yield data


# --- lines -------------------------------------------------------------------------------------


def _line(stream: BinaryIO, magic: bytes, path: str, number: int) -> Original:
    """Line `number`, from 0, of a file that may be compressed."""
    for at, line in enumerate(_lines(stream, magic)):
        if at == number:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            return Original(path, f"line {number:,}", "", text)
    raise InputError(f"{path} has no line {number:,} any more: it was changed since the run.")


def _lines(stream: BinaryIO, magic: bytes) -> Iterator[bytes]:
    if magic.startswith(_GZIP):
        return iter(gzip.GzipFile(fileobj=stream))
    if magic.startswith(_BZIP2):
        return iter(bz2.BZ2File(stream))
    if magic.startswith(_ZSTD):
        unpacked = pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")
        return iter(io.BufferedReader(cast(io.RawIOBase, unpacked)))
    return iter(stream)
