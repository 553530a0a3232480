"""The `blocks` engine: scan, ask the model, choose blocks, write them down.

One pass over the bytes finds blocks of text in a tree (`stages.kernels.html_scan`); boosted trees
say how likely each is main text; the set with the highest expected F1 is kept, code and tables
whole; readers' comments and related stories are kept or dropped as the user says. A page of which
nothing is kept is tried once more by `rescue`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from stages.extract.desk import Writer
from stages.extract.json_ld import JsonLd, read_json_ld
from stages.extract.kind import page_flags
from stages.extract.model import BlocksModel, load_model
from stages.extract.page import ScannedPage, Scanner
from stages.extract.render import Format
from stages.extract.rescue import rescue
from stages.extract.result import SHIPPED_MODEL, Extracted
from stages.kernels.html_choice import COMMENTS, RELATED

Switch = Literal["drop", "keep"]


@dataclass
class BlocksEngine:
    """Extracts pages one after the other. Not for several threads at once."""

    format: Format = "text"
    comments: Switch = "drop"
    related: Switch = "drop"
    model: Path = SHIPPED_MODEL
    scanner: Scanner = field(default_factory=Scanner)
    writer: Writer = field(default_factory=Writer)

    def __call__(self, html: bytes, url: str | None = None) -> Extracted:
        """Main text of a page in UTF-8. Raises InputError if the model's file is none."""
        page = self.scanner.scan(html)
        return self.extract(page, read_json_ld(page))

    def extract(self, page: ScannedPage, json_ld: JsonLd) -> Extracted:
        """Main text of a scanned page."""
        text, score, kind = "", None, None
        if len(page.blocks):
            og_type = next(iter(page.facts_of("meta_type")), "")
            text, score, kind = self.writer.main_text(
                page,
                self._loaded,
                page_flags(json_ld, og_type),
                self._options,
                self.format == "markdown",
            )
        if text:
            return Extracted(text, score, kind)
        found = rescue(page.html, json_ld)
        if found is None:
            return Extracted("", score, kind)
        return Extracted(found[0], score, kind, found[1])

    @cached_property
    def _loaded(self) -> BlocksModel:
        return load_model(self.model)

    @cached_property
    def _options(self) -> int:
        return int(COMMENTS * (self.comments == "keep") | RELATED * (self.related == "keep"))
