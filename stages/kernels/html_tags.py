"""What the scanner knows of HTML before it sees a page: elements, attributes, facts, entities.

Names are found by their 64-bit FNV-1a hash in small open-addressed tables, so the scanner compares
numbers, never strings. The rules follow the HTML Standard (13.1.2.4 optional tags, 13.2.6 tree
construction) as far as they move text between blocks.
"""

from __future__ import annotations

import html.entities
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# --- Flags of an element -------------------------------------------------------------------------

BLOCK = 1 << 0
"""Starts and ends a block of text."""
VOID = 1 << 1
"""Has no content."""
RAW = 1 << 2
"""Its content is no HTML and no text of the page: skipped up to its end tag."""
CLOSES_P = 1 << 3
"""An open paragraph ends where this starts."""
SCOPE = 1 << 4
"""End tags inside do not reach elements outside."""
TO_END = 1 << 5
"""Raw, and unclosed it reaches to the end of the page, as in browsers."""
HEADING = 1 << 6
OPTIONAL_END = 1 << 7
"""Its end tag may be left out."""
LEAVES_DRAWING = 1 << 8
"""Inside `<svg>` it ends the drawing: an end tag was forgotten (13.2.6.5)."""

# --- Flags that a node hands down to everything in it (column ANCESTORS of the node table) ------

ANCESTOR_NAMES = (
    "nav", "header", "footer", "aside", "article", "main", "section", "form", "figure",
    "figcaption", "table", "list", "item", "quote", "pre", "code", "button", "label", "noscript",
    "template", "hidden", "link", "heading", "details", "dialog", "address", "bold", "definition",
)  # fmt: skip
(
    NAV, HEADER, FOOTER, ASIDE, ARTICLE, MAIN, SECTION, FORM, FIGURE, FIGCAPTION, TABLE, LIST, ITEM,
    QUOTE, PRE, CODE, BUTTON, LABEL, NOSCRIPT, TEMPLATE, HIDDEN, LINK, IN_HEADING, DETAILS, DIALOG,
    ADDRESS, BOLD, DEFINITION,
) = (1 << bit for bit in range(len(ANCESTOR_NAMES)))  # fmt: skip

_B, _P = BLOCK, BLOCK | CLOSES_P
_CELL = BLOCK | SCOPE

