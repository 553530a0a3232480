"""Which addresses a crawler may connect to: the public ones.

A page or a redirect may name a host whose address is inside the crawler's own network (server-side
request forgery). So every address is judged after the name is resolved, and that very address is
connected to: a second answer of the name server (DNS rebinding) is never asked for.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_REFUSED = [
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocols of the IETF, RFC 6890
        "192.88.99.0/24",  # relays of 6to4, withdrawn by RFC 7526
        "64:ff9b:1::/48",  # translation inside one network, RFC 8215
        "2001::/32",  # Teredo: an IPv4 address behind a NAT, RFC 4380
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # segment routing inside one network, RFC 9602
        "fec0::/10",  # site-local, RFC 3879
    )
]
"""Beside those that Python's `ipaddress` knows by IANA's registries of special addresses."""
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 behind a NAT64 (RFC 6052): its last four bytes are the address that is reached."""


class PrivateAddress(Exception):
    """A host has no address that may be connected to."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises ValueError for what is no network, such as 10.0.0.1/8."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_public(text: str) -> bool:
    """True if an address may be reached from anywhere, and reaches nothing inside.

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is judged by itself.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _REFUSED)
    )


def allowed(text: str, exceptions: Sequence[Network]) -> bool:
    """True for a public address, and for one of the networks that the user allows."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return any(address in network for network in exceptions) or is_public(text)


def connected(
    host: str, port: int, timeout: float | None, exceptions: Sequence[Network]
) -> socket.socket:
    """A connection to the first address of a host that may be connected to.

    Raises PrivateAddress if it has none, socket.gaierror, OSError.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    usable = [entry for entry in found if allowed(str(entry[4][0]), exceptions)]
    if not usable:
        raise PrivateAddress(f"{host} is {found[0][4][0] if found else 'nowhere'}")
    error: OSError | None = None
    for family, kind, protocol, _, address in usable:
        link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(timeout)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.connect(address)
            if not allowed(link.getpeername()[0], exceptions):
                raise PrivateAddress(f"{host} is {link.getpeername()[0]}")
        except OSError as failed:
            link.close()
            error = failed
        except PrivateAddress:
            link.close()
            raise
        else:
            return link
    assert error is not None
    raise error
