"""Fetched ranges on the local disk, shared by all processes of a machine, with a size cap.

A file is named by what it holds (address without user, version, range), begins with the digest of
its bytes, and appears whole or not at all. A damaged one is deleted and fetched again. The bytes in
the folder are counted in `size` under a lock; above the cap the least recently used go.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import xxhash

from pipeline.errors import InputError
from pipeline.network.remote_file import Ranges

_DIGEST = 16
_SUFFIX = ".part"
_FULL = 7 / 8
"""Where the cap is passed, as much is deleted as leaves this share of it."""


class Cache:
    """One folder. Raises InputError if it cannot be made."""

    def __init__(self, folder: str, most_bytes: int) -> None:
        self.folder, self.most_bytes = Path(folder), most_bytes
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot make the cache folder {folder}: {error.strerror}. Mend `network.cache`."
            ) from error

    def get(self, name: str) -> bytes | None:
        """What was put under this name, unless it is gone or damaged."""
        path = self._path(name)
        try:
            stored = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        data = stored[_DIGEST:]
        if xxhash.xxh3_128_digest(data) == stored[:_DIGEST]:
            return data
        with contextlib.suppress(OSError), self.counted() as count:
            path.unlink()
            count.add(-len(stored))
        return None

    def has(self, name: str) -> bool:
        """True if something stands under this name, sound or not."""
        return self._path(name).exists()

    def put(self, name: str, data: bytes) -> None:
        """Keep the bytes, if the cap has room for them. A full or broken disk is no error."""
        size = len(data) + _DIGEST
        if size > self.most_bytes * _FULL:
            return
        path = self._path(name)
        half = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        try:
            with self.counted() as count:
                if path.exists():
                    return
                if count.total + size > self.most_bytes:
                    count.set(self._evict(int(self.most_bytes * _FULL) - size))
                count.add(size)
                path.parent.mkdir(exist_ok=True)
                half.write_bytes(xxhash.xxh3_128_digest(data) + data)
                os.replace(half, path)
        except OSError:  # a cache that cannot be written only costs time
            with contextlib.suppress(OSError):
                half.unlink()

    def _path(self, name: str) -> Path:
        key = hashlib.sha256(name.encode()).hexdigest()[:40]
        return self.folder / key[:2] / f"{key[2:]}{_SUFFIX}"

    def _evict(self, most: int) -> int:
        """Delete the least recently used until at most so many bytes are left; returns them."""
        found = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                found.append((path.suffix == _SUFFIX, stat.st_mtime_ns, stat.st_size, path))
        left = sum(size for _, _, size, _ in found)
        for _, _, size, path in sorted(found):  # halves of killed writers first
            if left <= most:
                break
            path.unlink(missing_ok=True)
            left -= size
        return left

    @contextlib.contextmanager
    def counted(self) -> Iterator[_Count]:
        """The bytes in the folder, while no other process changes them."""
        with open(self.folder / "size", "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read().strip()
            yield (count := _Count(int(text) if text.isdigit() else self._evict(self.most_bytes)))
            file.truncate(0)
            file.write(str(max(0, count.total)))


class _Count:
    def __init__(self, total: int) -> None:
        self.total = total

    def add(self, size: int) -> None:
        self.total += size

    def set(self, total: int) -> None:
        self.total = total


class CachedRanges:
    """Ranges of one version of a file, from the cache where it holds them."""

    def __init__(self, ranges: Ranges, cache: Cache, name: str, unit: int) -> None:
        self.ranges, self.size, self.cache, self.name, self.unit = (
            ranges, ranges.size, cache, name, unit,
        )  # fmt: skip

    def fetch(self, start: int, stop: int) -> bytes:
        """Exactly the bytes in [start, stop). Raises InputError."""
        if start % self.unit:
            return self._one(start, stop)
        parts = []
        edges = [*range(start, stop, self.unit), stop]
        at = 0
        while at < len(edges) - 1:
            kept = self.cache.get(self._name(edges[at], edges[at + 1]))
            if kept is not None:
                parts.append(kept)
                at += 1
                continue
            behind = at + 1
            while behind < len(edges) - 1 and not self._has(edges[behind], edges[behind + 1]):
                behind += 1
            data = self.ranges.fetch(edges[at], edges[behind])
            for low, high in zip(edges[at:behind], edges[at + 1 : behind + 1], strict=True):
                piece = data[low - edges[at] : high - edges[at]]
                self.cache.put(self._name(low, high), piece)
            parts.append(data)
            at = behind
        return b"".join(parts)

    def _one(self, start: int, stop: int) -> bytes:
        name = self._name(start, stop)
        kept = self.cache.get(name)
        if kept is None:
            kept = self.ranges.fetch(start, stop)
            self.cache.put(name, kept)
        return kept

    def _has(self, start: int, stop: int) -> bool:
        return self.cache.has(self._name(start, stop))

    def _name(self, start: int, stop: int) -> str:
        return f"{self.name}\0{start}\0{stop}"
