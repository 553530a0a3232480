"""The measures of the built-in filters as a reader would write them, for the kernels to equal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.batch import TextBatch, split_words
from pipeline.stage import Processed, Rewrite, RowStage, Side
from stages.c4 import C4Lines
from stages.fineweb import TERMINAL_PUNCTUATION

ELLIPSES = ("...", "…")
BULLETS = ("•", "●", "-", "*")
AROUND_WORD = re.compile(r"^\W+|\W+$")


def measured(stage: RowStage, text: str) -> dict[str, Any]:
    """The metrics of one text by the stage's own `process`; NaN as None."""
    return measured_all(stage, [text])[0]


def measured_all(stage: RowStage, texts: Sequence[str | None]) -> list[dict[str, Any]]:
    """The metrics of every text, measured in one batch."""
    columns = {
        name: pa.array(values, from_pandas=True).to_pylist()
        for name, values in processed(stage, texts).metrics.items()
    }
    return [{name: values[row] for name, values in columns.items()} for row in range(len(texts))]


def processed(stage: RowStage, texts: Sequence[str | None]) -> Processed:
    batch = TextBatch(pa.table({"text": pa.array(texts, pa.large_string())}))
    return stage.process(batch, Side("test", 0))


def rewritten(stage: RowStage, text: str) -> Rewrite:
    """What a text map makes of one text: its new text and its metrics."""
    [out] = processed(stage, [text]).columns["text"].to_pylist()
    return Rewrite(out, measured(stage, text))


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def gopher_quality(text: str, stop_words: Iterable[str]) -> Mapping[str, Any]:
    words = split_words(text)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    ellipses = sum(text.count(mark) for mark in ELLIPSES)
    distinct = {AROUND_WORD.sub("", word.lower()) for word in set(words)}
    return {
        "word_count": len(words),
        "mean_word_length": ratio(sum(map(len, words)), len(words)),
        "symbol_word_ratio": ratio(max(text.count("#"), ellipses), len(words)),
        "bullet_line_ratio": ratio(sum(line.startswith(BULLETS) for line in lines), len(lines)),
        "ellipsis_line_ratio": ratio(sum(line.endswith(ELLIPSES) for line in lines), len(lines)),
        "alpha_word_ratio": ratio(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_word_count": len(distinct.intersection(stop_words)),
    }


def repeats(parts: Iterable[str]) -> tuple[int, int]:
    """Number and characters of the parts that are not the first of their kind."""
    seen: set[str] = set()
    count = chars = 0
    for part in parts:
        if part in seen:
            count += 1
            chars += len(part)
        else:
            seen.add(part)
    return count, chars


def top_ngram_chars(words: Sequence[str], size: int, min_count: int) -> int:
    """Characters, spaces included, in all copies of the most frequent n-gram (first on a tie)."""
    counts = Counter(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))
    if not counts:
        return 0
    ngram, count = max(counts.items(), key=lambda pair: pair[1])
    return len(ngram) * count if count >= min_count else 0


def duplicate_ngram_chars(words: Sequence[str], size: int) -> int:
    """Characters of words in n-grams that occurred before; found greedily, never overlapping."""
    seen: set[tuple[str, ...]] = set()
    chars = at = 0
    while at <= len(words) - size:
        ngram = tuple(words[at : at + size])
        if ngram in seen:
            chars += sum(map(len, ngram))
            at += size
        else:
            seen.add(ngram)
            at += 1
    return chars


def gopher_repetition(text: str, min_top_count: int) -> Mapping[str, float | None]:
    words, whole = split_words(text), len(text)
    paragraphs, lines = re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)
    same_paragraphs, paragraph_chars = repeats(paragraphs)
    same_lines, line_chars = repeats(lines)
    found: dict[str, float | None] = {
        "duplicate_line_ratio": same_lines / len(lines),
        "duplicate_paragraph_ratio": same_paragraphs / len(paragraphs),
        "duplicate_line_char_ratio": ratio(line_chars, whole),
        "duplicate_paragraph_char_ratio": ratio(paragraph_chars, whole),
    }
    for n in (2, 3, 4):
        found[f"top_{n}gram_ratio"] = ratio(top_ngram_chars(words, n, min_top_count), whole)
    for n in (5, 6, 7, 8, 9, 10):
        found[f"duplicate_{n}gram_ratio"] = ratio(duplicate_ngram_chars(words, n), whole)
    return found if text else dict.fromkeys(found)


