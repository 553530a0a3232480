"""Where in a workdir some bytes are: every file decoded, by means of its own.

Knows Parquet, gzip and Arrow streams, and nothing of the pipeline: what stands in the middle of
a file is found by Arrow's continuation mark.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_MARK = b"\xff\xff\xff\xff"


def _values(table: pa.Table) -> Iterator[bytes]:
    for column in table.columns:
        values = column.to_pylist()
        yield b"\0".join(_plain(value) for value in values)
        yield b"".join(_plain(value) for value in values)  # what runs over several rows


def _plain(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"," + b"".join(f"{each},".encode() for each in value)
    return str(value).encode()


def _streams(data: bytes) -> Iterator[pa.Table]:
    at = data.find(_MARK)
    while at >= 0:
        stream = io.BytesIO(data[at:])
        try:
            yield pa.ipc.open_stream(stream).read_all()
            at = data.find(_MARK, at + stream.tell())
        except (pa.ArrowInvalid, OSError):
            at = data.find(_MARK, at + 1)


def decoded(path: Path) -> Iterator[bytes]:
    """The file's bytes, and all that is in it in decoded form."""
    data = path.read_bytes()
    yield data
    if data[:4] == b"PAR1":
        yield from _values(pq.read_table(path))
    elif data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif path.suffix == ".parquet":
        for table in _streams(data):
            yield from _values(table)


def holding(workdir: Path, parts: Iterable[str | list[int]]) -> dict[str, list[str]]:
    """File -> the parts (strings, runs of token ids) that are in it."""
    wanted = {str(part): _plain(part if isinstance(part, list) else str(part)) for part in parts}
    found: dict[str, list[str]] = {}
    for path in sorted(p for p in workdir.rglob("*") if p.is_file()):
        pieces = list(decoded(path))
        hits = [name for name, part in wanted.items() if any(part in piece for piece in pieces)]
        if hits:
            found[str(path.relative_to(workdir))] = hits
    return found
