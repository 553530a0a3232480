"""Names of the columns that the model sees of a block, in the order in which kernels write them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from stages.kernels import html_tags as tags
from stages.kernels.jit import inner

CONTAINERS = 4
NEIGHBOURS = (-3, -2, -1, 1, 2, 3)
FLAGS = tuple(
    name
    for name in tags.ANCESTOR_NAMES
    if name not in ("link", "bold", "label", "dialog", "template", "address")
)
FLAG_BITS = np.array([1 << tags.ANCESTOR_NAMES.index(name) for name in FLAGS], dtype=np.int64)

SHAPE = (
    "words", "chars", "link_share", "links", "word_length", "ends_a_word", "terminal", "commas",
    "digits", "upper", "punctuation", "symbols", "bold_share", "breaks", "free_words",
)  # fmt: skip
TAGS = ("is_p", "is_div", "is_item", "is_cell", "is_definition", "heading", "is_pre", "is_inline")
TOKENS = (
    "token_own", "token_up", "token_up2", "token_all", "token_min", "token_max", "word_mean",
    "word_sum", "word_first", "word_min", "word_max",
)  # fmt: skip
CONTAINER = ("words", "link_share", "blocks", "score", "value", "page_share", "block_words", "long")
TOP = (
    "in_score_top", "in_value_top", "score_distance", "value_distance", "score_top_share",
    "value_top_share", "tops_agree", "before_value_top", "after_value_top", "depth",
)  # fmt: skip
PATH = (
    "path_blocks", "path_words", "path_links", "path_share", "same_text", "same_before",
    "up_blocks", "up_words",
)  # fmt: skip
PLACE = (
    "rank", "words_before", "words_share_before", "since_h1", "since_heading", "heading_word",
    "heading_level", "title_share", "title_cover", "description_share", "index",
)  # fmt: skip
WINDOW = ("window_words", "window_links", "window_long")
PAGE = (
    "page_words", "page_link_share", "page_blocks", "page_prose_share", "page_long", "page_max",
    "page_has_h1", "page_article", "page_main", "page_items", "page_cells", "page_token",
)  # fmt: skip
FEATURES: tuple[str, ...] = (
    *SHAPE,
    *TAGS,
    *(f"in_{name}" for name in FLAGS),
    *TOKENS,
    *(f"up{k}_{name}" for k in range(CONTAINERS) for name in CONTAINER),
    *TOP,
    *PATH,
    *PLACE,
    *(f"near{k:+d}_{name}" for k in NEIGHBOURS for name in ("words", "links", "heading")),
    *WINDOW,
    *PAGE,
)
NUM_FEATURES = len(FEATURES)


# Columns of a block's shares: of its bytes in links, its words in links, log of its words, heading.
LINKED, LINKED_WORDS, LOG_WORDS, IS_HEADING = range(4)
SHARES = 4
# Columns of a node's names: log-odds of its own (of it and the inline ones under it), of all on the
# way to the root, the lowest and the highest there.
OWN, ALL, LOW, HIGH = range(4)
NAMES = 4
# Columns of a group of blocks.
G_BLOCKS, G_WORDS, G_LINKED = range(3)
GROUP = 3
TITLE_WORDS, ABOUT_WORDS = 60, 120
"""Words of a title and of a description that are looked at."""
SET_SLOTS = 512
"""At most `ABOUT_WORDS` words are in a set, so it is never a quarter full."""


class LogOdds(NamedTuple):
    """Learned log-odds of class tokens and words, each with a place of its own (`odds_of`).

    A table is in memory once: its hashes and log-odds in turn, as uint32 and as float32.
    """

    token_factors: Any
    token_keys: Any
    token_values: Any
    word_factors: Any
    word_keys: Any
    word_values: Any


_ONE, _HALF, _LOW = np.uint64(1), np.uint64(32), np.uint64(0xFFFFFFFF)


@inner
def odds_of(factors: Any, keys: Any, values: Any, key: Any) -> Any:
    """The log-odds of a hash; 0 for one that is not in the table.

    The low bits of a hash choose its factor, the top bits of their product in 32 bits its place: no
    two hashes of a table have the same (`stages.extract.model.slots`). So there is nothing to walk
    along and no branch to miss, which took six of seven nanoseconds.
    """
    factor = np.uint64(factors[np.uint64(key) & np.uint64(len(factors) - 1)])
    at = (np.uint64(key) * factor & _LOW) * np.uint64(len(keys) // 2) >> _HALF << _ONE
    value = values[at + _ONE]
    return value if keys[at] == key else np.float32(0.0)


_LOGS = np.array([math.log1p(k) for k in range(4096)], dtype=np.float32)


@inner
def log(count: Any) -> Any:
    """log(1 + count) of an int64: most counts of a page are small, so most are looked up."""
    if 0 <= count < 4096:
        return _LOGS[np.uint64(count)]
    return np.float32(math.log1p(np.float64(count)))


@inner
def one_or_more(count: Any) -> Any:
    """An int64 to divide by. A function of its own, as each `max` costs its own compiling."""
    return count if count > 0 else np.int64(1)


@inner
def mass_or_one(mass: Any) -> Any:
    """A float32 to divide by."""
    return mass if mass > np.float32(1.0) else np.float32(1.0)
