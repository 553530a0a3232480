"""What kind of page it is: what the model of page kinds sees of a page, and how its trees vote.

The page is one row: the mean of each block feature, the same weighted by words, and ten flags of
what the page says of itself in JSON-LD and in `og:type`. The kinds are `html_context.KINDS`.
Training and extraction both read pages through this file, so neither can drift from the other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.extract.json_ld import JsonLd
from stages.kernels.html_columns import FEATURES
from stages.kernels.html_context import column_means
from stages.kernels.html_judge import PAGE_FLAGS

Floats = npt.NDArray[np.float32]

TYPE_FLAGS: tuple[tuple[str, frozenset[str]], ...] = (
    ("type_article", frozenset((
        "NewsArticle", "Article", "BlogPosting", "ReportageNewsArticle", "TechArticle",
        "OpinionNewsArticle",
    ))),
    ("type_product", frozenset(("Product", "ProductGroup"))),
    ("type_forum", frozenset(("DiscussionForumPosting", "QAPage", "Answer"))),
    ("type_faq", frozenset(("FAQPage",))),
    ("type_list", frozenset(("ItemList", "CollectionPage", "OfferCatalog"))),
    ("type_business", frozenset(("LocalBusiness", "Organization", "Corporation", "Service"))),
    ("type_steps", frozenset(("Recipe", "HowToStep"))),
)  # fmt: skip
"""Flag -> types of schema.org, of which one anywhere on the page sets it."""
OPEN_GRAPH_WORDS = ("article", "product", "website")
"""Each a flag: whether `og:type` holds the word."""
PAGE_VECTOR: tuple[str, ...] = (
    *(f"mean_{name}" for name in FEATURES),
    *(f"weighted_{name}" for name in FEATURES),
    *(name for name, _ in TYPE_FLAGS),
    *(f"og_{word}" for word in OPEN_GRAPH_WORDS),
)
"""Names of the columns of a page's row."""
_WIDTH = len(FEATURES)


def page_vector(
    features: npt.NDArray[np.float32],
    words: npt.NDArray[np.float32],
    json_ld: JsonLd,
    og_type: str | None,
) -> Floats:
    """The row of a page: float32, with the columns of `PAGE_VECTOR`; means of no blocks are 0.

    Sums go block after block in float32, so that every machine finds the same row.
    """
    row = np.zeros(len(PAGE_VECTOR), dtype=np.float32)
    column_means(features, words, row[: 2 * _WIDTH])
    flags = page_flags(json_ld, og_type)
    for k in range(PAGE_FLAGS):
        row[2 * _WIDTH + k] = flags >> k & 1
    return row


def page_flags(json_ld: JsonLd, og_type: str | None) -> int:
    """The flags of a page's row, a bit each: `TYPE_FLAGS`, then `OPEN_GRAPH_WORDS`."""
    flags = 0
    if json_ld.types:
        for k, (_, types) in enumerate(TYPE_FLAGS):
            flags |= (not types.isdisjoint(json_ld.types)) << k
    if og_type:
        lower = og_type.lower()
        for k, word in enumerate(OPEN_GRAPH_WORDS, len(TYPE_FLAGS)):
            flags |= (word in lower) << k
    return flags
