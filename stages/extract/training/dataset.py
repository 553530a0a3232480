"""Gold pages as a training set: scanned, labelled, weighted, with their domains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from stages.extract.gold import page_bytes
from stages.extract.json_ld import JsonLd, read_json_ld
from stages.extract.page import ScannedPage, Scanner
from stages.extract.training.labels import covered_share, snippet_labels, words_of

_SECOND_LEVEL = {"co", "com", "org", "ac", "gov", "net", "edu", "gob", "or", "ne"}
_WEIGHT_POWER = 0.75
"""A block weighs words^0.75 of its page's words^0.75: pages count alike, and blocks by their text,
but not so much that a page's one long list is all of it (docs/notes/extraction-trials.md)."""
PSEUDO_WEIGHT, SNIPPET_WEIGHT = 0.3, 3.0
"""Where an origin has snippets only, extractors' texts stand in for gold at little weight, and the
blocks that a snippet names count tenfold (docs/notes/extraction-trials.md)."""


@dataclass(frozen=True)
class TrainingPage:
    """One page; arrays have a row a block."""

    id: str
    origin: str
    domain: str
    page_type: str | None
    page: ScannedPage
    words: npt.NDArray[np.int32]
    label: npt.NDArray[np.float32]
    """Share of the block's words that is main text."""
    weight: npt.NDArray[np.float32]
    json_ld: JsonLd
    og_type: str


def balanced(pages: Sequence[TrainingPage]) -> list[TrainingPage]:
    """The pages, those of small origins at more weight: an origin counts by the root of its pages.

    What main text is differs by origin, and 759 of 1,505 pages are of one.
    """
    sizes = Counter(page.origin for page in pages)
    mean = len(pages) / max(len(sizes), 1)
    return [
        replace(page, weight=page.weight * np.float32((mean / sizes[page.origin]) ** 0.5))
        for page in pages
    ]


def domain_of(row: Mapping[str, Any]) -> str:
    """Registered domain of the page's URL, nearly; pages without a URL are alone."""
    host = (urlsplit(row.get("url") or "").hostname or "").removeprefix("www.")
    parts = host.split(".")
    if len(parts) < 2:
        return str(row["id"])
    keep = 3 if len(parts) > 2 and parts[-2] in _SECOND_LEVEL and len(parts[-1]) == 2 else 2
    return ".".join(parts[-keep:])


def own_copy(page: ScannedPage) -> ScannedPage:
    """The page in arrays of its own: those of a scanner are used again."""
    return replace(
        page, text=page.text.copy(), nodes=page.nodes.copy(), blocks=page.blocks.copy(),
        tokens=page.tokens.copy(), facts=page.facts.copy(),
    )  # fmt: skip


def training_page(
    row: Mapping[str, Any], scanner: Scanner, pseudo: Iterable[str] = ()
) -> TrainingPage:
    """Label a gold page. `pseudo`: texts of extractors, for a page with snippets only."""
    page = own_copy(scanner.scan(page_bytes(row)))
    texts = [page.block_text(at) for at in range(len(page.blocks))]
    blocks = [words_of(text) for text in texts]
    words = np.array([len(block) for block in blocks], dtype=np.int32)
    weight = words.astype(np.float32) ** np.float32(_WEIGHT_POWER)
    weight /= max(float(words.sum()) ** _WEIGHT_POWER, 1.0)
    if row.get("gold_text") is not None:
        label = covered_share(blocks, row["gold_text"])
    else:
        guesses = [covered_share(blocks, text) for text in pseudo if text]
        label = np.mean(guesses, axis=0) if guesses else np.full(len(blocks), 0.5, np.float32)
        named = snippet_labels(texts, row)
        label = np.where(named >= 0, named, label)
        weight = weight * np.where(named >= 0, SNIPPET_WEIGHT, PSEUDO_WEIGHT if guesses else 0)
    return TrainingPage(
        row["id"], row["origin"], domain_of(row), row.get("page_type"), page, words,
        label.astype(np.float32), weight.astype(np.float32),
        read_json_ld(page), next(iter(page.facts_of("meta_type")), ""),
    )  # fmt: skip
