"""Spans of personal data in a column of texts: candidates from one pass, checked one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.pii import checks, phones, secrets

KINDS = ("secret", "email", "iban", "credit_card", "ip", "phone")
"""All types; where two overlap the earlier one here holds."""
MAX_PHONE_CHECKS = 2000
"""Runs of a document that are shown to the telephone library: at 0.3 ms each, 0.6 s at most."""


class Span(NamedTuple):
    """One find; `start` and `end` count bytes of the document's UTF-8."""

    row: int
    start: int
    end: int
    kind: str


@dataclass
class Found:
    """What stands in a column of texts."""

    spans: list[Span] = field(default_factory=list)
    """In order of (row, start); none overlap."""
    unchecked: Counter[int] = field(default_factory=Counter)
    """Row -> runs of digits that nobody looked at, beyond MAX_PHONE_CHECKS."""


class Finder:
    """Finds the chosen kinds. `regions` are those of telephone numbers without a country code."""

    def __init__(self, kinds: frozenset[str], regions: tuple[str, ...]) -> None:
        from stages.kernels import pii_candidates as at

        self.kinds, self.regions = kinds, regions
        of = {
            "email": (at.EMAIL,),
            "ip": (at.IPV4, at.IPV6),
            "iban": (at.IBAN,),
            "credit_card": (at.NUMBER,),
            "phone": (at.NUMBER,),
        }
        self.candidates = frozenset(c for kind in kinds & set(of) for c in of[kind])
        # Without regions of their own telephone numbers begin with a plus sign, which counts apart.
        digits = [checks.MIN_CARD_DIGITS] if "credit_card" in kinds else []
        digits += [phones.least_digits(regions)] if "phone" in kinds and regions else []
        self.least_digits = min(digits, default=99)

    def find(self, texts: pa.Array) -> Found:
        """All spans of a string column. Memory speed where there are no candidates."""
        from stages.kernels.shingles import text_buffers

        data, offsets = text_buffers(texts)
        found = Found()
        if not len(data):
            return found
        whole = data.data
        spans = [*self._from_candidates(texts, whole, offsets, found)]
        if "secret" in self.kinds:
            spans += _secrets(whole, offsets)
        found.spans = without_overlaps(spans)
        return found

    def _from_candidates(
        self, texts: pa.Array, whole: memoryview, offsets: npt.NDArray[np.int64], found: Found
    ) -> Iterator[Span]:
        from stages.kernels.pii_candidates import find_candidates

        if not self.candidates:
            return
        checked: Counter[int] = Counter()
        at, text = -1, whole
        for row, kind, start, end in find_candidates(
            texts, self.candidates, self.least_digits
        ).tolist():
            if row != at:
                at, base = row, int(offsets[row])
                text = whole[base : int(offsets[row + 1])]
            yield from self._check(row, kind, text, start - base, end - base, checked, found)

    def _check(
        self, row: int, kind: int, text: memoryview, start: int, end: int,
        checked: Counter[int], found: Found,
    ) -> Iterator[Span]:  # fmt: skip
        from stages.kernels import pii_candidates as at

        if kind == at.NUMBER:
            yield from self._number(row, text, start, end, checked, found)
            return
        check, name = {
            at.EMAIL: (checks.email, "email"),
            at.IPV4: (checks.ipv4, "ip"),
            at.IPV6: (checks.ipv6, "ip"),
            at.IBAN: (checks.iban, "iban"),
        }[kind]
        span = check(text, start, end)
        if span:
            yield Span(row, *span, name)

    def _number(
        self, row: int, text: memoryview, start: int, end: int,
        checked: Counter[int], found: Found,
    ) -> Iterator[Span]:  # fmt: skip
        if "credit_card" in self.kinds and end - start >= checks.MIN_CARD_DIGITS:
            for span in checks.cards(text, start, end):
                yield Span(row, *span, "credit_card")
        if "phone" not in self.kinds:
            return
        if checked[row] == MAX_PHONE_CHECKS:
            found.unchecked[row] += 1
            return
        evidence = phones.evidence(text, start, end, self.regions)
        if evidence is phones.Evidence.NONE:
            return
        checked[row] += 1
        for span in phones.phones(
            text, start, end, self.regions, evidence is phones.Evidence.STRONG
        ):
            yield Span(row, *span, "phone")


def _secrets(whole: memoryview, offsets: npt.NDArray[np.int64]) -> Iterator[Span]:
    first, last = int(offsets[0]), int(offsets[-1])
    prefixes = [(number, first + start, first + end) for number, start, end in
                secrets.prefixes_in(whole[first:last])]  # fmt: skip
    rows = np.searchsorted(offsets, [start for _, start, _ in prefixes], side="right") - 1
    if any(end > offsets[row + 1] for (*_, end), row in zip(prefixes, rows, strict=True)):
        # A prefix made of the ends of two texts may hide one that begins inside of it.
        yield from _secrets_one_by_one(whole, offsets)
        return
    for (number, start, _), row in zip(prefixes, rows.tolist(), strict=True):
        base = int(offsets[row])
        span = secrets.secret_at(whole[base : int(offsets[row + 1])], number, start - base)
        if span:
            yield Span(row, *span, "secret")


def _secrets_one_by_one(whole: memoryview, offsets: npt.NDArray[np.int64]) -> Iterator[Span]:
    for row in range(len(offsets) - 1):
        text = whole[int(offsets[row]) : int(offsets[row + 1])]
        for number, start, _ in secrets.prefixes_in(text):
            span = secrets.secret_at(text, number, start)
            if span:
                yield Span(row, *span, "secret")


def without_overlaps(spans: list[Span]) -> list[Span]:
    """The spans in order; of two that overlap the one whose kind stands first in KINDS."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.row, s.start, KINDS.index(s.kind), -s.end)):
        if kept and kept[-1].row == span.row and span.start < kept[-1].end:
            if KINDS.index(span.kind) < KINDS.index(kept[-1].kind):
                kept[-1] = span
            continue
        kept.append(span)
    return kept
