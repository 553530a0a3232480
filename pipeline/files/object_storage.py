"""Files in an object store, by obstore: a conditional PUT stands where a disk has a link."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.errors import InputError
from pipeline.files.local_storage import own_temporary_folder
from pipeline.files.storage import AlreadyExists, ObjectInfo
from pipeline.network.backoff import Backoff
from pipeline.network.opening import buffered, cached
from pipeline.network.remote_file import RemoteFile

_ONE_PUT = 64 << 20
"""Larger files go to an object store in parts, unless they are put if absent."""
_REQUEST_TIMEOUT = "10m"
"""obstore's 30 s would end the PUT of a 100 MB shard on a line below 3.5 MB/s."""

_RETRIES = {"max_retries": 4, "retry_timeout": timedelta(minutes=3)}
"""obstore's own, of single requests; what outlasts them meets `pipeline.network.backoff`."""


class ObjectStorage:
    """Files under an object store's prefix, by obstore; credentials come from its environment."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._store = _object_store(self.root)
        self._once = _object_store(self.root, False)

    def put(self, path: str, source: bytes | Path, if_absent: bool = False) -> None:
        import obstore

        # A multipart upload cannot be conditional: what is put if absent goes in one PUT.
        if not if_absent and isinstance(source, Path) and source.stat().st_size > _ONE_PUT:
            self._retried("write", path, lambda: obstore.put(
                self._store, path, source, max_concurrency=2))  # fmt: skip
        elif not if_absent:
            with _mapped(source) as data:
                self._retried("write", path, lambda: obstore.put(
                    self._store, path, data, mode="overwrite", use_multipart=False))  # fmt: skip
        else:
            self._put_if_absent(path, source)

    def _put_if_absent(self, path: str, source: bytes | Path) -> None:
        """One PUT; after one whose answer was lost, our own bytes in its place are success."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        backoff = Backoff()
        while True:
            try:
                with _mapped(source) as data:
                    obstore.put(self._once, path, data, mode="create", use_multipart=False)
                return
            except AlreadyExistsError:
                if backoff.failures and self._holds(path, source):
                    return
                raise AlreadyExists(path) from None
            except Exception as error:
                if not _passing(error) or not backoff.wait():
                    raise self._error("write", path, error) from error

    def _holds(self, path: str, source: bytes | Path) -> bool:
        """True if exactly these bytes are stored."""
        wanted = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        with wanted, self.open(path) as stored:
            while True:
                ours, theirs = wanted.read(1 << 20), stored.read(1 << 20)
                if ours != theirs or not ours:
                    return ours == theirs

    def _retried(self, verb: str, path: str, call: Callable[[], Any]) -> Any:
        """The call's answer, tried again after what obstore itself gives up, or never retries."""
        backoff = Backoff()
        while True:
            try:
                return call()
            except InputError:
                raise
            except Exception as error:
                if isinstance(error, FileNotFoundError) and verb in ("read", "delete"):
                    raise
                if not _passing(error) or not backoff.wait():
                    raise self._error(verb, path, error) from error

    def _error(self, verb: str, path: str, error: Exception) -> InputError:
        reason = str(error).splitlines()[0]
        return InputError(
            f"cannot {verb} {self.root}/{path}: {reason}. Mend it and run again.",
            retryable=_passing(error),
        )

    def get(self, path: str) -> bytes:
        import obstore

        def whole() -> bytes:
            found = obstore.get(self._store, path)
            data = bytes(found.bytes())
            _check_length(data, found.meta["size"])
            return data

        answer: bytes = self._retried("read", path, whole)
        return answer

    def get_range(self, path: str, start: int, length: int) -> bytes:
        found = self.info(path)
        if found is None:
            raise FileNotFoundError(f"{self.root}/{path}")
        stop = min(start + length, found.size)  # a store refuses a range behind the end
        return ObjectRanges(self, path, found).fetch(start, stop) if start < stop else b""

    def open(self, path: str, token: str = "") -> BinaryIO:
        """Reads one version of the object: the one of `token`, else the present one."""
        ranges = self.ranges(path, token)
        return buffered(RemoteFile(cached(ranges, f"{self.root}/{path}", ranges.info.token)))

    def ranges(self, path: str, token: str = "") -> ObjectRanges:
        """Byte ranges of one version: the one of this ETag, else of what is there now.

        Raises FileNotFoundError, InputError.
        """
        found = self.info(path)
        if found is None:
            raise FileNotFoundError(f"{self.root}/{path}")
        if token.startswith('"') and found.token != token:  # others may name a content
            raise changed(f"{self.root}/{path}", token, found.token)
        return ObjectRanges(self, path, found)

    def info(self, path: str) -> ObjectInfo | None:
        import obstore

        try:
            found = self._retried("read", path, lambda: obstore.head(self._store, path))
        except FileNotFoundError:
            return None
        return ObjectInfo(path, found["size"], str(found.get("e_tag") or found["last_modified"]))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        import obstore

        now = time.time()

        def whole() -> list[ObjectInfo]:
            return [
                ObjectInfo(
                    meta["path"], meta["size"], str(meta.get("e_tag") or meta["last_modified"]),
                    now - meta["last_modified"].timestamp(),
                )
                for chunk in obstore.list(self._store, prefix=prefix or None)
                for meta in chunk
            ]  # fmt: skip

        yield from sorted(self._retried("list", prefix, whole), key=lambda info: info.path)

    def delete(self, path: str) -> None:
        import obstore

        with contextlib.suppress(FileNotFoundError):  # some stores say so
            self._retried("delete", path, lambda: obstore.delete(self._store, path))

    def scratch_root(self) -> Path:
        return own_temporary_folder("scratch")

    def local_path(self, path: str) -> Path | None:
        return None


