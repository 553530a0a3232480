"""What a path or URI leads to: a storage, one input file, the files that a pattern matches."""

from __future__ import annotations

import fnmatch
import glob as globbing
import os
from collections.abc import Sequence
from typing import BinaryIO

from pipeline.errors import InputError
from pipeline.files.addresses import is_web
from pipeline.files.checksums import hashed
from pipeline.files.local_storage import LocalStorage
from pipeline.files.storage import ObjectInfo, Storage
from pipeline.network.remote_file import Ranges


def open_storage(root: str) -> Storage:
    """The storage at a path or URI (`/data/x`, `file:///x`, `s3://bucket/prefix`)."""
    if root.startswith("file://"):
        root = root.removeprefix("file://")
    if "://" not in root:
        return LocalStorage(root)
    if is_web(root):
        from pipeline.network.http_storage import HttpStorage

        return HttpStorage(root)
    from pipeline.files.object_storage import ObjectStorage

    return ObjectStorage(root)


def split_uri(path: str) -> tuple[str, str]:
    """(root, name) such that `open_storage(root).open(name)` opens one input file."""
    if is_web(path):
        address, mark, query = path.partition("?")
        folder, _, name = address.rpartition("/")
        return folder, name + mark + query
    folder, _, name = path.rpartition("/")
    return (folder or "/" if path.startswith("/") else folder or "."), name


def open_input(path: str, size: int = 0, token: str = "", sha256: str = "") -> BinaryIO:
    """Open one input file by path or URI. Raises FileNotFoundError, InputError.

    With the size and token of its listing a file of a far store is read as it was listed, or not
    at all. With `sha256` `check_checksum` tells whether that is what was read.
    """
    if is_web(path):
        from pipeline.network.opening import open_http

        stream = open_http(path, size, token)
    else:
        root, name = split_uri(path)
        stream = open_storage(root).open(name, token)
    return hashed(stream, sha256) if sha256 else stream


def input_ranges(path: str) -> Ranges:
    """Byte ranges of one input file as it is now. Raises FileNotFoundError, InputError."""
    if is_web(path):
        from pipeline.network.opening import http_ranges

        return http_ranges(path)
    root, name = split_uri(path)
    storage = open_storage(root)
    found = storage.info(name)
    if found is None:
        raise FileNotFoundError(path)
    ranges: Ranges = storage.ranges(name) if hasattr(storage, "ranges") else _Ranges(storage, found)
    return ranges


class _Ranges:
    """Byte ranges of a file on the local disk."""

    def __init__(self, storage: Storage, info: ObjectInfo) -> None:
        self.storage, self.info, self.size = storage, info, info.size

    def fetch(self, start: int, stop: int) -> bytes:
        """Exactly the bytes in [start, stop). Raises InputError."""
        data = self.storage.get_range(self.info.path, start, stop - start)
        if len(data) != stop - start:
            raise InputError(
                f"{self.storage.root}/{self.info.path} ends at byte {self.info.size:,}, expected "
                f"bytes up to {stop:,}: it is cut short, or not the file that its index is of."
            )
        return data


def find_inputs(pattern: str) -> list[ObjectInfo]:
    """Files that match a glob pattern (or a plain path), sorted, with absolute paths.

    `**` crosses folders. An object store is listed from the part before the first wildcard.
    Raises InputError for a link that leads nowhere.
    """
    if "://" not in pattern or pattern.startswith("file://"):
        local = pattern.removeprefix("file://")
        names = globbing.glob(local, recursive=True) if globbing.has_magic(local) else [local]
        files = []
        for name in sorted(os.path.abspath(name) for name in names):
            if os.path.isfile(name):
                found = os.stat(name)
                files.append(ObjectInfo(name, found.st_size, str(found.st_mtime_ns)))
            elif os.path.islink(name) and not os.path.exists(name):
                raise InputError(
                    f"{name} is a link to {os.readlink(name)}, which does not exist. "
                    f"Mend or delete the link, or name the inputs without it."
                )
        return files
    if is_web(pattern):
        from pipeline.network.opening import find_http

        return find_http(pattern)
    root = fixed_prefix(pattern)
    rest = pattern[len(root) :].lstrip("/")
    storage = open_storage(root)
    if not globbing.has_magic(rest):
        info = storage.info(rest)
        return [ObjectInfo(pattern, info.size, info.token)] if info else []
    return [
        ObjectInfo(f"{root.rstrip('/')}/{info.path}", info.size, info.token)
        for info in storage.list("")
        if _matches(info.path.split("/"), rest.split("/"))
    ]


def _matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern, by the rules of Python's `glob`."""
    if not parts:
        return not names
    if parts[0] == "**" and _matches(names, parts[1:]):
        return True
    if not names or names[0].startswith(".") > parts[0].startswith("."):
        return False
    if parts[0] == "**":
        return _matches(names[1:], parts)
    return fnmatch.fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])


def fixed_prefix(pattern: str) -> str:
    """The folder before the first wildcard of a pattern, or the folder of a plain path."""
    if is_web(pattern):
        return split_uri(pattern)[0]
    scheme, mark, rest = pattern.rpartition("://")
    parts = rest.split("/")
    fixed: list[str] = []
    for part in parts[:-1]:
        if globbing.has_magic(part):
            break
        fixed.append(part)
    return scheme + mark + ("/".join(fixed) or ("/" if rest.startswith("/") else "."))
