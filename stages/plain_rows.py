"""Batches of rows that are texts and nothing else, without a Python object a text.

Most tables of texts are so: each row has a text and an id, perhaps a URL. `add_row` in
`stages/documents.py` is the definition; this is its answer where no row is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from stages.documents import BatchBuilder, Fields


def plain_texts(
    builder: BatchBuilder, fields: Fields, batch: pa.RecordBatch, first: int
) -> tuple[pa.Table, npt.NDArray[np.int64]] | None:
    """The documents of a batch whose first row has the number `first`, and the bytes of each text.

    None where a row may be refused, has no id of its own, or holds more than text, id and URL: such
    a batch is read row by row.
    """
    if fields.html or fields.date or fields.columns or builder.partition.head is not None:
        return None
    text, url = _strings(batch, fields.text), _urls(batch, fields.url)
    keys = _keys(batch, fields.id)
    if text is None or keys is None or url is None:
        return None
    sizes = pc.binary_length(text).to_numpy(zero_copy_only=False).astype(np.int64)
    if not sizes.all() or sizes.max(initial=0) > fields.max_bytes or _has_blank(text):
        return None
    partition, length, digest = builder.partition, len(text), xxhash.xxh3_128_digest
    prefix = partition.source.encode() + b"\0"
    known = {
        "doc_id": [digest(prefix + key) for key in keys],
        "source": pa.repeat(partition.source, length),
        "file": pa.repeat(partition.file, length),
        "text": text,
        "url": url,
        "offset": np.arange(first, first + length),
        "content_type": pa.repeat("text/plain", length),
        "charset": pa.repeat("utf-8", length),
    }
    columns = [_typed(known.get(field.name), field.type, length) for field in builder.schema]
    return pa.table(columns, schema=builder.schema), sizes


def _typed(values: Any, kind: pa.DataType, length: int) -> pa.Array:
    if values is None:
        return pa.nulls(length, kind)
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def _strings(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    """A column of valid UTF-8 without nulls, as large_string."""
    at = batch.schema.get_field_index(name)
    if at < 0 or batch.column(at).null_count or not _is_string(batch.schema.field(at).type):
        return None
    return _valid(batch.column(at))


def _valid(column: pa.Array) -> pa.Array | None:
    """As large_string; None where it is not UTF-8, which files do not promise."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return column.cast(pa.large_string())


def _urls(batch: pa.RecordBatch, name: str | None) -> pa.Array | None:
    if name is None:
        return pa.nulls(batch.num_rows, pa.string())
    at = batch.schema.get_field_index(name)
    if at < 0 or not _is_string(batch.schema.field(at).type):
        return None
    return _valid(batch.column(at))


def _keys(batch: pa.RecordBatch, name: str | None) -> list[bytes] | None:
    """The key of each row; None where a row has no id, or one that is no string or integer."""
    at = batch.schema.get_field_index(name) if name is not None else -1
    if at < 0 or batch.column(at).null_count:
        return None
    column, kind = batch.column(at), batch.schema.field(at).type
    if pa.types.is_integer(kind):
        return [str(value).encode() for value in column.to_pylist()]
    valid = _valid(column) if _is_string(kind) else None
    return None if valid is None else valid.cast(pa.large_binary()).to_pylist()


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _has_blank(text: pa.Array) -> bool:
    """True if a text is nothing but white space, as Python's `isspace` says."""
    first = pc.utf8_slice_codeunits(text, 0, 1)
    blank = [character for character in first.unique().to_pylist() if character.isspace()]
    if not blank:
        return False
    begun = text.filter(pc.is_in(first, value_set=pa.array(blank, first.type)))
    return any(value.as_py().isspace() for value in begun)
