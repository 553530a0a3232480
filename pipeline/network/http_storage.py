"""An http(s) server as a storage that is only read: inputs, models and lists by address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError
from pipeline.files.addresses import shown
from pipeline.files.local_storage import own_temporary_folder
from pipeline.files.storage import ObjectInfo
from pipeline.network.opening import http_version, open_http


class HttpStorage:
    """Files below an address."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")

    def _only_read(self, verb: str, path: str) -> InputError:
        return InputError(
            f"cannot {verb} {shown(self.root)}/{shown(path)}: an http(s) server is only read. "
            f"Give a path or s3://bucket/prefix."
        )

    def put(self, path: str, source: bytes | Path, if_absent: bool = False) -> None:
        raise self._only_read("write", path)

    def get(self, path: str) -> bytes:
        with self.open(path) as stream:
            return stream.read()

    def get_range(self, path: str, start: int, length: int) -> bytes:
        with self.open(path) as stream:
            stream.seek(start)
            return stream.read(length)

    def open(self, path: str, token: str = "") -> BinaryIO:
        return open_http(f"{self.root}/{path}", 0, token)

    def info(self, path: str) -> ObjectInfo | None:
        found = http_version(f"{self.root}/{path}")
        return ObjectInfo(path, found.size or 0, found.token) if found else None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        raise self._only_read("list", prefix)

    def delete(self, path: str) -> None:
        raise self._only_read("delete in", path)

    def scratch_root(self) -> Path:
        return own_temporary_folder("scratch")

    def local_path(self, path: str) -> Path | None:
        return None
