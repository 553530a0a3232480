"""What one language needs to fill an article: sentence patterns and banks of phrases."""

from collections.abc import Mapping
from dataclasses import dataclass

from samples.grammar import Template, bank, lines


@dataclass(frozen=True, slots=True)
class Tongue:
    code: str
    """ISO 639-1, as pycld2 prints it."""
    sentences: tuple[Template, ...]
    titles: tuple[Template, ...]
    comments: tuple[Template, ...]
    banks: Mapping[str, tuple[str, ...]]
    firsts: tuple[str, ...]
    lasts: tuple[str, ...]
    towns: tuple[str, ...]
    space: str = " "
    """What stands between two sentences."""
    name: str = "{first} {last}"


def tongue(
    code: str,
    sentences: str,
    titles: str,
    comments: str,
    firsts: str,
    lasts: str,
    towns: str,
    space: str = " ",
    name: str = "{first} {last}",
    **banks: str,
) -> Tongue:
    """A Tongue from blocks of text: templates a line each, phrases parted by bars."""
    return Tongue(
        code=code,
        sentences=lines(sentences),
        titles=lines(titles),
        comments=lines(comments),
        banks={slot: bank(phrases) for slot, phrases in banks.items()},
        firsts=bank(firsts),
        lasts=bank(lasts),
        towns=bank(towns),
        space=space,
        name=name,
    )
