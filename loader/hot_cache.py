"""The hot cache: verified row groups as bare token ids on local disk, shared by a node's processes.

One file a row group, made once and never changed:

    ids as in `loader.packed_ids`, from the first byte on | zeros up to a multiple of 8
    starts of the documents, int64  | xxh3-128 of the file's name and all of this, 16 bytes

Its name is a digest of what the index says of the row group and of the bits of an id, so that it
serves every dataset and version that lists the same shard. It appears whole or not at all: written
under another name, then renamed. While one process decodes, others wait for its advisory lock,
which the kernel frees when the process dies.

Ids are verified against the index's checksum before they are written and as they stand then. A file
is verified whole when a process first maps it, whoever wrote it, at some 10 GB/s, which also brings
it into memory. A file that was proven once is no safer: a disk may lose a bit later, and a crash of
the machine may leave a renamed file without its content. For the same reason nothing waits for the
disk (`fsync`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from loader.dataset import Place
from loader.packed_ids import TooLarge, pack, packed_bytes, unpack
from loader.row_groups import RowGroup
from pipeline.errors import IntegrityError

LAYOUT = 2
"""Bump when the layout of a file changes. 1: first layout. 2: ids may be packed."""
SUFFIX, PART = ".tokens", ".part"
LOCKS = 256
"""Lock files: so many row groups can be decoded at once; two that share one wait."""
STALE_SECONDS = 60
"""Age from which a part without a living writer is swept away."""
_DIGEST = 16
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FAILED = ctypes.c_void_p(-1).value


def default_cache() -> Path:
    """`tokens` in `$TOKENMILL_CACHE`, else in `tokenmill` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("TOKENMILL_CACHE") or Path(base, "tokenmill")) / "tokens"


@dataclass(frozen=True, eq=False)
class HotRowGroup:
    """A verified row group in memory: a mapped file, or a copy where there is no room on disk."""

    num_tokens: int
    bits: int
    """Of an id."""
    starts: npt.NDArray[np.int64]
    buffer: npt.NDArray[np.uint8]
    """The whole file."""
    on_disk: bool

    @property
    def tokens(self) -> npt.NDArray[Any]:
        """All ids: a view where they are not packed."""
        return unpack(self.buffer, self.bits, self.num_tokens)

    @cached_property
    def address(self) -> int:
        """Of the first token; a multiple of the page size."""
        return int(self.buffer.ctypes.data)

    @cached_property
    def facts(self) -> tuple[int, int, int]:
        """Addresses of the tokens and of the starts, and the number of documents."""
        first = _first_start(self.num_tokens, self.bits)
        return self.address, self.address + first, len(self.starts)

    @property
    def num_bytes(self) -> int:
        """Bytes from `address` on that stay readable while this object lives."""
        return len(self.buffer)


def content_name(place: Place, bits: int) -> str:
    """Digest of a row group's content, of the shard that it is from, and of how its ids lie."""
    shard, sizes = place.file.rpartition("/")[2], f"{place.tokens}/{place.documents}"
    said = f"{LAYOUT}/{bits}/{place.checksum}/{sizes}/{shard}/{place.row_group}"
    return xxhash.xxh3_128_hexdigest(said.encode())


class HotCache:
    """Files of row groups in `folder`, the least recently mapped leaving when `max_bytes` is
    passed. `folder` None: in memory alone. For threads and processes alike.
    """

    def __init__(self, folder: Path | None, max_bytes: int, bits: int) -> None:
        """`bits` of an id."""
        self.folder, self.max_bytes, self.bits = folder, max_bytes, bits
        self._known: int | None = None
        self._turn = threading.Lock()
        self._said = False

    def get(self, place: Place, fetch: Callable[[], RowGroup]) -> HotRowGroup:
        """The row group, from disk where a sound file is there, else by `fetch`, whose errors pass.

        A damaged file is replaced once. Where the disk is full, or the folder cannot be written,
        the row group stays in memory, with one warning. Raises IntegrityError where ids are larger
        than dataset.json says.
        """
        name = content_name(place, self.bits)
        try:
            return self._got(name, place, fetch)
        except TooLarge as error:
            raise IntegrityError(
                f"{place.file}, row group {place.row_group}: {error}, as dataset.json says "
                f"(tokenizer.max_id). Copy dataset.json and the shards again from one place."
            ) from error

    def _got(self, name: str, place: Place, fetch: Callable[[], RowGroup]) -> HotRowGroup:
        if self.folder is None:
            return copied(fetch(), self.bits, name)
        path = self.folder / name[:2] / f"{name}{SUFFIX}"
        try:
            found = self._mapped(path, place)
            if found is not None:
                return found
            with _locked(self.folder, name):
                # Another process may have come first.
                return self._mapped(path, place) or self._made(path, place, fetch())
        except OSError as error:
            self._warn(error)
            return copied(fetch(), self.bits, name)

    def _made(self, path: Path, place: Place, decoded: RowGroup) -> HotRowGroup:
        content = _Content(decoded, self.bits, path.stem)
        try:
            self._make_room(content.num_bytes)
            _write(path, content)
            self._known = (self._known or 0) + content.num_bytes
            found = self._mapped(path, place)
            if found and xxhash.xxh3_128_hexdigest(found.tokens.data) != place.checksum:
                path.unlink(missing_ok=True)
                found = None
        except OSError as error:
            self._warn(error)
            found = None
        return found or copied(decoded, self.bits, path.stem)

    def _mapped(self, path: Path, place: Place) -> HotRowGroup | None:
        """The file mapped and verified; None if there is none, or a damaged one, which leaves."""
        try:
            buffer = np.asarray(_Mapped(path))
        except FileNotFoundError:
            return None
        except ValueError:  # empty
            buffer = np.empty(0, np.uint8)
        if not _sound(buffer, place, self.bits, path.stem):
            # Who may not remove it gets an OSError, and the row group in memory: never this file.
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # when it was last used; another user's file keeps its time
        return _view(buffer, place.tokens, self.bits, on_disk=True)

    def _warn(self, error: OSError) -> None:
        with self._turn:
            if self._said:
                return
            self._said = True
        full = error.errno in _FULL
        why = "is full" if full else f"cannot be used ({error.strerror or error})"
        warnings.warn(
            f"the loader's cache {self.folder} {why}: row groups stay in memory and are decoded "
            f"again when they come again. Make room, or give another folder (`cache`) or a smaller "
            f"`cache_bytes`.",
            stacklevel=2,
        )

    # --- size ----------------------------------------------------------------------------------

    def _make_room(self, wanted: int) -> None:
        """Remove what was mapped longest ago until `wanted` more bytes fit.

        Looks at the folder where this process knows of too much; others may have added since its
        last look, so P processes may pass the bound by P row groups and what they are adding.
        """
        assert self.folder is not None
        with self._turn:
            if self._known is not None and self._known + wanted <= self.max_bytes:
                return
            files = sorted(_files(self.folder))
            total = sum(size for _, size, _ in files)
            for _, size, path in files:
                if total + wanted <= self.max_bytes:
                    break
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                total -= size
            self._known = total
        _sweep(self.folder)


