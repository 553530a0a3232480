"""How much of each document is taken: groups, the validation split, mixture targets.

A **group** is a source, or a source and further columns. A mixture gives every group a target in
size units (tokens, or bytes for a tokenizer's sample); `pipeline.mixture.rank_cut` finds the
documents that meet it. One **epoch** of a group holds each document once, or as often as
`upsample` says.
Nothing here depends on partitions, order or time.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.draw import id_values
from pipeline.errors import ConfigError, nearest
from pipeline.mixture.shares import Amounts, Dealt, Group, Part, Recipe, check_types, deal, exact
from pipeline.mixture.upsample import Upsample, missing_column

if TYPE_CHECKING:
    from pipeline.stage import Side

TRAIN, VALIDATION = "train", "validation"
MAX_EPOCHS = 4.0
"""Epochs a group may be repeated: up to 4 cost little (Muennighoff et al., arXiv:2305.16264)."""
VALIDATION_PERMILLE = 1
"""Documents in a thousand that are held out. tfds c4_utils.py: md5(url) % 1000 == 0."""
MAX_COPIES = 255
"""`copy` is stored as uint8."""
MAX_TOKENS = 2**63 - 1
"""What is wanted of a group is stored as int64."""

TOTALS = pa.schema(
    [
        ("split", pa.string()),
        ("group", pa.string()),
        ("documents", pa.int64()),
        ("size", pa.int64()),
        ("epoch_documents", pa.int64()),  # each as often as one epoch holds it
        ("epoch_size", pa.int64()),
        ("left_out", pa.int64()),  # documents of 0 copies
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
    digests = (hashlib.md5(key, usedforsecurity=False).digest() for key in _split_keys(table))
    words = np.frombuffer(b"".join(digests), ">u8").reshape(-1, 2)
    numbers = (words[:, 0] % 1000 * (2**64 % 1000) + words[:, 1] % 1000) % 1000
    held_out = numbers < validation_permille
    return pa.array([TRAIN, VALIDATION], pa.string()).take(pa.array(held_out.astype(np.int8)))


def _split_keys(table: pa.Table) -> list[bytes]:
    keys = id_values(table["doc_id"])
    if "url" in table.column_names and table["url"].null_count < table.num_rows:
        urls = [canonical_url(url).encode() if url else b"" for url in table["url"].to_pylist()]
        keys = [url or key for url, key in zip(urls, keys, strict=True)]
    if "cluster_id" in table.column_names and table["cluster_id"].null_count < table.num_rows:
        clusters = id_values(table["cluster_id"])
        keys = [cluster or key for cluster, key in zip(clusters, keys, strict=True)]
    return keys


def group_column(table: pa.Table, by: Sequence[str]) -> pa.Array:
    """The group of each document: the values of the columns `by`, joined by `/`; null = `none`."""
    for name in by:
        if name not in table.column_names:
            raise ConfigError(missing_column(f"by = {list(by)}", name, table.column_names))
    columns = [pc.fill_null(table[name].cast(pa.string()), "none") for name in by]
    joined = columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, "/")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


# --- Mixture -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Take:
    """What is taken of one (split, group) in one stage, in size units."""

    split: str
    group: str
    documents: int
    size: int
    epoch_documents: int
    epoch_size: int
    left_out: int
    whole: int
    """At the end of the stage epochs 0..whole-1 are taken,"""
    target: int
    """and of epoch number `whole` the documents in rank order up to this size; below
    `epoch_size`."""
    stage: int = 0
    wanted: int = 0
    """Size that the mixture asked of the group in this stage, before `max_epochs` held it."""


TakePlan = Callable[[pa.Table, "Side"], Sequence[Take]]
"""From TOTALS to the takes: one a row and stage, in the order of rows."""

SHARES_KNOBS = tuple(
    f"mixture.{name}" for name in ("weights", "budgets", "alpha", "alpha_of", "tokens", "stages")
)
"""Knobs that `Mixture.shares` reads."""

_STAGE_KEYS = ("name", "tokens", "weights", "budgets", "alpha")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Mixture:
    """The knobs of `mix`. Its defaults take every document once, or the share of an epoch that
    `max_epochs` allows."""

    weights: Mapping[str, float] | None = None
    budgets: Mapping[str, int] | None = None
    alpha: float | None = None
    alpha_of: str = "tokens"
    by: tuple[str, ...] = ("source",)
    max_epochs: float | Mapping[str, float] = MAX_EPOCHS
    over_max_epochs: str = "error"
    tokens: int | None = None
    stages: tuple[Mapping[str, Any], ...] = ()
    upsample: Mapping[str, Any] | None = None
    validation_permille: int = VALIDATION_PERMILLE

    # --- documents -----------------------------------------------------------------------------

    def split_and_group(self, table: pa.Table) -> tuple[pa.Array, pa.Array]:
        return split_column(table, self.validation_permille), group_column(table, self.by)

    @cached_property
    def upsampling(self) -> Upsample | None:
        return None if self.upsample is None else Upsample.parse(self.upsample)

    def copies(self, table: pa.Table, split: pa.Array) -> npt.NDArray[np.int64]:
        """How often one epoch holds each document; a validation document at most once."""
        if self.upsampling is None:
            return np.ones(table.num_rows, np.int64)
        copies = self.upsampling.of(table)
        train = pc.equal(split, TRAIN).to_numpy(zero_copy_only=False)
        return np.where(train, copies, np.minimum(copies, 1))

    def at_most_once(self, table: pa.Table) -> npt.NDArray[np.int64]:
        """1 a document, 0 where one is left out: a tokenizer's sample repeats nothing."""
        if self.upsampling is None:
            return np.ones(table.num_rows, np.int64)
        return np.minimum(self.upsampling.of(table), 1)

    # --- recipe --------------------------------------------------------------------------------

    @cached_property
    def recipe(self) -> Recipe:
        """How the total is dealt out, apart from stages of their own."""
        return Recipe(self.weights, self.budgets, self.alpha, self.alpha_of)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The stages in order; one without a name where the mixture has none."""
        if not self.stages:
            return (Part(self.recipe, tokens=self.tokens),)
        return tuple(self._part(number, stage) for number, stage in enumerate(self.stages, 1))

    def _part(self, number: int, stage: Mapping[str, Any]) -> Part:
        name = str(stage.get("name", f"stage{number}"))
        recipe = self.recipe
        if any(key in stage for key in ("weights", "budgets", "alpha")):
            weights, budgets, alpha = (stage.get(key) for key in ("weights", "budgets", "alpha"))
            recipe = Recipe(weights, budgets, alpha, self.alpha_of)
        tokens = stage.get("tokens")
        if isinstance(tokens, str) and tokens.endswith("%"):
            return Part(recipe, name, share=Fraction(tokens[:-1].strip()) / 100)
        return Part(recipe, name, tokens=recipe.budget if tokens is None else tokens)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages in order; none without `stages`."""
        return tuple(part.name for part in self.parts if part.name)

    @property
    def takes_all(self) -> bool:
        """True if nothing is asked but every document once, within `max_epochs`."""
        plain = self.recipe == Recipe(alpha_of=self.alpha_of)
        return plain and not self.stages and self.tokens is None

    @property
    def total(self) -> int | None:
        """Train tokens to write; None = the largest number that `max_epochs` allows."""
        if self.tokens is not None:
            return self.tokens
        if self.stages:
            return (
                None if self.parts[0].share is not None else sum(p.tokens or 0 for p in self.parts)
            )
        return None if self.recipe.shares_rest else self.recipe.budget

    def check(self) -> None:
        """Raises ValueError where the knobs contradict each other."""
        if not self.by or len(set(self.by)) != len(self.by):
            raise ValueError(f"by = {list(self.by)}: name at least one column, each once.")
        bounds: dict[str, float] = {"": MAX_EPOCHS}
        if isinstance(self.max_epochs, Mapping):
            bounds |= self.max_epochs
        else:
            bounds[""] = self.max_epochs
        for name, bound in sorted(bounds.items()):
            if not (math.isfinite(bound) and bound > 0):
                of = f" of '{name}'" if name else ""
                raise ValueError(f"max_epochs{of} = {bound:g}, expected a positive number.")
        most = max(1, 1 if self.upsampling is None else self.upsampling.most)
        if math.ceil(max(bounds.values())) * most > MAX_COPIES:
            raise ValueError(
                f"max_epochs = {max(bounds.values()):g} with {most} copies of a document in one "
                f"epoch: over {MAX_COPIES} copies in all. Lower one of them."
            )
        self._check_stages()
        for part in self.parts:
            part.recipe.check()
            if part.share is not None and not part.recipe.shares_rest:
                raise ValueError(
                    f"stage '{part.name}' has budgets alone, which are its size: no share in %."
                )
            rest = part.recipe.budgets is not None and part.recipe.shares_rest
            if rest and part.tokens is None and self.tokens is None:
                raise ValueError("budgets beside weights or alpha need `tokens`: the rest of what?")
            size = part.tokens if part.share is None else int(part.share * (self.tokens or 0))
            if rest and size is not None and size < part.recipe.budget:
                raise ValueError(f"budgets of {part.recipe.budget:,} tokens are over {size:,}.")
            if not part.recipe.shares_rest and size not in (None, 0, part.recipe.budget):
                raise ValueError(
                    f"the budgets are {part.recipe.budget:,} tokens, tokens says {size:,}. Leave "
                    f"out `tokens`, or give `weights` or `alpha` for the rest."
                )
        if (self.total or 0) > MAX_TOKENS:
            raise ValueError(f"{self.total:,} tokens in all, expected at most {MAX_TOKENS:,}.")
        if self.over_max_epochs == "cap" and self.total is None:
            raise ValueError("over_max_epochs: cap needs `tokens`: without, no group passes.")

    def _check_stages(self) -> None:
        names = []
        for number, stage in enumerate(self.stages, 1):
            for key in stage:
                if key not in _STAGE_KEYS:
                    raise ValueError(f"stage {number} has no '{key}'.{nearest(key, _STAGE_KEYS)}")
            names.append(str(stage.get("name", f"stage{number}")))
            if not _STAGE_NAME.fullmatch(names[-1]) or names[-1] in names[:-1]:
                raise ValueError(f"stage name '{names[-1]}': each once, like `warmup` or `anneal`.")
            check_types(f"stage {number}", stage)
            _check_stage_tokens(number, stage)
        if not self.stages:
            return
        shares = [part.share for part in self.parts if part.share is not None]
        if shares and (len(shares) < len(self.parts) or sum(shares) != 1):
            raise ValueError(
                f"the stages' tokens are {float(100 * sum(shares)):g} % in all. Expected 100 %, or "
                f"a number of tokens in every stage."
            )
        given = sum(part.tokens or 0 for part in self.parts)
        if not shares and self.tokens not in (None, given):
            raise ValueError(f"tokens = {self.tokens:,}, but the stages have {given:,}.")

    # --- targets -------------------------------------------------------------------------------

    def shares(self, sizes: Mapping[str, int]) -> dict[str, Fraction]:
        """Share of each group in all stages together, exact and summing to 1; no bound on epochs.

        For the sample of a tokenizer, whose sizes are bytes: `alpha_of: documents` counts as bytes
        too. Without weights, budgets or alpha a group's share is its size.
        """
        groups = {name: Group(size, size) for name, size in sizes.items()}
        total = self.total
        shares: Amounts = {}
        for part in self.parts:
            size = Fraction(total or 1) * (1 if part.share is None else part.share)
            if part.tokens is not None:
                size = Fraction(part.tokens)
            elif not part.recipe.shares_rest:
                size = Fraction(part.recipe.budget)
            for name, amount in part.recipe.wanted(size, groups).items():
                shares[name] = shares.get(name, Fraction(0)) + amount
        whole = sum(shares.values(), Fraction(0)) or Fraction(1)
        return {name: share / whole for name, share in shares.items()}

    def takes(self, totals: pa.Table) -> list[Take]:
        """Takes that write `tokens` train tokens, or as many as `max_epochs` allows.

        Validation documents of a group that is not left out are taken once, in the first stage.
        Raises ConfigError for a group without a weight or budget, one of these without a group, and
        a group that would pass `max_epochs`.
        """
        rows = totals.to_pylist()
        train = {row["group"]: row for row in rows if row["split"] == TRAIN}
        groups = {
            name: Group(row["epoch_documents"], row["epoch_size"]) for name, row in train.items()
        }
        for row in rows:
            groups.setdefault(row["group"], Group(0, 0))
        dealt = self._dealt(groups)
        takes = []
        for row in rows:
            name = row["group"]
            if row["split"] != TRAIN or row["epoch_size"] == 0:
                once = any(part.recipe.takes(name) for part in self.parts)
                takes.append(
                    Take(**row, whole=int(once), target=0, wanted=int(once) * row["epoch_size"])
                )
                continue
            before = 0
            for stage in range(len(self.parts)):
                whole, target = divmod(int(dealt.given[stage][name]), row["epoch_size"])
                wanted = int(dealt.wanted[stage][name])
                take = Take(**row, whole=whole, target=target, stage=stage, wanted=wanted - before)
                takes.append(take)
                before = wanted
        return takes

    def _dealt(self, groups: Mapping[str, Group]) -> Dealt:
        for part in self.parts:
            part.recipe.check_groups(groups)
        for name in sorted(self.max_epochs) if isinstance(self.max_epochs, Mapping) else ():
            if name not in groups:
                raise ConfigError(
                    f"mix: max_epochs names the group '{name}', which has no documents."
                    f"{nearest(name, groups)}"
                )
        if self.takes_all:
            once = {
                name: min(Fraction(1), self.epochs_of(name)) * group.size
                for name, group in groups.items()
            }
            return Dealt([once], [once])
        limits = {name: self.epochs_of(name) * group.size for name, group in groups.items()}
        cap = self.over_max_epochs == "cap"
        return deal(self.parts, self.total, groups, limits, cap)

    def epochs_of(self, group: str) -> Fraction:
        """`max_epochs` of a group."""
        if isinstance(self.max_epochs, Mapping):
            return exact(self.max_epochs.get(group, MAX_EPOCHS))
        return exact(self.max_epochs)


def _check_stage_tokens(number: int, stage: Mapping[str, Any]) -> None:
    tokens = stage.get("tokens")
    if tokens is None:
        if stage.get("budgets") and not {"weights", "alpha"} & stage.keys():
            return
        raise ValueError(f"stage {number} needs `tokens`: a number, or a share like 80%.")
    if isinstance(tokens, str) and re.fullmatch(r"\d+(\.\d+)? *%", tokens):
        return
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1:
        raise ValueError(f"stage {number}: tokens = {tokens!r}, expected a number or a share in %.")


def mixture_of(side: Side) -> Mixture:
    """The mixture that the knob `mixture` names; without one, every document once."""
    stage = side.stages.get("mixture")
    if stage is None:
        return Mixture()
    return Mixture(**{field.name: getattr(stage, field.name) for field in fields(Mixture)})
