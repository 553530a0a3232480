"""Which pages of a URL index are wanted: by language, domain, media type and status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import nearest
from stages.language.codes import UNDETERMINED, subtag

TABLES = ("parquet", "cdx")


@dataclass(frozen=True)
class Wanted:
    """What `index:` says; an empty set wants all. Pages that are not of status 200 have no text."""

    languages: frozenset[str] = frozenset()
    """Primary subtags (`en`); a page is wanted if any of its up to three languages is."""
    domains: frozenset[str] = frozenset()
    """Registered domains, with all their hosts."""
    mime: frozenset[str] = frozenset()
    """Media types as Common Crawl detected them, not as the server said."""
    status: frozenset[int] = frozenset({200})
    table: str = "parquet"
    """`parquet`, the columnar index, or `cdx`, whose `cluster.idx` finds few domains faster."""

    @property
    def identity(self) -> dict[str, Any]:
        """The same for equal wishes."""
        names = ("languages", "domains", "mime", "status")
        return {"table": self.table} | {name: sorted(getattr(self, name)) for name in names}

    def language(self, codes: str | None) -> bool:
        """Whether a page of these languages (`eng,fra`) is wanted."""
        if not self.languages:
            return True
        return any(subtag(code) in self.languages for code in (codes or "").split(",") if code)

    def host(self, reversed_host: str) -> bool:
        """Whether a page of a host in SURT form (`com,example,www`) is wanted."""
        parts = reversed_host.split(",")
        return not self.domains or any(
            ".".join(reversed(parts[:count])) in self.domains for count in range(1, len(parts) + 1)
        )


def wanted_of(index: Mapping[str, Any]) -> Wanted:
    """What the knob `index` says. Raises ValueError."""
    names = list(Wanted.__dataclass_fields__)
    for name in index:
        if name not in names:
            raise ValueError(f"unknown key 'index.{name}'.{nearest(str(name), names)}")
    found: dict[str, Any] = {}
    for name in ("languages", "domains", "mime", "status"):
        if name in index:
            values = index[name] if isinstance(index[name], (list, tuple)) else [index[name]]
            kind = int if name == "status" else str
            if not values or not all(type(value) is kind for value in values):
                expected = "numbers such as [200]" if kind is int else "texts"
                raise ValueError(f"index.{name} is {index[name]!r}, expected a list of {expected}")
            found[name] = frozenset(v.lower() if isinstance(v, str) else v for v in values)
    codes = {code: subtag(code) for code in found.get("languages", ())}
    for code, tag in codes.items():
        if tag == UNDETERMINED:
            raise ValueError(f"index.languages: '{code}' is no language, expected codes such as en")
    if codes:
        found["languages"] = frozenset(codes.values())
    table = index.get("table", "parquet")
    if table not in TABLES:
        raise ValueError(f"index.table is {table!r}, expected one of {', '.join(TABLES)}")
    for domain in found.get("domains", ()):
        if "." not in domain or "/" in domain:
            raise ValueError(f"index.domains: '{domain}' is no domain, expected example.org")
    return Wanted(table=table, **found)
