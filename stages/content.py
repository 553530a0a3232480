"""Files told apart by what is in them, so that what was read once is not read again from a copy."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path


class Content:
    """A file that compares by its content's digest: the key of a cache of what was made of it."""

    def __init__(self, path: Path) -> None:
        stat = path.stat()
        self.path = path
        self.digest = _digest(path, stat.st_mtime_ns, stat.st_size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@lru_cache(maxsize=8)
def _digest(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
