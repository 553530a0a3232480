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
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from pipeline.errors import InputError


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

    def open(self, path: str) -> BinaryIO:
        """A seekable stream for reading."""

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
    return ObjectStorage(root) if "://" in root else LocalStorage(root)


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

    def open(self, path: str) -> BinaryIO:
        try:
            return self._full(path).open("rb")
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _os_error(self.root, path, "read", error) from error

    def info(self, path: str) -> ObjectInfo | None:
        try:
            found = self._full(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return ObjectInfo(path, found.st_size, str(found.st_mtime_ns))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        import time

        now = time.time()
        for folder, folders, files in os.walk(self._full(prefix)):
            folders.sort()
            for name in sorted(files):
                full = os.path.join(folder, name)
                try:
                    found = os.stat(full)
                except FileNotFoundError:
                    continue
                path = os.path.relpath(full, self.root)
                age = now - found.st_mtime
                yield ObjectInfo(path, found.st_size, str(found.st_mtime_ns), age)

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


class ObjectStorage:
    """Files under an object store's prefix, by obstore; credentials come from its environment."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._store = _object_store(self.root)

    def put(self, path: str, source: bytes | Path, if_absent: bool = False) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            mode: Any = "create" if if_absent else "overwrite"
            # A conditional PUT cannot be multipart on every store: small objects only use it.
            obstore.put(self._store, path, source, mode=mode, use_multipart=False)
        except AlreadyExistsError:
            raise AlreadyExists(path) from None
        except Exception as error:
            raise self._error("write", path, error) from error

    def _error(self, verb: str, path: str, error: Exception) -> InputError:
        reason = str(error).splitlines()[0]
        return InputError(f"cannot {verb} {self.root}/{path}: {reason}. Mend it and run again.")

    def get(self, path: str) -> bytes:
        import obstore

        try:
            return bytes(obstore.get(self._store, path).bytes())
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._error("read", path, error) from error

    def get_range(self, path: str, start: int, length: int) -> bytes:
        import obstore

        try:
            return bytes(obstore.get_range(self._store, path, start=start, length=length))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._error("read", path, error) from error

    def open(self, path: str) -> BinaryIO:
        import io

        import obstore

        try:
            raw = obstore.open_reader(self._store, path)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._error("read", path, error) from error
        return cast(BinaryIO, io.BufferedReader(_RawObject(raw), buffer_size=1 << 20))

    def info(self, path: str) -> ObjectInfo | None:
        import obstore

        try:
            found = obstore.head(self._store, path)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._error("read", path, error) from error
        return ObjectInfo(path, found["size"], str(found.get("e_tag") or found["last_modified"]))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        import datetime

        import obstore

        now = datetime.datetime.now(datetime.UTC)
        found: list[ObjectInfo] = []
        for chunk in obstore.list(self._store, prefix=prefix or None):
            for meta in chunk:
                age = (now - meta["last_modified"]).total_seconds()
                token = str(meta.get("e_tag") or meta["last_modified"])
                found.append(ObjectInfo(meta["path"], meta["size"], token, age))
        yield from sorted(found, key=lambda info: info.path)

    def delete(self, path: str) -> None:
        import obstore

        obstore.delete(self._store, path)

    def scratch_root(self) -> Path:
        import tempfile

        root = Path(tempfile.gettempdir(), "tokenmill-scratch")
        root.mkdir(parents=True, exist_ok=True)
        return root

    def local_path(self, path: str) -> Path | None:
        return None


def _raw_object_base() -> type:
    import io

    return io.RawIOBase


class _RawObject(_raw_object_base()):  # type: ignore[misc]
    """obstore's reader as a raw Python stream; io.BufferedReader gives the full interface."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())

    def readinto(self, buffer: Any) -> int:
        data = bytes(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)


@cache
def _object_store(root: str) -> Any:
    from obstore.store import from_url

    return from_url(root)


def split_uri(path: str) -> tuple[str, str]:
    """(root, name) such that `open_storage(root).open(name)` opens one input file."""
    folder, _, name = path.rpartition("/")
    return (folder or "/" if path.startswith("/") else folder or "."), name


def open_input(path: str) -> BinaryIO:
    """Open one input file by path or URI. Raises FileNotFoundError, InputError."""
    root, name = split_uri(path)
    return open_storage(root).open(name)


def find_inputs(pattern: str) -> list[ObjectInfo]:
    """Files that match a glob pattern (or a plain path), sorted, with absolute paths.

    `**` crosses folders. An object store is listed from the part before the first wildcard.
    """
    if "://" not in pattern or pattern.startswith("file://"):
        local = pattern.removeprefix("file://")
        names = globbing.glob(local, recursive=True) if globbing.has_magic(local) else [local]
        files = []
        for name in sorted(os.path.abspath(name) for name in names):
            if os.path.isfile(name):
                found = os.stat(name)
                files.append(ObjectInfo(name, found.st_size, str(found.st_mtime_ns)))
        return files
    root = fixed_prefix(pattern)
    rest = pattern[len(root) :].lstrip("/")
    storage = open_storage(root)
    if not globbing.has_magic(rest):
        info = storage.info(rest)
        return [ObjectInfo(pattern, info.size, info.token)] if info else []
    return [
        ObjectInfo(f"{root.rstrip('/')}/{info.path}", info.size, info.token)
        for info in storage.list("")
        if fnmatch.fnmatchcase(info.path, rest)
    ]


def fixed_prefix(pattern: str) -> str:
    """The folder before the first wildcard of a pattern, or the folder of a plain path."""
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
