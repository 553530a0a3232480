"""What every extraction engine answers for one page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

SHIPPED_MODEL = Path(__file__).with_name("blocks.npz")
"""The model of the `blocks` engine that comes with the code."""


class TooComplexError(Exception):
    """The page would cost an engine that builds a DOM more than any page is worth."""


@dataclass(frozen=True)
class Metadata:
    """What a page says of itself; None where it says nothing that can be used."""

    title: str | None = None
    author: str | None = None
    published: datetime | None = None
    """UTC."""
    language: str | None = None
    """The `lang` attribute, lower case, as `en` or `pt-br`."""
    canonical_url: str | None = None
    licence: str | None = None
    """URL of a licence link or metadata field."""
    licence_id: str | None = None
    """Its SPDX identifier in lower case, as `cc-by-sa-4.0`."""
    cc_links: str | None = None
    """Creative Commons licences that the page links to, `, ` between."""
    robots_meta: str | None = None
    """Directives of robots tags, as in X-Robots-Tag."""
    tdm_meta: str | None = None
    """`tdm-reservation: 1; tdm-policy: https://...`."""


@dataclass(frozen=True)
class Extracted:
    """The main text of one page."""

    text: str
    """Empty if the page has none."""
    score: float | None = None
    """Expected F1 of the text against what an annotator would mark, 0 to 1; blocks engine only."""
    kind: str | None = None
    """Page kind: article, forum, documentation, product, listing, collection or service."""
    rescued: str | None = None
    """`json_ld`, `script` or `resiliparse` if the engine found nothing and this found the text."""
