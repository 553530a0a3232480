"""How public pipelines count what Gopher's rules bound (recipes 2b and 2c): `counting`.

The bounds are the paper's everywhere; what is held against them is not. All modes use our words
(DESIGN section 4), since the thresholds of a recipe cannot be met by its words without its
tokenizer: spaCy's (datatrove) and uniseg's (DCLM's n-grams) cut punctuation off, ours do not. Words
between white space are what Dolma counts, and DCLM but for n-grams; they are ours in scripts with
spaces. (DCLM's `word_count` has fastText's, which a no-break space does not part.)

Quality:

- `word_count`: paper and dolma all words; datatrove those that are not punctuation alone; dclm
  those that begin with a letter or digit (`str.isalnum`), so `"So` and `(of` are none.
- `mean_word_length`: of all words; datatrove of those words; dolma the median of all.
- `symbol_word_ratio`: `#` or ellipses, the larger; dclm their sum, `. . .` too; dolma words that
  hold `#` or `…`.
- Lines: paper and dclm those that are not blank; datatrove all, cut as `str.splitlines` does; dolma
  all between newlines.
- Bullets, after spaces: paper and dclm `•●-*`, datatrove `•-`; dolma `*-` at the very start.
- Ellipses at line ends, before spaces: `...` and `…`; dclm `. . .` too; dolma `…` at the very end.
- Stop words: paper distinct ones, in lower case, bare of punctuation; datatrove distinct ones as
  they stand; dclm all occurrences in lower case; dolma all occurrences as they stand.

"As they stand": punctuation at a word belongs to it, so that `The` and `of,` are none.

Repetition: `paper` and `datatrove` count the second and later copies; they differ in the order of
the rules alone (datatrove judges paragraphs before lines). `dclm` and `dolma` count every copy, see
`stages.kernels.repetition_copies`. dclm's n-grams are of the words that its `word_count` counts; a
text of one line or paragraph has none of their ratios there. Dolma has no paragraph rules.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.stage import TextBatch
from stages.measures import ratio

COUNTING = ("paper", "datatrove", "dclm", "dolma")
SOURCES = (
    "datatrove 0.10.1 gopher_quality_filter.py, gopher_repetition_filter.py; "
    "mlfoundations/dclm 361714b content_filters.py; allenai/dolma 669f534 taggers/gopher.py"
)
TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)
BULLETS = {"paper": "•●-*", "datatrove": "•-", "dclm": "●•*-", "dolma": "*-"}

# Code points of PUNCTUATION_SET, datatrove 0.10.1 utils/text.py, in hexadecimal: a word of these
# alone is no word for its counts. The full-width 1 (FF11) is among them there, too.
_DATATROVE_PUNCTUATION = """
    0-8 B-1F 21-2F 3A-40 5B-60 7B-9F AB B4 BB 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965
    104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D6 17D9-17DA 1803 1809 1944-1945 1AA8-1AAB
    1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F 2013-2014 2019 201C-201E 2026 203C-203D
    2047-2049 2236 2501 25BA 2E2E 2E3C 2E53-2E54 3001-3002 3008-300D 3010-3011 A4FF A60E-A60F A6F3
    A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF05
    FF08-FF09 FF0C FF0E FF11 FF1A-FF1B FF1F FF5E FF61 10A56-10A57 10F55-10F59 10F86-10F89
    11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9
    1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C
    11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F 1DA88
