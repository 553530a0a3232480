"""keep_top: the best share of the corpus by any number, exact to one document.

Documents stand in one order: by the number, best first, those without one last; equal numbers by
63 bits of `draw("keep_top", doc_id)`, then doc_id, file, offset. What is kept is the longest run
from the start whose size is at most `share` of the whole. The cut is found in rounds over 16 bits
each (four of the number, one of the draw), so memory does not grow with the corpus; then among the
documents of the last bucket. It depends on no partition, worker or order.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from pipeline.phases import Apply, Combine, Emit, Exchange, Phase, Tables
from pipeline.schema import DOC_ID
from pipeline.stage import GlobalStage, Processed, Side, TextBatch, knob
from stages.dedup.clusters import deliver

BITS = 16
"""Bits of a round: at most 65,536 buckets a partition."""
ROUNDS = 5
"""Four for the number's 64 bits, one for the draw."""
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)
_FIRST_BIT = np.uint64(1 << 63)
"""Sign of a number; in the draw, whether there is none: the key alone cannot say it."""

_PLACE = [
    pa.field("key", pa.uint64()),  # ascending = best first
    pa.field("draw", pa.uint64()),
    pa.field("doc_id", DOC_ID),
    pa.field("file", pa.string()),
    pa.field("offset", pa.int64()),
]
VALUES = pa.schema([*_PLACE, ("size", pa.int64())])
COUNTS = pa.schema([("bucket", pa.int32()), ("documents", pa.int64()), ("size", pa.int64())])
FOUND = pa.schema(
    [
        ("key", pa.uint64()),  # the bits that are known of the cut, from the top
        ("draw", pa.uint64()),
        ("documents", pa.int64()),  # before the bucket of these bits
        ("size", pa.int64()),
        ("target", pa.int64()),
        ("total", pa.int64()),
    ]
)
"""One row a round; none when everything is kept."""
CUT = pa.schema([*_PLACE, ("documents", pa.int64()), ("size", pa.int64())])
"""The first document that is not kept, and how much is; no row when everything is."""
BOUND = pa.schema([("partition", pa.binary(16)), *_PLACE])

