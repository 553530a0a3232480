"""Documents of files for the command line: text, JSON lines or Parquet, as batches of a table.

A file of text is one document. Of JSON lines (also .gz) and Parquet a document is a row. Files are
read in the order of their absolute paths.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.files.uris import find_inputs, open_input
from pipeline.texts.bounded import capped_texts

ROWS = 1000
NO_GROUP = "all"


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
            texts = pa.array([row[column] or "" for row in rows], pa.large_string())
            groups = ["/".join(str(row[key]) for key in by) or NO_GROUP for row in rows]
            capped = capped_texts(texts, max_bytes) if max_bytes else texts
            yield pa.table({"text": capped, "group": pa.array(groups, pa.string())})


def _rows(name: str, column: str, by: Sequence[str]) -> Iterator[list[dict[str, str]]]:
    wanted = (column, *by)
    try:
        if name.endswith(".parquet"):
            with pq.ParquetFile(open_input(name)) as file:
                for batch in file.iter_batches(ROWS, columns=_known(wanted, file, name)):
                    yield batch.to_pylist()
        elif ".json" in name.rpartition("/")[2]:
            yield from _json_rows(name, wanted)
        else:
            with open_input(name) as file:
                yield [{column: file.read().decode(), **dict.fromkeys(by, name)}]
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"{name}: cannot be read as UTF-8, JSON lines or Parquet: {error}.") from (
            error
        )


def _known(wanted: Sequence[str], file: pq.ParquetFile, name: str) -> list[str]:
    for key in wanted:
        if key not in file.schema_arrow.names:
            raise InputError(
                f"{name}: has no column '{key}'; there are {file.schema_arrow.names}. "
                f"See --text-column and --by."
            )
    return list(wanted)


def _json_rows(name: str, wanted: Sequence[str]) -> Iterator[list[dict[str, str]]]:
    rows = []
    with open_input(name) as raw:
        file = gzip.GzipFile(fileobj=raw) if name.endswith(".gz") else raw
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                rows.append({key: row[key] for key in wanted})
            except (ValueError, TypeError, KeyError) as error:
                raise InputError(
                    f"{name}:{number}: expected a JSON object with {', '.join(wanted)}, got "
                    f"{line[:60]!r} ({error!r}). See --text-column and --by."
                ) from error
            if len(rows) == ROWS:
                yield rows
                rows = []
    if rows:
        yield rows


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
