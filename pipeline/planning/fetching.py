"""Sources that ask a network: what it answers is fetched once, into the workdir, and is input then.

What a network answers is no function of a configuration, so no work of a run asks it: `run` fetches
what is missing first, then reads files by their content as of any source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from pipeline.files.storage import Storage
from pipeline.stage import Partition, Source


@dataclass(frozen=True)
class FetchedInputs:
    """What a fetching source has in the workdir."""

    partitions: Sequence[Partition] = ()
    missing: int = 0
    """URLs that are still to be fetched."""


@dataclass(frozen=True)
class Kept:
    """One record of what was fetched."""

    path: str
    """The file that holds it."""
    urls: Sequence[str]
    """That it is of, or leads to."""
    content: bytes
    """Decoded."""


class FetchingSource(Source):
    """A source whose files are brought into the workdir before it is read.

    What `excluded` names is not asked for, and is no part of what is there.
    """

    must_implement: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("read",), ("fetch",), ("fetched",), ("forget",), ("kept",)
    )  # fmt: skip

    def fetch(
        self, source: str, storage: Storage, excluded: Callable[[str], bool], watch: Watch
    ) -> None:
        """Bring what is missing. May be killed at any time; called under the lease."""
        raise NotImplementedError

    def fetched(
        self, source: str, storage: Storage, excluded: Callable[[str], bool]
    ) -> FetchedInputs:
        """What is there; asks no network."""
        raise NotImplementedError

    @staticmethod
    def forget(
        storage: Storage, excluded: Callable[[str], bool], beat: Callable[[], None]
    ) -> Mapping[str, str | None]:
        """Write what sources of this kind keep anew without these pages; old file -> new one, None
        = nothing was left. Asks no network. May be killed at any time and called again."""
        raise NotImplementedError

    @staticmethod
    def kept(storage: Storage) -> Iterator[Kept]:
        """All that sources of this kind keep in a workdir."""
        raise NotImplementedError


class Watch(Protocol):
    """Who waits for a fetch. Both may raise, to end it."""

    def beat(self) -> None:
        """Called at least every second."""

    def note(self, text: str) -> None:
        """Called with a line that stays."""