"""


def code_points(ranges: str) -> list[int]:
    """The code points of ranges in hexadecimal."""
    bounds = [[int(end, 16) for end in part.split("-")] for part in ranges.split()]
    return [code for bound in bounds for code in range(bound[0], bound[-1] + 1)]


DATATROVE_PUNCTUATION = frozenset(map(chr, code_points(_DATATROVE_PUNCTUATION)))


@lru_cache(maxsize=4)
def solid_characters(counting: str) -> npt.NDArray[np.bool_]:
    """For every code point, whether it makes a word count; in dclm as its first character."""
    from stages.kernels.characters import WORD, character_flags

    flags = np.ones(0x110000, dtype=np.bool_)
    if counting == "dclm":
        flags = np.not_equal(character_flags() & WORD, 0)
        flags[ord("_")] = False  # the only character that is `\w` and not `str.isalnum`
    elif counting == "datatrove":
        flags[list(map(ord, DATATROVE_PUNCTUATION))] = False
    return flags


def quality_measures(batch: TextBatch, counting: str) -> dict[str, Any]:
    """The metrics of Gopher's quality filter, all but `stop_word_count`."""
    from stages.kernels.counting import LineRules, line_facts, word_facts

    texts = batch.column("text")
    solid = solid_characters(counting)
    words = word_facts(texts, solid, one_by_one=counting == "dolma", leading=counting == "dclm")
    lines = line_facts(
        texts,
        BULLETS[counting],
        LineRules(
            newlines_only=counting != "datatrove",
            stripped=counting != "dolma",
            blank=counting != "dclm",
            dots=counting != "dolma",
            spaced_dots=counting == "dclm",
        ),
    )
    length = ratio(words["word_chars"], words["words"])
    if counting == "datatrove":
        length = ratio(words["solid_chars"], words["solid_words"])
        symbols = np.maximum(lines["hashes"], lines["ellipses"])
    elif counting == "dclm":
        symbols = lines["hashes"] + lines["ellipses"]
    else:
        length = ratio(words["twice_median_chars"], np.where(words["words"] > 0, 2, 0))
        symbols = words["symbol_words"]
    return {
        "word_count": words["words" if counting == "dolma" else "solid_words"],
        "mean_word_length": length,
        "symbol_word_ratio": ratio(symbols, words["words"]),
        "bullet_line_ratio": ratio(lines["bullet_lines"], lines["lines"]),
        "ellipsis_line_ratio": ratio(lines["ellipsis_lines"], lines["lines"]),
        "alpha_word_ratio": ratio(words["alpha_words"], words["words"]),
    }


def stop_words_as_counted(batch: TextBatch, words: Any, counting: str) -> Any:
    """How many stop words each text has: distinct ones, or all their occurrences."""
    from stages.kernels.counting import members

    return members(
        batch.column("text"), words, lower=counting == "dclm", distinct=counting == "datatrove"
    )


def copied_measures(batch: TextBatch, counting: str) -> dict[str, Any]:
    """The ratios of Gopher's repetition filter where every copy counts (`dclm`, `dolma`)."""
    from stages.kernels.repetition_copies import copy_counts

    merged = counting == "dclm"
    found = copy_counts(batch.column("text"), solid_characters(counting), merged=merged)
    several = {name: found[name] > (1 if merged else 0) for name in ("lines", "paragraphs")}
    line_whole = found["line_chars"] if merged else found["visible_chars"]
    word_whole = found["word_chars"]

    def of(part: str, whole: Any, pieces: str) -> Any:
        return ratio(found[part], np.where(several[pieces], whole, 0))

    return {
        "duplicate_line_ratio": of("copied_lines", found["lines"], "lines"),
        "duplicate_paragraph_ratio": of("copied_paragraphs", found["paragraphs"], "paragraphs"),
        "duplicate_line_char_ratio": of("copied_line_chars", line_whole, "lines"),
        "duplicate_paragraph_char_ratio": of(
            "copied_paragraph_chars", found["paragraph_chars"], "paragraphs"
        ),
        **{f"top_{n}gram_ratio": ratio(found[f"top_{n}gram_chars"], word_whole) for n in TOP_SIZES},
        **{
            f"duplicate_{n}gram_ratio": ratio(
                found[f"copied_{n}gram_chars"],
                word_whole if merged else found[f"all_{n}gram_chars"],
            )
            for n in DUPLICATE_SIZES
        },
    }
