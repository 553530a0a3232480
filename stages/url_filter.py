"""Drops documents by their URL: lists of hosts and URLs, words and substrings. Before `extract`.

Lists (UT1's layout and others: `stages/url_lists.py`) are matched by host and every parent domain
at label borders, `urls` by host and path at the borders `/`, `?` and `&` (a `www.` counts on
neither side), `expressions` as RE2 patterns anywhere in the URL, without case. Scheme, credentials,
port, fragment, case, a trailing dot, percent encoding and the IDNA form of a host make no
difference. What `allow` has stays, whatever else holds; of several entries that match, the first of
`categories` counts, then a domain before a URL, then the longest.

Words are those of RefinedWeb as datatrove's `UrlFilter` and DCLM's `url_substring_filter` read
them: a hard word, `min_soft_words` distinct soft words, or a substring of the URL without its
separators. Differences: words of the URL are lower-cased (datatrove compares them as they are, so
that `Porn` is none); an underscore separates words (in DCLM it does not).

`url_match` names list and entry: `adult/domains: casino.example`, `substrings: pillz`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import InputError
from pipeline.stage import (
    Filter,
    Processed,
    Rules,
    Side,
    TextBatch,
    at_most,
    knob,
    location,
    model_file,
)
from stages.url_lists import ALLOW_CODE, KINDS, MAX_CATEGORIES, UrlIndex, load_index

_DATATROVE = "datatrove 0.10.1 url_filter.py"
_WORD = re.compile("[a-z0-9]+")
_EXPRESSION = 3
_IGNORED: Mapping[str, re.Pattern[str]] = {"all": re.compile("[^a-z0-9]"), "-.": re.compile("[-.]")}


@dataclass(frozen=True)
class UrlWordLists:
    """The words of the three lists, and the tables made from them."""

    tables: Any
    """`stages.kernels.url_words.UrlWords`."""
    hard: frozenset[str]
    soft: frozenset[str]
    substrings: tuple[str, ...]


def _read_words(path: str | None, ignored: str) -> frozenset[str]:
    """Entries of a list, lower-cased, without what is ignored; `#` begins a comment line."""
    if path is None:
        return frozenset()
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}. Expected a UTF-8 file, one word a line.") from error
    gone = _IGNORED[ignored]
    words = (gone.sub("", line.strip().lower()) for line in lines if not line.startswith("#"))
    found = frozenset(filter(None, words))
    if not found:
        raise InputError(f"{path}: no word in it. Expected one a line.")
    return found


@functools.lru_cache(maxsize=4)
def load_words(
    hard: str | None, soft: str | None, substrings: str | None, ignored: str
) -> UrlWordLists:
    """The lists at these paths. Raises InputError."""
    from stages.kernels.url_words import url_words

    hard_words, soft_words = _read_words(hard, "all"), _read_words(soft, "all")
    parts = tuple(sorted(_read_words(substrings, ignored)))
    letters = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
    skipped = set(range(256)) - letters if ignored == "all" else set(b"-.")
    tables = url_words(hard_words, soft_words, parts, frozenset(skipped))
    return UrlWordLists(tables, hard_words, soft_words, parts)


@dataclass(frozen=True)
class Listed:
    """For each URL what it met: 0, ALLOW_CODE or a category's code, by which kind, which entry."""

    codes: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int64]
    entries: list[str | None]


def look_up(urls: pa.Array, index: UrlIndex) -> Listed:
    """Hosts, URLs and expressions of the index among these URLs."""
    from stages.kernels.urls import hit_entries, match_urls
    from stages.url_hosts import ascii_urls

    hits = match_urls(urls, index.table)
    codes, kinds = hits.codes.astype(np.int64), hits.kinds.astype(np.int64)
    entries = hit_entries(urls, hits)
    foreign = np.flatnonzero(hits.foreign)
    if len(foreign):
        again = look_up(ascii_urls(urls.take(pa.array(foreign))), index.without_expressions())
        codes[foreign], kinds[foreign] = again.codes, again.kinds
        for row, entry in zip(foreign.tolist(), again.entries, strict=True):
            entries[row] = entry
    for code, pattern in index.expressions:
        met = expression_met(urls, pattern) & ((codes == 0) | (code < codes))
        codes[met], kinds[met] = code, _EXPRESSION
        for row in np.flatnonzero(met).tolist():
            entries[row] = pattern
    return Listed(codes, kinds, entries)


def expression_met(urls: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    """Where the RE2 pattern matches, in time linear in the URLs. Raises InputError."""
    try:
        found = pc.match_substring_regex(urls, pattern, ignore_case=True)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"expressions: '{pattern}' is no RE2 pattern: {error}. Correct it, or take it out."
        ) from error
    met: npt.NDArray[np.bool_] = found.fill_null(False).to_numpy(zero_copy_only=False)
    return met


