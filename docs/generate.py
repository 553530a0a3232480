"""Writes docs/thresholds.md from the code: every default, its unit and its source.

python docs/generate.py            # writes the file
python docs/generate.py --check    # exit code 1 if the file is not what the code says
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipeline.commands.stages import describe  # noqa: E402
from pipeline.knobs import knob_info  # noqa: E402
from pipeline.planning.build import catalogue, stage_class  # noqa: E402
from pipeline.planning.config import SETTINGS  # noqa: E402
from pipeline.stage import RowStage  # noqa: E402

TARGET = ROOT / "docs" / "thresholds.md"
_LONG = 160
"""Longer defaults are cut; the code has them whole."""

MEANINGS = {
    "failed": "1 where the extractor raised an error",
    "too_complex": "1 where a page would take an engine that builds a DOM minutes",
    "num_chars": "characters of the extracted text",
    "word_count": "words, as `counting` counts them",
    "mean_word_length": "characters of words, by words",
    "symbol_word_ratio": "hashes or ellipses, by words",
    "bullet_line_ratio": "share of lines that begin with a bullet",
    "ellipsis_line_ratio": "share of lines that end in an ellipsis",
    "alpha_word_ratio": "share of words with a letter",
    "stop_word_count": "stop words found",
    "duplicate_line_ratio": "share of lines that repeat another",
    "duplicate_paragraph_ratio": "share of paragraphs that repeat another",
    "duplicate_line_char_ratio": "share of characters in repeated lines",
    "duplicate_paragraph_char_ratio": "share of characters in repeated paragraphs",
    **{
        f"top_{n}gram_ratio": f"share of characters in the most frequent run of {n} words"
        for n in (2, 3, 4)
    },
    **{
        f"duplicate_{n}gram_ratio": f"share of characters in repeated runs of {n} words"
        for n in range(5, 11)
    },
    "chars": "characters of the page before its lines are cut",
    "lorem_ipsum": "lines with the placeholder text `lorem ipsum`",
    "curly_brackets": "lines with `{`, a sign of code",
    "sentences": "sentences, in the lines that are left where lines are cut",
    "long_lines": "lines of at least `min_paragraph_chars`",
    "line_punctuation_ratio": "share of lines that end a sentence",
    "short_line_ratio": "share of lines of at most `short_line_chars`",
    "newline_word_ratio": "newlines by words: a list",
    "removed_word_ratio": "share of words in what was cut out",
    "questionable_ratio": "share of sentences that a rule finds questionable",
    "repetitions": "copies in a row of a short string",
    "bad_words": "words of the list",
    "lines_left": "lines that no other page holds",
    "sentences_left": "sentences, where a span was removed",
    "words_left": "words, where a span was removed",
    "chars_left": "characters, where something was removed",
    "examples": "examples of benchmarks that it holds",
    "noai": "1 where the page asks not to be used for models",
    "tdm_reserved": "1 where it reserves text and data mining",
    "unchecked": "1 where a page holds too many numbers to check",
}
"""Metric -> what it is, for the reasons that rules give."""
_ROWS = {
    "bad_line": "the line is no JSON object",
    "no_text": "the row has no text",
    "undecodable": "the text is no UTF-8",
    "empty": "the text is blank",
    "too_large": "it has more than `max_document_bytes`, or its declared columns together have",
    "bad_value": "a value is not of the type that `columns` declares",
}
_RECORDS = {
    "revisit": "a record that says the page has not changed",
    "conversion": "a record of extracted text (WET), and `records` is `pages`",
    "not_text": "no such record, or none of plain text, and `records` is `text`",
    "segmented": "a part of a record",
    "unknown_type": "of no kind that holds a document",
    "not_http": "no HTTP response",
    "http_status": "the server's answer is no 2xx",
    "empty": "nothing but white space",
    "not_html": "another media type, or no HTML by its first bytes",
    "too_large": "it has more than `max_document_bytes`",
    "content_encoding": "compressed in a way that cannot be read",
    "undecodable": "more than a tenth of its bytes are 0",
}
_NOT_FETCHED = {"revisit", "conversion", "not_text", "segmented", "unknown_type", "not_http"}
"""Records that the crawler does not write."""
OTHER_REASONS = {
    "read_warc": _RECORDS,
    "fetch_urls": {
        **{name: says for name, says in _RECORDS.items() if name not in _NOT_FETCHED},
        "http_status": "the server's answer is no 2xx; each redirect is one",
        "robots_denied": "robots.txt forbids it",
        "robots_unreachable": "the site did not give its robots.txt, nor say that there is none",
        "crawl_delay": "robots.txt asks for pauses above `max_crawl_delay`",
        "private_address": "its host, or a redirect's, is no public address and not in `allow`",
        "bad_url": "no http(s) URL, or one with a password, a port of mail or shells, or blanks",
        "excluded": "it leads to a page that is excluded or was erased",
        "redirect_loop": "a redirect leads back",
        "too_many_redirects": "more than `max_redirects`",
        "over_host_limit": "its host has `max_per_host` URLs before it",
        "unresolved": "its host has no address",
        "unreachable": "no connection, or none that lasted to an answer",
        "timeout": "it took more than `max_seconds`, or stood still for `idle_seconds`",
        "incomplete": "the answer broke off",
        "server_busy": "429 or 5xx to the last of `retries`, or a Retry-After above `max_wait`",
    },
    "read_jsonl": _ROWS,
    "read_csv": {**_ROWS, "bad_line": "the row does not parse, or has too few or many fields"},
    "read_text": {
        "undecodable": "a piece of a UTF-8 file is no UTF-8",
        "empty": "a file is blank",
        "too_large": "it has more than `max_document_bytes`",
    },
    "read_parquet": {name: says for name, says in _ROWS.items() if name != "bad_line"},
    "read_arrow": {name: says for name, says in _ROWS.items() if name != "bad_line"},
    "language": {
        "other_language": "`keep` does not name its language",
        "mixed_languages": "more than `max_other_ratio` is in others (`level: paragraph`)",
        "other_script": "less than `min_script_ratio` of its letters are of its language's scripts",
        "low_score": "the score is below `min_score`",
    },
    "url_filter": {
        "adult": "`lists` have its URL as `adult`; likewise each of `categories` by its name",
        "hard_words": "a word of its URL is one of `hard_words`",
        "soft_words": "at least `min_soft_words` distinct words of its URL are in `soft_words`",
        "substrings": "an entry of `substrings` is in its URL without `ignored_in_substrings`",
    },
    "consent": {
        **{
            name: f"robots tags or X-Robots-Tag say `{name}` (`{name}: true`)"
            for name in ("noimageai", "noindex", "noimageindex", "noarchive", "nosnippet")
        },
        "licence_unfit": "its licence is none of `licences`, or it names none",
        "licence_refused": "its licence is one of `refused_licences`",
    },
    "extract": {"low_score": "the model expects an F1 below `min_score`"},
    "bad_words": {"nothing_left": "no sentence is without words of the list (`remove_sentences`)"},
    "classify": {
        "low_score": "the score is below `min_score`",
        "high_score": "the score is above `max_score`",
        "not_drawn": "the Pareto draw of shape `alpha` is at most 1 - score",
    },
    "keep_top": {"not_top": "it stands behind the `best` `share` of all, in order of `by`"},
    "c4_lines": {"javascript": "a line with `javascript` (`counting: dolma`)"},
    "exact_dedup": {
        "duplicate": "another document with the same text is kept",
        "duplicate_url": "another document of the same URL is kept (`by: url`)",
    },
    "decontaminate": {
        "contaminated": "it holds a run of words of a benchmark (`action: drop`)",
        "too_many_pieces": "it holds too many runs of benchmarks (`action: mask`)",
        "nothing_left": "no piece is long enough (`action: mask`)",
    },
    "minhash_dedup": {"near_duplicate": "a kept document is nearly the same"},
    "pii": {"too_many_spans": "more than `max_spans` pieces of personal data"},
}
"""Reasons that no rule with a bound by default gives."""

_HEAD = """\
# Where every default comes from

