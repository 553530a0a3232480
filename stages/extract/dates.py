"""Dates as pages write them, read by form alone: no guessing, no clock, no locale.

A value is a date only if all of it is understood: a day, and after it perhaps a time and a zone.
Of two readings neither is taken: `03/04/2020` is no date, `13/04/2020` is. A month or a year alone
is none either, as its first day would be invented.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

MAX_DATE_CHARS = 100
"""`Thu Jan 02 2020 03:04:05 GMT+0000 (Coordinated Universal Time)` has 62."""
EARLIEST_YEAR, LATEST_YEAR = 1800, 2099
"""Digitised newspapers state true dates of the 19th century; no page is published beyond this one.
What lies outside are fill values such as 0001-01-01 and 9999-12-31."""
_FILLED = frozenset({(1970, 1, 1), (1969, 12, 31), (1900, 1, 1), (1899, 12, 30)})
"""Days that stand for "no date": zero in Unix time in any zone, in SQL and in spreadsheets."""
_OLDEST_SECONDS = 631_152_000
"""1990-01-01: a number of seconds is only taken as one from the Web's own time."""

# English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian; a line a month.
# Polish `listopada` is left out: in Croatian it is October.
_MONTH_NAMES = """
january januar jänner janvier enero gennaio janeiro januari stycznia января jan ene gen janv
february februar février fevrier febrero febbraio fevereiro februari lutego февраля feb fév févr fev
march märz maerz mars marzo março marco maart marca марта mar mär mrz
april avril abril aprile kwietnia апреля apr avr abr
may mai mayo maggio maio mei maja мая mag
june juni juin junio giugno junho czerwca июня jun giu
july juli juillet julio luglio julho lipca июля jul juil lug
august août aout agosto augustus sierpnia августа aug ago
september septembre septiembre settembre setembro września сентября sep sept set
october oktober octobre octubre ottobre outubro października октября oct okt ott out
november novembre noviembre novembro ноября nov
december dezember décembre decembre diciembre dicembre dezembro grudnia декабря dec dez déc dic
"""
_MONTHS = {
    name: month
    for month, names in enumerate(_MONTH_NAMES.strip().split("\n"), start=1)
    for name in names.split()
}
# RFC 2822 section 4.3, and the two of Central Europe. Other names of zones count as UTC.
_ZONES = {
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "CET": 1, "CEST": 2, "MEZ": 1, "MESZ": 2, "BST": 1,
}  # fmt: skip

_DAY = re.compile(
    r"""(?:[^\W\d]{2,12}[.,]{0,2}\s+)?                             # a weekday
    (?:(?P<y>\d{4})(?P<sep>[-/.])(?P<m>\d{1,2})(?P=sep)(?P<d>\d{1,2})
      |(?P<basic>\d{8})(?=$|T|\s)
      |(?P<dd>\d{1,2})\.\s?(?P<dm>\d{1,2})\.\s?(?P<dy>\d{4})
      |(?P<a>\d{1,2})(?P<sep2>[-/])(?P<b>\d{1,2})(?P=sep2)(?P<ay>\d{4})
      |(?P<nd>\d{1,2})(?:st|nd|rd|th|er|\.|º)?[\s-]+(?:de\s+|of\s+)?
       (?P<nm>[^\W\d]{3,10})\.?,?[\s-]+(?:de\s+)?(?P<ny>\d{4})
      |(?P<em>[^\W\d]{3,10})\.?\s+(?P<ed>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<ey>\d{4})
      |(?P<cy>\d{4})\s?[年년]\s?(?P<cm>\d{1,2})\s?[月월]\s?(?P<cd>\d{1,2})\s?[日일]
    )(?!\d)""",
    re.VERBOSE,
)
_CLOCK = re.compile(
    r"""(?:[T\s,|@·-]|at|um|à|Uhr)*
    (?:(?P<hour>\d{1,2})[:.h](?P<minute>\d\d)(?:[:.](?P<second>\d\d)(?:[.,:]\d+)?)?
      |(?<=T)(?P<compact>\d{4}(?:\d\d)?))
    \s*(?P<half>[aApP]\.?[mM]\.?)?\s*(?:Uhr)?
    (?P<zone>Z|(?:UTC|GMT)?\s?[+-]\d\d:?(?:\d\d)?|[A-Z]{2,5})?
    (?:\s*[\[(][^\])]{0,60}[\])]|\s+(?:[A-Z]{2,5}|[+-]\d{4}))?\s*  # the zone's name, once more""",
    re.VERBOSE,
)
_YEAR_LAST = re.compile(
    r"([^\W\d]{3} [^\W\d]{3} +\d\d?) (\d\d:\d\d:\d\d)((?: [A-Z]{2,5})?) (\d{4})"
)
"""As C's asctime and Java's Date write it."""
_ISO = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?"
)


