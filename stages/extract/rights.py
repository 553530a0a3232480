"""What a page says of the use of its text: robots tags, text and data mining, licences.

The columns are as the page states them, in one spelling; what follows from them is for `consent`.

- `robots_meta`: `<meta name="robots">` and those that address one crawler, written as in
  X-Robots-Tag: `noindex, noai, googlebot: noarchive`.
- `tdm_meta`: `<meta name="tdm-reservation">` and `tdm-policy` of the TDM Reservation Protocol
  (https://www.w3.org/2022/tdmrep/), written as the headers
  are: `tdm-reservation: 1; tdm-policy: https://...`.
- `licence_id`: the licence of the page's licence link or field: its SPDX identifier, in lower case.
- `cc_links`: every Creative Commons licence that the page points to, comments with RDF included:
  mostly its own, but of 33 gold pages with such links alone a quarter say it of a picture.

Together some 4 % of extraction (85 of 1,900 microseconds a page on a busy machine).
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from stages.extract.json_ld import unescaped
from stages.kernels.html_tags import FACT

if TYPE_CHECKING:
    from stages.extract.page import ScannedPage

MAX_ROBOTS_CHARS = 1_000
MAX_POLICY_CHARS = 2_048
_MAX_LINKS = 64
_LINK_BYTES = 128 << 10
"""Of a page's end that is searched for licence links: 73 of the 75 gold pages that have any."""
_TAG_BYTES = 500
"""Looked at before a value for the name of its tag, and behind it."""

# --- Robots and mining ---------------------------------------------------------------------------

_NAME = re.compile(rb"name\s*=\s*[\"']?\s*([a-z-]+)", re.I)
_DIRECTIVE = re.compile(r"[a-z_-]+(?:\s*:\s*[^\s,]+)?")


def robots_meta(page: ScannedPage) -> str | None:
    """Directives in page order, each once, those to all crawlers first."""
    found: dict[str, None] = {}
    for value in _values(page, "robots"):
        found |= dict.fromkeys(_directives(value))
    for start, end in page.spans.get(FACT["robots_agent"], ()):
        agent = _name_of_tag(page.html, start, end)
        value = unescaped(page.html[start:end].decode("utf-8", "ignore"))
        found |= dict.fromkeys(f"{agent}: {each}" for each in _directives(value) if agent)
    return ", ".join(found)[:MAX_ROBOTS_CHARS] or None


@functools.lru_cache(maxsize=4096)  # pages of one site say the same
def _directives(value: str) -> tuple[str, ...]:
    """`max-snippet:-1` is one; blanks part them where commas are forgotten."""
    return tuple(re.sub(r"\s", "", found) for found in _DIRECTIVE.findall(value.lower()))


def _name_of_tag(html: bytes, start: int, end: int) -> str:
    opened = html.rfind(b"<", max(start - _TAG_BYTES, 0), start)
    closed = html.find(b">", end, end + _TAG_BYTES)
    tag = html[max(opened, 0) : closed if closed >= 0 else end]
    found = _NAME.search(tag)
    return found[1].decode().lower() if found else ""


def tdm_meta(page: ScannedPage) -> str | None:
    """Of several tags the first counts."""
    found = []
    for name in ("tdm-reservation", "tdm-policy"):
        values = _values(page, name.replace("-", "_"))
        if values and (value := values[0].strip()):
            found.append(f"{name}: {value[:MAX_POLICY_CHARS]}")
    return "; ".join(found) or None


def _values(page: ScannedPage, name: str) -> list[str]:
    spans = page.spans.get(FACT[name], ())
    return [unescaped(page.html[a:b].decode("utf-8", "ignore")) for a, b in spans]


# --- Licences ------------------------------------------------------------------------------------

_CC_LINK = re.compile(
    rb"""["'=](?:https?:)?(?://(?:www\.)?|//web\.archive\.org/web/[^"'\s]{0,60}?)"""
    rb"""(creativecommons\.org/(?:licenses|publicdomain)/[a-z0-9./+-]{2,40})""",
    re.I,
)
_CC = re.compile(
    r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)(?:/(\d\.\d)(?:/([a-z]{2,4})\b)?)?",
    re.I,
)
_OTHERS = tuple(
    (re.compile(pattern, re.I), name)
    for pattern, name in (
        (r"gnu\.org/(?:copyleft|licenses)/(?:old-licenses/)?fdl-?(\d\.\d)?", "gfdl"),
        (r"gnu\.org/(?:copyleft|licenses)/(?:old-licenses/)?gpl-?(\d\.\d)?", "gpl"),
        (r"apache\.org/licenses/LICENSE-(\d\.\d)", "apache"),
        (r"nationalarchives\.gov\.uk/doc/open-government-licence/version/(\d)", "ogl-uk"),
        (r"opensource\.org/licen[sc]es?/mit\b()", "mit"),
    )
)
_PUBLIC = {"zero": "cc0", "mark": "cc-pdm", "publicdomain": "cc-pddc"}


def licence_id(url: str | None) -> str | None:
    """`cc-by-sa-3.0-de` of a licence's URL, by the SPDX list in lower case; None if it is none of
    those known here. A version that the URL does not give is left out."""
    if url is None:
        return None
    found = _CC.search(url)
    if found:
        kind, version, place = found[2].lower(), found[3], found[4]
        if kind in _PUBLIC:
            name, place = _PUBLIC[kind], None
        else:
            name = f"cc-{kind}"
        place = None if place in ("deed", "lega") or place == "rdf" else place
        return "-".join(part for part in (name, version, place and place.lower()) if part)
    for pattern, name in _OTHERS:
        if other := pattern.search(url):
            return f"{name}-{other[1]}" if other[1] else name
    return None


def cc_links(html: bytes) -> str | None:
    """Licences of Creative Commons that the page links to, each once, sorted."""
    start = max(len(html) - _LINK_BYTES, 0)
    if html.find(b"creativecommons.org/", start) < 0:
        return None
    links = (found[1].decode("ascii", "ignore") for found in _CC_LINK.finditer(html, start))
    ids = {name for link, _ in zip(links, range(_MAX_LINKS), strict=False)
           if (name := licence_id(link))}  # fmt: skip
    return ", ".join(sorted(ids)) or None