<!-- Generated by `python docs/generate.py` from the code. Do not edit. -->

A knob is a field of a stage. Its default has a unit and a source: a paper, a version of a public
pipeline's code, or a measurement of ours. `python -m pipeline stages NAME` prints the same, and
`explain` names the source beside each bound that it shows. Paths and other places are no part of
a stage's identity and are left out here; *(required)* has no default. Below the knobs stand the
reasons for which a stage drops documents, with the bounds of the defaults.

Sources cite [the design](design.md) by section, and [the notes](notes/) by name: *recipes 2g* is
section 2g of [notes/recipes.md](notes/recipes.md), *trap 13* the thirteenth of its traps.
"""

_SETTINGS = """\
## Settings of a run

Beside `name`, `seed`, `workdir` and `steps`, at the top of a YAML file. None of them is part of a
step's identity, except `seed` for the stages that draw.

| setting | default |
|---|---|
"""


def page() -> str:
    """The whole of docs/thresholds.md."""
    parts = [_HEAD]
    for name in catalogue():
        parts.append("\n".join(_stage(name)) + "\n")
    rows = [f"| `{k}` | {_value(v)} |" for k, v in SETTINGS.items() if v is not None]
    parts.append(_SETTINGS + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _stage(name: str) -> Iterator[str]:
    cls = stage_class(name, "docs")
    told = describe(cls)
    module, _, qualname = told["class"].partition(":")
    path = module.replace(".", "/") + ".py"
    yield f"## {name}\n"
    yield f"{told['summary']} [`{qualname}`](../{path}), version {cls.version}.\n"
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    knobs = [
        knob
        for knob in told["knobs"]
        if knob["identity"] or knob_info(fields[knob["name"]]).model_file
    ]
    if not knobs:
        yield "No knobs."
    else:
        yield "| knob | default | unit | source |"
        yield "|---|---|---|---|"
    for knob in knobs:
        says = [knob["source"], f"*{knob['help']}*" if knob["help"] else ""]
        source = "<br>".join(_cell(text) for text in says if text)
        yield f"| `{knob['name']}` | {_value(knob['default'])} | {_cell(knob['unit'])} | {source} |"
    others = OTHER_REASONS.get(name, {})
    reasons = [f"- `{name}.{reason}`: {meaning}." for reason, meaning in others.items()]
    if reasons := reasons + list(_reasons(name, cls)):
        yield "\nA document is dropped as\n"
        yield from reasons


def _reasons(name: str, cls: type) -> Iterator[str]:
    """Every reason that the stage's rules can give as they stand by default, and when it does."""
    if not issubclass(cls, RowStage):
        return
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    if any(_required(field) for field in fields):
        return
    for rule in cls().rules():
        low, high = rule.reasons()
        metric = ", ".join(filter(None, (f"`{rule.metric}`", MEANINGS.get(rule.metric))))
        if rule.minimum is not None:
            yield f"- `{name}.{low}`: below {_number(rule.minimum)}; {metric}."
        if rule.maximum is not None:
            yield f"- `{name}.{high}`: above {_number(rule.maximum)}; {metric}."


def _required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _value(value: Any) -> str:
    """A default as the YAML writes it."""
    if value == "(required)":
        return "*(required)*"
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > _LONG:
        text = text[:_LONG] + " ..."
    return f"`{_cell(text)}`" if text else "`''`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    """Write or check. Returns the exit code."""
    made = page()
    if "--check" in sys.argv[1:]:
        same = TARGET.exists() and TARGET.read_text("utf-8") == made
        if not same:
            print("docs/thresholds.md is not what the code says: run python docs/generate.py")
        return 0 if same else 1
    TARGET.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
