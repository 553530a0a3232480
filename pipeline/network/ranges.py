"""Reading files of http(s) servers: ranged, resumed, validated; never bytes of two versions mixed.

A server that gives a strong validator (a strong ETag; else Last-Modified, if older than the
answer, RFC 9110 section 8.8.2.2) and ranges is read in ranges, each under If-Match and checked
against the validator and the size of the first answer. Any other server is read in one answer from
the first byte on; a broken answer is begun again, and what was given out before must come again.
"""

from __future__ import annotations

import hashlib

from pipeline.network.backoff import Backoff
from pipeline.network.headers import digests_of, validator_of, wrong_digest
from pipeline.network.http import CAREFUL, ONCE, Answer, Broken, HttpFile, Version

_PROGRESS = 4096
"""An attempt that gained fewer bytes, and less than half of what was missing, gained nothing."""


class HttpRanges:
    """Byte ranges of one version of a file."""

    def __init__(self, file: HttpFile, version: Version) -> None:
        assert version.size is not None
        self.file, self.version, self.size = file, version, version.size

    def fetch(self, start: int, stop: int) -> bytes:
        """Exactly the bytes of this version in [start, stop). Raises InputError."""
        got, backoff = bytearray(), Backoff()
        while len(got) < stop - start:
            before = len(got)
            try:
                self._more(got, start, stop, backoff.failures > 0)
            except Broken as broken:
                if len(got) - before >= min(_PROGRESS, (stop - start - before) // 2) > 0:
                    backoff.progress()
                if not backoff.wait(broken.retry_after):
                    raise self.file.gave_up(broken, backoff, start + len(got)) from broken
        return bytes(got)

    def _more(self, got: bytearray, start: int, stop: int, careful: bool) -> None:
        at = start + len(got)
        token = self.version.token
        guard = "If-Match" if token.startswith('"') else "If-Unmodified-Since"
        answer = self.file.ask({"Range": f"bytes={at}-{stop - 1}", guard: token})
        answer.chunk = CAREFUL if careful else answer.chunk
        whole = False
        try:
            first, behind = self._checked(answer)
            if first > at or behind <= at:
                raise Broken(f"got bytes {first:,} to {behind:,}, expected them from {at:,} on")
            wanted = min(behind, stop) - first
            part, broken = _taken(answer, wanted)
            whole = len(part) == behind - first
            if digests_of(answer.headers):
                name = wrong_digest(answer.headers, part) if whole else ""
                if name or not whole:  # a part of what the digest is of cannot be checked
                    raise broken or Broken(f"bytes of another {name or 'length'} than it says")
            got += part[at - first :]
            if len(part) < wanted:
                raise broken or Broken(f"{len(part):,} bytes, expected {wanted:,}")
        finally:
            answer.close(whole)

    def _checked(self, answer: Answer) -> tuple[int, int]:
        """(start, stop) of the answer; it must be of this version. Raises InputError, Broken."""
        if answer.status == 412:
            raise self.file.changed(self.version.token, "answer 412")
        if answer.status == 416:
            raise self.file.changed(f"{self.size:,} bytes", "no such byte (answer 416)")
        token = validator_of(answer.headers)[1]
        if token != self.version.token:
            raise self.file.changed(self.version.token, token or "no validator")
        if answer.status == 200:
            raise Broken("the whole file instead of a range")
        first, behind, size = self.file.span_of(answer)
        if size is not None and size != self.size:
            raise self.file.changed(f"{self.size:,} bytes", f"{size:,} bytes")
        return first, behind


def _taken(answer: Answer, wanted: int) -> tuple[bytearray, Broken | None]:
    """What came of the wanted bytes, and what ended it early."""
    part = bytearray()
    try:
        while len(part) < wanted and (data := answer.take(wanted - len(part))):
            part += data
    except Broken as broken:
        return part, broken
    return part, None


class HttpWhole:
    """A file read in one answer from its first byte on; going back begins it again.

    Units that were given out before must come again with the same bytes.
    """

    def __init__(self, file: HttpFile, version: Version, unit: int) -> None:
        assert version.size is not None
        self.file, self.version, self.size, self.unit = file, version, version.size, unit
        self._seen: dict[int, bytes] = {}
        self._answer: Answer | None = None
        self._at = 0

    def fetch(self, start: int, stop: int) -> bytes:
        """The units in [start, stop). Raises InputError."""
        parts, backoff = [], Backoff()
        at = start
        while at < stop:
            try:
                if self._answer is None or self._at > at:
                    self._begin()
                while self._at < at:
                    self._next()
                parts.append(self._next())
                at = self._at
                backoff.progress()
            except Broken as broken:
                self.close()
                if not backoff.wait(broken.retry_after):
                    raise self.file.gave_up(broken, backoff, self._at) from broken
        if self._answer is not None and self._at == self.size:
            more = self._answer.goes_on()
            self.close()
            if more:
                raise self.file.error(
                    f"more bytes than the {self.size:,} of its Content-Length",
                    "The server has to mend it.",
                )
        return b"".join(parts)

    def _begin(self) -> None:
        self.close()
        answer = self.file.ask({"Connection": "close"})
        if answer.status != 200:
            answer.close(False)
            raise Broken(f"answer {answer.status}, expected 200")
        now = self.file.version_of(answer)
        if (_plain(now), now.size) != (_plain(self.version), self.version.size):
            answer.close(False)
            raise self.file.changed(
                f"{_plain(self.version)} of {self.size:,} bytes",
                f"{_plain(now)} of {now.size or 0:,} bytes",
            )
        answer.to_the_end()
        self._answer, self._at = answer, 0

    def _next(self) -> bytes:
        """The next unit, whole and the same as before. Raises Broken, InputError."""
        assert self._answer is not None
        wanted = min(self.unit, self.size - self._at)
        data = bytearray()
        while len(data) < wanted:
            more = self._answer.take(wanted - len(data))
            if not more:
                raise Broken(f"{self._at + len(data):,} bytes, expected {self.size:,}")
            data += more
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if self._seen.setdefault(self._at // self.unit, digest) != digest:
            raise self.file.changed("the bytes of before", f"others from {self._at:,} on")
        self._at += wanted
        return bytes(data)

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close(False)
            self._answer = None


def _plain(version: Version) -> str:
    return version.token.removeprefix(ONCE)
