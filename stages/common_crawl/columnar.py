"""The columnar URL index (Parquet): where the wanted pages stand in their WARC files.

Of each file only the columns that are asked for are read, and of them no row group whose
statistics say that it holds no wanted domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import InputError, nearest
from pipeline.files.addresses import shown
from pipeline.files.uris import open_input
from stages.common_crawl.wanted import Wanted

PLACES = pa.schema([("file", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])
"""One row a wanted page: the WARC file's path, where its record starts, its stored bytes."""
_DOMAIN, _LANGUAGES = "url_host_registered_domain", "content_languages"
_MIME, _STATUS, _FILE = "content_mime_detected", "fetch_status", "warc_filename"
_OFFSET, _LENGTH = "warc_record_offset", "warc_record_length"


def places_in(path: str, wanted: Wanted, files: pa.Array | None) -> pa.Table:
    """The wanted pages of one index file, in those WARC files if any are given.

    Raises InputError if the file cannot be read or lacks a column.
    """
    names = [_FILE, _OFFSET, _LENGTH, *(
        name for name, values in (
            (_DOMAIN, wanted.domains), (_LANGUAGES, wanted.languages), (_MIME, wanted.mime),
            (_STATUS, wanted.status),
        ) if values
    )]  # fmt: skip
    found = []
    try:
        with open_input(path) as stream:
            file = pq.ParquetFile(stream)
            columns = file.schema_arrow.names
            for name in names:
                if name not in columns:
                    raise InputError(
                        f"{shown(path)} has no column '{name}'.{nearest(name, columns)} Expected "
                        f"Common Crawl's columnar index; older crawls lack {_LANGUAGES}."
                    )
            for group in range(file.num_row_groups):
                if _may_hold(file.metadata.row_group(group), wanted):
                    table = file.read_row_group(group, columns=names)
                    found.append(_places(table, wanted, files))
    except FileNotFoundError:
        raise InputError(f"{shown(path)} is listed and not there. Check `base`.") from None
    except (pa.ArrowInvalid, OSError) as error:
        text = str(error).splitlines()[0]
        raise InputError(f"{shown(path)} is no readable Parquet file: {text}.") from error
    return pa.concat_tables(found) if found else PLACES.empty_table()


def _may_hold(group: Any, wanted: Wanted) -> bool:
    """False if a row group's statistics rule every wanted domain out."""
    if not wanted.domains:
        return True
    for at in range(group.num_columns):
        column = group.column(at)
        if column.path_in_schema == _DOMAIN:
            bounds = column.statistics
            if bounds is None or not bounds.has_min_max:
                return True
            return any(bounds.min <= domain <= bounds.max for domain in wanted.domains)
    return True


def _places(table: pa.Table, wanted: Wanted, files: pa.Array | None) -> pa.Table:
    for name, values in ((_DOMAIN, wanted.domains), (_MIME, wanted.mime), (_STATUS, wanted.status)):
        if values:
            kind = table.schema.field(name).type
            table = table.filter(_is_in(table[name], pa.array(sorted(values)).cast(kind)))
    if files is not None:
        table = table.filter(_is_in(table[_FILE], files))
    if wanted.languages:
        seen = pc.unique(table[_LANGUAGES])
        codes = pa.array([code for code in seen.to_pylist() if wanted.language(code)], pa.string())
        table = table.filter(_is_in(table[_LANGUAGES], codes))
    return table.select([_FILE, _OFFSET, _LENGTH]).rename_columns(PLACES.names).cast(PLACES)


def _is_in(column: pa.ChunkedArray, values: pa.Array) -> pa.ChunkedArray:
    return pc.is_in(column, values.cast(column.type), skip_nulls=True)


def sorted_places(tables: Sequence[pa.Table]) -> pa.Table:
    """All places in order of (file, offset), each once."""
    table = pa.concat_tables([PLACES.empty_table(), *tables])
    table = table.group_by(["file", "offset"]).aggregate([("length", "max")])
    table = table.rename_columns(["file", "offset", "length"]).cast(PLACES)
    return table.sort_by([("file", "ascending"), ("offset", "ascending")])
