"""Lists of hosts and URLs in the layout of UT1, as an index that workers of a node share.

A list is one of

- a folder with a folder for each category, which holds `domains`, `urls` and `expressions` (any of
  them; one entry a line, `#` begins a comment);
- a `.tar` or `.tar.gz` of such a folder;
- a folder or tar with these three files and no categories, or one file with a domain a line
  (`.gz` if its name says so): the only category that was asked for.

The index is the sorted 64-bit hashes of all entries: 8 bytes, a byte for the category and 1 to 2
bytes of buckets each. It is built once, stored in the cache folder under the sha256 of what it is
made from, and mapped into memory: a node holds it once. A host with p parents and path prefixes
that is in no list of n entries is taken for one with probability p * n / 2^64: with 5 million
entries and p = 6, 1.6e-12; of 10 billion URLs, 0.016 are expected to be dropped by mistake.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gzip
import hashlib
import importlib.metadata
import itertools
import json
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import InputError, nearest

if TYPE_CHECKING:
    from stages.kernels.urls import EntryKeys, UrlTable

FORMAT = 2
"""Of the index; part of its name. Bump when a key or the layout changes."""
KINDS = ("domains", "urls", "expressions")
MIXED = "mixed"
"""A file of its own: a line with a path is a URL, any other a domain."""
_NOTE = re.compile(rb"(?m)^([ \t]*[^\s]*)[ \t][^\n]*$")
"""What follows an entry behind a blank is a note."""
_WITH_PATH = r"^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]*[^\s/\\?#]+[/\\?][^\s/\\]"
ALLOW_CODE, GATE_CODE = 1, 255
"""Codes of what is never dropped, and of hosts that have `url` entries; between them those of the
categories, in the order asked."""
MAX_CATEGORIES = 250
_CHUNK = 8 << 20
_ARRAYS = ("keys", "codes", "starts")


class ListFile(NamedTuple):
    """One file of entries."""

    category: str
    kind: str
    path: Path
    member: str | None = None
    """Its name in the tar at `path`."""


@dataclass(frozen=True)
class UrlIndex:
    """An index, mapped into memory."""

    table: UrlTable
    names: tuple[str, ...]
    """Category of code 2, 3, ..."""
    expressions: tuple[tuple[int, str], ...]
    """(code, regular expression)."""
    entries: dict[str, int]
    """`category/kind` -> entries read, repeats included."""

    def name(self, code: int) -> str:
        """Category of a code."""
        return self.names[code - ALLOW_CODE - 1]

    def without_expressions(self) -> UrlIndex:
        return replace(self, expressions=())


def default_cache() -> Path:
    """`$TOKENMILL_CACHE`, else `tokenmill` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("TOKENMILL_CACHE") or Path(base, "tokenmill"))


# --- What there is -----------------------------------------------------------------------------


def list_files(path: Path, categories: Sequence[str]) -> list[ListFile]:
    """The files of these categories, in their order. Raises InputError if one has none."""
    if not path.exists():
        raise InputError(f"list not found: {path}. Give an existing file, tar or folder.")
    if path.is_dir():
        found = [
            ListFile(file.parent.name if file.parent != path else "", kind, file)
            for kind in KINDS
            for file in sorted([*path.glob(kind), *path.glob(f"*/{kind}")])
            if file.is_file()
        ]
    elif ".tar" in path.suffixes or path.suffix == ".tgz":
        found = _tar_files(path)
    else:
        name = path.name.removesuffix(".gz")
        found = [ListFile("", name if name in KINDS else MIXED, path)]
    return _of_categories(path, found, categories)


def _tar_files(path: Path) -> list[ListFile]:
    found = []
    with _readable(path), tarfile.open(path) as tar:
        for member in tar:
            folders, _, kind = member.name.removeprefix("./").rpartition("/")
            if member.isfile() and kind in KINDS:
                found.append(ListFile(folders.rpartition("/")[2], kind, path, member.name))
    return found


