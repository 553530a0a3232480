"""Files of the local disk: a storage of them, folders for scratch, checksums."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError
from pipeline.files.storage import AlreadyExists, ObjectInfo


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


def file_sha256(path: Path) -> str:
    """sha256 of a local file, as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
