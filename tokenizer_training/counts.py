"""How often each distinct piece of the sample stands in it: what BPE is trained on.

A state is a table of COUNTS: rows of pieces, and a row a group of documents. States are added up
in any order. `documents` and `bytes` of a row of a piece are null, and `piece` of a group's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from stages.kernels.piece_rules import Cut

if TYPE_CHECKING:
    from stages.kernels.piece_counts import PieceCounts

COUNTS = pa.schema(
    [
        ("piece", pa.large_binary()),
        ("group", pa.string()),
        ("count", pa.int64()),
        ("bytes", pa.int64()),
    ]
)
"""`count` = occurrences of the piece, or documents of the group; `bytes` of the group's texts."""

_NO_WEIGHTS: npt.NDArray[np.int64] = np.zeros(0, np.int64)
_NO_WEIGHTS.setflags(write=False)
_WHOLE = Cut(0, 0, False)
"""Stands where texts are pieces already."""


def count_texts(texts: pa.Array, cut: Cut, expression: str) -> PieceCounts:
    """The pieces of the texts (large_string without nulls), by the kernel where it cuts alike.

    Where the `tokenizers` that runs knows another Unicode than the kernel's table, it cuts itself,
    some hundred times slower.
    """
    from stages.kernels.piece_classes import piece_classes, same_as_tokenizers
    from stages.kernels.piece_counts import PieceCounts, count_pieces

    if not same_as_tokenizers():
        return _by_tokenizers(texts, expression)
    offsets, data = _buffers(texts)
    return PieceCounts(*count_pieces(data, offsets, piece_classes(), cut, _NO_WEIGHTS))


def _by_tokenizers(texts: pa.Array, expression: str) -> PieceCounts:
    from tokenizers import Regex, pre_tokenizers

    splitter = pre_tokenizers.Split(Regex(expression), "isolated")
    found: Counter[str] = Counter()
    for text in texts:
        found.update(piece for piece, _ in splitter.pre_tokenize_str(text.as_py()))
    pieces = pa.array([piece.encode() for piece in found], pa.large_binary())
    return added(pieces, pa.array(list(found.values()), pa.int64()))


def added(pieces: pa.Array, counts: pa.Array) -> PieceCounts:
    """Counts of equal pieces (large_binary) added up."""
    from stages.kernels.piece_classes import piece_classes
    from stages.kernels.piece_counts import PieceCounts, count_pieces

    offsets, data = _buffers(pieces)
    weights = _fixed(counts.to_numpy(zero_copy_only=False))
    return PieceCounts(*count_pieces(data, offsets, piece_classes(), _WHOLE, weights))


def counted(sample: pa.Table, cut: Cut, expression: str) -> pa.Table:
    """The state of documents of `group` and `text`."""
    texts = _whole(sample["text"])
    pieces = pieces_table(count_texts(texts, cut, expression))
    sizes = pa.table({"group": sample["group"], "bytes": pc.binary_length(texts)})
    groups = sizes.group_by("group").aggregate([("bytes", "count"), ("bytes", "sum")])
    return pa.concat_tables([pieces, _groups_table(groups, "bytes_count", "bytes_sum")])


def folded(left: pa.Table, right: pa.Table) -> pa.Table:
    """Two states as one."""
    return summed(pa.concat_tables([left.select(COUNTS.names), right.select(COUNTS.names)]))


def added_up(states: Iterable[pa.Table]) -> pa.Table:
    """All states as one; neighbours of about equal size meet as in a tree."""
    stack = [COUNTS.empty_table()]
    for state in states:
        stack.append(state)
        while len(stack) > 1 and stack[-2].num_rows <= 2 * stack[-1].num_rows:
            right = stack.pop()
            stack[-1] = folded(stack[-1], right)
    while len(stack) > 1:
        right = stack.pop()
        stack[-1] = folded(stack[-1], right)
    return stack[0]


