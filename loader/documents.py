"""Which documents a batch is made of: the way from a spike in the loss to the pages behind it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from loader.plan import Plan
from loader.row_group_line import RowGroupLine
from loader.row_groups import read_columns

COLUMNS = ("doc_id", "source", "url", "file", "offset")


def documents(line: RowGroupLine, plan: Plan, columns: Sequence[str] = COLUMNS) -> pa.Table:
    """A row a segment of the plan, in its order: `row` and `start` (the first position in it), then
    columns of the shards, null for padding. Reads these columns of the shards; no checksum covers
    them. Raises InputError or IntegrityError.
    """
    rows, starts = np.divmod(plan.starts_S, plan.seq_len)
    real = plan.row_groups_S[plan.row_groups_S >= 0]
    # Padding alone has its columns too, in the types of the shards.
    numbers = np.unique(real) if len(real) else np.zeros(1, np.int64)
    first: dict[int, int] = {}
    tables: list[pa.Table] = []
    for number in numbers.tolist():
        first[number] = sum(table.num_rows for table in tables)
        tables.append(read_columns(line.dataset, line.place(number), list(columns)))
    where = [
        first[number] + document if document >= 0 else None
        for number, document in zip(
            plan.row_groups_S.tolist(), plan.documents_S.tolist(), strict=True
        )
    ]
    found = pa.table({"row": rows, "start": starts})
    whole = pa.concat_tables(tables).take(pa.array(where, pa.int64()))
    for name in columns:
        found = found.append_column(name, whole[name])
    return found