# name: (flags, flags handed down)
_ELEMENTS: Mapping[str, tuple[int, int]] = {
    "": (0, 0),  # any element that is not listed: inline, as browsers treat custom elements
    "html": (SCOPE, 0), "head": (0, 0), "body": (_B, 0), "frameset": (_B, 0), "frame": (VOID, 0),
    "title": (RAW, 0), "meta": (VOID, 0), "link": (VOID, 0), "base": (VOID, 0),
    "script": (RAW | TO_END, 0), "style": (RAW | TO_END, 0), "svg": (RAW, 0), "iframe": (RAW, 0),
    "textarea": (RAW, 0), "select": (RAW, 0), "datalist": (RAW, 0), "noembed": (RAW, 0),
    # What browsers with scripting read as raw cannot close what is open outside.
    "noscript": (_B | SCOPE, NOSCRIPT), "noframes": (_B | SCOPE, NOSCRIPT),
    "template": (_B | SCOPE, TEMPLATE),
    "object": (SCOPE, NOSCRIPT), "video": (0, NOSCRIPT), "audio": (0, NOSCRIPT),
    "canvas": (0, NOSCRIPT), "math": (0, 0), "annotation": (RAW, 0),
    "p": (_P, 0), "div": (_P, 0), "center": (_P, 0), "hr": (_P | VOID, 0), "br": (VOID, 0),
    "article": (_P, ARTICLE), "main": (_P, MAIN), "section": (_P, SECTION), "nav": (_P, NAV),
    "header": (_P, HEADER), "footer": (_P, FOOTER), "aside": (_P, ASIDE), "search": (_P, FORM),
    "hgroup": (_P, 0), "h1": (_P | HEADING, IN_HEADING), "h2": (_P | HEADING, IN_HEADING),
    "h3": (_P | HEADING, IN_HEADING), "h4": (_P | HEADING, IN_HEADING),
    "h5": (_P | HEADING, IN_HEADING), "h6": (_P | HEADING, IN_HEADING),
    "ul": (_P, LIST), "ol": (_P, LIST), "menu": (_P, LIST), "dir": (_P, LIST), "li": (_P, ITEM),
    "dl": (_P, DEFINITION), "dt": (_P, DEFINITION), "dd": (_P, DEFINITION),
    "table": (_P | SCOPE, TABLE), "caption": (_CELL, TABLE), "thead": (_B, TABLE),
    "tbody": (_B, TABLE), "tfoot": (_B, TABLE), "tr": (_B, TABLE), "td": (_CELL, TABLE),
    "th": (_CELL, TABLE), "colgroup": (_B, TABLE), "col": (VOID, 0),
    "pre": (_P, PRE), "listing": (_P, PRE), "xmp": (_P, PRE), "blockquote": (_P, QUOTE),
    "figure": (_P, FIGURE), "figcaption": (_P, FIGCAPTION), "form": (_P, FORM),
    "fieldset": (_P, FORM), "legend": (_B, LABEL), "label": (0, LABEL), "button": (_B, BUTTON),
    "option": (_B, FORM), "optgroup": (_B, FORM), "input": (VOID, 0), "output": (0, FORM),
    "details": (_P, DETAILS), "summary": (_P, DETAILS), "dialog": (_P, DIALOG),
    "address": (_P, ADDRESS), "a": (0, LINK), "b": (0, BOLD), "strong": (0, BOLD),
    "code": (0, CODE), "kbd": (0, CODE), "samp": (0, CODE), "tt": (0, CODE), "img": (VOID, 0),
    "embed": (VOID, 0), "param": (VOID, 0), "source": (VOID, 0), "track": (VOID, 0),
    "wbr": (VOID, 0), "area": (VOID, 0), "time": (0, 0), "span": (0, 0), "i": (0, 0), "em": (0, 0),
    "font": (0, 0), "small": (0, 0), "sup": (0, 0), "sub": (0, 0), "u": (0, 0), "cite": (0, 0),
    "abbr": (0, 0), "del": (0, 0), "ins": (0, 0), "mark": (0, 0), "q": (0, 0),
    "plaintext": (_P, PRE), "s": (0, 0), "strike": (0, 0), "big": (0, 0), "nobr": (0, 0),
    "var": (0, 0), "ruby": (0, 0), "foreignobject": (0, 0),
}  # fmt: skip
_OPTIONAL_ENDS = "p li dt dd tr td th tbody thead tfoot caption colgroup option optgroup"
_LEAVE_DRAWING = (
    "b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li "
    "listing menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul var"
)
FLAGS = tuple(
    flags
    | (OPTIONAL_END if name in _OPTIONAL_ENDS.split() else 0)
    | (LEAVES_DRAWING if name in _LEAVE_DRAWING.split() else 0)
    for name, (flags, _) in _ELEMENTS.items()
)
HANDED_DOWN = tuple(ancestors for _, ancestors in _ELEMENTS.values())
TAG_NAMES = tuple(_ELEMENTS)
TAG: Mapping[str, int] = {name: number for number, name in enumerate(TAG_NAMES)}


def tag_numbers(names: str) -> tuple[int, ...]:
    """Numbers of the elements that are named, blanks between them."""
    return tuple(TAG[name] for name in names.split())


# --- Attributes that the scanner looks into -----------------------------------------------------

ATTRIBUTES = (
    "", "class", "id", "role", "itemprop", "hidden", "aria-hidden", "style", "href", "rel", "lang",
    "name", "property", "content", "datetime", "type", "http-equiv", "xml:lang",
)  # fmt: skip
ATTRIBUTE: Mapping[str, int] = {name: number for number, name in enumerate(ATTRIBUTES)}

# --- Facts about the page, as ranges of bytes ----------------------------------------------------

FACTS = (
    "", "title", "lang", "canonical", "license", "json_ld", "meta_title", "meta_author",
    "meta_date", "meta_description", "meta_url", "meta_type", "meta_license", "author", "date",
    "meta_lang", "meta_site", "robots", "robots_agent", "tdm_reservation", "tdm_policy",
)  # fmt: skip
FACT: Mapping[str, int] = {name: number for number, name in enumerate(FACTS)}


def fact_numbers(names: str) -> tuple[int, ...]:
    """Numbers of the facts that are named, blanks between them."""
    return tuple(FACT[name] for name in names.split())


ROBOTS_AGENTS = (
    "googlebot", "bingbot", "applebot", "amazonbot", "ccbot", "gptbot", "google-extended",
    "applebot-extended", "claudebot", "anthropic-ai", "perplexitybot", "bytespider",
)  # fmt: skip
"""Crawlers that pages address by `<meta name=...>`: those of 1,647 gold pages, and of models."""

