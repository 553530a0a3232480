"""Which candidates are what they look like: checksums, issuers, public networks, contexts.

Everything works on the bytes of one text, `text`, and gives spans within it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

Span = tuple[int, int]

# --- E-mail ------------------------------------------------------------------------------------

# Latin, Greek and Cyrillic letters besides ASCII (U+00C0 to U+052F), so that a Han or kana word
# written against an address is no part of it. RFC 6531 allows them.
_OTHER_LETTER = rb"[\xc3-\xd4][\x80-\xbf]"
_LABEL = rb"(?:[A-Za-z0-9]|" + _OTHER_LETTER + rb")"
_LOCAL = re.compile(
    rb"(?:[A-Za-z0-9_]|"
    + _OTHER_LETTER
    + rb")(?:[A-Za-z0-9_.%+'-]|"
    + _OTHER_LETTER
    + rb"){0,63}+\Z"
)
_DOMAIN = re.compile(
    rb"(?:" + _LABEL + rb"(?:-{0,2}" + _LABEL + rb"){0,62}\.){1,8}"
    rb"(?:xn--[a-z0-9-]{2,59}|[A-Za-z]{2,24}|(?:" + _OTHER_LETTER + rb"){2,24})(?![A-Za-z0-9])"
)
_FILE_NAMES = frozenset(
    b"png jpg jpeg gif webp svg ico bmp tiff avif js css json html htm php pdf mp3 mp4".split()
)
"""`logo@2x.png`: ends of file names, none of them a top-level domain of IANA."""


def email(text: memoryview, start: int, end: int) -> Span | None:
    """The address in the run of its characters around one `@`."""
    at = start + bytes(text[start:end]).index(b"@")
    domain = _DOMAIN.match(text, at + 1, end)
    if not domain or bytes(domain[0]).rpartition(b".")[2].lower() in _FILE_NAMES:
        return None
    local = _LOCAL.search(text, start, at)
    if not local or (local.start() > start and bytes(text[local.start() - 1 :][:1]).isalnum()):
        return None
    return local.start(), domain.end()


# --- IP addresses ------------------------------------------------------------------------------

_NOT_PUBLIC = tuple(
    (int(network.network_address), int(network.netmask))
    for network in map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
"""IANA's special-purpose registry and multicast. Not `is_global`: its table is the Python's."""
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
_VERSION = re.compile(
    rb"(?i)(?:\b(?:v|version|versions|ver|release|build|firmware|driver|section|chapter|clause)"
    rb"|\xc2\xa7|[a-z]/)[.:#]?(?:\s|\xc2\xa0)?$"
)
"""Before four numbers that are a version or a section; `Chrome/1.2.3.4` too."""


def ipv4(text: memoryview, start: int, end: int) -> Span | None:
    """The span itself if it is a public address."""
    octets = bytes(text[start:end]).split(b".")
    if any((len(octet) > 1 and octet[0] == 48) or int(octet) > 255 for octet in octets):
        return None
    number = int.from_bytes(bytes(map(int, octets)))
    if any(number & mask == network for network, mask in _NOT_PUBLIC):
        return None
    return None if _VERSION.search(text[max(0, start - 12) : start]) else (start, end)


def ipv6(text: memoryview, start: int, end: int) -> Span | None:
    """The public address that the run of hexadecimal digits and colons holds."""
    written = bytes(text[start:end]).rstrip(b".")
    if not written.endswith(b"::"):
        written = written.rstrip(b":")
    try:
        address = ipaddress.IPv6Address(written.decode())
    except ValueError:
        return None
    if address not in _GLOBAL_UNICAST or any(address in network for network in _NOT_PUBLIC_V6):
        return None
    return start, start + len(written)


# --- Cards -------------------------------------------------------------------------------------

_CARD = re.compile(
    rb"(?<![A-Za-z0-9.,_])(?=(\d{12,19}|\d{4}([ -])\d{4}\2\d{4}\2\d{4}(?:\2\d{3})?"
    rb"|\d{4}([ -])\d{6}\3\d{4,5})(?![A-Za-z0-9_]|\.\d))"
)
"""Digits without gaps, or in the groups that are printed on cards."""
MIN_CARD_DIGITS = 12
# ISO/IEC 7812 issuer ranges as the networks publish them: first digits, last digits, lengths.
_ISSUERS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (4, 4, frozenset({13, 16, 19})),  # Visa
    (51, 55, frozenset({16})),  # Mastercard
    (2221, 2720, frozenset({16})),
    (34, 34, frozenset({15})),  # American Express
    (37, 37, frozenset({15})),
    (6011, 6011, frozenset({16, 19})),  # Discover
    (644, 649, frozenset({16, 19})),
    (65, 65, frozenset({16, 19})),
    (3528, 3589, frozenset({16, 17, 18, 19})),  # JCB
    (2131, 2131, frozenset({15})),  # JCB, older
    (1800, 1800, frozenset({15})),
    (300, 305, frozenset({14})),  # Diners Club
    (36, 36, frozenset({14})),
    (38, 39, frozenset({14})),
    (62, 62, frozenset({16, 17, 18, 19})),  # UnionPay
    (5018, 5018, frozenset(range(12, 20))),  # Maestro
    (5020, 5020, frozenset(range(12, 20))),
    (5038, 5038, frozenset(range(12, 20))),
    (5893, 5893, frozenset(range(12, 20))),
    (6304, 6304, frozenset(range(12, 20))),
    (6759, 6763, frozenset(range(12, 20))),
)


def luhn(digits: str) -> bool:
    """True if the last digit is the check digit of ISO/IEC 7812-1, annex B."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + at % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def _issued(digits: str) -> bool:
    return any(
        len(digits) in lengths and low <= int(digits[: len(str(low))]) <= high
        for low, high, lengths in _ISSUERS
    )


def cards(text: memoryview, start: int, end: int) -> Iterator[Span]:
    """The card numbers in a run of digits and marks."""
    behind = start
    for found in _CARD.finditer(text, start, end):
        digits = re.sub(rb"[ -]", b"", found[1]).decode()
        if found.start() >= behind and len(set(digits)) > 1 and _issued(digits) and luhn(digits):
            behind = found.end(1)
            yield found.span(1)


# --- IBAN --------------------------------------------------------------------------------------

_LENGTHS = """
    AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18
    DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23
    IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27
    MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19
    SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _LENGTHS.split()}
"""Country -> characters of its IBAN, from the SWIFT registry."""


def valid_iban(written: str) -> bool:
    """True if length and check digits are those of ISO 13616 (mod 97 = 1). Upper case only."""
    if IBAN_LENGTHS.get(written[:2]) != len(written):
        return False
    return int("".join(str(int(c, 36)) for c in written[4:] + written[:4])) % 97 == 1


def iban(text: memoryview, start: int, end: int) -> Span | None:
    """The IBAN that begins at `start`, with single spaces or without."""
    run = bytes(text[start:end])
    length = IBAN_LENGTHS.get(run[:2].decode().upper(), 99)
    if not valid_iban(run.replace(b" ", b"")[:length].decode().upper()):
        return None
    places = [at for at, byte in enumerate(run) if byte != 32]
    behind = start + places[length - 1] + 1
    if bytes(text[behind : behind + 1]).isalnum():
        return None
    return start, behind
