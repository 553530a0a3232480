"""Documents for the tests of the dedup stages."""

from __future__ import annotations

import datetime
import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xxhash
from hypothesis import strategies as st

SHARED = Path(os.environ.get("TOKENMILL_SHARED", Path(__file__).parents[2] / "shared"))
DAY = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)

SCHEMA = pa.schema(
    [
        ("doc_id", pa.binary(16)),
        ("source", pa.string()),
        ("url", pa.string()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("date", pa.timestamp("s", tz="UTC")),
        ("text", pa.large_string()),
    ]
)


def doc_id(name: object) -> bytes:
    return xxhash.xxh3_128_digest(str(name).encode())


def documents(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """A table of documents; what a row leaves out is made up from its place."""
    filled = [
        {
            "doc_id": doc_id(i),
            "source": "web",
            "url": f"https://example.org/{i}",
            "file": "a.warc.gz",
            "offset": i,
            "date": DAY + datetime.timedelta(days=i),
            **row,
        }
        for i, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(filled, schema=SCHEMA)


def texts(*values: str | None) -> pa.Table:
    return documents([{"text": value} for value in values])


def scattered(table: pa.Table, places: Sequence[int]) -> list[pa.Table]:
    """The rows of a table in partitions: row i goes to partition places[i]."""
    count = max(places, default=0) + 1
    return [table.filter(pa.array([p == i for p in places], pa.bool_())) for i in range(count)]


def nodes(table: pa.Table) -> list[tuple[bytes, str, int]]:
    """(doc_id, file, offset) of each row, sorted."""
    columns = (table[name].to_pylist() for name in ("doc_id", "file", "offset"))
    return sorted(zip(*columns, strict=True))


def placements(size: int) -> st.SearchStrategy[list[int]]:
    """Ways to spread `size` documents over up to four partitions."""
    return st.lists(st.integers(0, 3), min_size=size, max_size=size)


def shared_rows(name: str) -> list[dict[str, Any]]:
    """A data set of `shared/data/near_dup`, or a skip with its reason."""
    path = SHARED / "data" / "near_dup" / name
    if not path.exists():
        pytest.skip(f"no shared data at {path}; set TOKENMILL_SHARED")
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]
