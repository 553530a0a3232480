"""Any filesystem through one small door: put-if-absent, read, range, list, delete.

`put(path, source, if_absent)` is the only writing call. On a local disk it is a temporary file,
fsync and link, which fails if the name exists; on an object store it is a conditional PUT, by
obstore. No rename is needed anywhere, so the commit protocol is the same on a disk and on S3.
`uris.open_storage` says which one stands behind a path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


class AlreadyExists(Exception):
    """`put(if_absent=True)` found the path taken."""


@dataclass(frozen=True)
class ObjectInfo:
    """One stored file."""

    path: str
    """Relative to the storage's root, or absolute for inputs."""
    size: int
    token: str
    """Changes when the content may have changed: modification time in ns, or etag."""
    age_seconds: float = 0.0


class Storage(Protocol):
    """Files under one root. Paths are relative, with forward slashes."""

    root: str

    def put(self, path: str, source: bytes | Path, if_absent: bool = False) -> None:
        """Store bytes or a local file. Raises AlreadyExists, InputError."""

    def get(self, path: str) -> bytes:
        """The whole content. Raises FileNotFoundError, InputError."""

    def get_range(self, path: str, start: int, length: int) -> bytes:
        """Exactly `length` bytes from `start`, fewer at the end of the file."""

    def open(self, path: str, token: str = "") -> BinaryIO:
        """A seekable stream for reading; of this version alone, where a far store can say so."""

    def info(self, path: str) -> ObjectInfo | None:
        """Size and token, or None if there is no such file."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every file under a folder, in order of path."""

    def delete(self, path: str) -> None:
        """Remove a file; no error if it is gone."""

    def scratch_root(self) -> Path:
        """A local folder for files that will be put here, on the same disk where possible."""

    def local_path(self, path: str) -> Path | None:
        """The file on the local disk, or None for an object store."""