def summed(state: pa.Table) -> pa.Table:
    """The state with one row a piece and a group."""
    of_group = pc.is_valid(state["group"])
    pieces = state.filter(pc.invert(of_group))
    totals = added(_whole(pieces["piece"]), pieces["count"])
    groups = (
        state.filter(of_group).group_by("group").aggregate([("count", "sum"), ("bytes", "sum")])
    )
    return pa.concat_tables([pieces_table(totals), _groups_table(groups, "count_sum", "bytes_sum")])


def pieces_of(state: pa.Table) -> PieceCounts:
    """The pieces of a state with one row a piece."""
    from stages.kernels.piece_counts import PieceCounts

    pieces = state.filter(pc.is_valid(state["piece"]))
    offsets, data = _buffers(_whole(pieces["piece"]))
    first, last = int(offsets[0]), int(offsets[-1])
    counts = pieces["count"].to_numpy()
    return PieceCounts(data[first:last], _fixed(offsets - first), _fixed(counts))


def sample_facts(state: pa.Table) -> dict[str, dict[str, int]]:
    """Documents and bytes of the sample by group."""
    groups = state.filter(pc.is_valid(state["group"])).sort_by("group").to_pylist()
    return {row["group"]: {"documents": row["count"], "bytes": row["bytes"]} for row in groups}


def require_kernel(step: str) -> None:
    """Raises ConfigError where the kernel would not cut as the installed `tokenizers` does."""
    from stages.kernels.piece_classes import same_as_tokenizers

    if not same_as_tokenizers():
        raise ConfigError(
            f"{step}: the installed tokenizers sorts characters by another Unicode version than "
            f"the table of `trainer: counts`. Use `trainer: auto`, which lets tokenizers cut."
        )


def require_memory(pieces: PieceCounts, most: int, step: str) -> None:
    """Raises ConfigError where the merges would need more memory than `most` bytes."""
    wanted = memory_of(pieces)
    if wanted > most:
        raise ConfigError(
            f"{step}: {len(pieces.counts):,} distinct pieces of {len(pieces.data):,} bytes need "
            f"about {wanted:,} bytes of memory, more than max_memory_bytes = {most:,}. Raise it, "
            f"or lower sample_bytes."
        )


def memory_of(pieces: PieceCounts) -> int:
    """Bytes that training on these takes at most, reckoned: what is loaded, and the tables.

    Of a piece its count, its hash, its slot and its end; of a byte of it a token in 4 bytes, its
    neighbours and the places of its pair, each of which grows by doubling. A test holds it against
    the peak of real runs. Counting comes before, in the same process: see `tokens_training`.
    """
    return 150_000_000 + 60 * len(pieces.data) + 60 * len(pieces.counts)


def pieces_table(counts: PieceCounts) -> pa.Table:
    buffers = [None, pa.py_buffer(counts.ends), pa.py_buffer(counts.data)]
    pieces = pa.Array.from_buffers(pa.large_binary(), len(counts.counts), buffers)
    nulls = pa.nulls(len(pieces))
    columns = [pieces, nulls.cast(pa.string()), pa.array(counts.counts), nulls.cast(pa.int64())]
    return pa.table(columns, schema=COUNTS)


def _groups_table(groups: pa.Table, documents: str, size: str) -> pa.Table:
    pieces = pa.nulls(groups.num_rows, pa.large_binary())
    columns = [pieces, groups["group"], groups[documents], groups[size]]
    return pa.table(columns, schema=COUNTS)


def _fixed(array: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Read-only, as Arrow's are: kernels are compiled for one kind only."""
    array.setflags(write=False)
    return array


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _buffers(texts: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Offsets of the texts, one more than there are, into the bytes of all."""
    _, offsets, data = texts.buffers()
    if not len(texts):
        return _fixed(np.zeros(1, np.int64)), np.frombuffer(b"\0", np.uint8)
    starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return starts, np.frombuffer(data or b"\0", np.uint8)
