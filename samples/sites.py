"""Sites: host, language, look and encoding habits, each a function of (seed, site number)."""

from dataclasses import dataclass
from functools import lru_cache

from samples.article import english_voice
from samples.english import TITLES
from samples.english_topics import TOPICS
from samples.grammar import Dice, Voice
from samples.plan import FAMILY
from samples.tongues import TONGUES

_NAMES = (
    "harbour-notes", "slowcraft", "valley-gazette", "toolshed-journal", "northlane",
    "six-benches", "gartenblatt", "carnet-du-village", "cuaderno-vecinal", "quaderno-di-paese",
    "caderno-da-aldeia", "selskie-pisma", "cunzhuang-biji", "mura-no-techo",
)  # fmt: skip

LAYOUTS = ("html5", "xhtml", "tables", "blog", "bare")


@dataclass(frozen=True, slots=True)
class Site:
    number: int
    host: str
    language: str
    layout: str
    scheme: str
    links: str
    """How its addresses look: `slug`, `dated` or `query`."""
    teasers: tuple[str, ...]
    """Titles that its sidebar and its related links show on every page."""


@dataclass(frozen=True, slots=True)
class Encoding:
    true: str
    """The Python codec of the bytes."""
    declared: str | None
    """The label that the page names, if any."""
    where: str
    """`header`, `meta`, `both` or `none`."""
    bom: bool = False


_UTF8 = (
    Encoding("utf-8", "utf-8", "both"),
    Encoding("utf-8", "UTF-8", "header"),
    Encoding("utf-8", "utf-8", "meta"),
    Encoding("utf-8", None, "none"),
    Encoding("utf-8", None, "none", bom=True),
)
_LATIN = (
    Encoding("iso-8859-1", "iso-8859-1", "header"),
    Encoding("iso-8859-1", "ISO-8859-1", "meta"),
    Encoding("windows-1252", "windows-1252", "both"),
    Encoding("windows-1252", None, "none"),
)
_OWN = {
    "ru": (
        Encoding("windows-1251", "windows-1251", "header"),
        Encoding("windows-1251", "windows-1251", "meta"),
        Encoding("windows-1251", None, "none"),
        Encoding("koi8-r", "koi8-r", "both"),
    ),
    "zh": (
        Encoding("gb18030", "gb18030", "header"),
        Encoding("gb18030", "gb2312", "meta"),
        Encoding("gb18030", "gbk", "both"),
        Encoding("gb18030", None, "none"),
    ),
    "ja": (
        Encoding("shift_jis", "Shift_JIS", "header"),
        Encoding("shift_jis", "shift_jis", "meta"),
        Encoding("euc-jp", "EUC-JP", "both"),
        Encoding("euc-jp", None, "none"),
    ),
}
# What a page is, what it claims to be, by language.
_WRONG = {
    "ru": Encoding("windows-1251", "utf-8", "header"),
    "ja": Encoding("shift_jis", "euc-jp", "both"),
    "fr": Encoding("utf-8", "iso-8859-1", "header"),
    "zh": Encoding("gb18030", "utf-8", "both"),
    "de": Encoding("windows-1252", "utf-8", "header"),
}


def encoding_of(language: str, kind: str, dice: Dice) -> Encoding:
    if kind == "wrong_charset":
        return _WRONG[language]
    own = _OWN.get(language, _LATIN)
    # English is nearly always UTF-8 today; the others keep their old encodings for half the pages.
    return dice.pick(own) if dice.chance(0.1 if language == "en" else 0.5) else dice.pick(_UTF8)


@lru_cache(maxsize=256)
def site_of(seed: int, number: int) -> Site:
    family, place = divmod(number, len(FAMILY))
    dice = Dice(seed, "site", number)
    language = FAMILY[place]
    suffix = str(family + 1) if family else ""
    return Site(
        number=number,
        host=f"www.{_NAMES[place]}{suffix}.example",
        language=language,
        # The first family shows every layout; later ones draw.
        layout=LAYOUTS[place % len(LAYOUTS)] if family == 0 else dice.pick(LAYOUTS),
        scheme="https" if dice.chance(0.8) else "http",
        links=("slug", "dated", "query")[place % 3],
        teasers=tuple(_teaser(dice, language) for _ in range(12)),
    )


def _teaser(dice: Dice, language: str) -> str:
    if language == "en":
        return english_voice(dice, dice.pick(tuple(TOPICS))).say(dice.pick(TITLES))
    tongue = TONGUES[language]
    first, last = dice.pick(tongue.firsts), dice.pick(tongue.lasts)
    fixed = {
        "hero": tongue.name.format(first=first, last=last),
        "town": dice.pick(tongue.towns),
        "town2": dice.pick(tongue.towns),
    }
    return Voice(dice, tongue.banks, fixed).say(dice.pick(tongue.titles))
