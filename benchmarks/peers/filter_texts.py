"""One side of the filters benchmark: every text through four filters, in this process alone.

    python filter_texts.py ENGINE TEXTS OUT

TEXTS holds a JSON string a line. Engines: `ours` (Tokenmill's stages), `datatrove` (its filters
with spaCy's words and sentences), `datatrove_our_words` (its filters with Tokenmill's). The four
are Gopher repetition, Gopher quality, C4 without its end mark rule, FineWeb, in FineWeb's order.

OUT becomes a folder with `about.json`: CPU seconds by filter, of the calls alone (a text that the
peer drops is not seen by its later filters; ours measure every text), `chain` (a text's first
verdict, null = kept), and, but for `datatrove`, `verdicts`: every filter's on every text.
All need PYTHONPATH.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FILTERS = ("gopher_repetition", "gopher_quality", "c4_lines", "fineweb_quality")
Verdict = str | None
Found = dict[str, Any]

# --- Ours ----------------------------------------------------------------------------------------

ROWS = 8192
BYTES = 32_000_000


PRESET = Path(__file__).resolve().parents[2] / "configs" / "fineweblike.yaml"


def our_stages() -> dict[str, Any]:
    """The four stages of the preset `fineweblike`, as it sets them and in its order."""
    from pipeline.planning.build import build_stage
    from pipeline.planning.config import load_config

    config = load_config(PRESET)
    found = {step.id: build_stage(step, config) for step in config.steps if step.id in FILTERS}
    assert tuple(found) == FILTERS, f"{PRESET} has {tuple(found)}"
    return found


def our_batches(texts: Sequence[str]) -> list[Any]:
    """The texts as columns of at most a batch's size."""
    import pyarrow as pa

    groups: list[list[str]] = [[]]
    size = 0
    for text in texts:
        length = len(text.encode())
        if groups[-1] and (len(groups[-1]) == ROWS or size + length > BYTES):
            groups.append([])
            size = 0
        groups[-1].append(text)
        size += length
    return [pa.array(group, pa.large_string()) for group in groups]


def our_verdicts(stage: Any, metrics: Any, rows: int) -> list[Verdict]:
    """The first broken rule of each row, as the engine names it."""
    import pyarrow as pa

    found: list[Verdict] = [None] * rows
    for rule in stage.rules():
        for reason, beyond in rule.broken(pa.array(metrics[rule.metric], from_pandas=True)):
            for row in beyond.nonzero()[0]:
                found[row] = found[row] or reason
    return found


def ours(texts: Sequence[str]) -> Found:
    import pyarrow as pa

    from pipeline.stage import Side, TextBatch

    stages, side = our_stages(), Side("filters", 0)
    batches = our_batches(texts)
    for stage in stages.values():  # compiles, or loads what was compiled
        stage.process(TextBatch(pa.table({"text": batches[0].slice(0, 1)})), side)
    seconds = dict.fromkeys(FILTERS, 0.0)
    chain: list[Verdict] = []
    verdicts: dict[str, list[Verdict]] = {name: [] for name in FILTERS}
    for column in batches:
        first: list[Verdict] = [None] * len(column)
        batch = TextBatch(pa.table({"text": column}))
        for name, stage in stages.items():
            began = time.process_time()
            made = stage.process(batch, side)
            if made.columns:
                batch = batch.with_columns(made.columns)
            seconds[name] += time.process_time() - began
            judged = our_verdicts(stage, made.metrics, len(column))
            first = [a or (b and f"{name}.{b}") for a, b in zip(first, judged, strict=True)]
        chain += first
        alone = TextBatch(pa.table({"text": column}))
        for name, stage in stages.items():
            metrics = stage.process(alone, side).metrics
            verdicts[name] += our_verdicts(stage, metrics, len(column))
    return {"seconds": seconds, "chain": chain, "verdicts": verdicts}


# --- datatrove -----------------------------------------------------------------------------------

