"""Which words of a page an annotator marked as main text: gold text -> labels of blocks.

The words of all blocks are one stream. A word is covered if it lies in a run of four words that the
gold text has too, so a short block counts as marked where it stands between marked ones, in the
gold's order. Of blocks with the same words only as many are marked as the gold text repeats them:
those with the most covered words around them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SHINGLE = 4
_SINGLE = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"
    "\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0002fa1f\U00030000-\U000323af"
)
_WORD = re.compile(rf"[{_SINGLE}]|[^\W{_SINGLE}]+")
_NEAR = 12
"""Blocks on either side that speak for one copy of a repeated block against another."""

Floats = npt.NDArray[np.float32]


def words_of(text: str) -> list[str]:
    """Runs of word characters; single characters of scripts without blanks, as the judge cuts."""
    return _WORD.findall(text)


def shingles(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    """Runs of four words with their counts; a shorter text is one run."""
    if not words:
        return Counter()
    last = max(1, len(words) - SHINGLE + 1)
    return Counter(tuple(words[i : i + SHINGLE]) for i in range(last))


def covered_share(blocks: Sequence[Sequence[str]], gold: str) -> Floats:
    """For each block the share of its words that the gold text covers, 0 to 1."""
    stream = [word for block in blocks for word in block]
    wanted = shingles(words_of(gold))
    covered = np.zeros(len(stream) + 1, dtype=np.float32)
    for i in range(max(1, len(stream) - SHINGLE + 1) if stream else 0):
        run = tuple(stream[i : i + SHINGLE])
        if run in wanted:
            covered[i : i + len(run)] = 1
    sizes = np.array([len(block) for block in blocks], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    total = np.concatenate([[0], np.cumsum(covered[: len(stream)])])
    share = (total[starts[1:]] - total[starts[:-1]]) / np.maximum(sizes, 1)
    return _without_spare_copies(blocks, wanted, share.astype(np.float32), sizes)


def _without_spare_copies(
    blocks: Sequence[Sequence[str]],
    wanted: Mapping[tuple[str, ...], int],
    share: Floats,
    sizes: npt.NDArray[np.int64],
) -> Floats:
    """Unmark copies of a block beyond the number that the gold text has."""
    copies: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for at, block in enumerate(blocks):
        if block and share[at] > 0:
            copies[tuple(block)].append(at)
    support = share * sizes
    for words, places in copies.items():
        if len(places) < 2:
            continue
        if len(words) >= SHINGLE:
            runs = shingles(words)
            times = min(wanted.get(run, 0) // count for run, count in runs.items())
        else:
            times = max(1, sum(n for run, n in wanted.items() if _holds(run, words)) // SHINGLE)
        keep = max(times, 1)
        if keep >= len(places):
            continue
        around = [support[max(at - _NEAR, 0) : at + _NEAR + 1].sum() for at in places]
        for order in np.argsort(-np.array(around), kind="stable")[keep:]:
            share[places[order]] = 0
    return share


def _holds(run: tuple[str, ...], words: tuple[str, ...]) -> bool:
    return any(run[i : i + len(words)] == words for i in range(len(run) - len(words) + 1))


_SPACE = re.compile(r"\s+")


def squeezed(text: str) -> str:
    """White space as the judge sees it: every run one blank, none at the ends."""
    return _SPACE.sub(" ", text).strip()


def snippet_labels(texts: Sequence[str], row: Mapping[str, Any]) -> npt.NDArray[np.int8]:
    """For each block 1 if a wanted snippet touches it, 0 if an unwanted one does, else -1."""
    found = np.full(len(texts), -1, dtype=np.int8)
    plain = [squeezed(text) for text in texts]
    for snippets, label in ((row.get("must_not_contain"), 0), (row.get("must_contain"), 1)):
        for snippet in map(squeezed, snippets or ()):
            if not snippet:
                continue
            for at, text in enumerate(plain):
                if snippet in text or (len(text) > 20 and text in snippet):
                    found[at] = label
    return found
