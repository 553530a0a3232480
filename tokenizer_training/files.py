"""Documents of files for the command line: text, JSON lines or Parquet, as batches of a table.

A file of text is one document. Of JSON lines (also .gz) and Parquet a document is a row. Files are
read in the order of their absolute paths.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, InputError
from pipeline.files.uris import find_inputs, open_input
from pipeline.texts.bounded import capped_texts

ROWS = 1000
NO_GROUP = "all"
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


def documents(
    patterns: Sequence[str], column: str, by: Sequence[str] = (), max_bytes: int | None = None
) -> Iterator[pa.Table]:
    """Batches of `text` (at most `max_bytes` of each) and `group`, the values of `by` joined by /.

    Raises InputError for a pattern without files, a broken file or a missing column.
    """
    names: list[str] = []
    for pattern in patterns:
        found = [info.path for info in find_inputs(pattern)]
        if not found:
            raise InputError(f"{pattern}: no such file. Expected paths or glob patterns.")
        names += found
    for name in sorted(set(names)):
        for rows in _rows(name, column, by):
            texts = pa.array([row[column] for row in rows], pa.large_string())
            groups = ["/".join(str(row[key]) for key in by) or NO_GROUP for row in rows]
            capped = capped_texts(texts, max_bytes) if max_bytes else texts
            yield pa.table({"text": capped, "group": pa.array(groups, pa.string())})


def _rows(name: str, column: str, by: Sequence[str]) -> Iterator[list[dict[str, str]]]:
    wanted = (column, *by)
    try:
        if name.endswith(".parquet"):
            with pq.ParquetFile(open_input(name)) as file:
                for batch in file.iter_batches(ROWS, columns=_known(wanted, file, name)):
                    texts = batch.column(column)
                    if not texts.type.equals(pa.null()):
                        texts.cast(pa.large_string()).validate(full=True)  # is UTF-8
                    yield [{**row, column: row[column] or ""} for row in batch.to_pylist()]
        elif ".json" in name.rpartition("/")[2]:
            yield from _json_rows(name, column, by)
        else:
            with open_input(name) as file:
                yield [{column: file.read().decode(), **dict.fromkeys(by, name)}]
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:  # no UTF-8, no date
        raise InputError(f"{name}: cannot be read as UTF-8, JSON lines or Parquet: {error}.") from (
            error
        )


def _known(wanted: Sequence[str], file: pq.ParquetFile, name: str) -> list[str]:
    names = file.schema_arrow.names
    for key in wanted:
        if names.count(key) > 1:
            raise InputError(f"{name}: has {names.count(key)} columns '{key}', expected one.")
        if key not in names:
            raise InputError(
                f"{name}: has no column '{key}'; there are {names}. See --text-column and --by."
            )
    kind = file.schema_arrow.field(wanted[0]).type
    of = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not any(is_text(of) for is_text in _TEXTS):
        raise InputError(f"{name}: column '{wanted[0]}' is {kind}, expected text.")
    return list(wanted)


def _text(value: Any) -> str:
    """Raises TypeError, and ValueError for half a character (a lone surrogate)."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    (value or "").encode()
    return value or ""


def _lines(raw: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers. Raises InputError, with the last good one, for a damaged file."""
    number = 0
    try:
        for line in gzip.GzipFile(fileobj=raw) if name.endswith(".gz") else raw:
            number += 1
            yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{name}: cannot be read behind line {number}: {error}. Fetch or make it again."
        ) from error


def _json_rows(name: str, column: str, by: Sequence[str]) -> Iterator[list[dict[str, str]]]:
    rows, wanted = [], (column, *by)
    with open_input(name) as raw:
        for number, line in _lines(raw, name):
            try:
                row = json.loads(line)
                groups = {key: _text(str(row[key])) for key in by}
                rows.append({**groups, column: _text(row[column])})
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise InputError(
                    f"{name}:{number}: expected a JSON object with {', '.join(wanted)}, of which "
                    f"{column} is text, got {line[:60]!r} ({error!r}). See --text-column and --by."
                ) from error
            if len(rows) == ROWS:
                yield rows
                rows = []
    if rows:
        yield rows


def make_folder(folder: Path) -> None:
    """Raises ConfigError where no files can be put into such a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; expected a folder to write to.") from error


def write_files(folder: Path, made: Mapping[str, bytes]) -> None:
    """Write the files into the folder and print their paths. Raises ConfigError."""
    for name, content in made.items():
        try:
            (folder / name).write_bytes(content)
        except OSError as error:
            raise ConfigError(f"{folder / name}: {error.strerror}.") from error
        print(folder / name)


def drawn(table: pa.Table) -> npt.NDArray[np.uint64]:
    """A draw of each document by its text: what is sampled does not depend on files or order."""
    import xxhash

    texts = table["text"].to_pylist()
    return np.array([xxhash.xxh3_64_intdigest(text.encode(), seed=1) for text in texts], np.uint64)


def sample_bound(batches: Iterator[pa.Table], sample_bytes: int) -> int:
    """The draw below which documents of together at most `sample_bytes` lie."""
    draws, sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for table in batches:
        draws.append(drawn(table))
        sizes.append(np.array([len(text.encode()) for text in table["text"].to_pylist()]))
    every, size = np.concatenate(draws), np.concatenate(sizes)
    order = np.argsort(every, kind="stable")
    taken = int(np.searchsorted(np.cumsum(size[order]), sample_bytes, side="right"))
    return int(every[order[taken]]) if taken < len(order) else 2**64
