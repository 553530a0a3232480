"""The engines behind one interface: (page in UTF-8, URL) -> `Extracted`.

`blocks` is ours. `trafilatura` (`fast` without its fallback extractors; `favor` its precision and
recall modes) and `resiliparse` are libraries that build a DOM. Both are quadratic on pages nested
without end, so a page beyond `is_affordable` raises TooComplexError before they see it.
Trafilatura's `deduplicate` stays off: it remembers earlier pages, so text would depend on what a
worker saw before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from stages.extract.page import valid_utf8
from stages.extract.rescue import is_affordable
from stages.extract.result import SHIPPED_MODEL, Extracted, TooComplexError

Engine = Callable[[bytes, str | None], Extracted]
Favor = Literal["none", "precision", "recall"]
ENGINES = ("blocks", "trafilatura", "resiliparse")


def load_engine(name: str, **options: Any) -> Engine:
    """The engine of this name, ready to extract.

    Options of blocks: `format`, `comments`, `related`, `model`; of trafilatura: `fast`, `favor`,
    `comments`; resiliparse has none. Raises ValueError for another name.
    """
    if name == "blocks":
        from stages.extract.blocks import BlocksEngine

        model = options.pop("model", None)
        return BlocksEngine(**options, model=Path(model) if model else SHIPPED_MODEL)
    if name == "trafilatura":
        return _trafilatura(**options)
    if name == "resiliparse":
        return _resiliparse(**options)
    raise ValueError(f"no engine '{name}'; there are {', '.join(ENGINES)}")


def _text(html: bytes) -> str:
    """The page as a string. Raises TooComplexError."""
    if not is_affordable(html):
        raise TooComplexError
    return valid_utf8(html).decode()


def _trafilatura(fast: bool = True, favor: Favor = "none", comments: str = "drop") -> Engine:
    import trafilatura
    from trafilatura.meta import reset_caches

    # Failures are counted as metrics; the library's own log lines would only repeat them.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL + 1)
    pages = 0

    def extract(html: bytes, url: str | None = None) -> Extracted:
        nonlocal pages
        page = _text(html)
        if not page.strip():
            return Extracted("")
        pages += 1
        if pages % 4096 == 0:
            reset_caches()  # they never shrink; what they hold changes no text
        text: str | None = trafilatura.extract(
            page, fast=fast, include_comments=comments == "keep", deduplicate=False,
            favor_precision=favor == "precision", favor_recall=favor == "recall",
        )  # fmt: skip
        return Extracted((text or "").strip())

    return extract


def _resiliparse() -> Engine:
    from resiliparse.extract.html2text import extract_plain_text

    def extract(html: bytes, url: str | None = None) -> Extracted:
        page = _text(html)
        if not page.strip():
            return Extracted("")
        text: str = extract_plain_text(
            page, preserve_formatting=True, main_content=True, alt_texts=False
        )
        return Extracted(text.strip())

    return extract
