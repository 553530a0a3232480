"""Where personal data may stand, and what is out of place in a text, as a reader would write it."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

from stages.kernels import pii_candidates as at

Candidate = tuple[int, int, int]
ALNUM = (string.ascii_letters + string.digits).encode()
HIGH = bytes(range(128, 256))
LOCAL = frozenset(ALNUM + b"._%+'-" + HIGH)
DOMAIN = frozenset(ALNUM + b".-" + HIGH)
MARK = rb"[-+ .()/\xa0\xc2\xe2\x80\x90-\x95]"
NUMBER = re.compile(rb"(?:[0-9]|[+(]" + MARK + rb"{0,3}[0-9])(?:" + MARK + rb"{0,4}[0-9])*")
NEAR = re.compile(rb"(?:[0-9]|[+(]" + MARK + rb"{0,1}[0-9])(?:" + MARK + rb"{0,2}[0-9])*")
IPV4 = re.compile(
    rb"(?<![A-Za-z0-9.])(?=(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})(?![A-Za-z0-9])(?!\.\d))"
)
IPV6 = re.compile(rb"(?<![A-Za-z0-9.:])(?=[23]...:)(?=([0-9A-Fa-f:.]{1,48}))", re.DOTALL)


def candidates(text: bytes, least_digits: int) -> Iterator[Candidate]:
    """(kind, start, end) of all candidates of one text."""
    for found in re.finditer(b"@", text):
        start, end = found.start(), found.end()
        while start and found.start() - start < at.MAX_LOCAL_BYTES and text[start - 1] in LOCAL:
            start -= 1
        while end < len(text) and end - found.end() < at.MAX_DOMAIN_BYTES and text[end] in DOMAIN:
            end += 1
        if start < found.start() and b"." in text[found.end() : end]:
            yield at.EMAIL, start, end
    for found in IPV4.finditer(text):
        yield at.IPV4, *found.span(1)
    for found in IPV6.finditer(text):
        start, end = found.span(1)
        letter = end - start < 48 and text[end : end + 1].isalpha()
        if found[1].count(b":") >= 2 and not letter:
            yield at.IPV6, start, end
    for found in re.finditer(rb"(?<![A-Za-z0-9])(?=[A-Za-z]{2}\d\d)", text):
        run = re.match(rb"[A-Za-z0-9](?: ?[A-Za-z0-9])*", text[found.start() : found.start() + 44])
        if run and sum(byte in ALNUM for byte in run[0]) >= 15:
            yield at.IBAN, found.start(), found.start() + run.end()
    for found in numbers(text):
        digits = sum(48 <= byte <= 57 for byte in found[0])
        least = min(7, least_digits) if found[0][0] == ord("+") else least_digits
        if digits >= least and len(found[0]) <= at.MAX_NUMBER_BYTES:
            yield at.NUMBER, *found.span()


def numbers(text: bytes) -> Iterator[re.Match[bytes]]:
    """Runs of digits and marks; of one that is too long the pieces that stand near each other."""
    place = 0
    while found := NUMBER.search(text, place):
        if len(found[0]) > at.MAX_NUMBER_BYTES:
            near = NEAR.match(text, found.start())
            if near is None:
                place = found.start() + 1
                continue
            found = near
        yield found
        place = found.end()
