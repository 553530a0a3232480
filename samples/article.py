"""Articles: what a page is about, before any markup.

`write_article(key, language)` gives an `Article` that depends on its arguments alone. Its text is
`title`, then `blocks` of (kind, lines): kind "p" (one line), "h2" (one line), "ul" (a line an
entry), "links" (the same, each a link to another host), "table" (a line a row, cells parted by
tabs), "pre" (lines of code) or "quote" (one line).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from samples import english, english_topics, english_words
from samples.grammar import Dice, Template, Voice
from samples.tongues import TONGUES, Tongue

Block = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Article:
    title: str
    language: str
    topic: str
    blocks: tuple[Block, ...]
    comments: tuple[str, ...]

    @property
    def text(self) -> str:
        """Title and blocks, a line each: what a perfect extractor would give."""
        return "\n".join([self.title, *(line for _, rows in self.blocks for line in rows)])

    def with_paragraph(self, paragraph: str, after: int) -> "Article":
        """The article with one more paragraph, after the `after`-th block."""
        at = min(after, len(self.blocks))
        more = (*self.blocks[:at], ("p", (paragraph,)), *self.blocks[at:])
        return replace(self, blocks=more)


def write_article(key: str, language: str) -> Article:
    if language == "en":
        return _write_english(Dice(key, "article"))
    return _write_tongue(Dice(key, "article"), TONGUES[language])


def english_voice(dice: Dice, topic: str) -> Voice:
    """A voice with two people, two towns and a club that stay the same for a whole article."""
    woman = dice.chance(0.5)
    first = dice.pick(english_words.WOMEN if woman else english_words.MEN)
    last, other_last = dice.shuffled(_some(dice, english_words.SURNAMES))[:2]
    town, town2 = dice.shuffled(_some(dice, english_words.TOWNS))[:2]
    fixed = {
        "first": first,
        "last": last,
        "hero": f"{first} {last}",
        "his": "her" if woman else "his",
        "otherlast": other_last,
        "other": f"{dice.pick(english_words.WOMEN + english_words.MEN)} {other_last}",
        "town": town,
        "town2": town2,
        "club": f"{town} {topic.capitalize()} {dice.pick(english_words.CLUBS)}",
    }
    words = english_topics.TOPICS[topic]
    common = english_words.COMMON
    banks: dict[str, Sequence[str]] = {name: words[name] + common[name] for name in words}
    banks["adj"] = english_words.ADJECTIVES
    banks["num"] = english_words.NUMBER_WORDS
    banks["month"] = english_words.MONTHS
    banks["weekday"] = english_words.WEEKDAYS
    # The topic's own phrases come first: short articles stay on their subject.
    return Voice(dice, banks, fixed, preferred=words)


def _some(dice: Dice, names: Sequence[str]) -> list[str]:
    """Two distinct names without shuffling the whole bank."""
    at = dice.number(0, len(names) - 1)
    step = dice.number(1, len(names) - 1)
    return [names[at], names[(at + step) % len(names)]]


class _Decks:
    """Template banks as decks: a sentence pattern comes back only after all others were used."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._left: dict[int, list[Template]] = {}

    def sentence(self, templates: tuple[Template, ...]) -> str:
        deck = self._left.get(id(templates))
        if not deck:
            deck = self._left[id(templates)] = self._voice.dice.shuffled(templates)
        return self._voice.say(deck.pop())


def _length(dice: Dice) -> int:
    low, high = dice.pick(((180, 320), (180, 320), (300, 480), (300, 480), (480, 900), (900, 1500)))
    return dice.number(low, high)


def _write_english(dice: Dice) -> Article:
    topic = dice.pick(tuple(english_topics.TOPICS))
    genre = dice.pick(tuple(english.GENRES))
    opening, middle = english.GENRES[genre]
    voice = english_voice(dice, topic)
    decks = _Decks(voice)
    title = decks.sentence(english.TITLES)
    first = [decks.sentence(opening), decks.sentence(dice.pick(middle))]
    blocks: list[Block] = [("p", (" ".join(first),))]
    wanted = _length(dice)
    extras = 0
    words = len(blocks[0][1][0].split())
    while words < wanted - 30:
        if words > 250 and dice.chance(0.18):
            blocks.append(("h2", (decks.sentence(english.HEADINGS),)))
        moves = [dice.pick(middle) for _ in range(dice.number(2, 5))]
        paragraph = " ".join(decks.sentence(move) for move in moves)
        words += len(paragraph.split())
        blocks.append(("p", (paragraph,)))
        # Rare enough, and tables late enough, that most lines of an article end in a full stop.
        if words > 300 * (extras + 1) and dice.chance(0.3):
            extras += 1
            blocks.append(_extra(dice, voice, tables=words > 900))
    ending = [decks.sentence(english.OUTLOOK), decks.sentence(english.CLOSING)]
    blocks.append(("p", (" ".join(ending),)))
    comments = tuple(decks.sentence(english.COMMENTS) for _ in range(dice.number(0, 4)))
    return Article(title, "en", topic, tuple(blocks), comments)


def _extra(dice: Dice, voice: Voice, tables: bool) -> Block:
    """A list, a table, a listing or a pulled quote: what real articles put between paragraphs."""
    kind = dice.pick(("table", "pre") if tables else ("ul", "quote"))
    if kind == "ul":
        rules = (voice.word("todo") for _ in range(dice.number(3, 5)))
        return "ul", tuple(rule[:1].upper() + rule[1:] + "." for rule in rules)
    if kind == "table":
        rows = [
            f"{voice.word('things')}\t{dice.number(2, 90)}\t{dice.number(110, 990)}"
            for _ in range(dice.number(3, 5))
        ]
        return "table", ("What\tPieces\tPrice", *rows)
    if kind == "pre":
        name = voice.word("tool").replace(" ", "_").replace("'", "")
        total = dice.number(20, 400)
        return "pre", (
            f"# {voice.word('month')} {dice.number(2001, 2023)}",
            f"{name}_days = {dice.number(3, 30)}",
            f"total = {total} + {name}_days * {dice.number(2, 19)}",
            'print("pieces per day:", total)',
        )
    return "quote", (f"{voice.word('good')}, and never {voice.word('bad')}.".capitalize(),)


def _write_tongue(dice: Dice, tongue: Tongue) -> Article:
    first, last, other = dice.pick(tongue.firsts), dice.pick(tongue.lasts), dice.pick(tongue.lasts)
    town, *_ = towns = dice.shuffled(tongue.towns)[:2]
    fixed = {
        "hero": tongue.name.format(first=first, last=last),
        "last": last,
        "other": other,
        "town": town,
        "town2": towns[1],
    }
    voice = Voice(dice, tongue.banks, fixed)
    decks = _Decks(voice)
    title = decks.sentence(tongue.titles)
    blocks: list[Block] = []
    for _ in range(dice.number(4, 7)):
        count = dice.number(3, 5)
        sentences = [decks.sentence(tongue.sentences) for _ in range(count)]
        blocks.append(("p", (tongue.space.join(sentences),)))
    comments = tuple(decks.sentence(tongue.comments) for _ in range(dice.number(0, 2)))
    return Article(title, tongue.code, "village", tuple(blocks), comments)