def _of_categories(
    path: Path, found: Sequence[ListFile], categories: Sequence[str]
) -> list[ListFile]:
    flat = [file for file in found if not file.category]
    if flat and len(categories) != 1:
        raise InputError(
            f"{path} has no categories, {len(categories)} were asked for "
            f"({', '.join(categories)}). Name one, for all of the list."
        )
    if flat:
        found = [file._replace(category=categories[0]) for file in flat]
    names = {file.category for file in found}
    for category in categories:
        if category not in names:
            raise InputError(
                f"{path} has no category '{category}', a folder with one of "
                f"{', '.join(KINDS)}.{nearest(category, names)}"
            )
    order = {category: at for at, category in enumerate(categories)}
    return sorted(
        (file for file in found if file.category in order),
        key=lambda file: (order[file.category], (*KINDS, MIXED).index(file.kind), str(file.path)),
    )


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raises InputError with the file's name where its archive or its compression is broken."""
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"the list {path} cannot be read: {type(error).__name__}: {error}. Expected a whole "
            f"file; fetch it again."
        ) from error


@contextlib.contextmanager
def _opened(file: ListFile) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed."""
    if file.member is not None:
        with tarfile.open(file.path) as tar, cast(BinaryIO, tar.extractfile(file.member)) as stream:
            yield stream
    elif file.path.suffix == ".gz":
        with gzip.open(file.path) as stream:
            yield cast(BinaryIO, stream)
    else:
        with file.path.open("rb") as stream:
            yield stream


# --- Building ----------------------------------------------------------------------------------


def lines_array(data: bytes) -> pa.Array:
    """The lines of some bytes as strings, line breaks included, without copying them."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 0x0A).astype(np.int64) + 1
    if not len(ends) or ends[-1] < len(data):
        ends = np.append(ends, len(data))
    offsets = np.concatenate([np.zeros(1, np.int64), ends])
    return pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The stream in pieces of whole lines."""
    rest = b""
    while piece := stream.read(_CHUNK):
        cut = piece.rfind(b"\n") + 1
        if not cut:
            rest += piece
            continue
        yield rest + piece[:cut]
        rest = piece[cut:]
    if rest:
        yield rest


def _entry_lines(data: bytes, kind: str) -> Iterator[tuple[str, pa.Array]]:
    """(`domains` or `urls`, their lines) of some lines of a list."""
    if b" " in data or b"\t" in data:
        data = _NOTE.sub(rb"\1", data)
    lines = lines_array(data)
    if kind != MIXED:
        yield kind, lines
        return
    with_path = pc.match_substring_regex(lines.cast(pa.large_binary()), _WITH_PATH)
    yield "urls", lines.filter(with_path)
    yield "domains", lines.filter(pc.invert(with_path))


def keys_of(lines: pa.Array, *, urls: bool) -> EntryKeys:
    """Keys of all entries among the lines; those of hosts that are not ASCII too."""
    from stages.kernels.urls import entry_keys
    from stages.url_hosts import ascii_urls

    found = entry_keys(lines, urls=urls)
    foreign = np.flatnonzero(found.sizes == -1)
    if len(foreign):
        again = entry_keys(ascii_urls(lines.take(pa.array(foreign))), urls=urls)
        found.keys[foreign], found.gates[foreign] = again.keys, again.gates
        found.sizes[foreign] = again.sizes
    return found


def _table(files: Sequence[tuple[int, ListFile]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays of the index, and its facts."""
    parts: list[npt.NDArray[np.uint64]] = []
    codes: list[npt.NDArray[np.uint8]] = []
    expressions: list[tuple[int, str]] = []
    entries: dict[str, int] = {}
    longest_url = 0
    for code, file in files:
        with _readable(file.path), _opened(file) as stream:
            if file.kind == "expressions":
                name = f"{file.category}/expressions"
                lines = stream.read().decode("utf-8", "replace").splitlines()
                wanted = [line.strip() for line in lines]
                wanted = [line for line in wanted if line and not line.startswith("#")]
                expressions += [(code, line) for line in wanted]
                entries[name] = entries.get(name, 0) + len(wanted)
                continue
            pieces = (_entry_lines(chunk, file.kind) for chunk in _chunks(stream))
            for kind, lines in itertools.chain.from_iterable(pieces):
                found = keys_of(lines, urls=kind == "urls")
                good = found.sizes > 0
                count = int(good.sum())
                name = f"{file.category}/{kind}"
                entries[name] = entries.get(name, 0) + count
                parts.append(found.keys[good])
                codes.append(np.full(count, code, np.uint8))
                if kind == "urls":
                    longest_url = max(longest_url, int(found.sizes.max(initial=0)))
                    parts.append(found.gates[good])
                    codes.append(np.full(count, GATE_CODE, np.uint8))
    keys = np.concatenate([np.empty(0, np.uint64), *parts])
    parts.clear()
    arrays = sorted_table(keys, np.concatenate([np.empty(0, np.uint8), *codes]))
    facts = {"expressions": expressions, "entries": entries, "longest_url": longest_url}
    return arrays, facts


