"""Main text of a web page, and what the page says of itself.

Engines: `blocks` is ours, made for speed and for every kind of page; `trafilatura` and
`resiliparse` are for pipelines that are to be copied. docs/benchmarks.md has the quality and speed
of each.

A page that makes an engine raise is dropped as `failed`, one that an engine with a DOM cannot take
as `too_complex`, one without main text as `empty`.

History:

5: related stories are a class of their own, left out of main text unless `related: keep`; on
   collections the entries of a group are judged together; the columns licence_id, cc_links,
   robots_meta and tdm_meta.
4: a model trained anew; what a page tells twice is written once; the text of an empty page is
   looked for in the data of its scripts too.
3: a model trained anew, whose trees end early where a block is sure.
2: the engine `blocks`, now the default; the columns author, published, html_lang, canonical_url,
   licence, page_kind and extraction_score; titles from metadata where a page has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import pyarrow as pa

from pipeline.execution.warm_up import Call
from pipeline.schema import TIMESTAMP
from pipeline.stage import (
    Processed,
    RowStage,
    Rules,
    Side,
    TextBatch,
    at_least,
    at_most,
    knob,
    model_file,
)
from stages.extract.result import SHIPPED_MODEL, Extracted, Metadata, TooComplexError

_MEASURED = "docs/benchmarks.md, extraction: F1 and pages/s of every engine on 1,647 gold pages"
_RESCUES = (None, "json_ld", "resiliparse", "script")


@dataclass(frozen=True)
class Extract(RowStage):
    """Replaces `html` by `text` (lines = blocks of the page), and adds the page's metadata."""

    engine: Literal["blocks", "trafilatura", "resiliparse"] = knob(
        "blocks",
        unit="library",
        source=_MEASURED,
        choices=("blocks", "trafilatura", "resiliparse"),
    )
    format: Literal["text", "markdown"] = knob(
        "text",
        source="filters count lines as paragraphs",
        choices=("text", "markdown"),
        help="blocks: markdown keeps heading levels, lists, tables and code fences",
    )
    comments: Literal["drop", "keep"] = knob(
        "drop",
        source="measured: dropping them raises F1 on articles; forums keep their posts either way",
        choices=("drop", "keep"),
        help="blocks and trafilatura: readers' comments below the main text",
    )
    related: Literal["drop", "keep"] = knob(
        "drop",
        source="measured: F1 is the same or higher without them (docs/model_card.md)",
        choices=("drop", "keep"),
        help="blocks: groups of links to other pages (related, most read, more from)",
    )
    favor: Literal["none", "precision", "recall"] = knob(
        "none",
        source="trafilatura's own default",
        choices=("none", "precision", "recall"),
        help="trafilatura: its precision and recall modes",
    )
    fast: bool = knob(
        True, source="the engine's fastest setting", help="trafilatura: no fallback extractors"
    )
    min_score: float | None = knob(
        None,
        unit="expected F1",
        source="off: no published pipeline filters by it",
        minimum=0,
        maximum=1,
        help="blocks: drop pages of whose main text the model is less sure",
    )
    model: str | None = model_file(
        None, help="blocks: a model trained with `python -m stages.extract train`, else ours"
    )

    version: ClassVar[int] = 5
    expensive: ClassVar[bool] = True
    compiles: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("html",)
    removes: ClassVar[tuple[str, ...]] = ("html",)
    adds: ClassVar[Mapping[str, pa.DataType]] = {
        "text": pa.large_string(),
        "title": pa.string(),
        "author": pa.string(),
        "published": TIMESTAMP,
        "html_lang": pa.string(),
        "canonical_url": pa.string(),
        "licence": pa.string(),
        "licence_id": pa.string(),
        "cc_links": pa.string(),
        "robots_meta": pa.string(),
        "tdm_meta": pa.string(),
        "page_kind": pa.string(),
        "extraction_score": pa.float32(),
    }
    metrics: ClassVar[Mapping[str, type]] = {
        "html_bytes": int,
        "num_chars": int,
        "failed": int,
        "too_complex": int,
        "rescued": int,
        "score": float,
    }

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Only the packages of the engine in use: another engine's update changes nothing here."""
        return {
            "trafilatura": ("trafilatura", "lxml", "justext"),
            "resiliparse": ("resiliparse",),
        }.get(self.engine, ("resiliparse", "orjson"))

    @property
    def files(self) -> tuple[str, ...]:  # type: ignore[override]
        """The shipped model is part of what the stage is."""
        if self.engine != "blocks" or self.model is not None:
            return ()
        return (str(SHIPPED_MODEL),)

    def check(self) -> None:
        if self.engine != "blocks" and (self.model or self.min_score is not None):
            raise ValueError(f"`model` and `min_score` are for engine blocks, not {self.engine}")
        if self.engine != "blocks" and self.format != "text":
            raise ValueError(f"format {self.format} needs engine blocks, not {self.engine}")
        if self.engine != "blocks" and self.related != "drop":
            raise ValueError(f"related {self.related} needs engine blocks, not {self.engine}")
        if self.engine != "trafilatura" and (self.favor != "none" or not self.fast):
            raise ValueError(f"`favor` and `fast` are for engine trafilatura, not {self.engine}")

    def rules(self) -> Rules:
        bound = () if self.min_score is None else (at_least("score", self.min_score, "low_score"),)
        return (
            at_most("failed", 0, name="failed"),
            at_most("too_complex", 0, name="too_complex"),
            at_least("num_chars", 1, name="empty"),
            *bound,
        )

    def options(self) -> dict[str, Any]:
        """What the engine in use is told."""
        if self.engine == "blocks":
            return {
                "format": self.format,
                "comments": self.comments,
                "related": self.related,
                "model": self.model,
            }
        if self.engine == "trafilatura":
            return {"fast": self.fast, "favor": self.favor, "comments": self.comments}
        return {}

    def warm_up(self) -> Sequence[Call]:
        from stages.extract.warm_up import engine_kernels, scanner_kernels

        return (*scanner_kernels(), *(engine_kernels() if self.engine == "blocks" else ()))

    def process(self, batch: TextBatch, side: Side) -> Processed:
        pages = [html or b"" for html in batch.values("html")]
        urls = batch.values("url") if "url" in batch.table.column_names else [None] * len(pages)
        dates = batch.values("date") if "date" in batch.table.column_names else [None] * len(pages)
        reader = _reader(self.engine, tuple(sorted(self.options().items())))
        each_page = batch.one_by_one(zip(pages, urls, dates, strict=True))
        found = [reader.read(*each) for each in each_page]
        return Processed(
            columns=_columns([text for text, _, _ in found], [said for _, said, _ in found]),
            metrics={
                "html_bytes": [len(html) for html in pages],
                "num_chars": [len(text.text) for text, _, _ in found],
                "failed": [int(fate == "failed") for _, _, fate in found],
                "too_complex": [int(fate == "too_complex") for _, _, fate in found],
                "rescued": [_RESCUES.index(text.rescued) for text, _, _ in found],
                "score": [text.score for text, _, _ in found],
            },
        )


