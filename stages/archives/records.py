"""What an archive holds: whole records, and the bytes that are none."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

_ALGORITHMS = {"sha1": 20, "md5": 16, "sha256": 32, "sha-256": 32, "sha-1": 20, "sha512": 64}


@dataclass(slots=True)
class Record:
    """A record read whole. `body` is None where it was not asked for or is above the bound.

    `offset` is the byte of the stored file where the record begins. In a gzip member or zstd frame
    of several records it is the member's first byte plus the number of records before it: unique,
    in order, and the member is found by it.
    """

    offset: int
    kind: str
    """WARC-Type in lower case."""
    id: str | None = None
    url: str | None = None
    date_text: str = ""
    content_type: str = ""
    segmented: bool = False
    digest: str | None = None
    """WARC-Block-Digest as it stands."""
    length: int = 0
    """Bytes of the block, as declared and as found."""
    head: bytes = b""
    """The header of a stored HTTP response, blank line included; empty if there is none."""
    body: bytes | None = None
    """The rest of the block."""

    @property
    def block(self) -> bytes | None:
        """The whole block."""
        return None if self.body is None else self.head + self.body

    @property
    def date(self) -> datetime | None:
        """WARC-Date as UTC; shortened dates (a year, a day) mean their first second."""
        text = self.date_text.strip().upper().removesuffix("Z")
        if re.fullmatch(r"\d{4}(-\d\d)?", text):
            text += "-01-01" if len(text) == 4 else "-01"
        try:
            date = datetime.fromisoformat(text)
            date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return date.replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Lost:
    """Stored bytes that hold no readable record."""

    offset: int
    num_bytes: int
    reason: str


def digest_holds(record: Record) -> bool | None:
    """Whether a block has its digest; None if it has none, or none that can be checked.

    Values are base32 or hexadecimal, as crawlers write both.
    """
    if record.body is None or not record.digest:
        return None
    name, colon, value = record.digest.strip().partition(":")
    size = _ALGORITHMS.get(name.strip().lower())
    value = value.strip().rstrip("=")
    if not colon or not size:
        return None
    try:
        if len(value) == 2 * size:
            wanted = bytes.fromhex(value)
        else:
            wanted = base64.b32decode(value.upper() + "=" * (-len(value) % 8))
    except ValueError:
        return None
    if len(wanted) != size:
        return None
    algorithm = name.strip().lower().replace("-", "")
    found = hashlib.new(algorithm, record.head, usedforsecurity=False)
    found.update(record.body)
    return found.digest() == wanted
