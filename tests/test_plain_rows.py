"""Batches read without a Python object a text: the same as row by row."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_reading import Reading

from stages import documents, plain_rows, read_parquet
from stages.read_parquet import ReadParquet

SOURCE = ReadParquet(paths=("a",), id="id", url="url")

texts = st.one_of(
    st.text(max_size=9),
    st.sampled_from(["", " ", "\x1c\n", "\u2003", " a", "\u3000\u6f22", "\U0001f600", "x" * 40]),
)
ids = st.one_of(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.text(max_size=5)))


def stored(table: pa.Table, rows: int = 500) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=rows)
    return out.getvalue()


def both(monkeypatch: pytest.MonkeyPatch, data: bytes, **knobs: Any) -> tuple[Reading, bool]:
    """The reading, which is that of the slow way too, and whether any batch went the fast way."""
    taken = []

    def watched(*args: Any) -> Any:
        found = plain_rows.plain_texts(*args)
        taken.append(found is not None)
        return found

    source = ReadParquet(**{**vars(SOURCE), **knobs})
    with monkeypatch.context() as patch:
        patch.setattr(read_parquet, "plain_texts", watched)
        fast = Reading(source, data)
        patch.setattr(read_parquet, "plain_texts", lambda *args: None)
        slow = Reading(source, data)
    assert vars(fast) == vars(slow)
    return fast, any(taken)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_any_table_gives_what_it_gives_row_by_row(data: st.DataObject) -> None:
    names = data.draw(ids)
    rows = len(names)
    content = data.draw(st.lists(texts, min_size=rows, max_size=rows))
    urls = data.draw(st.lists(st.none() | st.text(max_size=5), min_size=rows, max_size=rows))
    kind = data.draw(st.sampled_from([pa.string(), pa.large_string()]))
    table = pa.table(
        {"id": pa.array(names, pa.string() if names and isinstance(names[0], str) else pa.int64()),
         "text": pa.array(content, kind), "url": pa.array(urls, pa.string())}
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        both(patch, stored(table, 3), max_document_bytes=30)


def test_batches_end_where_they_end_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_BATCH_BYTES", 1000)
    monkeypatch.setattr(documents, "MAX_BATCH_ROWS", 70)
    lengths = [1 + (n * n) % 97 for n in range(400)] + [5000, 1, 999, 1, 1000, 1] + [2] * 300
    content = ["y" * length for length in lengths]
    content[250] = " "  # the rows of its row group are read one by one
    table = pa.table({"id": list(range(len(content))), "text": content, "url": content})
    reading, fast = both(monkeypatch, stored(table, 60))
    assert fast
    assert len(reading.rows) == len(content) - 1
    assert max(reading.batch_sizes) == 70


def test_a_text_that_is_no_utf8_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = pa.array([b"good", b"\xed\xa0\x80", b"\xff", b"fine"], pa.binary())
    _, offsets, data = raw.buffers()
    bad = pa.Array.from_buffers(pa.string(), 4, [None, offsets, data])
    table = pa.table({"id": ["1", "2", "3", "4"], "text": bad, "url": pa.nulls(4, pa.string())})
    reading, fast = both(monkeypatch, stored(table))
    assert not fast
    assert reading.reasons == {"undecodable": 2}
    assert [row["text"] for row in reading.rows] == ["good", "fine"]
