"""Files in an object store, by obstore: a conditional PUT stands where a disk has a link."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from pipeline.errors import InputError
from pipeline.storage import AlreadyExists, ObjectInfo, own_temporary_folder

_ONE_PUT = 64 << 20
"""Larger files go to an object store in parts, unless they are put if absent."""
_REQUEST_TIMEOUT = "10m"
"""obstore's 30 s would end the PUT of a 100 MB shard on a line below 3.5 MB/s."""


class ObjectStorage:
    """Files under an object store's prefix, by obstore; credentials come from its environment."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._store = _object_store(self.root)

    def put(self, path: str, source: bytes | Path, if_absent: bool = False) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            # A multipart upload cannot be conditional: what is put if absent goes in one PUT.
            if not if_absent and isinstance(source, Path) and source.stat().st_size > _ONE_PUT:
                obstore.put(self._store, path, source, max_concurrency=2)
                return
            mode: Any = "create" if if_absent else "overwrite"
            with _mapped(source) as data:
                obstore.put(self._store, path, data, mode=mode, use_multipart=False)
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
            if length > 0:
                return bytes(obstore.get_range(self._store, path, start=start, length=length))
        except FileNotFoundError:
            raise
        except Exception as error:
            found = self.info(path)  # a store refuses a range behind the end
            if found is None or start < found.size:
                raise self._error("read", path, error) from error
        return b""

    def open(self, path: str) -> BinaryIO:
        import obstore

        try:
            raw = obstore.open_reader(self._store, path)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._error("read", path, error) from error
        stream = _RawObject(raw, lambda error: self._error("read", path, error))
        return cast(BinaryIO, io.BufferedReader(stream, buffer_size=1 << 20))

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
        import obstore

        now = time.time()
        found: list[ObjectInfo] = []
        try:
            for chunk in obstore.list(self._store, prefix=prefix or None):
                for meta in chunk:
                    age = now - meta["last_modified"].timestamp()
                    token = str(meta.get("e_tag") or meta["last_modified"])
                    found.append(ObjectInfo(meta["path"], meta["size"], token, age))
        except Exception as error:
            raise self._error("list", prefix, error) from error
        yield from sorted(found, key=lambda info: info.path)

    def delete(self, path: str) -> None:
        import obstore

        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:  # some stores say so
            return
        except Exception as error:
            raise self._error("delete", path, error) from error

    def scratch_root(self) -> Path:
        return own_temporary_folder("scratch")

    def local_path(self, path: str) -> Path | None:
        return None


class _RawObject(io.RawIOBase):
    """obstore's reader as a raw Python stream; io.BufferedReader gives the full interface."""

    def __init__(self, reader: Any, explain: Callable[[Exception], Exception]) -> None:
        self._reader, self._explain = reader, explain

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())

    def readinto(self, buffer: Any) -> int:
        try:
            data = bytes(self._reader.read(len(buffer)))
        except Exception as error:
            raise self._explain(error) from error
        buffer[: len(data)] = data
        return len(data)


@contextlib.contextmanager
def _mapped(source: bytes | Path) -> Iterator[Any]:
    """Bytes as they are; a local file mapped, so that a large one is not held in memory."""
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:  # nothing can be mapped
            yield b""
            return
        # Not closed here: a request that was given up may still hold it. The collector unmaps.
        yield mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _client_options(root: str, environment: Mapping[str, str]) -> Any:
    """What the environment says of the connection (AWS_ALLOW_HTTP, ...), and a longer timeout.

    obstore reads these variables itself, but forgets them where any option is given.
    """
    prefix = {"s3": "AWS_", "s3a": "AWS_", "gs": "GOOGLE_"}.get(root.partition(":")[0], "AZURE_")
    names = ("timeout", "connect_timeout", "allow_http", "allow_invalid_certificates", "proxy_url")
    found = {name: environment.get(prefix + name.upper()) for name in names}
    return {"timeout": _REQUEST_TIMEOUT} | {name: value for name, value in found.items() if value}


@cache
def _object_store(root: str) -> Any:
    from obstore.store import from_url

    try:
        return from_url(root, client_options=_client_options(root, os.environ))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"cannot open {root}: {reason}. Give a path, or a URI such as s3://bucket/prefix."
        ) from error
