"""One side of the benchmark of verdicts: every filter of a recipe on every text as it came.

    python judge_texts.py ENGINE TEXTS OUT [DCLM]

TEXTS holds a JSON string a line. Engines: `ours` (Tokenmill's stages as each peer counts),
`datatrove` (its filters), `dolma` (its taggers), `dclm` (functions of the checkout DCLM). OUT
becomes a folder with `about.json`: peer -> what was changed in it ("" = nothing) -> filter -> a
verdict a text, null = kept. Bounds are Gopher's and DCLM's, the defaults of our stages, and
FineWeb's. All need PYTHONPATH.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import filter_texts

from pipeline.batch import split_words

Verdict = str | None
Judge = Callable[[str], Verdict]
Found = dict[str, dict[str, dict[str, list[Verdict]]]]

OUR_WORDS = "words: ours in place of its own"
UNISEG_TEXTS = 500
"""So many texts are enough of DCLM with uniseg's words, which it makes 50 kB a second of."""
LITERAL = "phrases: what they say, in place of regular expressions"


class OurWords(str):
    """A text whose `split()` gives Tokenmill's words."""

    def split(self, sep: str | None = None, maxsplit: Any = -1) -> list[str]:  # type: ignore[override]
        return split_words(str(self)) if sep is None else str.split(self, sep, maxsplit)


# --- Ours ----------------------------------------------------------------------------------------


def our_stages() -> dict[str, dict[str, Any]]:
    """Peer -> filter -> the stage that counts as the peer does."""
    from stages.c4 import C4Lines
    from stages.gopher import GopherQuality, GopherRepetition
    from stages.refinedweb import RefinedwebLines

    c4 = C4Lines(
        counting="dolma", min_words_per_line=3, min_sentences=0, max_page_chars=10**9
    )  # fmt: skip
    return {
        "datatrove": filter_texts.our_stages(),
        "dolma": {
            "gopher_quality": GopherQuality(counting="dolma"),
            "gopher_repetition": GopherRepetition(counting="dolma"),
            "c4_lines": c4,
        },
        "dclm": {
            "gopher_quality": GopherQuality(counting="dclm"),
            "gopher_repetition": GopherRepetition(counting="dclm"),
            "refinedweb_lines": RefinedwebLines(),
        },
    }


def ours(texts: Sequence[str]) -> Found:
    import pyarrow as pa

    from pipeline.stage import Side, TextBatch

    side, found = Side("verdicts", 0), {}
    batches = [TextBatch(pa.table({"text": column})) for column in filter_texts.our_batches(texts)]
    for peer, stages in our_stages().items():
        found[peer] = {"": dict[str, list[Verdict]]()}
        for name, stage in stages.items():
            judged = found[peer][""].setdefault(name, [])
            for batch in batches:
                metrics = stage.process(batch, side).metrics
                judged += filter_texts.our_verdicts(stage, metrics, len(batch))
    return found


def datatrove(texts: Sequence[str]) -> Found:
    from datatrove.data import Document

    judge = filter_texts.peer_judge(our_words=True)
    names = filter_texts.FILTERS
    return {"datatrove": {OUR_WORDS: {
        name: [judge(name, Document(text, "")) for text in texts] for name in names
    }}}  # fmt: skip


# --- Dolma ---------------------------------------------------------------------------------------

QUALITY = (
    ("word_count", 50, 100_000, "word_count"),
    ("median_word_length", 3, 10, "mean_word_length"),
    ("symbol_to_word_ratio", None, 0.1, "symbol_word_ratio"),
    ("fraction_of_lines_starting_with_bullet_point", None, 0.9, "bullet_line_ratio"),
    ("fraction_of_lines_ending_with_ellipsis", None, 0.3, "ellipsis_line_ratio"),
    ("fraction_of_words_with_alpha_character", 0.8, None, "alpha_word_ratio"),
    ("required_word_count", 2, None, "stop_word_count"),
)
"""(attribute of gopher_v1, least, most, our metric)."""
TOP = ((2, 0.20), (3, 0.18), (4, 0.16))
DUPLICATE = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
LINES = (
    ("fraction_of_duplicate_lines", 0.30, "duplicate_line_ratio"),
    ("fraction_of_characters_in_duplicate_lines", 0.20, "duplicate_line_char_ratio"),
)


