"""Main text of a web page.

Engines: `trafilatura` (its `fast` mode without comments: F1 .962 on the article extraction
benchmark at 35 pages/s a core) and `resiliparse` (.916 at 266 pages/s), measured in
notes/components.md section 2. Trafilatura's own `deduplicate` stays off: it remembers earlier
pages, so text would depend on what a worker saw before.

A page that makes the library raise is dropped as `failed`, one without main text as `empty`.
"""

from __future__ import annotations

import functools
import html as entities
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from pipeline.stage import Processed, RowStage, Rules, Side, TextBatch, at_least, at_most, knob

_TITLE = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|svg)\b.*?(?:</\1\s*>|\Z)|<title\b[^>]*>(.*?)(?:</title|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_TITLE_WINDOW = 1 << 17
"""Characters at the start of a page in which its title is looked for."""
_TITLE_CHARS = 1000


def title_of(page: str) -> str | None:
    """The page's `<title>` as one line of at most 1,000 characters; None if there is none."""
    for found in _TITLE.finditer(page[:_TITLE_WINDOW]):
        if found.group(2) is not None:
            title = " ".join(entities.unescape(found.group(2)).split())
            return title[:_TITLE_CHARS] or None
    return None


@functools.cache
def _trafilatura() -> Callable[[str], str | None]:
    import trafilatura

    # Failures are counted as metrics; the library's own log lines would only repeat them.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL + 1)

    def extract(page: str) -> str | None:
        text: str | None = trafilatura.extract(
            page, fast=True, include_comments=False, deduplicate=False
        )
        return text

    return extract


@functools.cache
def _resiliparse() -> Callable[[str], str | None]:
    from resiliparse.extract.html2text import extract_plain_text

    def extract(page: str) -> str | None:
        text: str = extract_plain_text(
            page, preserve_formatting=True, main_content=True, alt_texts=False
        )
        return text

    return extract


ENGINES: Mapping[str, Callable[[], Callable[[str], str | None]]] = {
    "trafilatura": _trafilatura,
    "resiliparse": _resiliparse,
}
"""Engine name -> loader of its function (page -> main text), loaded once a process."""


@dataclass(frozen=True)
class Extract(RowStage):
    """Replaces `html` by `text` (lines = blocks of the page) and `title`."""

    engine: Literal["trafilatura", "resiliparse"] = knob(
        "trafilatura",
        unit="library",
        source="notes/components.md section 2: best F1 of the libraries measured",
        choices=("trafilatura", "resiliparse"),
    )

    expensive: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("html",)
    removes: ClassVar[tuple[str, ...]] = ("html",)
    adds: ClassVar[Mapping[str, pa.DataType]] = {"text": pa.large_string(), "title": pa.string()}
    metrics: ClassVar[Mapping[str, type]] = {"html_bytes": int, "num_chars": int, "failed": int}

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Only the package of the engine in use: another engine's update changes nothing here."""
        return {"trafilatura": ("trafilatura", "lxml", "justext")}.get(
            self.engine, ("resiliparse",)
        )

    def rules(self) -> Rules:
        return (
            at_most("failed", 0, name="failed"),
            at_least("num_chars", 1, name="empty"),
        )

    def process(self, batch: TextBatch, side: Side) -> Processed:
        engine = ENGINES[self.engine]()
        texts: list[str] = []
        titles: list[str | None] = []
        failed: list[int] = []
        pages = batch.values("html")
        for html in pages:
            page = (html or b"").decode("utf-8", "replace")
            text, broke = "", 0
            try:
                text = (engine(page) or "").strip() if page.strip() else ""
            except MemoryError:
                raise
            except Exception:
                # Any library error on a page is that page's fate, counted under `failed`.
                broke = 1
            texts.append(text)
            titles.append(title_of(page))
            failed.append(broke)
        return Processed(
            columns={
                "text": pa.array(texts, pa.large_string()),
                "title": pa.array(titles, pa.string()),
            },
            metrics={
                "html_bytes": [len(html or b"") for html in pages],
                "num_chars": [len(text) for text in texts],
                "failed": failed,
            },
        )
