"""Planted pages: articles changed, or bodies that are no articles, each with a verdict.

`VERDICTS` gives for each kind what a sound pipeline does with the page and why: `keep`, `drop`, or
`either` where the answer depends on the recipe (see README.md).
"""

import re
from collections.abc import Callable
from dataclasses import replace

from samples.article import Article, english_voice
from samples.english_topics import TOPICS
from samples.english_words import SWAPS
from samples.grammar import Dice, Voice
from samples.plant_words import ADULT, LATIN, LINK_WORDS, NOTICES, SHORT, STUFFING
from samples.sums import question

VERDICTS = {
    "unique": ("keep", ""),
    "exact_duplicate": ("either", "same article as `of`; one page of the cluster stays"),
    "near_duplicate": ("either", "article of `of`, some words changed; one of the cluster stays"),
    "mirror": ("either", "page of `of` on a mirror host; one page of the cluster stays"),
    "spam": ("drop", "link farm"),
    "keyword_stuffing": ("drop", "the same few words again and again"),
    "lorem_ipsum": ("drop", "placeholder text"),
    "adult": ("drop", "words of bad-word lists"),
    "pii": ("keep", "e-mail and IPv4 addresses to be masked"),
    "benchmark_question": ("either", "holds a question of benchmark.jsonl: decontamination drops"),
    "wrong_charset": ("either", "bytes are not in the declared charset"),
    "truncated_html": ("either", "cut in the middle of a tag"),
    "javascript_notice": ("drop", "no more than a notice to switch JavaScript on"),
    "curly_braces": ("either", "curly braces in the text: C4 drops the page"),
    "short": ("drop", "a few sentences"),
    "empty": ("drop", "no text"),
    "not_html": ("drop", "no HTML"),
    "http_error": ("drop", "status is not 200"),
}
COPIED_NOTE = "has a copy in the crawl; one page of the cluster stays"

_WORD = re.compile(r"\w+")


def shingles(text: str, n: int = 5) -> set[tuple[str, ...]]:
    """The word-n-shingles by which `jaccard` in truth.jsonl is counted: lower case, `\\w+`."""
    words = _WORD.findall(text.lower())
    return {tuple(words[at : at + n]) for at in range(len(words) - n + 1)}


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def near_duplicate(
    article: Article, dice: Dice, lowest: int, highest: int
) -> tuple[Article, float]:
    """The article with words swapped for their kin, at a Jaccard drawn from `lowest` to `highest`
    (hundredths); higher where too few words have kin.

    A swapped word far from others spoils five shingles, so k swaps of S shingles leave
    (S - 5k) / (S + 5k); the exact value is counted afterwards.
    """
    total = max(1, len(_WORD.findall(article.text)) - 4)
    wanted = dice.number(lowest, highest) / 100
    swaps = max(1, round(total * (1 - wanted) / (5 * (1 + wanted))))
    places = [
        (at, match.start(), match.end())
        for at, (kind, rows) in enumerate(article.blocks)
        if kind == "p"
        for match in _WORD.finditer(rows[0])
        if match[0] in SWAPS
    ]
    chosen = dice.shuffled(places)[:swaps]
    blocks = list(article.blocks)
    # From the back, so that earlier places keep their offsets.
    for at, start, end in sorted(chosen, reverse=True):
        text = blocks[at][1][0]
        word = dice.pick(SWAPS[text[start:end]])
        blocks[at] = ("p", (text[:start] + word + text[end:],))
    changed = replace(article, blocks=tuple(blocks))
    return changed, jaccard(article.text, changed.text)


def _voice(dice: Dice) -> tuple[str, Voice]:
    topic = dice.pick(tuple(TOPICS))
    return topic, english_voice(dice, topic)


def _page_of(title: str, paragraphs: list[str]) -> Article:
    return Article(title, "en", "", tuple(("p", (text,)) for text in paragraphs), ())


