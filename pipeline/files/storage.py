"""Any filesystem through one small door: put-if-absent, read, range, list, delete.

`put(path, source, if_absent)` is the only writing call. On a local disk it is a temporary file,
fsync and link, which fails if the name exists; on an object store it is a conditional PUT, by
obstore. No rename is needed anywhere, so the commit protocol is the same on a disk and on S3.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob as globbing
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from pipeline.errors import InputError
from pipeline.files.addresses import is_web
from pipeline.files.checksums import hashed
from pipeline.network.remote_file import Ranges


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


def _os_error(root: str, path: str, verb: str, error: OSError) -> InputError:
    advice = {
        errno.ENOSPC: "The disk is full: free room or set another workdir, then run again.",
        errno.EROFS: "The file system is read-only: set another workdir.",
        errno.EACCES: "No permission: mend it or set another workdir.",
        errno.EPERM: "No permission: mend it or set another workdir.",
        errno.ENOTDIR: "A part of this path is a file: set another workdir.",
        errno.EEXIST: "A part of this path is a file: set another workdir.",
    }.get(error.errno or 0, "Mend it and run again: finished work is kept.")
    return InputError(
        f"cannot {verb} {root.rstrip('/')}/{path}: {error.strerror or error}. {advice}"
    )


class LocalStorage:
    """Files under a local folder, durable when `put` returns."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def _full(self, path: str) -> Path:
        return Path(self.root, path)

    def put(self, path: str, source: bytes | Path, if_absent: bool = False) -> None:
        target = self._full(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.parent / f".{target.name}.{secrets.token_hex(6)}.tmp"
            try:
                self._write(temporary, source)
                if if_absent:
                    os.link(temporary, target)
                else:
                    os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(target.parent)
        except FileExistsError as error:
            if target.exists():
                raise AlreadyExists(path) from None
            raise _os_error(self.root, path, "write", error) from error
        except OSError as error:
            raise _os_error(self.root, path, "write", error) from error

    def _write(self, temporary: Path, source: bytes | Path) -> None:
        if isinstance(source, Path):
            try:
                os.link(source, temporary)  # scratch is on the same disk: no copy
            except OSError:
                shutil.copyfile(source, temporary)
            descriptor = os.open(temporary, os.O_RDONLY)
        else:
            temporary.write_bytes(source)
            descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def get(self, path: str) -> bytes:
        try:
            return self._full(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(f"{self.root}/{path}") from None
        except OSError as error:
            raise _os_error(self.root, path, "read", error) from error

    def get_range(self, path: str, start: int, length: int) -> bytes:
        with self.open(path) as stream:
            stream.seek(start)
            return stream.read(length)

    def open(self, path: str, token: str = "") -> BinaryIO:
        try:
            return self._full(path).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(f"{self.root}/{path}") from None
        except OSError as error:
            raise _os_error(self.root, path, "read", error) from error

    def info(self, path: str) -> ObjectInfo | None:
        try:
            found = self._full(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return ObjectInfo(path, found.st_size, str(found.st_mtime_ns))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        yield from self._walk(prefix.strip("/"), time.time())

    def _walk(self, folder: str, now: float) -> Iterator[ObjectInfo]:
        """Depth first. A folder sorts as `name/`, which makes it the order of whole paths."""
        try:
            with os.scandir(self._full(folder)) as found:
                entries = sorted((e.name + "/" if e.is_dir() else e.name, e) for e in found)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _os_error(self.root, folder, "list", error) from error
        for name, entry in entries:
            path = f"{folder}/{name}" if folder else name
            if name.endswith("/"):
                yield from self._walk(path[:-1], now)
                continue
            try:
                stat = entry.stat()
            except FileNotFoundError:
                continue
            yield ObjectInfo(path, stat.st_size, str(stat.st_mtime_ns), now - stat.st_mtime)

    def delete(self, path: str) -> None:
        full = self._full(path)
        full.unlink(missing_ok=True)
        if full.parent != Path(self.root):
            with contextlib.suppress(OSError):  # an empty folder means nothing here
                full.parent.rmdir()

    def scratch_root(self) -> Path:
        root = Path(self.root, ".scratch")
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _os_error(self.root, ".scratch", "make folder", error) from error
        return root

    def local_path(self, path: str) -> Path | None:
        return self._full(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def own_temporary_folder(name: str) -> Path:
    """A folder of this user's own under the system's temporary folder. Raises InputError."""
    root = Path(tempfile.gettempdir(), f"tokenmill-{name}-{os.getuid()}")
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _os_error(str(root.parent), root.name, "make folder", error) from error
    return root


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


def file_sha256(path: Path) -> str:
    """sha256 of a local file, as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