@dataclass(frozen=True)
class UrlFilter(Filter):
    """Drops documents whose URL is listed, the category naming the reason.

    The entry that matched is in the column `url_match`. `action: annotate` drops nothing.
    """

    lists: str | None = model_file(
        None, source="none: lists have terms of their own", help="folder, tar or file of lists"
    )
    categories: tuple[str, ...] = knob(
        ("adult",), unit="categories, the first that matches counts", source=f"{_DATATROVE}: adult"
    )
    allow: str | None = model_file(None, help="hosts and URLs that stay, laid out as `lists`")
    hard_words: str | None = model_file(None, help="file of words of which one is enough")
    soft_words: str | None = model_file(None, help="file of words of which several are needed")
    substrings: str | None = model_file(None, help="file of parts of URLs of which one is enough")
    min_soft_words: int = knob(
        2, unit="distinct words", source=f"{_DATATROVE}; DCLM num_banned_substrs: 2", minimum=1
    )
    ignored_in_substrings: Literal["all", "-."] = knob(
        "all",
        unit="characters",
        source=f"{_DATATROVE}: all but letters and digits (DCLM ignore_chars: - and .)",
        choices=("all", "-."),
    )
    action: Literal["drop", "annotate"] = knob(
        "drop", unit="what happens", source=_DATATROVE, choices=("drop", "annotate")
    )
    cache: str | None = location(
        None, help="folder of built indices; else $TOKENMILL_CACHE, else the user's cache folder"
    )

    compiles: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("url",)
    adds: ClassVar[Mapping[str, pa.DataType]] = {"url_match": pa.string()}

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """What makes hosts ASCII, where hosts are looked up."""
        return ("idna",) if self.lists or self.allow else ()

    def check(self) -> None:
        if not (self.lists or self.hard_words or self.soft_words or self.substrings):
            raise ValueError(
                "nothing to look for: give `lists`, `hard_words`, `soft_words` or `substrings`"
            )
        if self.lists and not 1 <= len(self.categories) <= MAX_CATEGORIES:
            raise ValueError(f"categories: expected 1 to {MAX_CATEGORIES} of them")
        if len(set(self.categories)) < len(self.categories):
            raise ValueError("categories: one is named twice")

    @property
    def metrics(self) -> Mapping[str, type]:  # type: ignore[override]
        """`list_<category>`: 0, or 1 domain, 2 url, 3 expression; counts of words."""
        found = [f"list_{name}" for name in self.categories] if self.lists else []
        return dict.fromkeys([*found, *self._word_metrics()], int)

    def _word_metrics(self) -> list[str]:
        names = ("hard_words", "soft_words", "substrings")
        return [name for name in names if getattr(self, name)]

    def rules(self) -> Rules:
        if self.action == "annotate":
            return ()
        most = {"hard_words": 0, "soft_words": self.min_soft_words - 1, "substrings": 0}
        listed = self.categories if self.lists else ()
        return (
            *(at_most(f"list_{name}", 0, name=name) for name in listed),
            *(at_most(name, most[name], name=name) for name in self._word_metrics()),
        )

    def process(self, batch: TextBatch, side: Side) -> Processed:
        urls = batch.column("url")
        missing = urls.is_null().to_numpy(zero_copy_only=False)
        metrics: dict[str, Any] = {}
        matches: list[str | None] = [None] * len(batch)
        allowed = np.zeros(len(batch), np.bool_)
        if self.lists or self.allow:
            categories = self.categories if self.lists else ()
            index = load_index(self.lists, categories, self.allow, self.cache)
            listed = look_up(urls, index)
            allowed = listed.codes == ALLOW_CODE
            for at, name in enumerate(categories):
                found = np.where(listed.codes == at + ALLOW_CODE + 1, listed.kinds, 0)
                metrics[f"list_{name}"] = pa.array(found, mask=missing)
            for row in np.flatnonzero(listed.codes > ALLOW_CODE).tolist():
                kind = KINDS[listed.kinds[row] - 1]
                name = index.name(int(listed.codes[row]))
                matches[row] = f"{name}/{kind}: {listed.entries[row]}"
        if self._word_metrics():
            self._words(urls, allowed, missing, metrics, matches)
        return Processed({"url_match": pa.array(matches, pa.string())}, metrics)

    def _words(
        self,
        urls: pa.Array,
        allowed: npt.NDArray[np.bool_],
        missing: npt.NDArray[np.bool_],
        metrics: dict[str, Any],
        matches: list[str | None],
    ) -> None:
        """Measure words and substrings; name them where nothing stronger was found."""
        from stages.kernels.url_words import count_url_words

        lists = load_words(
            self.hard_words, self.soft_words, self.substrings, self.ignored_in_substrings
        )
        counts = count_url_words(urls, lists.tables)
        hard, soft = (np.where(allowed, 0, part) for part in (counts.hard, counts.soft))
        inside = np.where(allowed, -1, counts.substring)
        values = {"hard_words": hard, "soft_words": soft, "substrings": (inside >= 0).astype(int)}
        for name in self._word_metrics():
            metrics[name] = pa.array(values[name], mask=missing)
        met = (hard > 0) | (soft >= self.min_soft_words) | (inside >= 0)
        for row in np.flatnonzero(met & ~missing).tolist():
            if matches[row] is not None:
                continue
            words = set(_WORD.findall(urls[row].as_py().lower()))
            if hard[row]:
                matches[row] = f"hard_words: {', '.join(sorted(words & lists.hard))}"
            elif soft[row] >= self.min_soft_words:
                matches[row] = f"soft_words: {', '.join(sorted(words & lists.soft))}"
            else:
                matches[row] = f"substrings: {lists.substrings[inside[row]]}"