class _Content:
    """The bytes of a file."""

    def __init__(self, decoded: RowGroup, bits: int, name: str) -> None:
        ids = pack(decoded.tokens, bits)
        starts = np.ascontiguousarray(decoded.starts, "<i8").view(np.uint8)
        padding = np.zeros(_first_start(len(decoded.tokens), bits) - len(ids), np.uint8)
        digest = xxhash.xxh3_128(name.encode())
        for piece in (ids, padding, starts):
            digest.update(piece.data)
        self.pieces = (ids.data, padding.data, starts.data, digest.digest())
        self.num_bytes = sum(memoryview(piece).nbytes for piece in self.pieces)


def _write(path: Path, content: _Content) -> None:
    """Put a file under its name, whole. Raises OSError and leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}-{uuid.uuid4().hex[:8]}{PART}")
    try:
        with part.open("xb", buffering=0) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # tells `_sweep` that the writer lives
            # Asks for the room before a byte is written, and for real blocks: a file with holes
            # on a full disk would kill whoever maps it.
            os.posix_fallocate(stream.fileno(), 0, content.num_bytes)
            for piece in content.pieces:
                left = memoryview(piece).cast("B")
                while left:
                    left = left[stream.write(left) :]
            os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


class _Mapped:
    """A whole file mapped for reading until nothing views it any more.

    Python's mmap keeps a file descriptor a map, of which many systems allow a process 1,024.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError, and ValueError for an empty file."""
        self._size = 0
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if not size:
                raise ValueError(f"{path}: empty")
            flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
            address = _LIBC.mmap(None, size, mmap.PROT_READ, flags, stream.fileno(), 0)
        if address == _MAP_FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
        self._address, self._size = address, size
        self.__array_interface__ = {
            "data": (address, True), "shape": (size,), "typestr": "|u1", "version": 3,
        }  # fmt: skip

    def __del__(self) -> None:
        if self._size:
            _LIBC.munmap(self._address, self._size)


def copied(decoded: RowGroup, bits: int, name: str = "") -> HotRowGroup:
    """The row group in memory of its own, in the layout of a file."""
    content = _Content(decoded, bits, name)
    memory = mmap.mmap(-1, content.num_bytes)
    for piece in content.pieces:
        memory.write(piece)
    buffer = np.frombuffer(memory, np.uint8)
    buffer.flags.writeable = False
    return _view(buffer, len(decoded.tokens), bits, on_disk=False)


def _view(buffer: npt.NDArray[np.uint8], tokens: int, bits: int, *, on_disk: bool) -> HotRowGroup:
    first = _first_start(tokens, bits)
    starts = np.frombuffer(buffer, "<i8", (len(buffer) - _DIGEST - first) // 8, first)
    return HotRowGroup(tokens, bits, starts, buffer, on_disk)


def _first_start(tokens: int, bits: int) -> int:
    """Place of the documents' starts."""
    return -(-packed_bytes(tokens, bits) // 8) * 8


def _sound(buffer: npt.NDArray[np.uint8], place: Place, bits: int, name: str) -> bool:
    if len(buffer) != _first_start(place.tokens, bits) + 8 * place.documents + _DIGEST:
        return False
    digest = xxhash.xxh3_128(name.encode())
    digest.update(buffer[:-_DIGEST].data)
    return digest.digest() == buffer[-_DIGEST:].tobytes()


# --- the folder --------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """Alone among all threads and processes with this name; a dead process holds no lock.

    Where the file system knows no locks two may do the same work; both results are whole.
    """
    locks = folder / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{int(name[:8], 16) % LOCKS:02x}").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        yield


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """(last use, size, path) of each file."""
    for path in folder.glob(f"*/*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            yield found.st_mtime, found.st_size, path


def _sweep(folder: Path) -> None:
    """Remove parts whose writers are dead: their locks are free."""
    for path in folder.glob(f"*/*{PART}"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime > time.time() - STALE_SECONDS:
                continue
            with path.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
