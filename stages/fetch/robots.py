"""robots.txt by RFC 9309, parsed by Protego: what a site asks of a crawler.

An answer 4xx means that there are no rules, 429 aside; any other failure means that nothing may be
fetched (section 2.3.1). Up to five redirects are followed, 500 KiB are read. `Crawl-delay` is no
part of the RFC and is kept all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from urllib3.util import Url

MAX_ROBOTS_BYTES = 500 << 10
"""RFC 9309 section 2.5: a crawler reads at least 500 KiB."""
MAX_REDIRECTS = 5
"""RFC 9309 section 2.3.1.2: at least five are followed; behind more there are no rules."""


@dataclass(frozen=True)
class Robots:
    """What a site's robots.txt says."""

    outcome: str
    """`rules`, `none` (nothing is asked) or `unreachable` (nothing may be fetched)."""
    rules: Any = None

    def allows(self, url: Url, agent: str) -> bool:
        """True if the crawler of this name may fetch the URL."""
        if self.outcome == "unreachable":
            return False
        return self.rules is None or bool(self.rules.can_fetch(url.url, agent))

    def delay(self, agent: str) -> float:
        """Seconds between two requests that the site asks for."""
        asked = self.rules.crawl_delay(agent) if self.rules is not None else None
        return max(0.0, float(asked or 0.0))


def parse_robots(body: bytes) -> Robots:
    """The rules of a robots.txt, which is UTF-8 by the RFC."""
    from protego import Protego

    text = body[:MAX_ROBOTS_BYTES].decode("utf-8", "replace").removeprefix("\ufeff")
    return Robots("rules", Protego.parse(text.replace("\0", "")))


def robots_of(status: int, body: bytes) -> Robots:
    """What an answer to the request for robots.txt means."""
    if 200 <= status < 300:
        return parse_robots(body)
    if 400 <= status < 500 and status != 429:
        return Robots("none")
    return Robots("unreachable")
