"""Log-odds of class tokens and words, target encodings of what stands in the markup.

Made on other domains than those they are used on while training, else they leak the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from stages.extract.model import TOKEN_SLOTS, WORD_SLOTS, slots
from stages.extract.page import ScannedPage
from stages.extract.training.dataset import TrainingPage
from stages.kernels.html_columns import LogOdds
from stages.kernels.html_text import NODE, PARENT, TOKENS_FROM, TOKENS_TO
from stages.kernels.html_words import COUNT_COLUMNS, WORDS, WORDS_TO, count_blocks

MAX_TOKENS, MAX_WORDS = 8_000, 16_000
MIN_DOMAINS, MIN_PAGES = 4, 8
"""A hash counts once so many domains and pages have it: no single site is in the tables."""
_PRIOR_WEIGHT = 1.5
"""Pages' worth of the prior that each hash starts with."""
_LEAST = 1e-6
"""Keeps the prior off 0 and 1, where log-odds end; that of real pages is near .3."""

Floats = npt.NDArray[np.float64]
Words = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32]]
"""Hashes of words, and the block that each stands in."""
Table = tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]
"""Hashes in rising order, and their log-odds."""


@dataclass(frozen=True)
class Evidence:
    """What pages say about hashes: a row a (page, hash)."""

    hashes: npt.NDArray[np.uint32]
    page: npt.NDArray[np.int32]
    marked: npt.NDArray[np.float32]
    """Weight of main text under elements (in blocks) that have the hash."""
    total: npt.NDArray[np.float32]

    @classmethod
    def joined(cls, parts: Sequence[Evidence]) -> Evidence:
        return cls(*(np.concatenate([getattr(p, f) for p in parts])
                     for f in ("hashes", "page", "marked", "total")))  # fmt: skip


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _token_sums(
    parents: npt.NDArray[np.int32],
    nodes: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float32],
    marked: npt.NDArray[np.float32],
) -> Floats:
    sums = np.zeros((len(parents), 2))
    for b in range(len(nodes)):
        sums[nodes[b], 0] += weight[b]
        sums[nodes[b], 1] += marked[b]
    for n in range(len(parents) - 1, 0, -1):
        sums[parents[n]] += sums[n]
    return sums


def token_evidence(pages: Sequence[TrainingPage]) -> Evidence:
    """Class tokens with the text under their elements, each element once."""
    parts = []
    for number, page in enumerate(pages):
        nodes = page.page.nodes
        sums = _token_sums(
            nodes[:, PARENT].copy(), page.page.blocks[:, NODE].copy(), page.weight,
            page.weight * page.label,
        )  # fmt: skip
        counts = nodes[:, TOKENS_TO] - nodes[:, TOKENS_FROM]
        owner = np.repeat(np.arange(len(nodes)), counts)
        parts.append(_grouped(page.page.tokens[: len(owner)], sums[owner], number))
    return Evidence.joined(parts)


@numba.njit  # type: ignore[untyped-decorator]  # not cached: a cache would outlive its kernels
def _count(text: Any, blocks: Any, counts: Any, words: Any, hashes: Any) -> None:
    count_blocks(text, blocks, counts, words, hashes)


def block_words(page: ScannedPage) -> Words:
    """The distinct words of every block, as the kernel of features hashes them."""
    counts = np.empty((len(page.blocks), COUNT_COLUMNS), dtype=np.int64)
    words = np.empty(len(page.text) + 1, dtype=np.uint32)
    _count(page.text, page.blocks, counts, words, np.empty(len(page.blocks), dtype=np.uint64))
    used = int(counts[-1, WORDS_TO]) if len(counts) else 0
    owner = np.repeat(np.arange(len(counts), dtype=np.uint64), counts[:, WORDS])
    keys = np.unique(owner << np.uint64(32) | words[:used].astype(np.uint64))
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32), (keys >> np.uint64(32)).astype(
        np.int32
    )


def word_evidence(pages: Sequence[TrainingPage], words: Sequence[Words]) -> Evidence:
    """Words with the blocks they stand in; long blocks count as much as short ones."""
    parts = []
    for number, (page, (hashes, block)) in enumerate(zip(pages, words, strict=True)):
        trusted = np.sign(page.weight) / max(np.sqrt(len(page.label)), 1.0)
        both = np.stack([trusted, trusted * page.label], axis=1)
        parts.append(_grouped(hashes, both[block], number))
    return Evidence.joined(parts)


def _grouped(hashes: npt.NDArray[np.uint32], sums: Floats, number: int) -> Evidence:
    distinct, at = np.unique(hashes, return_inverse=True)
    total = np.bincount(at, sums[:, 0], len(distinct))
    marked = np.bincount(at, sums[:, 1], len(distinct))
    page = np.full(len(distinct), number, dtype=np.int32)
    return Evidence(distinct, page, marked.astype(np.float32), total.astype(np.float32))


def log_odds(
    evidence: Evidence, use: npt.NDArray[np.bool_], domains: npt.NDArray[np.int32], most: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """The hashes that say most, and their log-odds above the prior.

    `use`: for each page whether it counts; `domains`: its domain. A domain's pages share one vote
    where they are many.
    """
    rows = np.flatnonzero(use[evidence.page] & (evidence.total > 0))
    if not len(rows):
        return np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.float32)
    hashes, at = np.unique(evidence.hashes[rows], return_inverse=True)
    page = evidence.page[rows]
    size = np.bincount(domains[use], minlength=int(domains.max()) + 1)
    share = 1 / np.sqrt(np.maximum(size, 1))[domains[page]]
    # Within a page a hash votes by its share of marked text, not by how much text it has.
    rate = evidence.marked[rows] / evidence.total[rows]
    mass = np.minimum(evidence.total[rows] * 4, 1.0) * share
    total = np.bincount(at, mass, len(hashes))
    marked = np.bincount(at, mass * rate, len(hashes))
    pages = np.bincount(at, minlength=len(hashes))
    pairs = np.unique(np.stack([at, domains[page]], axis=1), axis=0)
    spread = np.bincount(pairs[:, 0], minlength=len(hashes))
    prior = min(max(float(marked.sum() / max(total.sum(), 1e-9)), _LEAST), 1 - _LEAST)
    value = np.log(
        (marked + _PRIOR_WEIGHT * prior) / (total - marked + _PRIOR_WEIGHT * (1 - prior))
    )
    value -= np.log(prior / (1 - prior))
    good = (spread >= MIN_DOMAINS) & (pages >= MIN_PAGES) & (hashes != 0) & (np.abs(value) > 0.05)
    found = np.flatnonzero(good)
    order = np.argsort(-np.abs(value[found]) * np.sqrt(total[found]), kind="stable")[:most]
    chosen = np.sort(found[order])
    return hashes[chosen], np.clip(value[chosen], -4, 4).astype(np.float32)


def table_of(tokens: Table, words: Table) -> LogOdds:
    """Both tables as the kernel takes them."""
    return LogOdds(*slots(*tokens, TOKEN_SLOTS), *slots(*words, WORD_SLOTS))
