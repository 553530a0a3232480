"""How inputs are fetched over a network: the `network:` of a configuration, in every worker."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.errors import ConfigError, nearest
from pipeline.knobs import as_counts


@dataclass(frozen=True)
class Network:
    """Settings of a run; nothing here reaches an output byte."""

    requests_per_second: float = 10.0
    """Most requests in any second to one http(s) host, over all workers of the run; 0 = no limit.
    Far below what Common Crawl's servers answer with 503 (their FAQ asks for few at a time)."""
    hosts: Mapping[str, float] = field(default_factory=dict)
    """Other limits by host, `data.example.org: 2`."""
    attempts: int = 8
    """Failures in a row, without a byte gained, after which a request is given up."""
    first_wait_seconds: float = 0.5
    """The first wait is drawn from 0 to this; the bound doubles with each failure."""
    longest_wait_seconds: float = 60.0
    """Where that bound stops growing."""
    longest_retry_after_seconds: float = 600.0
    """A server that asks for a longer pause (Retry-After) is given up at once."""
    timeout_seconds: float = 60.0
    """To connect, and to wait for the next bytes."""
    cache: str | None = None
    """A local folder that keeps what was fetched, shared by all processes of a machine."""
    cache_bytes: int = 10_000_000_000
    """What that folder may hold; the least recently used goes first."""

    def rate(self, host: str) -> float:
        """Most requests a second to a host; 0 = no limit."""
        return self.hosts.get(host, self.requests_per_second)

    @property
    def limits(self) -> bool:
        """True if any host has a limit."""
        return self.requests_per_second > 0 or any(rate > 0 for rate in self.hosts.values())


def parse_network(value: Any, where: str) -> Network:
    """The settings of a mapping. Raises ConfigError."""
    if isinstance(value, Network):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: 'network' is {value!r}, expected a mapping such as "
                          f"{{requests_per_second: 5}}.")  # fmt: skip
    names = [f.name for f in dataclasses.fields(Network)]
    for name in value:
        if name not in names:
            raise ConfigError(f"{where}: unknown key 'network.{name}'.{nearest(str(name), names)}")
    try:
        found = msgspec.convert(as_counts(dict(value)), type=Network)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: network: {error}; got {dict(value)!r}.") from error
    for name in names:
        number = getattr(found, name)
        low = 1 if name in ("attempts", "cache_bytes") else 0
        if isinstance(number, (int, float)) and not number >= low:
            raise ConfigError(f"{where}: network.{name} is {number}, expected at least {low}.")
    for host, rate in found.hosts.items():
        if not rate >= 0 or "/" in host:
            raise ConfigError(
                f"{where}: network.hosts has {host!r}: {rate}, expected a host name such as "
                f"data.example.org and requests a second."
            )
    return found


_current = Network()


def use(network: Network) -> None:
    """Fetch by these settings in this process from now on."""
    global _current
    _current = network


def current() -> Network:
    """The settings of this process."""
    return _current
