"""C4's line dedup: of each line of the whole corpus, one copy is kept.

As the code of tensorflow-datasets does it (`c4_utils.py`, recipes 2a): single lines, compared in
lower case and stripped; the copy on the page with the smallest hash of its URL stays; repeats on
one page go too; a page left with fewer than `min_sentences` sentences is dropped. Differences:

- xxh3-128 for md5 of lines, xxh3-64 for md5 of URLs: another copy of a line survives, as
  arbitrarily, and as independently of the order of files;
- blank lines are not lines: they are neither compared nor removed. C4 has none at this point;
- pages that lose no line are not counted again: C4 has counted them just before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from pipeline.execution.warm_up import Call
from pipeline.mixture.sampling import canonical_url
from pipeline.schema import DOC_ID, NODE
from pipeline.stage import (
    Apply,
    Emit,
    Exchange,
    GlobalStage,
    Phase,
    Processed,
    Rules,
    Side,
    TextBatch,
    at_least,
    knob,
)
from stages.dedup.clusters import NODE_ORDER, deliver, first_of_group, group_starts, matching_rows

LINES = pa.schema(
    [
        ("key", pa.binary(16)),  # xxh3-128 of the line, lower case, stripped
        ("page", pa.uint64()),  # see `page_hash`
        ("doc_id", DOC_ID),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("line", pa.int32()),  # number of the line on its page, from 0
    ]
)
LOST_LINES = pa.schema([*NODE, ("line", pa.int32())])


@dataclass(frozen=True)
class LineDedup(GlobalStage):
    """Removes every line that another page, or the same page above it, keeps."""

    compiles: ClassVar[bool] = True

    min_sentences: int = knob(
        3,
        unit="sentences",
        source="C4, tfds c4_utils.py: min_num_sentences, again after line dedup (2a)",
        minimum=0,
        help="a page that lost lines and has fewer sentences left is dropped",
    )
    reads: ClassVar[tuple[str, ...]] = ("text", "url")
    metrics: ClassVar[dict[str, type]] = {
        "lines_removed": int,
        "lines_left": int,
        "sentences": int,
    }

    def rules(self) -> Rules:
        # Both metrics are null on pages that lost nothing.
        return (
            at_least("lines_left", 1, "no_lines_left"),
            at_least("sentences", self.min_sentences, "too_few_sentences"),
        )

    def warm_up(self) -> Sequence[Call]:
        from stages.kernels.sentences import sentence_counts

        text = pa.array(["a"], pa.large_string())
        return (lambda: sentence_counts(text, newlines_only=True),)

    def phases(self) -> tuple[Phase, ...]:
        order = ("page", *NODE_ORDER, "line")
        return (
            Emit("lines", line_rows, LINES),
            Exchange("repeats", ("lines",), "key", repeated_lines, LOST_LINES, order=order),
            Exchange(
                "lost_lines", ("repeats",), "partition", deliver, LOST_LINES,
                buckets="partition", order=(*NODE_ORDER, "line"),
            ),
            Apply("cut", "lost_lines", cut_lines, ("min_sentences",), drops=False),
        )  # fmt: skip


def page_hash(url: str | None, doc_id: bytes) -> int:
    """Where a page stands among those that share a line: xxh3-64 of its canonical URL; of its
    doc_id where it has no URL."""
    name = canonical_url(url or "").encode()
    return xxhash.xxh3_64_intdigest(name or doc_id)


def line_rows(batch: TextBatch, side: Side) -> pa.Table:
    """A row for each line that is not blank."""
    from stages.kernels.fold import folded_keys

    rows, numbers, keys = folded_keys(batch.column("text"), lines=True, collapse=False)
    urls, doc_ids = batch.values("url"), batch.values("doc_id")
    pages = [page_hash(url, doc_id) for url, doc_id in zip(urls, doc_ids, strict=True)]
    take = pa.array(rows, pa.int64())
    nodes = [batch.column(name).take(take) for name in ("doc_id", "file", "offset")]
    page = pa.array(pages, pa.uint64()).take(take)
    columns = [pa.array(keys, pa.binary(16)), page, *nodes, pa.array(numbers, pa.int32())]
    return pa.table(columns, schema=LINES)


def repeated_lines(table: pa.Table, side: Side) -> pa.Table:
    """All but the first of each group of equal lines."""
    first = first_of_group(group_starts(table["key"]))
    return table.select(LOST_LINES.names).filter(pa.array(first != np.arange(table.num_rows)))


def cut_lines(batch: TextBatch, side: Side) -> Processed:
    """The texts without their lost lines, and how much of each page is left."""
    from stages.kernels.sentences import sentence_counts

    lost = _lost_by_row(batch, side.tables["lost_lines"])
    texts: list[Any] = list(batch.values("text"))
    removed: list[int] = [0] * len(batch)
    left: list[Any] = [None] * len(batch)
    sentences: list[Any] = [None] * len(batch)
    for row, numbers in lost.items():
        lines = [line for i, line in enumerate(batch.lines[row]) if i not in numbers]
        texts[row] = "\n".join(lines)
        removed[row] = len(numbers)
        left[row] = sum(1 for line in lines if line.strip())
    changed = pa.array([texts[row] for row in lost], pa.large_string())
    for row, count in zip(lost, sentence_counts(changed, newlines_only=True), strict=True):
        sentences[row] = count
    return Processed(
        columns={"text": pa.array(texts, pa.large_string())},
        metrics={
            "lines_removed": pa.array(removed, pa.int64()),
            "lines_left": pa.array(left, pa.int64()),
            "sentences": pa.array(sentences, pa.int64()),
        },
    )


def _lost_by_row(batch: TextBatch, rows: pa.Table) -> dict[int, set[int]]:
    """Row of the batch -> numbers of its lost lines."""
    found = matching_rows(rows, batch.table)
    here = rows["line"].filter(pc.is_valid(found)).to_pylist()
    lost: dict[int, set[int]] = {}
    for row, line in zip(found.drop_null().to_pylist(), here, strict=True):
        lost.setdefault(row, set()).add(line)
    return lost