class ObjectRanges:
    """Byte ranges of one version of an object: every request names its ETag."""

    def __init__(self, storage: ObjectStorage, path: str, info: ObjectInfo) -> None:
        self.storage, self.path, self.info, self.size = storage, path, info, info.size

    def fetch(self, start: int, stop: int) -> bytes:
        """Exactly the bytes in [start, stop). Raises InputError."""
        import obstore
        from obstore.exceptions import PreconditionError

        options: dict[str, Any] = {"range": (start, stop)}
        if self.info.token.startswith('"'):
            options["if_match"] = self.info.token

        def part() -> bytes:
            try:
                found = obstore.get(self.storage._store, self.path, options=options)
                data = bytes(found.bytes())
            except PreconditionError:
                name = f"{self.storage.root}/{self.path}"
                raise changed(name, self.info.token, "another ETag") from None
            _check_length(data, stop - start)
            return data

        answer: bytes = self.storage._retried("read", self.path, part)
        return answer


def changed(name: str, before: str, now: str) -> InputError:
    """The error of an object that is not the one that was listed or begun."""
    return InputError(
        f"cannot read {name}: it changed while it was in use: got {now}, expected {before}. "
        f"Nothing of the two was mixed. Run again: the new file is then read whole."
    )


class _Short(Exception):
    """Fewer bytes than asked for, or more."""


def _check_length(data: bytes, expected: int) -> None:
    if len(data) != expected:
        raise _Short(f"{len(data):,} bytes, expected {expected:,}")


_REFUSED = re.compile(r"status:? (4(?!08|29)\d\d)")


def _passing(error: Exception) -> bool:
    """True for what another attempt may not meet: no answer, 429, 5xx, a body cut short."""
    from obstore.exceptions import GenericError

    if isinstance(error, _Short):
        return True
    return isinstance(error, GenericError) and not _REFUSED.search(str(error))


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
def _object_store(root: str, retried: bool = True) -> Any:
    """obstore's store, which retries with backoff and jitter of its own, or does not.

    A PUT if absent is not left to it: after an answer that was lost it would say that the
    object exists, and not whose it is.
    """
    from obstore.store import from_url

    retries: Any = _RETRIES if retried else {"max_retries": 0}
    try:
        return from_url(
            root, client_options=_client_options(root, os.environ), retry_config=retries
        )
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"cannot open {root}: {reason}. Give a path, or a URI such as s3://bucket/prefix."
        ) from error
