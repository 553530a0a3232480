"""Extraction of main text: real pages, hostile pages, title."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import stages.extract as extract_module
from pipeline.stage import Processed, Side, TextBatch
from stages.extract import Extract, title_of

SIDE = Side("extract", 1)
ARTICLE = (
    "<html><head><title>News &amp; more</title></head><body><nav><a href=/>Home</a></nav><article>"
    + "<p>The council met on Tuesday and agreed on a plan for the new bridge over the river.</p>"
    * 1
    + "<p>Work will begin in spring, and the road will be closed for about three weeks.</p>"
    + "<p>Residents were told that buses will take another way while the work goes on.</p>"
    + "</article><footer>Copyright</footer></body></html>"
)


def extracted(stage: Extract, *pages: bytes) -> Processed:
    return stage.process(TextBatch(pa.table({"html": pa.array(pages, pa.large_binary())})), SIDE)


def gold_pages(folder: Path, name: str, count: int) -> list[dict[str, Any]]:
    with gzip.open(folder / "extraction_gold" / f"{name}.jsonl.gz", "rt") as lines:
        return [json.loads(line) for _, line in zip(range(count), lines, strict=False)]


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse"])
def test_the_article_is_kept_and_its_surroundings_are_not(engine: Any) -> None:
    out = extracted(Extract(engine=engine), ARTICLE.encode())
    (text,) = out.columns["text"].to_pylist()
    assert "agreed on a plan" in text
    assert "another way" in text
    assert "Copyright" not in text
    assert out.columns["title"].to_pylist() == ["News & more"]
    assert out.metrics["num_chars"] == [len(text)]
    assert out.metrics["html_bytes"] == [len(ARTICLE.encode())]


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse"])
@pytest.mark.parametrize("page", [b"", b" ", b"\0\0", b"<", b"<html>", b"\xff\xfe", b"<p>" * 5000])
def test_hostile_pages_neither_crash_nor_count_as_failed(engine: Any, page: bytes) -> None:
    out = extracted(Extract(engine=engine), page, ARTICLE.encode())
    assert "agreed on a plan" in out.columns["text"][1].as_py()
    assert out.metrics["failed"] == [0, 0]


def test_a_page_that_makes_the_library_raise_is_dropped_as_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(page: str) -> str:
        if "bad" in page:
            raise RecursionError("too deep")
        return "text"

    engines = {**extract_module.ENGINES, "trafilatura": lambda: broken}
    monkeypatch.setattr(extract_module, "ENGINES", engines)
    out = extracted(Extract(), b"<p>bad</p>", b"<p>good</p>")
    assert out.columns["text"].to_pylist() == ["", "text"]
    assert out.metrics["failed"] == [1, 0]
    assert [rule.name for rule in Extract().rules()] == ["failed", "empty"]


def test_only_the_engine_in_use_is_part_of_the_identity() -> None:
    assert "trafilatura" in Extract().libraries
    assert Extract(engine="resiliparse").libraries == ("resiliparse",)


def test_the_charset_named_in_the_page_is_not_applied_a_second_time() -> None:
    page = ARTICLE.replace("<head>", '<head><meta charset="gb2312">').replace("council", "Rat Köln")
    (text,) = extracted(Extract(), page.encode()).columns["text"].to_pylist()
    assert "Rat Köln" in text


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>A\n  b</title>", "A b"),
        ("<svg><title>icon</title></svg><title>real</title>", "real"),
        ("<!-- <title>no</title> --><TITLE lang=en>yes</TITLE>", "yes"),
        ("<script>var x='<title>no</title>'</script><title>yes</title>", "yes"),
        ("<title></title>", None),
        ("<p>none</p>", None),
        ("<title>open " + "x" * 5000, "open " + "x" * 995),
    ],
)
def test_the_title_is_that_of_the_page(page: str, title: str | None) -> None:
    assert title_of(page) == title


def test_texts_of_real_pages_do_not_depend_on_the_order(shared_data: Path) -> None:
    pages = [row["html"].encode() for row in gold_pages(shared_data, "scrapinghub-aeb", 12)]
    forward = extracted(Extract(), *pages).columns["text"].to_pylist()
    backward = extracted(Extract(), *pages[::-1]).columns["text"].to_pylist()
    assert forward == backward[::-1]


def test_the_gold_text_of_real_articles_is_found(shared_data: Path) -> None:
    rows = gold_pages(shared_data, "scrapinghub-aeb", 12)
    texts = extracted(Extract(), *(row["html"].encode() for row in rows)).columns["text"]
    shares = []
    for row, text in zip(rows, texts.to_pylist(), strict=True):
        words = row["gold_text"].split()
        shares.append(len(set(words) & set(text.split())) / len(set(words)))
    assert sum(shares) / len(shares) > 0.9
