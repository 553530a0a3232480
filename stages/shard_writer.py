"""One token shard: Parquet, row = document, in row groups of whole documents, with checksums.

The file holds only what is true of itself: rows, and in its footer under the key `tokenmill` the
format version, group, split, shard number and count, tokenizer sha256, special ids, dtype and the
xxh3-128 of each row group's token bytes (little-endian, decoded). No path, time or host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from pipeline.errors import StageError
from pipeline.schema import FORMAT_VERSION, SHARD_FOOTER, shard_schema

ROW_GROUP_TOKENS = 4_000_000
"""A row group closes with the document that reaches this many tokens (DESIGN section 7)."""
ZSTD_LEVEL = 3
"""1.33 bytes a token of Debian's documentation against 1.45 at level 1, for 41 against 30 ms of CPU
a million tokens; level 9 has 1.12 for 147 ms (docs/notes/storage.md)."""
PAGE_BYTES = 16 << 20
"""Above the ids of a row group: one page, which zstd sees whole. Pages of 1 MB take 2.5 % more."""


@dataclass(frozen=True)
class TokenizerFacts:
    """What a shard and the dataset say of the tokenizer."""

    sha256: str
    vocab_size: int
    max_id: int
    """The largest id that any text can get, added tokens included."""
    special_tokens: Mapping[str, int]

    @classmethod
    def read(cls, folder: Path) -> TokenizerFacts:
        """From the artefact's meta.json."""
        meta = json.loads((folder / "meta.json").read_bytes())
        return cls(meta["sha256"], meta["vocab_size"], meta["max_id"], meta["special_tokens"])

    @property
    def dtype(self) -> str:
        """`uint16` if every id fits, else `uint32`."""
        return "uint16" if self.max_id < 1 << 16 else "uint32"


@dataclass(frozen=True)
class ShardName:
    """Shard `number` of `count` of one (split, group), or of one stage of it."""

    split: str
    group: str
    number: int
    count: int
    stage: str = ""
    """Empty where the mixture has no stages."""
    stage_number: int = 0

    @property
    def publish_as(self) -> str:
        """Final path in the workdir; the engine fills in `{checksum}`."""
        place = f"{self.split}.{self.stage}" if self.stage else self.split
        return f"dataset/shards/{place}-{safe(self.group)}-{self.number}-{{checksum}}.parquet"

    @property
    def facts(self) -> dict[str, Any]:
        """As in the footer and the index."""
        stage = {"stage": self.stage, "stage_number": self.stage_number} if self.stage else {}
        group = {"split": self.split, "group": self.group, **stage}
        return {**group, "shard": self.number, "shards": self.count}


def safe(name: str) -> str:
    """`name` in lower case with anything but a-z, 0-9, `_`, `.` and `-` replaced by `_`."""
    return re.sub(r"[^a-z0-9_.-]", "_", name.lower())


def row_groups(sizes: npt.NDArray[np.int64], limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows, each closed by the row with which its size reaches `limit`."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = min(int(np.searchsorted(ends, before + limit)) + 1, len(sizes))
        yield start, stop
        start = stop


def write_shard(
    path: Path,
    rows: pa.Table,
    name: ShardName,
    tokenizer: TokenizerFacts,
    zstd_level: int = ZSTD_LEVEL,
) -> dict[str, Any]:
    """Write the rows (in their final order) to `path`; gives the facts for the dataset's index.

    `row_groups` there holds, for each, first_token (tokens of this shard before it), tokens,
    documents and checksum (32 hex digits).
    """
    schema = shard_schema(tokenizer.dtype)
    sizes = rows["num_tokens"].to_numpy().astype(np.int64)
    groups: list[dict[str, Any]] = []
    first = 0
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=zstd_level,
        data_page_size=PAGE_BYTES,
        use_dictionary=["source", "file"],
        write_statistics=["doc_id", "copy", "num_tokens"],
    ) as writer:
        for start, stop in row_groups(sizes, ROW_GROUP_TOKENS):
            table, checksum = _of_group(rows.slice(start, stop - start), schema, tokenizer, name)
            writer.write_table(table, row_group_size=table.num_rows)
            tokens = int(sizes[start:stop].sum())
            group = {"tokens": tokens, "documents": stop - start, "checksum": checksum}
            groups.append({"first_token": first, **group})
            first += tokens
        footer = _footer(name, tokenizer, [str(group["checksum"]) for group in groups])
        writer.add_key_value_metadata({SHARD_FOOTER: footer})
    return {
        **name.facts,
        "documents": rows.num_rows,
        "tokens": first,
        "dtype": tokenizer.dtype,
        "row_groups": groups,
    }


def narrowed(tokens: pa.ChunkedArray, tokenizer: TokenizerFacts) -> pa.Array:
    """Lists of ids in the shard's type. Raises StageError for an id that the tokenizer lacks."""
    lists = tokens.combine_chunks()
    values = lists.flatten().to_numpy()
    if len(values) and values.max() > tokenizer.max_id:
        raise StageError(
            f"write_shards: got ids up to {values.max()}, expected {tokenizer.max_id} at most. The "
            f"documents were not encoded with this tokenizer."
        )
    dtype = np.dtype(tokenizer.dtype).newbyteorder("<")
    offsets = lists.offsets.to_numpy()
    kind = shard_schema(tokenizer.dtype).field("tokens").type
    ids = pa.array(values.astype(dtype, copy=False))
    return pa.ListArray.from_arrays(pa.array(offsets - offsets[0]), ids, type=kind)


def _of_group(
    rows: pa.Table, schema: pa.Schema, tokenizer: TokenizerFacts, name: ShardName
) -> tuple[pa.Table, str]:
    """The rows in the shard's schema, and the xxh3-128 of their little-endian token bytes."""
    lists = narrowed(rows["tokens"], tokenizer)
    lengths = lists.value_lengths()
    if not lengths.equals(rows["num_tokens"].combine_chunks()):
        raise StageError(
            f"write_shards: shard {name.number} of {name.split}/{name.group} got "
            f"{len(lists.values):,} ids, expected {pc.sum(rows['num_tokens']).as_py():,}. The "
            f"documents' `num_tokens` are not those of their `tokens`."
        )
    columns = [lists if field.name == "tokens" else rows[field.name] for field in schema]
    checksum = xxhash.xxh3_128_hexdigest(lists.values.to_numpy())
    return pa.table(columns, schema=schema), checksum


def _footer(name: ShardName, tokenizer: TokenizerFacts, checksums: list[str]) -> bytes:
    footer = {
        "format_version": FORMAT_VERSION,
        **name.facts,
        "dtype": tokenizer.dtype,
        "tokenizer_sha256": tokenizer.sha256,
        "special_tokens": dict(tokenizer.special_tokens),
        "xxh3_128": checksums,
    }
    return json.dumps(footer, sort_keys=True, ensure_ascii=False).encode()
