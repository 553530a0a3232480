"""Telephone numbers, by phonenumbers (Google's libphonenumber in Python, with its metadata).

Its matcher takes some 0.3 ms for each number-like run and a second for 2 MB of plain text, so it is
shown only windows around runs of enough digits that pass what is cheap to ask: no dates, no bare
digits, and for regions of the North American plan its form, [2-9]xx [2-9]xx xxxx. Behind a plus
sign or a word such as `tel` all runs are shown to it, and a possible length is enough there.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from enum import Enum

Span = tuple[int, int]


class Evidence(Enum):
    """What the bytes say without the library."""

    NONE = 0
    WEAK = 1
    """The form of a number: it must be a valid one."""
    STRONG = 2
    """A plus sign or a word such as `tel`: a possible length is enough."""


INTERNATIONAL = "ZZ"
"""The library's region of numbers with a country code alone."""
_CONTEXT = 16
_DATE = re.compile(
    rb"\(?(?:(?:19|20)\d\d[-./][01]?\d[-./][0-3]?\d|[0-3]?\d[-./][0-3]?\d[-./](?:19|20)\d\d)\b"
)
_NANP = re.compile(rb"(?<!\d)(?:\+?1[^\d]{0,4})?[2-9]\d\d[^\d]{0,5}[2-9]\d\d[^\d]{0,5}\d{4}(?!\d)")
# `help/02/10100000.xhp`: in paths, queries and file names eight digits are a number by chance.
_IN_ADDRESS = re.compile(rb"[-/=_.#%&~\\]")
_FILE_END = re.compile(rb"\.[A-Za-z]|[/_=&]")
_BARE = re.compile(rb"\d+(?:\.\d{5,})?\Z")  # an integer, or a decimal fraction
_WORD_BEFORE = re.compile(
    r"(?:tel|telephone|phone|ph|call|fax|mobile|mob|cell|sms|text|whatsapp|desk|dial|hotline)"
    r"[^0-9A-Za-z\n]{0,6}(?:at|on|us|me|is|no|nr|number)?[^0-9A-Za-z\n]{0,4}\Z",
    re.IGNORECASE,
)


def regions() -> frozenset[str]:
    """The regions that the library knows, such as `US`."""
    import phonenumbers

    return frozenset(phonenumbers.SUPPORTED_REGIONS)


@functools.cache
def least_digits(named: tuple[str, ...]) -> int:
    """The fewest digits of a number of these regions that has no country code; at least 7."""
    from phonenumbers import PhoneMetadata

    least = 99
    for region in named:
        metadata = PhoneMetadata.metadata_for_region(region)
        lengths = metadata.general_desc.possible_length if metadata else None  # type: ignore[union-attr]
        least = min(least, *(lengths or ()))
    return max(least, 7)


@functools.cache
def _plan_of_north_america(named: tuple[str, ...]) -> bool:
    import phonenumbers

    return all(phonenumbers.country_code_for_region(region) == 1 for region in named)


def evidence(text: memoryview, start: int, end: int, named: tuple[str, ...]) -> Evidence:
    """How much speaks for a telephone number in the run, before the library is asked."""
    run = bytes(text[start:end])
    if run.startswith(b"+") and not (start and bytes(text[start - 1 : start]).isalnum()):
        return Evidence.STRONG
    if b"+" in run:
        return Evidence.WEAK
    if not named or _DATE.match(run):
        return Evidence.NONE
    before = bytes(text[max(0, start - 24) : start]).decode("utf-8", "replace")
    if _WORD_BEFORE.search(before):
        return Evidence.STRONG
    if _IN_ADDRESS.match(bytes(text[max(0, start - 1) : start])) or _FILE_END.match(text, end):
        return Evidence.NONE
    if _BARE.match(run) or (_plan_of_north_america(named) and not _NANP.search(run)):
        return Evidence.NONE
    return Evidence.WEAK


@functools.lru_cache(maxsize=4096)
def _matches(window: str, region: str, strong: bool) -> tuple[tuple[int, int], ...]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    leniency = Leniency.POSSIBLE if strong else Leniency.VALID
    found = PhoneNumberMatcher(window, region, leniency)
    return tuple((match.start, match.end) for match in found)


def forget() -> None:
    """Empty the memory of windows that were already looked at; for measurements."""
    _matches.cache_clear()


def phones(
    text: memoryview, start: int, end: int, named: tuple[str, ...], strong: bool
) -> Iterator[Span]:
    """Spans of the numbers in a run of digits and marks, of these regions or international.

    Valid ones; with strong evidence also those of a possible length, first of the run only. The
    library refuses valid numbers that touch letters or stand in dates, so it sees the bytes around.
    """
    first, last = max(0, start - _CONTEXT), min(len(text), end + _CONTEXT)
    while first < start and text[first] & 0xC0 == 0x80:
        first += 1
    while last < len(text) and last > end and text[last] & 0xC0 == 0x80:
        last -= 1
    # Bytes that are no UTF-8 keep their places.
    window = bytes(text[first:last]).decode("utf-8", "surrogateescape")
    spans = {
        span for region in named or (INTERNATIONAL,) for span in _matches(window, region, False)
    }
    places = _places(text, window, first, start, end, spans)
    if strong and not any(left <= start + 1 for left, _ in places):
        spans = {s for region in named or (INTERNATIONAL,) for s in _matches(window, region, True)}
        first_of_run = [
            p for p in _places(text, window, first, start, end, spans) if p[0] <= start + 1
        ]
        places = [
            *first_of_run,
            *(p for p in places if not first_of_run or p[0] >= first_of_run[0][1]),
        ]
    yield from places


def _places(
    text: memoryview, window: str, first: int, start: int, end: int, spans: set[Span]
) -> list[Span]:
    """Spans of the window as spans of the text; those that begin in the run, none overlapping."""
    behind, places = start, []
    for begin, stop in sorted(spans, key=lambda span: (span[0], -span[1])):
        left = first + len(window[:begin].encode("utf-8", "surrogateescape"))
        right = left + len(window[begin:stop].encode("utf-8", "surrogateescape"))
        if window[begin] == "(" and ")" not in window[begin:stop]:
            left += 1
        if behind <= left < end:
            behind = right
            places.append((left, right))
    return places
