"""All training pages, and their features by log-odds tables that have not seen them.

The tables are target encodings: made on a page's own domain they would hand the model its labels.
So for training each page's features come from tables made on the other folds of domains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.extract.features import PageFeatures, features_of
from stages.extract.training.dataset import TrainingPage, balanced
from stages.extract.training.odds import (
    MAX_TOKENS,
    MAX_WORDS,
    Evidence,
    Table,
    block_words,
    log_odds,
    table_of,
    token_evidence,
    word_evidence,
)
from stages.kernels.html_columns import LogOdds

FOLDS = 5
Mask = npt.NDArray[np.bool_]


def fold_of(domain: str, folds: int = FOLDS, salt: str = "f") -> int:
    """The fold of a domain, by its hash: the same on every machine and in every set of pages."""
    return int(hashlib.sha256((salt + domain).encode()).hexdigest(), 16) % folds


@dataclass(frozen=True)
class Corpus:
    """Pages with what they say about tokens and words. Masks have an entry a page."""

    pages: Sequence[TrainingPage]
    domains: npt.NDArray[np.int32]
    """A number for each page's domain."""
    fold: npt.NDArray[np.int32]
    tokens: Evidence
    words: Evidence

    @classmethod
    def of(cls, pages: Sequence[TrainingPage]) -> Corpus:
        """Gather the evidence of all pages. At least one page."""
        pages = balanced(pages)
        number = {name: k for k, name in enumerate(sorted({page.domain for page in pages}))}
        return cls(
            pages,
            np.array([number[page.domain] for page in pages], dtype=np.int32),
            np.array([fold_of(page.domain) for page in pages], dtype=np.int32),
            token_evidence(pages),
            word_evidence(pages, [block_words(page.page) for page in pages]),
        )

    def tables(self, use: Mask) -> tuple[Table, Table]:
        """Log-odds of class tokens and of words, by the pages in use."""
        return (
            log_odds(self.tokens, use, self.domains, MAX_TOKENS),
            log_odds(self.words, use, self.domains, MAX_WORDS),
        )

    def tables_out_of_fold(self, use: Mask) -> Iterator[tuple[Mask, LogOdds]]:
        """For each fold of the pages in use: its pages, and tables by those in all other folds."""
        for fold in np.unique(self.fold[use]):
            held = self.fold == fold
            yield use & held, table_of(*self.tables(use & ~held))

    def features(self, use: Mask) -> list[PageFeatures]:
        """Features of the pages in use, in their order, each by tables without its fold."""
        found: dict[int, PageFeatures] = {}
        for held, odds in self.tables_out_of_fold(use):
            for at in np.flatnonzero(held).tolist():
                found[at] = features_of(self.pages[at].page, odds)
        return [found[at] for at in sorted(found)]