def sorted_table(
    keys: npt.NDArray[np.uint64], codes: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[Any]]:
    """Keys in order, each once with the smallest of its codes, and where each bucket begins.

    There are an eighth to a quarter as many buckets as keys: what a lookup reads is mostly one line
    of the processor's cache.
    """
    order = np.lexsort((codes, keys))
    keys = keys[order]
    first = np.ones(len(keys), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    keys, codes = keys[first], codes[order][first]
    bits = max(1, len(keys).bit_length() - 2)
    edges = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    starts = np.append(np.searchsorted(keys, edges), len(keys)).astype(np.uint32)
    return {"keys": keys, "codes": codes, "starts": starts}


# --- The cache ---------------------------------------------------------------------------------


def _digest(files: Sequence[tuple[int, ListFile]], names: Sequence[str]) -> str:
    """sha256 over what makes the index, the categories and the contents of the files."""
    made_by = ["url index", FORMAT, importlib.metadata.version("idna"), list(names)]
    whole = hashlib.sha256(json.dumps(made_by).encode())
    contents: dict[Path, str] = {}
    for code, file in files:
        if file.path not in contents:
            with file.path.open("rb") as stream:
                contents[file.path] = hashlib.file_digest(stream, "sha256").hexdigest()
        parts = [code, file.category, file.kind, file.member, contents[file.path]]
        whole.update(json.dumps(parts).encode())
    return whole.hexdigest()


def _build(folder: Path, files: Sequence[tuple[int, ListFile]]) -> None:
    """Write the index; the folder is there only when it is whole."""
    arrays, facts = _table(files)
    part = Path(tempfile.mkdtemp(prefix=folder.name[:12], dir=folder.parent))
    try:
        for name, values in arrays.items():
            np.save(part / f"{name}.npy", values)
        (part / "facts.json").write_text(json.dumps(facts))
        part.chmod(0o755)  # a shared cache is for every user, and `mkdtemp` makes it for one
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _files_wanted(
    lists: str | None, categories: tuple[str, ...], allow: str | None
) -> list[tuple[int, ListFile]]:
    files: list[tuple[int, ListFile]] = []
    if allow:
        files += [(ALLOW_CODE, file) for file in list_files(Path(allow), ("allow",))]
    if lists:
        code = {category: at + ALLOW_CODE + 1 for at, category in enumerate(categories)}
        found = list_files(Path(lists), categories)
        files += [(code[file.category], file) for file in found]
    return files


@functools.lru_cache(maxsize=4)
def load_index(
    lists: str | None, categories: tuple[str, ...], allow: str | None, cache: str | None
) -> UrlIndex:
    """The index of these lists: from the cache, else built into it. Raises InputError."""
    from stages.kernels.urls import UrlTable

    files = _files_wanted(lists, categories, allow)
    root = Path(cache) if cache else default_cache()
    folder = root / f"urls-{_digest(files, categories)}"
    if not folder.is_dir():
        try:
            root.mkdir(parents=True, exist_ok=True)
            with (root / f"{folder.name}.lock").open("w") as lock:
                # Workers of a node wait for the first one instead of building as many times.
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not folder.is_dir():
                    _build(folder, files)
        except OSError as error:
            raise InputError(
                f"the index of {lists} cannot be stored in {root}: {error}. Set `cache:` to a "
                f"folder of every node that can be written."
            ) from error
    try:
        facts = json.loads((folder / "facts.json").read_text())
        arrays = {
            name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in _ARRAYS
        }
    except (OSError, ValueError) as error:
        raise InputError(
            f"the index {folder} cannot be read: {error}. Delete that folder; it is built anew."
        ) from error
    bits = (len(arrays["starts"]) - 1).bit_length() - 1
    table = UrlTable(**arrays, shift=np.uint64(64 - bits), longest_url=int(facts["longest_url"]))
    expressions = tuple((int(code), text) for code, text in facts["expressions"])
    return UrlIndex(table, categories, expressions, facts["entries"])