class _Reader:
    """An engine and the metadata beside it, over one scan where the engine is ours."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        # Loaded here, because a plan needs the stage's knobs and no kernel, model or parser.
        from stages.extract.engines import load_engine
        from stages.extract.json_ld import read_json_ld
        from stages.extract.metadata import metadata_of
        from stages.extract.page import Scanner

        self.engine: Any = load_engine(name, **options)
        self.scans = name == "blocks"
        self.scanner, self.read_json_ld, self.metadata_of = Scanner(), read_json_ld, metadata_of

    def read(self, html: bytes, url: str | None, date: Any) -> tuple[Extracted, Metadata, str]:
        """(text, metadata, fate); the fate of a page that went well is empty."""
        page = self.scanner.scan(html)
        json_ld = self.read_json_ld(page)
        said = self.metadata_of(page, json_ld, url, date)
        try:
            if self.scans:
                return self.engine.extract(page, json_ld), said, ""
            return self.engine(html, url), said, ""
        except MemoryError:
            raise
        except TooComplexError:
            return Extracted(""), said, "too_complex"
        except Exception:
            # Any library error on a page is that page's fate, counted under `failed`.
            return Extracted(""), said, "failed"


@lru_cache(maxsize=4)
def _reader(engine: str, options: tuple[tuple[str, Any], ...]) -> _Reader:
    """Loaded once a process."""
    return _Reader(engine, dict(options))


def _columns(texts: list[Extracted], said: list[Metadata]) -> dict[str, pa.Array]:
    return {
        "text": pa.array([text.text for text in texts], pa.large_string()),
        "title": pa.array([each.title for each in said], pa.string()),
        "author": pa.array([each.author for each in said], pa.string()),
        "published": pa.array([each.published for each in said], TIMESTAMP),
        "html_lang": pa.array([each.language for each in said], pa.string()),
        "canonical_url": pa.array([each.canonical_url for each in said], pa.string()),
        "licence": pa.array([each.licence for each in said], pa.string()),
        "licence_id": pa.array([each.licence_id for each in said], pa.string()),
        "cc_links": pa.array([each.cc_links for each in said], pa.string()),
        "robots_meta": pa.array([each.robots_meta for each in said], pa.string()),
        "tdm_meta": pa.array([each.tdm_meta for each in said], pa.string()),
        "page_kind": pa.array([text.kind for text in texts], pa.string()),
        "extraction_score": pa.array([text.score for text in texts], pa.float32()),
    }
