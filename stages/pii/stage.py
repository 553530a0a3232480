"""The stage `pii`: counts and masks personal data, or drops documents that hold it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.draw import draw
from pipeline.errors import nearest
from pipeline.stage import Processed, Rules, Side, TextBatch, TextMap, at_most, knob
from stages.pii.spans import KINDS, Finder, Span

MASKS: Mapping[str, tuple[str, ...]] = {
    "secret": ("<SECRET>",),
    "email": ("<EMAIL>",),
    "iban": ("<IBAN>",),
    "credit_card": ("<CREDIT_CARD>",),
    "ip": ("<IP_ADDRESS>",),
    "phone": ("<PHONE>",),
}
"""Type -> what its spans become where the knob `masks` says nothing."""
METRICS = {
    "secret": "secrets",
    "email": "emails",
    "iban": "ibans",
    "credit_card": "credit_cards",
    "ip": "ips",
    "phone": "phones",
}
"""Type -> the metric that counts its spans."""


@dataclass(frozen=True)
class Pii(TextMap):
    """Masks e-mail and IP addresses, telephone, card and account numbers, keys and tokens.

    With `action: drop` the text stays as it is and documents with more than `max_spans` (0) spans
    go. A type that is not looked for has no count.

    FineWeb's way: `types: [email, ip]`, `masks: {email: [email@example.com,
    firstname.lastname@example.org], ip: [...]}`; here the mask is drawn by the address and the
    document, there by what the worker has seen before. Dolma's: `types: [email, ip, phone]`,
    `max_spans: 5`.
    """

    types: tuple[str, ...] = knob(
        KINDS, unit="types of personal data", source="all that the stage knows"
    )
    action: Literal["mask", "drop"] = knob(
        "mask", unit="action", source="FineWeb, Dolma: spans are masked", choices=("mask", "drop")
    )
    max_spans: int | None = knob(
        None,
        unit="spans a document",
        source="mask: no bound, as FineWeb (Dolma: 5); drop: 0",
        minimum=0,
    )
    masks: Mapping[str, tuple[str, ...]] = knob(
        {},
        unit="replacements by type",
        source="placeholders by type; of several, one is drawn by (seed, doc_id, span)",
    )
    phone_regions: tuple[str, ...] = knob(
        ("US",),
        unit="region codes (CLDR)",
        source="Dolma: US numbers; +41 ... is found whatever the region",
    )

    compiles: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("phonenumbers",)
    metrics: ClassVar[Mapping[str, type]] = {
        **dict.fromkeys(METRICS.values(), int),
        **dict.fromkeys(("spans", "text_changed", "unchecked"), int),
    }

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """The seed counts only where a mask is drawn."""
        return self.action == "mask" and any(len(self._masks[kind]) > 1 for kind in self.types)

    @cached_property
    def _masks(self) -> Mapping[str, tuple[str, ...]]:
        return {**MASKS, **{kind: tuple(masks) for kind, masks in self.masks.items()}}

    @cached_property
    def finder(self) -> Finder:
        """What looks for the chosen types."""
        return Finder(frozenset(self.types), tuple(sorted(set(self.phone_regions))))

    def check(self) -> None:
        from stages.pii.phones import regions

        if not self.types:
            raise ValueError("types is empty: name at least one type, or leave the step out")
        for knob_name, names in (("types", self.types), ("masks", tuple(self.masks))):
            for name in names:
                if name not in KINDS:
                    raise ValueError(
                        f"{knob_name}: there is no type '{name}'.{nearest(name, KINDS)}"
                    )
        for kind, masks in self.masks.items():
            if not masks:
                raise ValueError(f"masks: '{kind}' has no replacement; give at least one (or '')")
        for region in self.phone_regions:
            if region not in regions():
                raise ValueError(
                    f"phone_regions: phonenumbers knows no region '{region}'."
                    f"{nearest(region, regions())}"
                )

    def rules(self) -> Rules:
        bound = self.max_spans if self.max_spans is not None or self.action == "mask" else 0
        spans = () if bound is None else (at_most("spans", bound, name="too_many_spans"),)
        # Numbers beyond the bound of the library's work would stay in the text unseen.
        return (*spans, at_most("unchecked", 0, name="too_many_numbers"))

    def process(self, batch: TextBatch, side: Side) -> Processed:
        texts = batch.column("text")
        found = self.finder.find(texts)
        replaced = self._replacements(batch, found.spans, side)
        counts = {name: np.zeros(len(batch), dtype=np.int64) for name in self.metrics}
        for span, mask in zip(found.spans, replaced, strict=True):
            if mask is not None:
                counts[METRICS[span.kind]][span.row] += 1
                counts["spans"][span.row] += 1
        for row, number in found.unchecked.items():
            counts["unchecked"][row] = number
        if self.action == "mask":
            counts["text_changed"] = (counts["spans"] > 0).astype(np.int64)
        metrics: dict[str, Any] = {name: pa.array(values) for name, values in counts.items()}
        for kind in set(KINDS) - set(self.types):
            metrics[METRICS[kind]] = pa.nulls(len(batch), pa.int64())
        if self.action == "drop" or not counts["spans"].any():
            return Processed(metrics=metrics)
        return Processed({"text": masked(texts, found.spans, replaced)}, metrics)

    def _replacements(self, batch: TextBatch, spans: list[Span], side: Side) -> list[bytes | None]:
        """The mask of each span; None for a span that is itself a mask, which does not count."""
        if not spans:
            return []
        from stages.kernels.shingles import text_buffers

        data, offsets = text_buffers(batch.column("text"))
        ids = batch.values("doc_id") if self.draws else []
        made: list[bytes | None] = []
        for span in spans:
            masks = self._masks[span.kind]
            base = offsets[span.row]
            value = data[base + span.start : base + span.end].tobytes()
            at = 0
            if len(masks) > 1:
                # The value and not its place: one address has one mask throughout a document.
                purpose = f"pii.{span.kind}." + value.decode("utf-8", "backslashreplace")
                at = draw(side.seed, purpose, ids[span.row]) * len(masks) >> 64
            known = value in [mask.encode() for mask in masks]
            made.append(None if known else masks[at].encode())
        return made


def masked(texts: pa.Array, spans: list[Span], masks: list[bytes | None]) -> pa.Array:
    """The texts with their spans replaced; None leaves a span. Nulls stay null."""
    from stages.kernels.shingles import text_buffers

    data, offsets = text_buffers(texts)
    whole = data.data
    parts: list[bytes | memoryview] = []
    longer: Counter[int] = Counter()
    behind = int(offsets[0])
    for span, mask in zip(spans, masks, strict=True):
        if mask is None:
            continue
        base = int(offsets[span.row])
        parts += [whole[behind : base + span.start], mask]
        behind = base + span.end
        longer[span.row] += len(mask) - (span.end - span.start)
    parts.append(whole[behind : int(offsets[-1])])
    growth = np.zeros(len(texts) + 1, dtype=np.int64)
    for row, number in longer.items():
        growth[row + 1] = number
    ends = offsets - offsets[0] + np.cumsum(growth)
    made = pa.Array.from_buffers(
        pa.large_string(), len(texts), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(parts))]
    )
    return (
        pc.if_else(texts.is_valid(), made, pa.scalar(None, made.type)) if texts.null_count else made
    )
