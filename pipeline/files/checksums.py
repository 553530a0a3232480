"""Checksums that the user gives with a path: `https://host/file.gz#sha256=<64 hex digits>`."""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any, BinaryIO, cast

from pipeline.errors import InputError
from pipeline.files.addresses import shown
from pipeline.files.seekable import Seekable


def hashed(stream: BinaryIO, sha256: str) -> BinaryIO:
    """The stream, hashed while it is read, for `check_checksum`."""
    return cast(BinaryIO, io.BufferedReader(_Hashed(stream, sha256), buffer_size=1 << 16))


class _Hashed(Seekable):
    """A stream that hashes what is read of it, in order, whatever the jumps between."""

    def __init__(self, stream: BinaryIO, sha256: str) -> None:
        self.within, self.sha256 = stream, sha256
        self._hash, self._hashed, self._at = hashlib.sha256(), 0, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = self.within.seek(offset, whence)
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self.within.read(len(buffer))
        buffer[: len(data)] = data
        start, self._at = self._at, self._at + len(data)
        if start <= self._hashed < self._at:
            self._hash.update(data[self._hashed - start :])
            self._hashed = self._at
        return len(data)

    def found(self) -> str:
        """sha256 of the whole file; reads what was not read yet."""
        self.seek(self._hashed)
        buffer = bytearray(1 << 20)
        while self.readinto(buffer):
            pass
        return self._hash.hexdigest()

    def close(self) -> None:
        self.within.close()
        super().close()


def check_checksum(stream: BinaryIO, path: str) -> None:
    """Raises InputError if a stream from `hashed` was not of the bytes that it was to be."""
    raw = getattr(stream, "raw", None)
    if isinstance(raw, _Hashed) and (found := raw.found()) != raw.sha256:
        raise InputError(
            f"{shown(path)} has the sha256 {found}, expected {raw.sha256}. Nothing of it was "
            f"kept: fetch the file again, or correct its #sha256=."
        )


def split_checksum(path: str) -> tuple[str, str]:
    """(path, sha256 in hex or nothing) of `path` or `path#sha256=<64 hex digits>`."""
    found = re.fullmatch(r"(.+)#sha256=([0-9A-Fa-f]{64})", path, re.S)
    return (found.group(1), found.group(2).lower()) if found else (path, "")
