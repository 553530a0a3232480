"""Lists of token ids on disk: two columns of bytes, and lists again when read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from pipeline.files.local_storage import LocalStorage
from pipeline.files.packed import packed, stored_names, stored_schema, table_schema, unpacked
from pipeline.files.tables import MAX_BATCH_ROWS, read_dataset, write_table
from pipeline.results.manifest import Dataset, FileRef
from pipeline.schema import TOKENS

SCHEMA = pa.schema([("doc_id", pa.int64()), ("tokens", TOKENS), ("url", pa.string())])

ids = st.one_of(st.integers(0, 2**16 - 1), st.integers(2**16 - 2, 2**32 - 1))
rows = st.lists(st.one_of(st.none(), st.lists(ids, max_size=5)), max_size=8)


def table_of(lists: list[list[int] | None]) -> pa.Table:
    numbers = list(range(len(lists)))
    return pa.table(
        [numbers, pa.array(lists, TOKENS), [f"u{number}" for number in numbers]], schema=SCHEMA
    )


@given(st.lists(rows, min_size=1, max_size=4), st.integers(0, 3))
def test_what_is_stored_comes_back(chunks: list[list[list[int] | None]], first: int) -> None:
    table = pa.concat_tables([table_of(lists) for lists in chunks]).slice(first)
    stored = packed(table)
    assert stored.schema.equals(stored_schema(SCHEMA))
    again = unpacked(stored)
    again.validate(full=True)
    assert again.schema.equals(SCHEMA)
    assert again.to_pylist() == table.to_pylist()


@given(rows, rows)
def test_row_groups_with_and_without_wide_ids_come_back_together(
    narrow: list[list[int] | None], wide: list[list[int] | None]
) -> None:
    parts = [table_of(narrow), table_of([*wide, [2**31]])]
    stored = pa.concat_tables([packed(part) for part in parts])
    expected = pa.concat_tables(parts).to_pylist()
    assert unpacked(stored).to_pylist() == expected
    assert unpacked(stored.combine_chunks()).to_pylist() == expected


def test_upper_halves_take_no_room_where_all_are_zero() -> None:
    stored = packed(table_of([[1, 65535], [], None]))
    assert stored["tokens#high"].null_count == 3
    assert packed(table_of([[1, 65536]]))["tokens#high"].null_count == 0


def test_columns_are_asked_for_by_their_names_in_tables(tmp_path: Path) -> None:
    file = write_table(tmp_path / "made", table_of([[1, 2**20], [7]]), SCHEMA)
    stored = pq.read_schema(file.path)
    assert stored.names == ["doc_id", "tokens#low", "tokens#high", "url"]
    assert table_schema(stored).equals(SCHEMA)
    assert stored_names(["url", "tokens", "none"], stored) == ["url", "tokens#low", "tokens#high"]
    data = Dataset.of([FileRef("made", "", file.path.stat().st_size, file.rows)])
    storage = LocalStorage(str(tmp_path))
    assert read_dataset(storage, data, ["tokens"]).to_pylist() == [
        {"tokens": [1, 2**20]},
        {"tokens": [7]},
    ]


def test_files_of_before_with_lists_are_read(tmp_path: Path) -> None:
    table = table_of([[n] for n in range(MAX_BATCH_ROWS // 8)])
    pq.write_table(table, tmp_path / "old", use_byte_stream_split=["tokens.list.element"],
                   use_dictionary=False)  # fmt: skip
    data = Dataset.of([FileRef("old", "", 1, table.num_rows)])
    read = read_dataset(LocalStorage(str(tmp_path)), data)
    assert read.schema.equals(SCHEMA)
    assert read.equals(table)
