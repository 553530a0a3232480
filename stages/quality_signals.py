"""Quality signals in the style of RedPajama-V2: numbers about a document, and no verdict.

After the `rps_*` signals of togethercomputer/RedPajama-Data (`app/src/core/quality_signals`; names
there in brackets). Nothing is dropped: the metrics lie beside those of the filters, for `explain`,
for later steps (`keep: [quality_signals.word_count]`) and for rules that you choose yourself.

Words are ours (DESIGN section 4), bare and in lower case where they are compared; there, texts are
normalised first and punctuation is gone. Signals of lines are means over lines that are not blank;
there, every line has its own. Not here: signals of models (`ccnet_perplexity` is `perplexity`,
importance weights) and of word lists (`bad_words` counts those).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.stage import Filter, TextBatch, knob
from stages.counting import BULLETS, DUPLICATE_SIZES, TOP_SIZES
from stages.measures import batch_word_counts, ratio

_SOURCE = "togethercomputer/RedPajama-Data, RedPajama-V2 quality signals"
_AROUND_WORD = re.compile(r"^\W+|\W+$")
_FROM_KERNELS = (
    "mean_word_length",  # rps_doc_mean_word_length
    "symbol_word_ratio",  # rps_doc_symbol_to_word_ratio
    "no_alpha_word_ratio",  # rps_doc_frac_no_alph_words
    "ellipsis_line_ratio",  # rps_doc_frac_lines_end_with_ellipsis
    "bullet_line_ratio",  # rps_lines_start_with_bulletpoint
    "terminal_line_ratio",  # rps_lines_ending_with_terminal_punctution_mark
    "words_per_line",  # rps_lines_num_words
    *(f"top_{n}gram_ratio" for n in TOP_SIZES),  # rps_doc_frac_chars_top_ngram
    *(f"duplicate_{n}gram_ratio" for n in DUPLICATE_SIZES),  # rps_doc_frac_chars_dupe_ngrams
)
_FROM_WORDS = (
    "unique_word_ratio",  # rps_doc_frac_unique_words
    "unigram_entropy",  # rps_doc_unigram_entropy, in nats
    "caps_word_ratio",  # rps_doc_frac_all_caps_words
    "stop_word_ratio",  # rps_doc_stop_word_fraction
    "uppercase_letter_ratio",  # rps_lines_uppercase_letter_fraction
    "numeric_char_ratio",  # rps_lines_numerical_chars_fraction
    "curly_bracket_ratio",  # rps_doc_curly_bracket
    "lorem_ipsum_ratio",  # rps_doc_lorem_ipsum
    "javascript_line_ratio",  # rps_lines_javascript_counts
)


@dataclass(frozen=True)
class QualitySignals(Filter):
    """Measures documents as RedPajama-V2 does, and drops none."""

    stop_words: tuple[str, ...] = knob(
        ("the", "be", "to", "of", "and", "that", "have", "with"),
        unit="words",
        source=f"Gopher's eight; {_SOURCE}: a list by language",
    )

    compiles: ClassVar[bool] = True
    metrics: ClassVar[Mapping[str, type]] = {
        "word_count": int,  # rps_doc_word_count
        "sentences": int,  # rps_doc_num_sentences
        **dict.fromkeys(_FROM_KERNELS, float),
        **dict.fromkeys(_FROM_WORDS, float),
    }

    def measure_batch(self, batch: TextBatch) -> dict[str, Any]:
        from stages.kernels.sentences import sentence_counts

        texts = batch.column("text")
        stop_words = frozenset(self.stop_words)
        rows = [
            word_signals(text, words, stop_words)
            for text, words in zip(batch.texts, batch.words, strict=True)
        ]
        return {
            "word_count": batch_word_counts(batch)["words"],
            "sentences": sentence_counts(texts, newlines_only=False),
            **kernel_signals(batch, texts),
            **{name: pa.array([row[name] for row in rows], pa.float64()) for name in _FROM_WORDS},
        }


def kernel_signals(batch: TextBatch, texts: pa.Array) -> dict[str, Any]:
    """The signals that the filters' kernels count."""
    from stages.fineweb import terminal_flags
    from stages.kernels.lines import line_counts, mark_counts
    from stages.kernels.repetition import repetition_counts

    words, marks = batch_word_counts(batch), mark_counts(texts, BULLETS["paper"])
    lines, runs = line_counts(texts, terminal_flags(), 0), repetition_counts(texts, 2)
    count = words["words"]
    return {
        "mean_word_length": ratio(words["word_chars"], count),
        "symbol_word_ratio": ratio(marks["hashes"] + marks["ellipses"], count),
        "no_alpha_word_ratio": ratio(count - words["alpha_words"], count),
        "ellipsis_line_ratio": ratio(marks["ellipsis_lines"], marks["lines"]),
        "bullet_line_ratio": ratio(marks["bullet_lines"], marks["lines"]),
        "terminal_line_ratio": ratio(lines["terminal_lines"], lines["lines"]),
        "words_per_line": ratio(count, np.asarray(lines["lines"])),
        **{
            f"top_{n}gram_ratio": ratio(runs[f"top_{n}gram_chars"], runs["chars"])
            for n in TOP_SIZES
        },
        **{
            f"duplicate_{n}gram_ratio": ratio(runs[f"duplicate_{n}gram_chars"], runs["chars"])
            for n in DUPLICATE_SIZES
        },
    }


def word_signals(
    text: str, words: list[str], stop_words: frozenset[str]
) -> dict[str, float | None]:
    """The signals of words and characters; None where there is nothing to measure."""
    bare = Counter(word for raw in words if (word := _AROUND_WORD.sub("", raw.lower())))
    total, lower = bare.total(), text.lower()
    lines = [line for line in lower.split("\n") if line.strip()]
    letters = sum(map(str.isalpha, text))

    def share(part: float, whole: int) -> float | None:
        return part / whole if whole else None

    entropy = -sum(n / total * math.log(n / total) for n in bare.values()) if total else None
    return {
        "unique_word_ratio": share(len(bare), total),
        # Rounded: the sum depends on the order of the words in the last bits.
        "unigram_entropy": None if entropy is None else abs(round(entropy, 6)),
        "caps_word_ratio": share(sum(map(str.isupper, words)), len(words)),
        "stop_word_ratio": share(sum(bare[word] for word in stop_words), total),
        "uppercase_letter_ratio": share(sum(map(str.isupper, text)), letters),
        "numeric_char_ratio": share(sum(map(str.isdigit, text)), len(text)),
        "curly_bracket_ratio": share(text.count("{") + text.count("}"), len(text)),
        "lorem_ipsum_ratio": share(lower.count("lorem ipsum"), len(text)),
        "javascript_line_ratio": share(sum("javascript" in line for line in lines), len(lines)),
    }