def read_date(text: str) -> datetime | None:
    """The instant that a text names, in UTC, whole seconds; None if it is no possible date.

    Without a zone the time is taken as UTC, without a time the day begins.
    """
    text = text.strip(" \t\r\n\"'")
    if not 8 <= len(text) <= MAX_DATE_CHARS:
        return None
    try:
        if _ISO.fullmatch(text):
            return _possible(datetime.fromisoformat(text))
        if text.isascii() and text.isdigit() and len(text) in (10, 13):
            return _of_seconds(int(text) // (1000 if len(text) == 13 else 1))
        return _read(_YEAR_LAST.sub(r"\1 \4 \2\3", text))
    except (ValueError, OverflowError):  # the 31st of February, 25 o'clock, a year of five digits
        return None


def _possible(when: datetime) -> datetime | None:
    if when.tzinfo is not None:
        when = when.astimezone(UTC)
    if not EARLIEST_YEAR <= when.year <= LATEST_YEAR:
        return None
    if (when.year, when.month, when.day) in _FILLED:
        return None
    return when.replace(microsecond=0, tzinfo=UTC)


def _of_seconds(seconds: int) -> datetime | None:
    if seconds < _OLDEST_SECONDS:
        return None
    return _possible(datetime.fromtimestamp(seconds, UTC))


def _read(text: str) -> datetime | None:
    found = _DAY.match(text)
    day = _day(found.groupdict()) if found else None
    if found is None or day is None:
        return None
    rest = text[found.end() :]
    if not rest.strip(" .,"):
        return _possible(datetime(*day))
    clock = _CLOCK.fullmatch(rest)
    if clock is None:
        return None
    hour, minute, second = _time(clock)
    when = datetime(*day, hour % 24, minute, min(second, 59)) + timedelta(days=hour // 24)
    return _possible((when - _offset(clock["zone"])).replace(tzinfo=UTC))


def _day(part: dict[str, str | None]) -> tuple[int, int, int] | None:
    """(year, month, day), unchecked; None if the month is no month, or two readings differ."""
    if basic := part["basic"]:
        return int(basic[:4]), int(basic[4:6]), int(basic[6:])
    for year, month, day in (("y", "m", "d"), ("dy", "dm", "dd"), ("cy", "cm", "cd")):
        if part[year]:
            return int(part[year] or 0), int(part[month] or 0), int(part[day] or 0)
    if part["ay"]:
        first, second = int(part["a"] or 0), int(part["b"] or 0)
        if first > 12 or first == second:
            return int(part["ay"]), second, first
        return (int(part["ay"]), first, second) if second > 12 else None
    for year, month, day in (("ny", "nm", "nd"), ("ey", "em", "ed")):
        if part[year]:
            number = _MONTHS.get((part[month] or "").lower())
            return (int(part[year] or 0), number, int(part[day] or 0)) if number else None
    return None


def _time(clock: re.Match[str]) -> tuple[int, int, int]:
    if compact := clock["compact"]:
        return int(compact[:2]), int(compact[2:4]), int(compact[4:] or 0)
    hour = int(clock["hour"])
    if half := clock["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a half day")
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    minute, second = int(clock["minute"]), int(clock["second"] or 0)
    if hour > 24 or (hour == 24 and (minute or second)) or second > 60:
        raise ValueError("no time of day")
    return hour, minute, second


def _offset(zone: str | None) -> timedelta:
    """How far a zone's clock is ahead of UTC."""
    if not zone or zone == "Z":
        return timedelta()
    if zone.isalpha():
        return timedelta(hours=_ZONES.get(zone, 0))
    sign = -1 if "-" in zone else 1
    digits = re.sub(r"\D", "", zone).ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        raise ValueError("no zone")
    return sign * timedelta(hours=hours, minutes=minutes)