_META: Mapping[str, str] = {
    "og:title": "meta_title", "twitter:title": "meta_title", "dc.title": "meta_title",
    "citation_title": "meta_title", "author": "meta_author", "article:author": "meta_author",
    "dc.creator": "meta_author", "citation_author": "meta_author", "byl": "meta_author",
    "parsely-author": "meta_author", "sailthru.author": "meta_author",
    "article:published_time": "meta_date", "og:published_time": "meta_date",
    "datepublished": "meta_date", "date": "meta_date", "dc.date": "meta_date",
    "dc.date.issued": "meta_date", "dcterms.created": "meta_date", "pubdate": "meta_date",
    "publishdate": "meta_date", "publish-date": "meta_date", "parsely-pub-date": "meta_date",
    "sailthru.date": "meta_date", "citation_publication_date": "meta_date",
    "article.published": "meta_date", "description": "meta_description",
    "og:description": "meta_description", "twitter:description": "meta_description",
    "og:url": "meta_url", "og:type": "meta_type", "dc.rights": "meta_license",
    "dcterms.rights": "meta_license", "dcterms.license": "meta_license",
    "content-language": "meta_lang", "og:locale": "meta_lang", "og:site_name": "meta_site",
    "robots": "robots", **dict.fromkeys(ROBOTS_AGENTS, "robots_agent"),
    "tdm-reservation": "tdm_reservation", "tdm-policy": "tdm_policy",
    "creator": "meta_author", "dc:creator": "meta_author",
    "dcterms.creator": "meta_author", "article:author_name": "meta_author",
    "og:article:published_time": "meta_date", "publish_date": "meta_date",
    "pub_date": "meta_date", "dcterms.date": "meta_date", "dcterms.issued": "meta_date",
    "language": "meta_lang", "dc.language": "meta_lang", "inlanguage": "meta_lang",
    "dcterms.title": "meta_title", "parsely-title": "meta_title",
}  # fmt: skip

NAME_FACTORS = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
"""Two odd numbers whose bits look random: 2^64 over the golden ratio, a prime of xxHash."""
_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def fnv(name: bytes) -> int:
    """FNV-1a, 64 bits, of a name in lower case. The kernels compute the same."""
    value = _OFFSET
    for byte in name.lower():
        value = (value ^ byte) * _PRIME & _MASK
    return value


def name_hash(name: bytes) -> int:
    """Hash of the name of an element or attribute in lower case, as `html_wide.hash_name`."""
    name = name.lower()
    value = len(name)
    for at in range(0, len(name), 16):
        first, second = (
            int.from_bytes(name[k : min(k + 8, at + 16)], "little") for k in (at, at + 8)
        )
        value = (value ^ first) * NAME_FACTORS[0] & _MASK
        value = (value ^ value >> 32 ^ second) * NAME_FACTORS[1] & _MASK
    return value ^ value >> 32


def _table(items: Sequence[tuple[int, int]], slots: int) -> npt.NDArray[np.uint64]:
    """Rows of key and value: open addressing by the hash's low bits; key 0 is an empty slot."""
    table = np.zeros((slots, 2), dtype=np.uint64)
    for key, value in items:
        at = key & (slots - 1)
        while table[at, 0]:
            at = (at + 1) & (slots - 1)
        table[at] = key, value
    return table


class HtmlTables(NamedTuple):
    """Lookup tables of the scanner, read only. Each array more costs time to compile."""

    tags: Any
    attributes: Any
    meta: Any
    entities: Any
    """Values are place in the pool << 8 | number of bytes."""
    entity_pool: Any


@lru_cache(maxsize=1)
def html_tables() -> HtmlTables:
    """The tables, built once a process."""
    tags = [(name_hash(name.encode()), number) for name, number in TAG.items() if name]
    attributes = [(name_hash(name.encode()), number) for name, number in ATTRIBUTE.items() if name]
    meta = [(fnv(name.encode()), FACT[fact]) for name, fact in _META.items()]
    pool, entities = bytearray(), []
    for name, characters in html.entities.html5.items():
        data = characters.encode()
        # Entity names are sensitive to case, so they are hashed as they stand.
        entities.append((_fnv_exact(name.encode()), len(pool) << 8 | len(data)))
        pool += data
    return HtmlTables(
        _table(tags, 512),
        _table(attributes, 64),
        _table(meta, 128),
        _table(entities, 8192),
        np.frombuffer(bytes(pool), dtype=np.uint8),
    )


def _fnv_exact(name: bytes) -> int:
    value = _OFFSET
    for byte in name:
        value = (value ^ byte) * _PRIME & _MASK
    return value