def spam(dice: Dice) -> Article:
    """Forty to ninety links of two or three words."""
    _, voice = _voice(dice)
    rows = tuple(
        f"{dice.pick(LINK_WORDS)} {voice.word('things')} {dice.pick(LINK_WORDS)}"
        for _ in range(dice.number(40, 90))
    )
    return Article(f"Cheap {voice.word('things')} links", "en", "", (("links", rows),), ())


def keyword_stuffing(dice: Dice) -> Article:
    _, voice = _voice(dice)
    town, things = voice.word("town"), voice.word("things")
    phrases = [f"{word} {things} {town}" for word in dice.shuffled(STUFFING)[:4]]
    paragraphs = [
        " ".join(dice.pick(phrases) for _ in range(dice.number(20, 45)))
        for _ in range(dice.number(3, 6))
    ]
    return _page_of(f"{things} {town} best {things} {town}", paragraphs)


def lorem_ipsum(dice: Dice) -> Article:
    """Placeholder text: the two words that everyone knows, then Latin-like words of ours."""
    paragraphs = []
    for _ in range(dice.number(3, 6)):
        words = [dice.pick(LATIN) for _ in range(dice.number(30, 60))]
        paragraphs.append("Lorem ipsum " + " ".join(words) + ".")
    return _page_of("Sample page", paragraphs)


def adult(article: Article, dice: Dice) -> Article:
    """An article turned into a page that bad-word lists catch."""
    for n in range(6):
        article = article.with_paragraph(dice.pick(ADULT), 2 * n)
    return replace(article, title=f"Free xxx porn pictures from {article.title.split()[-1]}")


def pii(article: Article, dice: Dice) -> Article:
    _, voice = _voice(dice)
    first, last = voice.word("first").lower(), voice.word("last").lower()
    # Addresses of public resolvers and of the documentation range: nobody's own.
    public = dice.pick(("8.8.8.8", "1.1.1.1", "9.9.9.9", "208.67.222.222"))
    article = article.with_paragraph(
        f"Questions about this page go to {first}.{last}@{last}-workshop.example or, on "
        f"{voice.word('weekday')}s, to office{dice.number(2, 99)}@{last}.example.org. The "
        f"{voice.word('adj')} camera at the door answers at 203.0.113.{dice.number(2, 250)}, "
        f"and its name server is {public}.",
        dice.number(1, len(article.blocks)),
    )
    return article


def curly_braces(article: Article, dice: Dice) -> Article:
    town, number = dice.number(2, 99), dice.number(100, 999)
    return article.with_paragraph(
        "Our label printer reads a template and fills it in: {name}, lot {lot}, shelf "
        f"{town}, weight {number} grams. What stands between {{ and }} is replaced.",
        dice.number(1, len(article.blocks)),
    )


def benchmark_question(article: Article, dice: Dice) -> tuple[Article, dict[str, str]]:
    asked, answer = question(dice)
    article = article.with_paragraph(f"{asked} The answer is {answer}.", len(article.blocks) // 2)
    return article, {"question": asked, "answer": answer}


def javascript_notice(dice: Dice) -> Article:
    notices = dice.shuffled(NOTICES)[: dice.number(2, 3)]
    return _page_of("Please wait", notices)


def short(dice: Dice) -> Article:
    _, voice = _voice(dice)
    text = f"{dice.pick(SHORT)} {voice.say((dice.pick(SHORT),))}"
    return _page_of(f"{voice.word('town')} {dice.number(2, 99)}", [text])


def empty(dice: Dice) -> Article:
    return _page_of("", [])


# Kinds whose article is written from scratch.
FROM_NOTHING: dict[str, Callable[[Dice], Article]] = {
    "spam": spam,
    "keyword_stuffing": keyword_stuffing,
    "lorem_ipsum": lorem_ipsum,
    "javascript_notice": javascript_notice,
    "short": short,
    "empty": empty,
}
# Kinds that change an ordinary article.
CHANGED: dict[str, Callable[[Article, Dice], Article]] = {
    "adult": adult,
    "pii": pii,
    "curly_braces": curly_braces,
}