REASONS = {
    "dup_para_frac": "duplicate_paragraph_ratio",
    "dup_para_char_frac": "duplicate_paragraph_char_ratio",
    "dup_line_frac": "duplicate_line_ratio",
    "dup_line_char_frac": "duplicate_line_char_ratio",
    **{f"top_{n}_gram": f"top_{n}gram_ratio" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"duplicate_{n}gram_ratio" for n in range(5, 11)},
    "gopher_short_doc": "word_count_too_low",
    "gopher_long_doc": "word_count_too_high",
    "gopher_below_avg_threshold": "mean_word_length_too_low",
    "gopher_above_avg_threshold": "mean_word_length_too_high",
    "gopher_too_many_hashes": "symbol_word_ratio_too_high",
    "gopher_too_many_ellipsis": "symbol_word_ratio_too_high",
    "gopher_too_many_bullets": "bullet_line_ratio_too_high",
    "gopher_too_many_end_ellipsis": "ellipsis_line_ratio_too_high",
    "gopher_below_alpha_threshold": "alpha_word_ratio_too_low",
    "gopher_enough_stop_words": "stop_word_count_too_low",
    "line_punct_ratio": "line_punctuation_ratio",
    "char_dup_ratio": "duplicate_line_char_ratio",
    "list_ratio": "newline_word_ratio",
}
"""The peer's names of reasons that ours names otherwise."""

BOUNDARY = re.compile(r"""(?<![.?!])([.?!]+)["'”’»)\]]*\s+(?=(\S))""")
ABBREVIATION = re.compile(
    "mr|mrs|ms|dr|prof|sr|jr|st|mt|gen|col|lt|sgt|capt|rev|hon|pres|gov|sen|rep"
    r"|vs|figs?|vol|pp|approx|al|e\.g|i\.e|cf|ca"
)
BEFORE = re.compile(r"[^\s\"'“‘«(\[]*$")


class OurSegments:
    """Tokenmill's words and sentences behind datatrove's interface (DESIGN section 4)."""

    def word_tokenize(self, text: str) -> list[str]:
        from pipeline.batch import split_words

        return split_words(text)

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """(start, end) of the sentences of a line."""
        if not text.strip():
            return []
        ends = []
        for found in BOUNDARY.finditer(text.rstrip()):
            marks, following = found.groups()
            if not marks.strip(".") and following.islower():
                continue
            before = BEFORE.search(text[max(0, found.start() - 12) : found.start()])
            word = before.group().lower() if before else ""
            known = (len(word) == 1 and word.isalpha()) or ABBREVIATION.fullmatch(word)
            if marks != "." or not known:
                ends.append(found.end())
        starts = [0, *ends]
        return list(zip(starts, [*ends, len(text)], strict=True))


def peer_filters() -> dict[str, Any]:
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    filters = (
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    )
    return dict(zip(FILTERS, filters, strict=True))


def peer_judge(our_words: bool) -> Callable[[str, Any], Verdict]:
    """(filter, document) -> its verdict."""
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    tokenizer = load_word_tokenizer("eng")
    if our_words:
        segments = OurSegments()
        tokenizer.word_tokenize = segments.word_tokenize
        tokenizer.span_tokenize = segments.span_tokenize
    filters = peer_filters()

    def verdict(name: str, document: Any) -> Verdict:
        kept = filters[name].filter(document)
        reason = kept[1] if isinstance(kept, tuple) else None
        return None if kept is True else REASONS.get(reason, reason)

    return verdict


def peer(texts: Sequence[str], our_words: bool) -> Found:
    from datatrove.data import Document
    from datatrove.utils import text as peer_text

    verdict = peer_judge(our_words)
    verdict("gopher_quality", Document(texts[0], ""))  # loads the tokenizer
    peer_text.split_into_parts.cache_clear()
    seconds = dict.fromkeys(FILTERS, 0.0)
    chain: list[Verdict] = []
    for text in texts:
        document, found = Document(text, ""), None
        for name in FILTERS:
            began = time.process_time()
            found = verdict(name, document)
            seconds[name] += time.process_time() - began
            if found:
                break
        chain.append(found and f"{name}.{found}")
    verdicts: dict[str, list[Verdict]] = {name: [] for name in FILTERS}
    if our_words:
        for text in texts:
            for name in FILTERS:
                verdicts[name].append(verdict(name, Document(text, "")))
    return {"seconds": seconds, "chain": chain, "verdicts": verdicts}


ENGINES: dict[str, Callable[[Sequence[str]], Found]] = {
    "ours": ours,
    "datatrove": lambda texts: peer(texts, False),
    "datatrove_our_words": lambda texts: peer(texts, True),
}


def main(name: str, source: Path, out: Path) -> None:
    with source.open() as lines:
        texts = [json.loads(line) for line in lines]
    found = ENGINES[name](texts)
    out.mkdir(parents=True)
    found["seconds"] = {name: round(value, 6) for name, value in found["seconds"].items()}
    (out / "about.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
