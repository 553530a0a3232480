"""Which page is what: kind, language, site and original of every page number.

Pages come in blocks of 100. A block is planned from (seed, block) alone and holds the same quota
of each kind, so a prefix of whole blocks has exact shares, page i never depends on how many pages
are made, and an original and its copies are always of one block.
"""

from dataclasses import dataclass
from functools import lru_cache

from samples.grammar import Dice

BLOCK = 100

# Pages of a block by kind; the rest are `unique`.
QUOTA = {
    "exact_duplicate": 3,
    "near_duplicate": 3,
    "mirror": 2,
    "spam": 2,
    "keyword_stuffing": 1,
    "lorem_ipsum": 1,
    "adult": 1,
    "pii": 2,
    "benchmark_question": 1,
    "wrong_charset": 1,
    "truncated_html": 1,
    "javascript_notice": 1,
    "curly_braces": 1,
    "short": 1,
    "empty": 1,
    "not_html": 2,
    "http_error": 1,
}
COPIES = ("exact_duplicate", "near_duplicate", "mirror")
OTHER_LANGUAGES = ("de", "fr", "es", "it", "pt", "ru", "zh", "ja")
# Of the uniques: 47 of 75 in the usual web.
ENGLISH_SHARE = 47 / 75


@dataclass(frozen=True, slots=True)
class Planting:
    """How many near duplicates a web holds, and how near they are."""

    near_duplicates: int = QUOTA["near_duplicate"]
    """Of 100 pages; above the default each takes an original without a copy where there is one."""
    lowest: int = 82
    """Jaccard similarity that is aimed at, in hundredths: drawn from `lowest` to `highest`."""
    highest: int = 96

    def __post_init__(self) -> None:
        most = BLOCK // 2
        if not 0 <= self.near_duplicates <= most:
            raise ValueError(f"{self.near_duplicates} near duplicates of 100 pages: 0 to {most}")
        if not 50 <= self.lowest <= self.highest <= 99:
            raise ValueError(f"similarity {self.lowest} to {self.highest}: 50 to 99, in order")

    @property
    def quota(self) -> dict[str, int]:
        return {**QUOTA, "near_duplicate": self.near_duplicates}


USUAL = Planting()

# A site family: six English sites, then one for each other language. At scale a new family of
# sites begins every FAMILY_PAGES pages, so that sites stay of a natural size.
FAMILY = ("en",) * 6 + OTHER_LANGUAGES
FAMILY_PAGES = 1000


@dataclass(frozen=True, slots=True)
class PagePlan:
    page: int
    kind: str
    language: str
    site: int
    """Site number: family * len(FAMILY) + place in FAMILY."""
    of: int | None
    """Page number of the original, for copies."""
    copied: bool
    """An original that some copy of its block points to."""


@lru_cache(maxsize=1024)
def plan_block(seed: int, block: int, planting: Planting = USUAL) -> tuple[PagePlan, ...]:
    dice = Dice(seed, "block", block)
    kinds = _kinds(dice, planting)
    languages = _languages(dice, kinds, block)
    pairs = planting.near_duplicates > USUAL.near_duplicates
    of = _originals(dice, kinds, languages, pairs)
    copied = {original for original in of if original is not None}
    start = block * BLOCK
    family = start // FAMILY_PAGES * len(FAMILY)
    sites = [family + _place(dice, language) for language in languages]
    for place, original in enumerate(of):
        if kinds[place] == "mirror" and original is not None:
            sites[place] = sites[original]
    return tuple(
        PagePlan(
            page=start + place,
            kind=kinds[place],
            language=languages[place],
            site=sites[place],
            of=None if original is None else start + original,
            copied=place in copied,
        )
        for place, original in enumerate(of)
    )


def plan_page(seed: int, page: int, planting: Planting = USUAL) -> PagePlan:
    return plan_block(seed, page // BLOCK, planting)[page % BLOCK]


def _kinds(dice: Dice, planting: Planting) -> list[str]:
    """The quota in random order, after ten uniques: every copy then has an earlier original."""
    planted = [kind for kind, count in planting.quota.items() for _ in range(count)]
    head = ["unique"] * 10
    rest = ["unique"] * (BLOCK - len(planted) - len(head))
    return head + dice.shuffled(planted + rest)


def _languages(dice: Dice, kinds: list[str], block: int) -> list[str]:
    uniques = kinds.count("unique")
    english = round(uniques * ENGLISH_SHARE)
    others = [
        OTHER_LANGUAGES[(block * 4 + n) % len(OTHER_LANGUAGES)] for n in range(uniques - english)
    ]
    deck = ["en"] * english + others
    # One English page first: near duplicates need an English original before them.
    deck = ["en", *dice.shuffled(deck[1:])]
    deck.reverse()
    wrong = ("ru", "ja", "fr", "zh", "de")[block % 5]
    return [
        deck.pop() if kind == "unique" else wrong if kind == "wrong_charset" else "en"
        for kind in kinds
    ]


def _originals(dice: Dice, kinds: list[str], languages: list[str], pairs: bool) -> list[int | None]:
    """The original of each copy; a copy takes over its language. `pairs`: one without a copy where
    there is one, so that most near duplicates are one of two."""
    of: list[int | None] = [None] * len(kinds)
    for place, kind in enumerate(kinds):
        if kind not in COPIES:
            continue
        earlier = [
            other
            for other in range(place)
            if kinds[other] == "unique" and (kind != "near_duplicate" or languages[other] == "en")
        ]
        free = [other for other in earlier if other not in of] if pairs else []
        of[place] = original = dice.pick(free or earlier)
        languages[place] = languages[original]
    return of


def _place(dice: Dice, language: str) -> int:
    return dice.number(0, 5) if language == "en" else FAMILY.index(language)