def fineweb_quality(text: str, short_line_chars: int) -> Mapping[str, float | None]:
    lines = [line for line in text.split("\n") if line.strip()]
    newlines = text.count("\n")
    _, duplicate_chars = repeats(lines)
    terminal = sum(line[-1] in TERMINAL_PUNCTUATION for line in lines)
    return {
        "line_punctuation_ratio": ratio(terminal, len(lines)),
        "short_line_ratio": ratio(sum(len(line) <= short_line_chars for line in lines), len(lines)),
        "duplicate_line_char_ratio": ratio(duplicate_chars, len(text) - newlines if lines else 0),
        "newline_word_ratio": ratio(newlines, len(split_words(text))),
    }


# --- C4 ----------------------------------------------------------------------------------------

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
BOUNDARY = re.compile(r"""(?<![.?!])([.?!]+)["'”’»)\]]*\s+(?=(\S))""")
ABBREVIATIONS = re.compile(
    "mr|mrs|ms|dr|prof|sr|jr|st|mt|gen|col|lt|sgt|capt|rev|hon|pres|gov|sen|rep"
    r"|vs|figs?|vol|pp|approx|al|e\.g|i\.e|cf|ca"
)
WORD_BEFORE = re.compile(r"[^\s\"'“‘«(\[]*$")


def count_sentences(text: str) -> int:
    """Sentences of one line. A sentence ends at `?`, `!`, or at `.` before a word that does not
    start in lower case, unless the period belongs to an initial or a common abbreviation.
    """
    text = text.strip()
    if not text:
        return 0
    count = 1
    for found in BOUNDARY.finditer(text):
        marks, following = found.groups()
        if marks.strip("."):
            count += 1
        elif not following.islower():
            before = WORD_BEFORE.search(text[max(0, found.start() - 12) : found.start()])
            word = before.group().lower() if before else ""
            initial = len(word) == 1 and word.isalpha()
            if marks != "." or not (initial or ABBREVIATIONS.fullmatch(word)):
                count += 1
    return count


def c4_lines(stage: C4Lines, text: str) -> Rewrite:
    """The good lines of a text, and what was found in the others."""
    counts = dict.fromkeys(stage.metrics, 0)
    kept: list[str] = []
    for raw in text.splitlines():  # as tfds: also at vertical tabs, form feeds, U+2028
        counts["lines"] += 1
        line = raw.strip()
        verdict = judge_line(stage, line)
        if verdict is None or verdict in ("lorem_ipsum", "curly_brackets"):
            line = CITATION.sub("", line)
            kept.append(line)
            counts["lines_kept"] += 1
            counts["sentences"] += count_sentences(line)
        if verdict is not None:
            counts[verdict] += 1
    counts["chars"] = len(text)
    return Rewrite("\n".join(kept).strip(), counts)


def judge_line(stage: C4Lines, line: str) -> str | None:
    """The metric that counts this line's fault; None if it is a good line."""
    if any(len(word) > stage.max_word_chars for word in line.split()):
        return "lines_long_word"
    line = CITATION.sub("", line)
    if stage.end_marks and (not line.endswith(stage.end_marks) or line.endswith("...")):
        return "lines_no_end_mark"
    if len(line.split()) < stage.min_words_per_line:
        return "lines_too_short"
    lower = line.lower()
    if "lorem ipsum" in lower:
        return "lorem_ipsum"
    if "javascript" in lower:
        return "lines_javascript"
    if "{" in line:
        return "curly_brackets"
    if any(phrase in lower for phrase in POLICY_PHRASES):
        return "lines_policy"
    return None
