"""From a page's scan to its main text step by step, as `stages.extract` describes each step.

The engine does the same in three kernels. Here numpy and Python do what they can, each step from
the one before; the features and sums of leaves have definitions of their own in other tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stages.extract.blocks import BlocksEngine
from stages.extract.comments import comment_blocks
from stages.extract.features import PageFeatures, context_of, features_of
from stages.extract.forest import probabilities, shares
from stages.extract.json_ld import JsonLd
from stages.extract.kind import page_vector
from stages.extract.model import BlocksModel, load_model
from stages.extract.page import ScannedPage
from stages.extract.related import related_blocks
from stages.extract.render import lay_out, render_page, whole_groups
from stages.kernels.html_choice import FORUM, LISTS, MIN_WORDS, MOSTLY, SHARED, SURE
from stages.kernels.html_columns import FEATURES
from stages.kernels.html_context import KINDS
from stages.kernels.html_groups import slots_for
from stages.kernels.html_nodes import P_UP
from stages.kernels.html_repeats import CHUNK, EVERY, drop_retold
from stages.kernels.html_select import choose_blocks
from stages.kernels.html_text import END, NODE, START

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

_COLLECTION, _FORUM = KINDS.index("collection"), KINDS.index("forum")
_LISTS = [KINDS.index(kind) for kind in ("listing", "collection", "documentation", "forum")]


def predict(
    page: ScannedPage, model: BlocksModel, json_ld: JsonLd, og_type: str
) -> tuple[Floats, Floats, PageFeatures]:
    """(probability of each block, of each kind, features) of a page with at least one block."""
    found = features_of(page, model.odds)
    vector = page_vector(found.table, found.words, json_ld, og_type)
    kinds = shares(vector, model.kind, len(KINDS))
    table = context_of(found, probabilities(found.table, model.first), page.blocks, kinds)
    return probabilities(table, model.second), kinds, found


def with_neighbours(found: PageFeatures, prob: Floats, blocks: Any, kinds: Floats) -> Floats:
    """`prob`; on a collection each block's is mixed with its group's mean, weighted by words."""
    if kinds[_COLLECTION] < SURE:
        return prob
    keys = found.paths[found.places[blocks[:, NODE], P_UP]]
    _, group = np.unique(keys, return_inverse=True)
    words = found.words.astype(np.float64)
    mean = np.bincount(group, prob * words) / np.maximum(np.bincount(group, words), 1e-6)
    mixed = (1 - SHARED) * prob + SHARED * mean[group]
    return mixed.astype(np.float32)


def best_blocks(prob: Any, words: Any, page: ScannedPage, hashes: Any) -> tuple[Flags, float]:
    """The blocks that are expected to score best, and the F1 expected of them."""
    num = len(prob)
    kept = np.empty(num, dtype=np.bool_)
    expected = choose_blocks(
        prob, words, page.nodes, page.blocks, hashes, np.argsort(-prob, kind="stable"),
        np.empty(slots_for(num), dtype=np.int32), np.empty(num, dtype=np.int32),
        np.empty(num, dtype=np.int32), kept,
    )  # fmt: skip
    without_retold(page.text, page.nodes, page.blocks, kept)
    return kept, float(expected)


def without_retold(text: Any, nodes: Any, blocks: Any, kept: Any) -> None:
    """Clear `kept` of blocks that tell again what kept blocks under other parents told before."""
    sizes = (blocks[:, END] - blocks[:, START])[kept]
    slots = slots_for(int(sizes.sum()) // EVERY)
    drop_retold(
        text, nodes, blocks, kept, np.empty(slots, dtype=np.uint64),
        np.empty(slots, dtype=np.int32), np.empty(int(sizes.max(initial=0)), dtype=np.uint8),
        np.empty(CHUNK, dtype=np.uint64),
    )  # fmt: skip


def without_comments(kept: Flags, marked: Flags, words: Any, kinds: Any) -> Flags:
    """What is kept, less comments; all of it on forums and where comments are most of it."""
    return kept if kinds[_FORUM] >= FORUM else _without(kept, marked, words)


def with_comments(kept: Flags, marked: Flags, words: Any, link_share: Any) -> Flags:
    """What is kept, and the comments: marked blocks of prose that are not mostly links."""
    prose: Flags = marked & (words >= MIN_WORDS) & (link_share < 0.5)
    return kept | prose


def without_related(page: ScannedPage, kept: Flags, words: Any, places: Any, kinds: Any) -> Flags:
    """What is kept, less related stories; all of it on lists and where they are most of it."""
    if sum(kinds[k] for k in _LISTS) >= LISTS or not kept.any():
        return kept
    at = np.flatnonzero(kept)
    return _without(kept, related_blocks(page, words, places, int(at[0]), int(at[-1])), words)


def _without(kept: Flags, marked: Flags, words: Any) -> Flags:
    both = kept & marked
    if not both.any() or words[both].sum() >= MOSTLY * words[kept].sum():
        return kept
    return kept & ~marked


def main_text(
    engine: BlocksEngine, page: ScannedPage, json_ld: JsonLd
) -> tuple[str, float, Flags, str]:
    """(text, expected F1, which blocks, kind) of a page with at least one block."""
    og_type = next(iter(page.facts_of("meta_type")), "")
    prob, kinds, found = predict(page, load_model(engine.model), json_ld, og_type)
    laid_out, words = lay_out(page), found.words
    mixed = with_neighbours(found, prob, page.blocks, kinds)
    kept, expected = best_blocks(mixed, words, page, found.hashes)
    kept = whole_groups(laid_out, prob, words, kept)
    marked = comment_blocks(page)
    if engine.comments == "drop":
        kept = without_comments(kept, marked, words, kinds)
    else:
        kept = with_comments(kept, marked, words, found.rows[:, FEATURES.index("link_share")])
    if engine.related == "keep":
        kept = kept | related_blocks(page, words, found.places)
    else:
        kept = without_related(page, kept, words, found.places, kinds)
    text = render_page(page, kept, engine.format, laid_out)
    return text, expected, kept, KINDS[int(kinds.argmax())]
