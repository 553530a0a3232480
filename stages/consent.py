"""Drops pages that ask not to be used, or whose licence does not fit.

A page speaks by robots tags (`extract`'s `robots_meta`), by the header X-Robots-Tag, by a
reservation of text and data mining (headers or tags of the TDM Reservation Protocol; what Directive
(EU) 2019/790, article 4(3), calls machine-readable), and by its licence. One place that says no is
enough. `none` is `noindex, nofollow`. robots.txt and `/.well-known/tdmrep.json` are no part of
a page and are not asked here.

In X-Robots-Tag a name before a directive addresses one crawler, and what follows goes on addressing
it (`otherbot: noindex, nofollow`); such directives count for the crawlers of `agents` alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal

from pipeline.stage import Filter, Rules, TextBatch, at_most, knob

_IMG2DATASET = "img2dataset (pull request 218) refuses it"
_NOAI = f"deviantart.com, A New Directive for Opting Out of AI Datasets (2022); {_IMG2DATASET}"
_TEXT = "off: C4, RefinedWeb, FineWeb and DCLM do not ask"
_WITH_VALUE = frozenset(
    {"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"}
)
"""Directives that have a value behind a colon (Google, robots meta tag specification): no names."""
SIGNALS = ("noai", "noimageai", "noindex", "noimageindex", "noarchive", "nosnippet")


@dataclass(frozen=True)
class Consent(Filter):
    """Drops pages by what they say of their use; a signal whose knob is off is measured too.

    Metrics are 0 or 1, the drop reasons have their names.
    """

    noai: bool = knob(True, source=_NOAI)
    noimageai: bool = knob(False, source=f"off: it speaks of pictures; {_IMG2DATASET}")
    noindex: bool = knob(False, source=f"{_TEXT}; {_IMG2DATASET}")
    noimageindex: bool = knob(False, source=f"off: it speaks of pictures; {_IMG2DATASET}")
    noarchive: bool = knob(False, source=_TEXT)
    nosnippet: bool = knob(False, source=_TEXT)
    tdm_reserved: bool = knob(
        True, source="Directive (EU) 2019/790, article 4(3); https://www.w3.org/2022/tdmrep/"
    )
    agents: tuple[str, ...] = knob(
        (), unit="crawlers", source="none: what addresses one crawler is not said to us"
    )
    licences: tuple[str, ...] = knob(
        (), unit="licence ids, * for any characters", source="off: most pages name no licence",
        help="keep only pages of such a licence: [cc0-*, cc-by-4.0]",
    )  # fmt: skip
    refused_licences: tuple[str, ...] = knob(
        (),
        unit="licence ids, * for any characters",
        source="off: no published pipeline refuses any",
        help="drop pages of such a licence: ['cc-*-nc*', 'cc-*-nd*']",
    )
    licence_from: Literal["stated", "linked"] = knob(
        "stated",
        unit="place",
        source="measured: of 33 gold pages with links alone a quarter name that of a picture",
        choices=("stated", "linked"),
        help="stated: licence links and fields; linked: any link to Creative Commons besides",
    )

    reads: ClassVar[tuple[str, ...]] = ("robots_meta", "tdm_meta", "licence_id", "cc_links")
    metrics: ClassVar[Mapping[str, type]] = {
        **dict.fromkeys((*SIGNALS, "tdm_reserved", "licence_unfit", "licence_refused"), int)
    }

    def rules(self) -> Rules:
        names = [name for name in (*SIGNALS, "tdm_reserved") if getattr(self, name)]
        names += ["licence_unfit"] if self.licences else []
        names += ["licence_refused"] if self.refused_licences else []
        return tuple(at_most(name, 0, name=name) for name in names)

    def measure_batch(self, batch: TextBatch) -> Mapping[str, Any]:
        robots = [_column(batch, name) for name in ("robots_meta", "x_robots_tag")]
        mining = [_column(batch, name) for name in ("tdm_meta", "tdm_headers")]
        agents = tuple(name.lower() for name in self.agents)
        said = [
            _directives(tag, agents) | _directives(header, agents)
            for tag, header in zip(*robots, strict=True)
        ]
        licences = [
            self._licences(stated, linked)
            for stated, linked in zip(
                _column(batch, "licence_id"), _column(batch, "cc_links"), strict=True
            )
        ]
        return {
            **{name: [int(name in each) for each in said] for name in SIGNALS},
            "tdm_reserved": [int(any(map(reserves, each))) for each in zip(*mining, strict=True)],
            "licence_unfit": [int(self._unfit(each)) for each in licences],
            "licence_refused": [int(_met(each, self.refused_licences)) for each in licences],
        }

    def _unfit(self, licences: list[str]) -> bool:
        return bool(self.licences) and not _met(licences, self.licences)

    def _licences(self, stated: str | None, linked: str | None) -> list[str]:
        if stated is not None:
            return [stated]
        return linked.split(", ") if linked and self.licence_from == "linked" else []


def _column(batch: TextBatch, name: str) -> list[str | None]:
    """The values of a column; nulls where the source has none."""
    found: list[str | None] = (
        batch.values(name) if name in batch.table.column_names else [None] * len(batch)
    )
    return found


def _met(licences: list[str], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(licence, pattern) for licence in licences for pattern in patterns)


@functools.lru_cache(maxsize=4096)
def _directives(value: str | None, agents: tuple[str, ...]) -> frozenset[str]:
    """Directives of robots tags or of X-Robots-Tag that speak to all, or to one of `agents`."""
    found = set()
    agent = ""
    for part in (value or "").lower().split(","):
        name, colon, rest = (piece.strip() for piece in part.partition(":"))
        if colon and name not in _WITH_VALUE:
            agent, name = name, rest.partition(":")[0].strip()
        if name and (not agent or agent == "*" or agent in agents):
            found |= {"noindex", "nofollow"} if name == "none" else {name}
    return frozenset(found)


def reserves(value: str | None) -> bool:
    """True if text and data mining is reserved: `tdm-reservation: 1`."""
    return value is not None and re.search(r"tdm-reservation\s*:\s*1\b", value) is not None
