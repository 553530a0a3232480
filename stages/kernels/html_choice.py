"""From what the model says of a page to the blocks of its main text, in one call.

Which blocks are kept (`html_select`), what is told twice, whole code and tables, readers' comments,
related stories. Each step is a kernel of its own, most with a face in
`stages.extract`; `html_judge` says why they are called from here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stages.kernels import html_layout, html_marks, html_related, html_repeats
from stages.kernels import html_text as h
from stages.kernels.html_columns import FEATURES, NUM_FEATURES
from stages.kernels.html_context import KINDS, NUM_CONTEXT
from stages.kernels.html_groups import number_groups
from stages.kernels.html_nodes import P_UP
from stages.kernels.html_repeats import EVERY, LEAST_SAMPLES, WINDOW
from stages.kernels.html_select import choose_blocks
from stages.kernels.jit import jit_bare, leaf, part, shared

SURE = np.float32(0.7)
"""From this probability of `collection` on a block is as likely main text as those beside it.
Listings gain nothing: their side columns are lists too (docs/notes/extraction-trials.md)."""
SHARED = np.float32(0.6)
"""How much the group counts: .3 and 1 were tried."""
MOSTLY = np.float32(0.5)
"""Where more of the kept words are comments, or related stories, these are what the page is
about."""
FORUM = np.float32(0.3)
"""From this probability of `forum` on, posts are main text whatever their elements are called."""
LISTS = np.float32(0.3)
"""From this probability on of the kinds together whose main text is related stories, or has them:
lists, documentation ("see also"), threads."""
MIN_WORDS = np.float32(3.0)
"""Comments of so many words are kept where they are: others are names, dates and buttons."""
COMMENTS, RELATED = np.int64(1), np.int64(2)
"""Options, a bit each: comments are kept; related stories are."""

_COLLECTION, _FORUM = KINDS.index("collection"), KINDS.index("forum")
_LISTS = np.array(
    [KINDS.index(kind) for kind in ("listing", "collection", "documentation", "forum")],
    dtype=np.int64,
)
_WIDTH = np.int64(NUM_FEATURES + NUM_CONTEXT)
_LINK_SHARE = np.int64(FEATURES.index("link_share"))
_HALF = np.float32(0.5)
_LEAST = np.float64(1e-6)
_DIGIT, _SHIFT, _ALL = np.int64(1023), np.int64(10), np.int64((1 << 30) - 1)

_choose = shared(choose_blocks)
_drop_retold = shared(html_repeats.drop_retold)
_layout = shared(html_layout.layout)
_keep_whole = shared(html_layout.keep_whole)
_under_names = shared(html_marks.under_names)
_mark_related = shared(html_related.mark_related)


class Lists(NamedTuple):
    """Hashes in order, each with its `html_marks.sieve_of`."""

    comments: Any
    comments_sieve: Any
    related: Any
    related_sieve: Any
    phrases: Any
    phrases_sieve: Any


@jit_bare
def choose_main(
    text: Any, nodes: Any, blocks: Any, tokens: Any, lists: Any, options: Any, desk: Any
) -> Any:  # fmt: skip
    """Fill `desk.kept` and `desk.layout` of a judged page (`html_judge.judge`); the expected F1."""
    num, num_nodes = len(blocks), len(nodes)
    kept, groups = desk.kept[:num], desk.code[:num]
    expected = _choose_best(text, nodes, blocks, desk, kept)
    _layout(text, nodes, blocks, desk.cell_words, desk.layout[:num_nodes], groups)
    _keep_whole(groups, desk.prob[:num], desk.words[:num], desk.quads, kept)
    _settle_comments(nodes, blocks, tokens, lists, options, desk, kept)
    _settle_related(text, nodes, blocks, tokens, lists, options, desk, kept)
    return expected


@part
def _choose_best(text: Any, nodes: Any, blocks: Any, desk: Any, kept: Any) -> Any:
    """The blocks that are expected to score best, each text once; the F1 expected of them."""
    num = len(blocks)
    prob, words, hashes = desk.prob[:num], desk.words[:num], desk.hashes[:num]
    groups, firsts = desk.groups[:num], desk.firsts[:num]
    if desk.kinds[_COLLECTION] >= SURE:
        _mix_groups(blocks, desk)
        prob = desk.mixed[:num]
    order = desk.order[0, :num]
    order_by(prob, order, desk.order[1, :num], desk.counters)
    expected = _choose(
        prob, words, nodes, blocks, hashes, order, desk.slots, groups, firsts, kept
    )  # fmt: skip
    longest, total = np.int64(0), np.int64(0)
    for b in range(num):
        if kept[b]:
            size = np.int64(blocks[b, h.END] - blocks[b, h.START])
            total += size
            longest = size if size > longest else longest
    if longest >= WINDOW + LEAST_SAMPLES:
        slots = np.int64(4)
        while slots < 2 * (total // EVERY):  # html_groups.slots_for
            slots *= 2
        _drop_retold(
            text, nodes, blocks, kept, desk.sample_keys[:slots], desk.sample_owners[:slots],
            desk.packed, desk.samples,
        )  # fmt: skip
    return expected


@leaf
def order_by(prob: Any, order: Any, spare: Any, counters: Any) -> Any:
    """Places by falling value, equal ones in order. Values are 0 to less than 2: of such ones the
    bits are in order as whole numbers. Three rounds, 10 bits each."""
    bits = prob.view(np.uint32)
    for b in range(len(prob)):
        spare[b] = b
    _deal(bits, spare, order, np.int64(0), counters)
    _deal(bits, order, spare, _SHIFT, counters)
    _deal(bits, spare, order, 2 * _SHIFT, counters)


@leaf
def _deal(bits: Any, source: Any, target: Any, shift: Any, counters: Any) -> Any:
    """Places by ten bits of what they hold, the highest first."""
    for k in range(len(counters)):
        counters[k] = 0
    for value in bits:
        counters[(_ALL - np.int64(value)) >> shift & _DIGIT] += 1
    before = np.int64(0)
    for k in range(len(counters)):
        count = counters[k]
        counters[k] = before
        before += count
    for place in source:
        digit = (_ALL - np.int64(bits[place])) >> shift & _DIGIT
        target[counters[digit]] = place
        counters[digit] += 1


@part
def _mix_groups(blocks: Any, desk: Any) -> Any:
    """Fill `desk.mixed`: each block's probability mixed with its group's mean, weighted by words.

    A group is what stands under parents with the same path of names: the entries of a grid, and
    all their lines.
    """
    num = len(blocks)
    keys, groups, sums = desk.keys[:num], desk.groups[:num], desk.quads
    for b in range(num):
        keys[b] = desk.paths[desk.places[blocks[b, h.NODE], P_UP]]
    for g in range(number_groups(keys, desk.slots, desk.firsts[:num], groups)):
        sums[g, 0] = sums[g, 1] = 0
    for b in range(num):
        words = np.float64(desk.words[b])
        sums[groups[b], 0] += desk.prob[b] * words
        sums[groups[b], 1] += words
    for b in range(num):
        all_ = sums[groups[b], 1]
        mean = sums[groups[b], 0] / (all_ if all_ > _LEAST else _LEAST)
        own = (np.float32(1.0) - SHARED) * desk.prob[b]
        desk.mixed[b] = np.float32(np.float64(own) + np.float64(SHARED) * mean)


@part
def _settle_comments(
    nodes: Any, blocks: Any, tokens: Any, lists: Any, options: Any, desk: Any, kept: Any
) -> Any:
    """Readers' comments leave what is kept, but for forums and where they are most of it; or join
    it, those of prose that are not mostly links."""
    marked = desk.marked[: len(kept)]
    if not options & COMMENTS and desk.kinds[_FORUM] >= FORUM:
        return
    _under_names(
        nodes, blocks, tokens, lists.comments, lists.comments_sieve, desk.named[: len(nodes)],
        marked,
    )  # fmt: skip
    if options & COMMENTS:
        for b in range(len(kept)):
            links = desk.table[b * _WIDTH + _LINK_SHARE]
            kept[b] |= marked[b] and desk.words[b] >= MIN_WORDS and links < _HALF
    else:
        _take_out(kept, marked, desk.words)


@part
def _settle_related(
    text: Any, nodes: Any, blocks: Any, tokens: Any, lists: Any, options: Any, desk: Any, kept: Any
) -> Any:
    """Related stories leave what is kept, but on lists and where they are most of it; or join it.

    They are looked for only between the first and the last kept block.
    """
    first, last = np.int64(0), np.int64(len(kept) - 1)
    if not options & RELATED:
        likely = np.float32(0.0)
        for kind in _LISTS:
            likely += desk.kinds[kind]
        while first <= last and not kept[first]:
            first += 1
        while last > first and not kept[last]:
            last -= 1
        if likely >= LISTS or first > last:
            return
    marked = desk.marked[: len(kept)]
    _mark_related(
        text, nodes, blocks, tokens, desk.words[: len(kept)], desk.places[: len(nodes)],
        lists.related, lists.related_sieve, lists.phrases, lists.phrases_sieve,
        desk.runs[: len(kept) + 1], desk.spans[: len(nodes)], marked, first, last,
    )  # fmt: skip
    if options & RELATED:
        for b in range(len(kept)):
            kept[b] |= marked[b]
    else:
        _take_out(kept, marked, desk.words)


@leaf
def _take_out(kept: Any, marked: Any, words: Any) -> Any:
    """Marked blocks leave what is kept, unless they have `MOSTLY` of its words."""
    some, all_, any_ = np.float32(0.0), np.float32(0.0), False
    for b in range(len(kept)):
        if kept[b]:
            all_ += words[b]
            if marked[b]:
                some += words[b]
                any_ = True
    if any_ and some < MOSTLY * all_:
        for b in range(len(kept)):
            kept[b] &= not marked[b]
