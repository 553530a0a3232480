"""One URL filter over the URLs of a folder: both sides of `nsfw` look them up in the same lists.

    python filter_urls.py ENGINE INPUT OUT LISTS

INPUT holds `urls.txt`, a URL a line. LISTS is the folder of datatrove's lists: UT1's adult list as
a tar, and three files of words. OUT gets `dropped.json`: the numbers of the lines that are dropped,
with the reasons. Ours gets the URLs in batches of 8,192, as in the pipeline; the peer one by one,
as in its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Judge = Callable[[list[str]], Iterator[tuple[int, str]]]
"""URLs -> (number, reason) of those that are dropped."""
TAR = "url_filterblacklistsv0_3_0.tar.gz"
BATCH = 8192


def datatrove_filter(lists: Path) -> Judge:
    """`URLFilter` as it comes: its integrated lists are those of the folder."""
    import logging

    from datatrove.data import Document
    from datatrove.pipeline.filters.url_filter import URLFilter

    logging.disable(logging.CRITICAL)
    made = URLFilter()

    def judge(urls: list[str]) -> Iterator[tuple[int, str]]:
        for number, url in enumerate(urls):
            answer = made.filter(Document(text="", id="", metadata={"url": url}))
            if answer is not True:
                yield number, answer[1]

    return judge


def our_lists(lists: Path) -> Judge:
    """The stage `url_filter` over the list of domains and URLs alone."""
    from stages.url_filter import UrlFilter

    return judge_by(UrlFilter(lists=str(lists / TAR)))


def our_filter(lists: Path) -> Judge:
    """The stage `url_filter` over the same lists."""
    from stages.url_filter import UrlFilter

    stage = UrlFilter(
        lists=str(lists / TAR),
        hard_words=str(lists / "banned_words.txt"),
        soft_words=str(lists / "soft_banned_words.txt"),
        substrings=str(lists / "banned_subwords.txt"),
    )
    return judge_by(stage)


def judge_by(stage: Any) -> Judge:
    """The stage over batches, judged by its rules."""
    import pyarrow as pa

    from pipeline.stage import Side, TextBatch

    def judge(urls: list[str]) -> Iterator[tuple[int, str]]:
        for start in range(0, len(urls), BATCH):
            table = pa.table({"url": pa.array(urls[start : start + BATCH], pa.string())})
            answer = stage.process(TextBatch(table), Side("url_filter", 1))
            for rule in stage.rules():
                values = answer.metrics[rule.metric].to_numpy(zero_copy_only=False)
                for row in (values > rule.maximum).nonzero()[0].tolist():
                    yield start + row, rule.name

    return judge


ENGINES: dict[str, Callable[[Path], Judge]] = {
    "ours": our_filter,
    "ours_lists": our_lists,
    "datatrove": datatrove_filter,
}


def main(name: str, source: Path, out: Path, lists: Path) -> None:
    judge = ENGINES[name](lists)
    urls = (source / "urls.txt").read_text().splitlines()
    dropped: dict[int, str] = {}
    for number, reason in judge(urls):
        dropped.setdefault(number, reason)
    out.mkdir(parents=True)
    (out / "dropped.json").write_text(json.dumps(dropped))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