def dolma_filters() -> dict[str, Judge]:
    from dolma.core.data_types import Document
    from dolma.core.registry import TaggerRegistry

    gopher, c4 = (TaggerRegistry.get(name)() for name in ("gopher_v1", "c4_v2"))

    @lru_cache(maxsize=4, typed=True)  # two filters read the tags of one tagger
    def tags(tagger: Any, text: str) -> dict[str, float]:
        spans = tagger.predict(Document(source="", id="", text=text)).spans
        return {span.type: span.score for span in spans}

    def quality(text: str) -> Verdict:
        found = tags(gopher, text)
        for attribute, least, most, metric in QUALITY:
            if least is not None and found[attribute] < least:
                return f"{metric}_too_low"
            if most is not None and found[attribute] > most:
                return f"{metric}_too_high"
        return None

    def repetition(text: str) -> Verdict:
        found = tags(gopher, text)
        for attribute, most, metric in LINES:
            if found[attribute] > most:
                return metric
        for start, sizes, metric in (
            ("most_common", TOP, "top"), ("duplicate", DUPLICATE, "duplicate"),
        ):  # fmt: skip
            for n, most in sizes:  # a text of fewer words has no such attribute
                if found.get(f"fraction_of_characters_in_{start}_{n}grams", 0) > most:
                    return f"{metric}_{n}gram_ratio"
        return None

    def page(text: str) -> Verdict:
        found = tags(c4, text)
        for tag, reason in (
            ("has_lorem_ipsum", "lorem_ipsum"), ("has_curly_brace", "curly_bracket"),
            ("has_javascript", "javascript"),
        ):  # fmt: skip
            if tag in found:
                return reason
        return None

    return {"gopher_quality": quality, "gopher_repetition": repetition, "c4_lines": page}


def dolma(texts: Sequence[str]) -> Found:
    filters = dolma_filters()
    own: dict[str, list[Verdict]] = {name: [] for name in filters}
    changed: dict[str, list[Verdict]] = {name: [] for name in filters}
    for text in texts:
        for name, judge in filters.items():
            own[name].append(judge(text))
        for name, judge in filters.items():
            other = split_words(text) != text.split()
            changed[name].append(judge(OurWords(text)) if other else own[name][-1])
    return {"dolma": {"": own, OUR_WORDS: changed}}


# --- DCLM ----------------------------------------------------------------------------------------


def dclm_modules(checkout: Path) -> tuple[Any, Any, Any]:
    """Its core_utils, content_filters and modifiers.

    The packages' own `__init__` would import all of its enrichers: they are left out.
    """
    base = checkout / "baselines"
    for name, at in (
        ("baselines", base), ("baselines.mappers", base / "mappers"),
        ("baselines.mappers.filters", base / "mappers" / "filters"), ("core", base / "core"),
    ):  # fmt: skip
        package = types.ModuleType(name)
        package.__path__ = [str(at)]
        sys.modules[name] = package
    names = ("core_utils", "filters.content_filters", "modifiers")
    utils, filters, modifiers = (importlib.import_module(f"baselines.mappers.{n}") for n in names)
    return utils, filters, modifiers


def dclm_quality(filters: Any) -> Judge:
    """The filters of dclm_baseline_refinedweb.yaml in its order; a reason a bound."""

    def words(**bounds: Any) -> Callable[[Any], Any]:
        return lambda page: filters.page_length_filter(
            page, "word", ignore_punctuation=True, **bounds
        )

    checks = (
        ("word_count_too_low", words(min_length=50)),
        ("word_count_too_high", words(max_length=100_000)),
        ("mean_word_length_too_low", lambda page: filters.word_length_filter(page, min_length=3)),
        ("mean_word_length_too_high", lambda page: filters.word_length_filter(page, max_length=10)),
        ("symbol_word_ratio_too_high", filters.symbol_ratio_filter),
        ("bullet_line_ratio_too_high", filters.bullet_count_filter),
        ("ellipsis_line_ratio_too_high", filters.ellipsis_count_filter),
        ("alpha_word_ratio_too_low", filters.alphabetic_word_ratio_filter),
        ("stop_word_count_too_low", filters.stop_word_filter),
    )
    return lambda text: next((why for why, kept in checks if not kept({"text": text})), None)


