"""Arrow schemas at the boundaries between parts. Declared here, never inferred from data.

Documents carry `html` until `extract` and `text` after it; stages add columns by declaring them.
"""

from __future__ import annotations

import pyarrow as pa

FORMAT_VERSION = 1
"""Enters every step key and token shard. Bump when a stored layout changes.

1: first layout.
"""

SHARD_FOOTER = b"tokenmill"
"""Key of a token shard's facts in its Parquet footer."""

DOC_ID = pa.binary(16)
TIMESTAMP = pa.timestamp("s", tz="UTC")

PROVENANCE = pa.schema(
    [
        ("doc_id", DOC_ID),  # xxh3-128 of (source id, key); may repeat
        ("source", pa.string()),  # id of the source step
        ("url", pa.string()),
        ("file", pa.string()),  # relative to the source's `base`
        ("offset", pa.int64()),  # byte offset of the record; row or line number for tables
    ]
)
"""Columns that every document keeps from its source to its token shard."""

WEB_DOCUMENTS = pa.schema(
    [
        *PROVENANCE,
        ("content_type", pa.string()),
        ("charset", pa.string()),  # the charset that decoded the page, as WHATWG names it
        ("charset_from", pa.string()),  # how it was found (stages/charset.py); null = not decoded
        ("x_robots_tag", pa.string()),  # all X-Robots-Tag headers, joined by ", "
        ("tdm_headers", pa.string()),  # "tdm-reservation: 1; tdm-policy: https://..."
        ("date", TIMESTAMP),  # crawl time
        ("html", pa.large_binary()),  # UTF-8 with the charset undone
    ]
)

TEXT_DOCUMENTS = pa.schema(
    [
        *PROVENANCE,
        ("content_type", pa.string()),
        ("charset", pa.string()),
        ("date", TIMESTAMP),
        ("text", pa.large_string()),
    ]
)

NODE = pa.schema(
    [
        ("partition", pa.binary(16)),
        ("doc_id", DOC_ID),
        ("file", pa.string()),
        ("offset", pa.int64()),
    ]
)
"""One document as a node of an exchange. (doc_id, file, offset) is its identity and total order."""

REFUSALS = pa.schema([*PROVENANCE, ("reason", pa.string())])
"""Records that a source refuses by a deterministic rule (`too_large`, `not_html`, ...)."""

VERDICTS = pa.schema(
    [
        *PROVENANCE,
        ("num_chars", pa.int64()),  # characters of the text that entered the segment; null for html
        ("drop_step", pa.string()),  # null = kept
        ("drop_reason", pa.string()),  # `<step id>.<rule>`
        ("matched_doc_id", DOC_ID),  # the kept document that a duplicate lost to
    ]
)
"""The fixed columns of a metrics table; `<step id>.<metric>` columns stand between."""

TOKENS = pa.list_(pa.field("element", pa.uint32(), nullable=False))
"""Token ids between `tokenize` and `write_shards`, which narrows them to uint16 where all fit."""


def shard_schema(dtype: str) -> pa.Schema:
    """Schema of a token shard, DESIGN section 7. `dtype` is `uint16` or `uint32`."""
    element = pa.field("element", pa.type_for_alias(dtype), nullable=False)
    return pa.schema(
        [
            pa.field("doc_id", DOC_ID, nullable=False),
            pa.field("copy", pa.uint8(), nullable=False),
            pa.field("source", pa.string()),
            pa.field("url", pa.string()),
            pa.field("file", pa.string()),
            pa.field("offset", pa.int64()),
            pa.field("num_tokens", pa.int32(), nullable=False),  # end-of-document id included
            pa.field("tokens", pa.list_(element), nullable=False),
        ]
    )
