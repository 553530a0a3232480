"""The sample web, at any size: `python -m samples.generate --pages 300 OUT`.

Writes, streaming, in bounded memory, the same bytes for the same arguments on every machine:

    OUT/web/part-00000.warc.gz ...   page i lies in file i mod --files, a gzip member a record
    OUT/truth.jsonl                  a line a page, by file, then by page (columns: README.md)
    OUT/benchmark.jsonl              {"question", "answer"} of every benchmark_question page
    OUT/books.jsonl.gz               {"id", "title", "content"}: a second source, long prose
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from samples import warc
from samples.article import write_article
from samples.crawl import Crawled, crawl
from samples.plan import USUAL, Planting

PAGES = 300
SEED = 1234
# Every so many pages the request is kept too.
REQUEST_EVERY = 25


def generate(
    pages: int,
    out: Path,
    seed: int = SEED,
    files: int | None = None,
    planting: Planting = USUAL,
) -> None:
    files = files or max(8, pages // 2000)
    web = out / "web"
    web.mkdir(parents=True, exist_ok=True)
    with (
        (out / "truth.jsonl").open("w", encoding="utf-8", newline="\n") as truth,
        (out / "benchmark.jsonl").open("w", encoding="utf-8", newline="\n") as benchmark,
    ):
        for number in range(files):
            name = f"part-{number:05}.warc.gz"
            with (web / name).open("wb") as part:
                part.write(warc.warcinfo(seed, name))
                for page in range(number, pages, files):
                    crawled = crawl(seed, page, planting)
                    _write_exchange(part, seed, page, crawled)
                    _write_line(truth, crawled.truth)
                    if crawled.question:
                        _write_line(benchmark, crawled.question)
    (out / "books.jsonl.gz").write_bytes(b"".join(_books(seed, max(40, pages // 100))))


def _write_exchange(part: IO[bytes], seed: int, page: int, crawled: Crawled) -> None:
    if page % REQUEST_EVERY == 0:
        part.write(warc.request(seed, page, crawled.url))
    part.write(warc.response(seed, page, crawled.url, crawled.http, crawled.body))


def _write_line(file: IO[str], row: dict[str, Any]) -> None:
    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _books(seed: int, count: int) -> Iterator[bytes]:
    """Gzip members of ten books each: three chapters a book, without page furniture."""
    for start in range(0, count, 10):
        rows = []
        for number in range(start, min(start + 10, count)):
            chapters = [write_article(f"{seed}/book/{number}/{n}", "en") for n in range(3)]
            content = "\n\n".join(
                "\n".join(row for kind, rows in chapter.blocks if kind == "p" for row in rows)
                for chapter in chapters
            )
            row = {"id": f"book-{number:05}", "title": chapters[0].title, "content": content}
            rows.append(json.dumps(row, ensure_ascii=False) + "\n")
        yield warc.gzip_member("".join(rows).encode())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sample", description="Write a sample web crawl.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--pages", type=int, default=PAGES, help=f"pages (default {PAGES})")
    parser.add_argument("--files", type=int, help="WARC files (default max(8, pages // 2000))")
    parser.add_argument("--seed", type=int, default=SEED, help=f"seed (default {SEED})")
    parser.add_argument(
        "--near-duplicates", type=int, default=USUAL.near_duplicates, metavar="N",
        help=f"near duplicates of 100 pages (default {USUAL.near_duplicates})",
    )  # fmt: skip
    parser.add_argument(
        "--similarity", type=int, nargs=2, default=(USUAL.lowest, USUAL.highest),
        metavar=("LOW", "HIGH"), help="their Jaccard, in hundredths (default 82 96)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.pages < 1 or (args.files is not None and args.files < 1):
        parser.error(f"--pages and --files must be 1 or more, got {args.pages} and {args.files}")
    try:
        planting = Planting(args.near_duplicates, *args.similarity)
    except ValueError as error:
        parser.error(str(error))
    generate(args.pages, args.out, args.seed, args.files, planting)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
