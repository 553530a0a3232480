"""One extractor over the pages of a folder: both sides of `extraction` run this same loop.

    python extract_pages.py ENGINE INPUT OUT '{"fast": true}'

INPUT holds `pages.bin`, the pages one after the other as crawled, and `pages.json`, a list of
[id, url, start, end]. OUT gets `texts.jsonl` ({"id", "text"}) and `about.json`: CPU seconds of each
page, and how many pages made the extractor raise (their text is empty).

Reading costs both sides the same and next to nothing, unlike compressed JSON, which takes about as
long to read as our engine takes to extract. Peers run under their own interpreter. Each page is
decoded for them as the UTF-8 that it is; ours gets the bytes and finds that out by itself.
"""

from __future__ import annotations

import json
import logging
import mmap
import sys
import time
from collections.abc import Callable
from pathlib import Path

Engine = Callable[[bytes, str], str]
"""(page as crawled, URL) -> main text."""

BLOCKS_OF_TEXT = {
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption",
    "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav",
    "ol", "p", "pre", "section", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}  # fmt: skip


def trafilatura_engine(**settings: bool) -> Engine:
    """`trafilatura.extract` with these settings; its memory of earlier pages stays off."""
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL + 1)

    def extract(page: bytes, url: str) -> str:
        text = trafilatura.extract(page.decode("utf-8", "replace"), deduplicate=False, **settings)
        return text or ""

    return extract


def resiliparse_engine() -> Engine:
    from resiliparse.extract.html2text import extract_plain_text

    def extract(page: bytes, url: str) -> str:
        text: str = extract_plain_text(
            page.decode("utf-8", "replace"),
            preserve_formatting=True,
            main_content=True,
            alt_texts=False,
        )
        return text

    return extract


def readability_engine() -> Engine:
    """readability gives HTML; its text with a line break around each block element."""
    from lxml import html
    from readability import Document

    logging.getLogger("readability").setLevel(logging.CRITICAL + 1)

    def extract(page: bytes, url: str) -> str:
        summary = Document(page.decode("utf-8", "replace")).summary(html_partial=True)
        tree = html.fromstring(summary)
        for element in tree.iter(*BLOCKS_OF_TEXT):
            element.text = "\n" + (element.text or "")
            element.tail = "\n" + (element.tail or "")
        return str(tree.text_content()).strip()

    return extract


def our_engine() -> Engine:
    """`blocks` as the pipeline runs it: charset first (the WARC reader's part), then the engine."""
    from stages.charset import to_utf8
    from stages.extract.engines import load_engine

    engine = load_engine("blocks")

    def extract(page: bytes, url: str) -> str:
        return engine(to_utf8(page)[0], url).text

    return extract


ENGINES: dict[str, Callable[..., Engine]] = {
    "blocks": our_engine,
    "trafilatura": trafilatura_engine,
    "resiliparse": resiliparse_engine,
    "readability": readability_engine,
}


def main(name: str, source: Path, out: Path, settings: dict[str, bool]) -> None:
    engine = ENGINES[name](**settings)
    out.mkdir(parents=True)
    seconds: list[float] = []
    failed: dict[str, int] = {}
    clock = time.process_time
    pages = json.loads((source / "pages.json").read_text())
    with (
        (source / "pages.bin").open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        (out / "texts.jsonl").open("w") as texts,
    ):
        for number, url, start, end in pages:
            page = data[start:end]
            began = clock()
            try:
                text = engine(page, url)
            except MemoryError:
                raise
            except Exception as error:
                # An extractor's error on a page is that page's fate: counted, and scored as empty.
                text = ""
                failed[type(error).__name__] = failed.get(type(error).__name__, 0) + 1
            seconds.append(clock() - began)
            texts.write(json.dumps({"id": number, "text": text}) + "\n")
    about = {"seconds": [round(value, 6) for value in seconds], "failed": failed}
    (out / "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