UInt64s = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class KeepTop(GlobalStage):
    """Keeps the best `share` of all documents by a column or an earlier metric; reason `not_top`.

    `of` says what the share is of. `num_tokens` must be there for `of: tokens`. Documents without a
    number stand behind all that have one, also behind the last number that the column's type holds.

    2: so they do; before, they tied with 0 of a uint64 column, or with the last int64.
    """

    version: ClassVar[int] = 2
    draws: ClassVar[bool] = True

    by: str = knob(
        unit="column, or metric `<step id>.<metric>`", source="no default: the recipe's choice"
    )
    share: float = knob(
        unit="ratio", source="no default; DCLM: 0.1, CCNet's head: 0.3", minimum=0, maximum=1
    )
    of: Literal["documents", "bytes", "tokens"] = knob(
        "documents",
        unit="what is counted",
        source="DCLM keeps the top 10 % of documents (arXiv:2406.11794, section 4.4)",
        choices=("documents", "bytes", "tokens"),
    )
    best: Literal["highest", "lowest"] = knob(
        "highest",
        unit="end of the order",
        source="scores of quality: more is better; perplexity and toxicity ask for lowest",
        choices=("highest", "lowest"),
    )

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        sized = {"documents": (), "bytes": ("text",), "tokens": ("num_tokens",)}[self.of]
        return (*sized, *(() if "." in self.by else (self.by,)))

    def needs(self) -> tuple[str, ...]:
        return (self.by,) if "." in self.by else ()

    def phases(self) -> tuple[Phase, ...]:
        rounds = [
            Combine(
                f"round_{number}",
                ("values", *(() if number == 0 else (f"round_{number - 1}",))),
                each=partial(_count, number),
                each_schema=COUNTS,
                merge=partial(self.narrow, number),
                schema=FOUND,
                knobs=("share",),
            )
            for number in range(ROUNDS)
        ]
        last = f"round_{ROUNDS - 1}"
        return (
            Emit("values", self.values, VALUES, knobs=("by", "of", "best")),
            *rounds,
            Combine(
                "cut", ("values", last), each=_candidates, each_schema=VALUES, merge=_find_cut,
                schema=CUT, knobs=("share",),
            ),
            Exchange(
                "bound", ("values", "cut"), "partition", deliver, BOUND, route=_bound,
                buckets="partition", knobs=("share",),
            ),
            Apply("drop", "bound", self.drop, knobs=("by", "best", "share")),
        )  # fmt: skip

    def values(self, batch: TextBatch, side: Side) -> pa.Table:
        """Place and size of every document of a batch."""
        if self.of == "documents":
            size = pa.array(np.ones(len(batch), np.int64))
        elif self.of == "bytes":
            size = pc.fill_null(pc.binary_length(batch.column("text")), 0).cast(pa.int64())
        else:
            size = batch.column("num_tokens").cast(pa.int64())
        nodes = [batch.column(name) for name in ("doc_id", "file", "offset")]
        key, draw = self._place(batch, side)
        return pa.table([pa.array(key), pa.array(draw), *nodes, size], schema=VALUES)

    def _place(self, batch: TextBatch, side: Side) -> tuple[UInt64s, UInt64s]:
        key, missing = order_keys(batch.column(self.by), self.best == "highest", side.step)
        draw = side.draw("keep_top", batch.column("doc_id")) >> np.uint64(1)
        return key, np.where(missing, draw | _FIRST_BIT, draw)

    def narrow(self, number: int, counts: pa.Table, side: Side) -> pa.Table:
        """The bucket that the target falls in, by 16 more bits."""
        bucket, documents, size = _sums(counts)
        if number == 0:
            total = int(size.sum())
            target = int(Fraction(str(self.share)) * total)
            if target >= total:
                return FOUND.empty_table()
            state = {"key": 0, "draw": 0, "documents": 0, "size": 0}
            state |= {"target": target, "total": total}
        else:
            rows = side.tables[f"round_{number - 1}"].to_pylist()
            if not rows:
                return FOUND.empty_table()
            state = rows[0]
        # The first bucket that does not fit; it exists, for the target is below the total.
        first = int(np.searchsorted(state["size"] + np.cumsum(size), state["target"], "right"))
        part = "key" if number < ROUNDS - 1 else "draw"
        state[part] |= int(bucket[first]) << _shift(number)
        state["documents"] += int(documents[:first].sum())
        state["size"] += int(size[:first].sum())
        return pa.Table.from_pylist([state], schema=FOUND)

    def drop(self, batch: TextBatch, side: Side) -> Processed:
        """Drops what does not stand before the cut."""
        bound = side.tables["bound"].slice(0, 1).to_pylist()
        if not bound or bound[0]["doc_id"] is None:
            return Processed(drop=pa.array(np.zeros(len(batch), bool)), reason="not_top")
        key, draw = self._place(batch, side)
        cut = bound[0]
        at = (np.uint64(cut["key"]), np.uint64(cut["draw"]))
        before: Any = (key < at[0]) | ((key == at[0]) & (draw < at[1]))
        for row in np.flatnonzero((key == at[0]) & (draw == at[1])):
            node = {name: batch.column(name)[int(row)].as_py() for name in _NODE}
            before[row] = _node_key(node) < _node_key(cut)
        return Processed(drop=pa.array(~before), reason="not_top")


_NODE = ("doc_id", "file", "offset")


def order_keys(
    column: pa.Array, highest: bool, where: str
) -> tuple[UInt64s, npt.NDArray[np.bool_]]:
    """uint64 numbers whose ascending order is that of the values, best first, and where is none.

    Null and NaN have the last key of all, which may be that of a number as well.

    Raises ConfigError for a column that holds no numbers.
    """
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ConfigError(f"{where}: `by` names a column of {kind}, expected numbers.")
    empty = pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(kind):
        values = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False)
        # Positive floats order like their bits, negative ones the other way round; -0.0 is 0.0.
        bits = np.ascontiguousarray(values + 0.0).view(np.uint64)
        keys = np.where(bits & _FIRST_BIT, ~bits, bits | _FIRST_BIT)
    elif pa.types.is_uint64(kind):
        keys = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    else:
        values = pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        keys = np.ascontiguousarray(values).view(np.uint64) ^ _FIRST_BIT
    keys = ~keys if highest else keys.copy()
    keys[empty] = _LAST
    return keys, empty


