"""The `blocks` engine: scan, ask the model, choose blocks, write them down.

One pass over the bytes finds blocks of text in a tree (`stages.kernels.html_scan`); boosted trees
say how likely each is main text; the set with the highest expected F1 is kept, code and tables
whole; readers' comments and related stories are kept or dropped as the user says. A page of which
nothing is kept is tried once more by `rescue`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stages.extract.comments import Flags, comment_blocks, with_comments, without_comments
from stages.extract.features import best_blocks
from stages.extract.grids import with_neighbours
from stages.extract.json_ld import JsonLd, read_json_ld
from stages.extract.model import Prediction, load_model, predict
from stages.extract.page import ScannedPage, Scanner
from stages.extract.related import related_blocks, without_related
from stages.extract.render import Format, Layout, lay_out, render_page, whole_groups
from stages.extract.rescue import rescue
from stages.extract.result import SHIPPED_MODEL, Extracted
from stages.kernels.html_columns import FEATURES
from stages.kernels.html_context import KINDS

Switch = Literal["drop", "keep"]
_LINK_SHARE = FEATURES.index("link_share")


@dataclass
class BlocksEngine:
    """Extracts pages one after the other. Not for several threads at once."""

    format: Format = "text"
    comments: Switch = "drop"
    related: Switch = "drop"
    model: Path = SHIPPED_MODEL
    scanner: Scanner = field(default_factory=Scanner)

    def __call__(self, html: bytes, url: str | None = None) -> Extracted:
        """Main text of a page in UTF-8. Raises InputError if the model's file is none."""
        page = self.scanner.scan(html)
        return self.extract(page, read_json_ld(page))

    def extract(self, page: ScannedPage, json_ld: JsonLd) -> Extracted:
        """Main text of a scanned page."""
        text, score, kind = "", None, None
        if len(page.blocks):
            og_type = next(iter(page.facts_of("meta_type")), "")
            said = predict(page, load_model(self.model), json_ld, og_type)
            laid_out = lay_out(page)
            kept, expected = self._kept(page, said, laid_out)
            text = render_page(page, kept, self.format, laid_out)
            score, kind = float(expected), KINDS[int(said.kinds.argmax())]
        if text:
            return Extracted(text, score, kind)
        found = rescue(page.html, json_ld)
        if found is None:
            return Extracted("", score, kind)
        return Extracted(found[0], score, kind, found[1])

    def _kept(self, page: ScannedPage, said: Prediction, laid_out: Layout) -> tuple[Flags, float]:
        """Which blocks are written, and the F1 that the model expects of its own choice."""
        prob = with_neighbours(said.features, said.prob, page.blocks, said.kinds)
        kept, expected = best_blocks(prob, said.words, page, said.features.hashes)
        kept = whole_groups(laid_out, said.prob, said.words, kept)
        marked = comment_blocks(page)
        if marked.any():
            if self.comments == "drop":
                kept = without_comments(kept, marked, said.words, said.kinds)
            else:
                links = said.features.rows[:, _LINK_SHARE]
                kept = with_comments(kept, marked, said.words, links)
        places = said.features.places
        if self.related == "keep":
            return kept | related_blocks(page, said.words, places), expected
        return without_related(page, kept, said.words, places, said.kinds), expected
