"""Corpus -> model: two models of blocks, one of page kinds, and the tables that all of them read.

The second model of blocks learns from what the first one and that of kinds say of pages that they
have not seen: both are fitted once without each of three folds of domains, then once with all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError
from stages.extract.features import PageFeatures, context_of
from stages.extract.forest import Trees, probabilities, shares
from stages.extract.kind import page_vector
from stages.extract.training.boost import fit_blocks, fit_kinds
from stages.extract.training.corpus import Corpus, Mask, fold_of
from stages.extract.training.dataset import TrainingPage
from stages.extract.training.model_file import Trained
from stages.kernels.html_context import KINDS

INNER_FOLDS = 3
_SALT = "in"
"""Makes these folds other ones than those of the tables."""

Floats = npt.NDArray[np.float32]


def train(
    corpus: Corpus, use: Mask, threads: int, meta: Mapping[str, Any] | None = None
) -> Trained:
    """A model by the pages in use. Equal pages and threads give an equal model on one machine."""
    pages = [corpus.pages[at] for at in np.flatnonzero(use).tolist()]
    inner = np.array([fold_of(page.domain, INNER_FOLDS, _SALT) for page in pages])
    if len(np.unique(inner)) < 2:
        raise InputError(f"{len(pages)} pages of too few domains: expected some of each fold")
    features = corpus.features(use)
    rows = np.concatenate([each.rows for each in features])
    label = np.concatenate([page.label for page in pages])
    weight = np.concatenate([page.weight for page in pages])
    owner = np.repeat(np.arange(len(pages)), [len(each.rows) for each in features])
    vectors = np.stack(
        [
            page_vector(each.table, each.words, page.json_ld, page.og_type)
            for page, each in zip(pages, features, strict=True)
        ]
    )

    prob = np.zeros(len(rows), dtype=np.float32)
    kinds = np.zeros((len(pages), len(KINDS)), dtype=np.float32)
    for fold in np.unique(inner):
        held, seen = inner == fold, inner != fold
        mine = seen[owner]
        first = fit_blocks("first", rows[mine], label[mine], weight[mine], threads)
        prob[~mine] = probabilities(rows[~mine], first)
        kind = fit_kinds(vectors[seen], _those(pages, seen), threads)
        kinds[held] = _kinds_of(kind, vectors[held])
    context = np.concatenate(_with_context(pages, features, prob, kinds))
    return Trained(
        *corpus.tables(use),
        first=fit_blocks("first", rows, label, weight, threads),
        second=fit_blocks("second", context, label, weight, threads),
        kind=fit_kinds(vectors, pages, threads),
        meta=meta or {},
    )


def _with_context(
    pages: Sequence[TrainingPage], features: Sequence[PageFeatures], prob: Floats, kinds: Floats
) -> list[Floats]:
    """What the second model sees of the blocks of each page that has any."""
    parts, at = [], 0
    for page, each, kind in zip(pages, features, kinds, strict=True):
        if size := len(each.rows):
            own = prob[at : at + size]
            parts.append(context_of(each, own, page.page.blocks, kind))
            at += size
    return parts


def _those(pages: Sequence[TrainingPage], chosen: Mask) -> list[TrainingPage]:
    return [pages[at] for at in np.flatnonzero(chosen).tolist()]


def _kinds_of(kind: Trees, vectors: Floats) -> Floats:
    return np.stack([shares(vector, kind, len(KINDS)) for vector in vectors])