def _shift(number: int) -> int:
    """Bits below those of a round, in the key or in the draw."""
    return 64 - BITS * (number + 1) if number < ROUNDS - 1 else 64 - BITS


def _inside(values: pa.Table, found: pa.Table, number: int) -> npt.NDArray[np.bool_]:
    """Rows whose bits are those that `number` rounds have found."""
    key = values["key"].to_numpy()
    if number == 0:
        return np.ones(len(key), bool)
    if not found.num_rows:
        return np.zeros(len(key), bool)
    known = found.to_pylist()[0]
    if number < ROUNDS:
        shift = np.uint64(64 - BITS * number)
        inside: npt.NDArray[np.bool_] = key >> shift == np.uint64(known["key"]) >> shift
        return inside
    shift = np.uint64(64 - BITS)
    draw = values["draw"].to_numpy() >> shift == np.uint64(known["draw"]) >> shift
    return (key == np.uint64(known["key"])) & draw  # type: ignore[no-any-return]


def _count(number: int, tables: Tables, side: Side) -> pa.Table:
    """Documents and size of the buckets of one round in one partition."""
    values = tables["values"]
    found = tables[f"round_{number - 1}"] if number else FOUND.empty_table()
    rows = np.flatnonzero(_inside(values, found, number))
    numbers = values["key" if number < ROUNDS - 1 else "draw"].to_numpy()[rows]
    bucket = (numbers >> np.uint64(_shift(number))) & np.uint64((1 << BITS) - 1)
    ones = np.ones(len(rows), np.int64)
    columns = [bucket.astype(np.int32), ones, values["size"].to_numpy()[rows]]
    return pa.table(list(_sums(pa.table(columns, schema=COUNTS))), schema=COUNTS)


def _sums(counts: pa.Table) -> tuple[Any, Any, Any]:
    """Buckets ascending, with their documents and sizes summed as integers."""
    if not counts.num_rows:
        return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64)
    bucket, slot = np.unique(counts["bucket"].to_numpy(), return_inverse=True)
    documents, size = np.zeros(len(bucket), np.int64), np.zeros(len(bucket), np.int64)
    np.add.at(documents, slot, counts["documents"].to_numpy())
    np.add.at(size, slot, counts["size"].to_numpy())
    return bucket, documents, size


def _candidates(tables: Tables, side: Side) -> pa.Table:
    """The documents of the last bucket."""
    inside = _inside(tables["values"], tables[f"round_{ROUNDS - 1}"], ROUNDS)
    return tables["values"].select(VALUES.names).filter(pa.array(inside))


def _find_cut(candidates: pa.Table, side: Side) -> pa.Table:
    found = side.tables[f"round_{ROUNDS - 1}"].to_pylist()
    if not found:
        return CUT.empty_table()
    documents, size = found[0]["documents"], found[0]["size"]
    rows = sorted(candidates.to_pylist(), key=lambda r: (r["key"], r["draw"], *_node_key(r)))
    for row in rows:
        if size + row["size"] > found[0]["target"]:
            cut = {**row, "documents": documents, "size": size}
            return pa.Table.from_pylist([cut], schema=CUT)
        documents, size = documents + 1, size + row["size"]
    raise AssertionError("the bucket of the target holds no document that does not fit")


def _bound(tables: Tables, side: Side) -> pa.Table:
    """The cut, for each partition; a row of nulls when everything is kept."""
    names = [field.name for field in _PLACE]
    rows = tables["cut"].select(names).to_pylist() or [dict.fromkeys(names)]
    return pa.Table.from_pylist(rows, schema=pa.schema(_PLACE))


def _node_key(node: Any) -> tuple[Any, ...]:
    """Sort key of (doc_id, file, offset), nulls first."""
    file, offset = node["file"], node["offset"]
    return (node["doc_id"], file is not None, file or "", offset is not None, offset or 0)
