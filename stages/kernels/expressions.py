r"""Regular expressions that cut text into the pieces inside which BPE merges, as published.

An expression here is a row of alternatives, of which two can be chosen otherwise:

    digits       how numbers are cut: `published`; `single`, each by itself (PaLM, arXiv:2204.02311;
                 Llama 1, arXiv:2302.13971); `triples`, from the left in groups of up to three
                 (cl100k, Llama 3). Only GPT-2's publication takes runs, with the blank before.
    whitespace   `published`, or `single`: white space that goes with no word or symbol is cut into
                 single characters, so that no token stands for an indentation.

`llama3` is cl100k_base as it was in tiktoken 0.3 to 0.5, from where Llama 3 took it. `gpt4` is what
later releases have, with `\s++$` before the line breaks: white space at the end of a text is one
piece, also where a line break with blanks behind is in it. It is written `\s+(?![\s\S])` here,
because `$` is the end of a line to Oniguruma and that of the text to tiktoken; the other changes of
those releases are for speed and cut alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from stages.kernels.piece_rules import GPT2, GPT4, LLAMA3, O200K, Cut

_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_ANY_CASE = f"(?i:{_CONTRACTIONS})"
_HEAD, _TAIL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_NUMBERS, _BLANKS = "{numbers}", "{blanks}"
_PUBLISHED_BLANKS = {
    GPT2: (r"\s+(?!\S)", r"\s+"),
    LLAMA3: (r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"),
    O200K: (r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"),
    GPT4: (r"\s+(?![\s\S])", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"),
}

_CL100K = (
    _ANY_CASE, r"[^\r\n\p{L}\p{N}]?\p{L}+", _NUMBERS, r" ?[^\s\p{L}\p{N}]+[\r\n]*", _BLANKS,
)  # fmt: skip

_ALTERNATIVES: Mapping[int, tuple[str, ...]] = {
    # openai/gpt-2 src/encoder.py; r50k_base and p50k_base in openai/tiktoken.
    GPT2: (_CONTRACTIONS, r" ?\p{L}+", _NUMBERS, r" ?[^\s\p{L}\p{N}]+", _BLANKS),
    # meta-llama/llama3 llama/tokenizer.py.
    LLAMA3: _CL100K,
    # cl100k_base in openai/tiktoken tiktoken_ext/openai_public.py.
    GPT4: _CL100K,
    # o200k_base in openai/tiktoken tiktoken_ext/openai_public.py.
    O200K: (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_HEAD}*{_TAIL}+{_ANY_CASE}?",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_HEAD}+{_TAIL}*{_ANY_CASE}?",
        _NUMBERS, r" ?[^\s\p{L}\p{N}]+[\r\n/]*", _BLANKS,
    ),
}  # fmt: skip

NAMES = {"llama3": LLAMA3, "gpt4": GPT4, "gpt2": GPT2, "o200k": O200K}
DIGITS = ("published", "single", "triples")
WHITESPACE = ("published", "single")


def cut(pattern: str, digits: str = "published", whitespace: str = "published") -> Cut:
    """The same for the kernels. Cuts as `regular_expression` does, for any text."""
    published = 0 if NAMES[pattern] == GPT2 else 3
    longest = {"published": published, "single": 1, "triples": 3}[digits]
    return Cut(NAMES[pattern], longest, whitespace == "single")


def regular_expression(
    pattern: str, digits: str = "published", whitespace: str = "published"
) -> str:
    """The whole expression, in the syntax that Oniguruma, fancy-regex and `regex` share."""
    chosen = cut(pattern, digits, whitespace)
    numbers = {0: r" ?\p{N}+", 1: r"\p{N}", 3: r"\p{N}{1,3}"}[chosen.digits]
    blanks = (r"\s",) if chosen.single_blanks else _PUBLISHED_BLANKS[chosen.pattern]
    alternatives: list[str] = []
    for alternative in _ALTERNATIVES[chosen.pattern]:
        if alternative == _BLANKS:
            alternatives += blanks
        else:
            alternatives.append(numbers if alternative == _NUMBERS else alternative)
    return "|".join(alternatives)


PATTERNS = {name: regular_expression(name) for name in NAMES}
"""Name -> the expression as published."""