def dclm_repetition(filters: Any) -> Judge:
    """`massive_web_repetition_filters`, with the rule that a page breaks."""
    checks = (
        ("duplicate_line_ratio", "line", 0.3, False),
        ("duplicate_paragraph_ratio", "paragraph", 0.3, False),
        ("duplicate_line_char_ratio", "line", 0.2, True),
        ("duplicate_paragraph_char_ratio", "paragraph", 0.2, True),
        *((f"top_{n}gram_ratio", n, bound, True) for n, bound in TOP),
        *((f"duplicate_{n}gram_ratio", n, bound, True) for n, bound in DUPLICATE),
    )

    def judge(text: str) -> Verdict:
        page, cache = {"text": text}, dict[str, Any]()
        for why, part, bound, chars in checks:
            if not filters.repetition_filter(page, part, bound, chars, cache=cache):
                return why
        return None

    return judge


def dclm_lines(utils: Any, filters: Any, modifiers: Any, literal: bool) -> Judge:
    """The modifiers of dclm_baseline_refinedweb.yaml in its order, then the words that are left."""

    def phrase(banlist: str, location: str) -> Any:
        banlist = banlist.replace(".", r"\.") if literal else banlist
        return modifiers.substring_line_modifier(
            banlist, max_length=10, remove_substring_only=True, location=location
        )

    newlines = modifiers.newline_removal_modifier(2)
    steps = (
        lambda page: modifiers.uppercase_ratio_line_modifier(page, 0.5),
        lambda page: modifiers.numeric_ratio_line_modifier(page, 0.999999),
        modifiers.counter_line_modifier(),
        lambda page: modifiers.line_length_modifier(page, min_length=2),
        phrase("items in cart", "any"),
        phrase("Read more...", "suffix"),
        phrase("Sign-in", "prefix"),
        lambda page: filters.word_removal_ratio_filter(page, "before", max_removed_ratio=0.05),
    )

    def judge(text: str) -> Verdict:
        [page] = newlines({"text": text})
        page["before"] = len(utils.split_words(page["text"], ignore_punctuation=True))
        return None if all(step(page) for step in steps) else "too_much_removed"

    return judge


def dclm(texts: Sequence[str], checkout: Path) -> Found:
    utils, filters, modifiers = dclm_modules(checkout)
    quality, repetition = dclm_quality(filters), dclm_repetition(filters)
    lines = dclm_lines(utils, filters, modifiers, False)
    literal = dclm_lines(utils, filters, modifiers, True)
    made = {"": {
        "gopher_quality": [quality(text) for text in texts],
        "gopher_repetition": [repetition(text) for text in texts[:UNISEG_TEXTS]],
        "refinedweb_lines": [lines(text) for text in texts],
    }}  # fmt: skip
    made[LITERAL] = made[""] | {"refinedweb_lines": [literal(text) for text in texts]}
    utils.words = utils.fasttext.FastText.tokenize = split_words
    mine = list(map(OurWords, texts))
    made[OUR_WORDS] = {
        "gopher_quality": [quality(text) for text in mine],
        "gopher_repetition": [repetition(text) for text in mine],
        "refinedweb_lines": [lines(text) for text in texts],
    }
    both = [literal(text) for text in texts]
    made[f"{OUR_WORDS}; {LITERAL}"] = made[OUR_WORDS] | {"refinedweb_lines": both}
    return {"dclm": made}


def main(name: str, source: Path, out: Path, checkout: Path | None = None) -> None:
    with source.open() as lines:
        texts = [json.loads(line) for line in lines]
    if name == "dclm":
        assert checkout is not None
        found = dclm(texts, checkout)
    else:
        found = {"ours": ours, "datatrove": datatrove, "dolma": dolma}[name](texts)
    out.mkdir(parents=True)
    (out / "about.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
