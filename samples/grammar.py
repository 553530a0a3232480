"""Chance and templates: how a bank of phrases becomes a sentence.

`Dice` is the only source of chance in this folder: it is seeded by a string and draws by
`random()` alone, the one method whose sequence Python promises to keep between versions.

A template is text with `{slot}` (a phrase from the bank of that name), `{a slot}` (the same with
a or an before it) and `[this|that]` (one of the alternatives, which may hold slots; no nesting):

    The {adj} {thing} [was|stood] [in|near] {town}.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Seeded chance: equal keys give equal throws on any machine."""

    __slots__ = ("_random",)

    def __init__(self, *key: object) -> None:
        self._random = random.Random("/".join(str(part) for part in key)).random

    def number(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def chance(self, share: float) -> bool:
        return self._random() < share

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self._random() * len(choices))]

    def shuffled(self, choices: Sequence[T]) -> list[T]:
        cards = list(choices)
        throw = self._random
        for last in range(len(cards) - 1, 0, -1):
            other = int(throw() * (last + 1))
            cards[last], cards[other] = cards[other], cards[last]
        return cards


@dataclass(frozen=True, slots=True)
class Slot:
    name: str
    article: bool


@dataclass(frozen=True, slots=True)
class Choice:
    options: tuple["Template", ...]


Template = tuple[str | Slot | Choice, ...]

_PART = re.compile(r"\{(a )?(\w+)\}|\[([^\]]*)\]")


def parse(text: str) -> Template:
    parts: list[str | Slot | Choice] = []
    end = 0
    for match in _PART.finditer(text):
        if match.start() > end:
            parts.append(text[end : match.start()])
        end = match.end()
        if match[2]:
            parts.append(Slot(match[2], bool(match[1])))
        else:
            parts.append(Choice(tuple(parse(option) for option in match[3].split("|"))))
    if end < len(text):
        parts.append(text[end:])
    return tuple(parts)


def lines(block: str) -> tuple[Template, ...]:
    """One template a line; blank lines do not count."""
    return tuple(parse(line.strip()) for line in block.splitlines() if line.strip())


def bank(block: str) -> tuple[str, ...]:
    """Phrases parted by bars or line ends."""
    return tuple(phrase for part in re.split(r"[|\n]", block) if (phrase := part.strip()))


class Voice:
    """Speaks templates for one article: each bank is a shuffled deck, so that no phrase comes
    twice before the whole bank has been used."""

    __slots__ = ("_banks", "_decks", "_fixed", "_preferred", "dice")

    def __init__(
        self,
        dice: Dice,
        banks: Mapping[str, Sequence[str]],
        fixed: Mapping[str, str],
        preferred: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.dice = dice
        self._banks = banks
        self._fixed = dict(fixed)
        self._preferred = dict(preferred or {})
        """Phrases to be used up before their bank is opened."""
        self._decks: dict[str, list[str]] = {}

    def word(self, name: str) -> str:
        if name in self._fixed:
            return self._fixed[name]
        if name in _NUMBERS:
            low, high = _NUMBERS[name]
            return str(self.dice.number(low, high))
        deck = self._decks.get(name)
        if not deck:
            phrases = self._preferred.pop(name, None) or self._banks[name]
            deck = self._decks[name] = self.dice.shuffled(phrases)
        return deck.pop()

    def say(self, template: Template) -> str:
        """The template spoken: slots filled, first letter raised."""
        out: list[str] = []
        self._speak(template, out)
        # An empty alternative leaves its neighbours' spaces behind.
        text = "".join(out).replace("  ", " ").replace(" ,", ",")
        start = 1 if text[:1] in "“«¿" else 0
        return text[:start] + text[start : start + 1].upper() + text[start + 1 :]

    def _speak(self, template: Template, out: list[str]) -> None:
        for part in template:
            if isinstance(part, str):
                out.append(part)
            elif isinstance(part, Slot):
                word = self.word(part.name)
                out.append(with_article(word) if part.article else word)
            else:
                self._speak(self.dice.pick(part.options), out)


# Numbers that are drawn, not listed: slot name -> lowest and highest.
_NUMBERS = {
    "year": (1951, 2023),
    "tens": (11, 98),
    "hundreds": (104, 997),
    "thousands": (1100, 9800),
    "percent": (6, 94),
    "day": (1, 28),
    "hour": (6, 21),
}


def with_article(phrase: str) -> str:
    sounds_like_consonant = phrase.startswith(("uni", "use", "usual", "one", "eu"))
    sounds_like_vowel = phrase.startswith(("hour", "honest", "heir"))
    vowel = sounds_like_vowel or (phrase[:1] in "aeiouAEIOU" and not sounds_like_consonant)
    return ("an " if vowel else "a ") + phrase
