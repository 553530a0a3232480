"""How much of each document is taken: groups, the validation split, mixture targets.

A **group** is a source, or a source and further columns. A mixture gives every group a target in
size units (tokens, or bytes for a tokenizer's sample); `pipeline.rank_cut` finds the documents
that meet it. Nothing here depends on partitions, order or time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, nearest

if TYPE_CHECKING:
    from pipeline.stage import Side

TRAIN, VALIDATION = "train", "validation"
MAX_EPOCHS = 4.0
"""Epochs a group may be repeated: up to 4 cost little (Muennighoff et al., arXiv:2305.16264)."""
VALIDATION_PERMILLE = 1
"""Documents in a thousand that are held out. tfds c4_utils.py: md5(url) % 1000 == 0."""
MAX_COPIES = 255
"""`copy` is stored as uint8."""

TOTALS = pa.schema(
    [
        ("split", pa.string()),
        ("group", pa.string()),
        ("documents", pa.int64()),
        ("size", pa.int64()),
    ]
)
"""Documents and size of each (split, group), sorted by them."""

# --- Groups and split --------------------------------------------------------------------------

_SCHEME = re.compile(r"^https?://(www\.)?")
_TRACKING = re.compile(r"\?(utm_|ref|feed).*", re.DOTALL)


def canonical_url(url: str) -> str:
    """The URL without scheme, `www.`, a query that starts with utm_, ref or feed, and last slashes.

    As in tfds c4_utils.py, but the scheme is only dropped at the start.
    """
    return _TRACKING.sub("", _SCHEME.sub("", url)).rstrip("/")


def split_column(table: pa.Table, validation_permille: int) -> pa.Array:
    """`train` or `validation` a document: md5 of its key mod 1000 < validation_permille.

    The key is the cluster_id, so that near-duplicates share a split; without one the canonical
    URL, as C4 does; without that the doc_id. The seed plays no part: a page stays where it is.
    """
    length = table.num_rows
    if validation_permille == 0:
        return pa.array([TRAIN] * length, pa.string())
    clusters, urls, doc_ids = (
        table[name].to_pylist() if name in table.column_names else [None] * length
        for name in ("cluster_id", "url", "doc_id")
    )
    names = []
    for cluster, url, doc_id in zip(clusters, urls, doc_ids, strict=True):
        key = cluster or canonical_url(url or "").encode() or doc_id
        number = int.from_bytes(hashlib.md5(key, usedforsecurity=False).digest()) % 1000
        names.append(VALIDATION if number < validation_permille else TRAIN)
    return pa.array(names, pa.string())


def group_column(table: pa.Table, by: Sequence[str]) -> pa.Array:
    """The group of each document: the values of the columns `by`, joined by `/`; null = `none`."""
    for name in by:
        if name not in table.column_names:
            raise ConfigError(
                f"mix: by = {list(by)} names the column '{name}', which the documents lack. "
                f"Name a column that a stage above adds.{nearest(name, table.column_names)}"
            )
    columns = [pc.fill_null(table[name].cast(pa.string()), "none") for name in by]
    joined = columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, "/")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


# --- Mixture -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Take:
    """What is taken of one (split, group), in size units."""

    split: str
    group: str
    documents: int
    size: int
    whole: int
    """Copies 0..whole-1 are taken of every document."""
    target: int
    """Of copy number `whole`, the documents in rank order up to this size; below `size`."""


TakePlan = Callable[[pa.Table, "Side"], Sequence[Take]]
"""From TOTALS to the takes, one a row, in the same order."""


@dataclass(frozen=True)
class Mixture:
    """The knobs of `mix`. Its defaults take every document once."""

    weights: Mapping[str, float] | None = None
    by: tuple[str, ...] = ("source",)
    max_epochs: float = MAX_EPOCHS
    tokens: int | None = None
    validation_permille: int = VALIDATION_PERMILLE

    def split_and_group(self, table: pa.Table) -> tuple[pa.Array, pa.Array]:
        return split_column(table, self.validation_permille), group_column(table, self.by)

    def shares(self, sizes: Mapping[str, int]) -> dict[str, Fraction]:
        """Share of each group, exact and summing to 1: its weight, or its size without weights."""
        if self.weights is None:
            whole = sum(sizes.values())
            return {group: Fraction(size, max(whole, 1)) for group, size in sizes.items()}
        # Decimal text, not binary value: 0.1 is a tenth, so targets are the numbers users expect.
        exact = {group: Fraction(str(weight)) for group, weight in self.weights.items()}
        whole_weight = sum(exact.values())
        return {group: weight / whole_weight for group, weight in exact.items()}

    def takes(self, totals: pa.Table) -> list[Take]:
        """Takes that write `tokens` train tokens, or as many as `max_epochs` allows.

        Validation documents of a group with a weight are taken once. Raises ConfigError for a group
        without a weight, a weight without a group, and a group that would pass `max_epochs`.
        """
        rows = totals.to_pylist()
        sizes = {row["group"]: row["size"] for row in rows if row["split"] == TRAIN}
        for row in rows:
            sizes.setdefault(row["group"], 0)
        self._check_groups(sizes)
        shares = self.shares(sizes)
        targets = self._targets(sizes, shares)
        takes = []
        for row in rows:
            if row["split"] == TRAIN and row["size"] > 0:
                whole, target = divmod(targets[row["group"]], row["size"])
            else:
                whole, target = int(self.weights is None or shares[row["group"]] > 0), 0
            takes.append(Take(**row, whole=whole, target=target))
        return takes

    def _check_groups(self, sizes: Mapping[str, int]) -> None:
        if self.weights is None:
            return
        with_documents = [group for group in sizes if sizes[group]]
        for group in sorted(self.weights):
            if self.weights[group] > 0 and sizes.get(group, 0) == 0:
                raise ConfigError(
                    f"mix: weights name the group '{group}' (weight {self.weights[group]:g}), "
                    f"which has no training documents.{nearest(group, with_documents)}"
                )
        for group in sorted(sizes):
            if group not in self.weights:
                raise ConfigError(
                    f"mix: the group '{group}' ({sizes[group]:,} tokens) has no weight; weights "
                    f"name {', '.join(sorted(self.weights))}. Give it one; 0 leaves it out."
                )

    def _targets(self, sizes: Mapping[str, int], shares: Mapping[str, Fraction]) -> dict[str, int]:
        """Train tokens to write of each group."""
        if self.weights is None and self.tokens is None:
            return dict(sizes)
        bound = Fraction(str(self.max_epochs))
        limits = {
            group: bound * sizes[group] / share for group, share in shares.items() if share > 0
        }
        most = min(limits.values(), default=Fraction(0))
        total = most if self.tokens is None else Fraction(self.tokens)
        if total > most:
            group = min(limits, key=lambda name: (limits[name], name))
            epochs = float(total * shares[group] / max(sizes[group], 1))
            raise ConfigError(
                f"mix: tokens = {self.tokens:,} needs {epochs:.2f} epochs of the group '{group}': "
                f"its share is {float(shares[group]):.4g}, it has {sizes[group]:,} tokens, and "
                f"max_epochs is {self.max_epochs:g}. Ask for at most {int(most):,} tokens, lower "
                f"its weight or raise max_epochs."
            )
        return {group: int(total * shares.get(group, Fraction(0))) for group in sizes}


def mixture_of(side: Side) -> Mixture:
    """The mixture that the knob `mixture` names; without one, every document once."""
    stage = side.stages.get("mixture")
    if stage is None:
        return Mixture()
    return Mixture(**{field.name: getattr(stage, field.name) for field in fields(Mixture)})
