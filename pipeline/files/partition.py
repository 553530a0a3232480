"""What a source reads: a file or a part of one, as a unit of work."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.files.spans import Spans


@dataclass(frozen=True)
class Partition:
    """One unit of work: one input file, or a range of it. Its id is never an index."""

    source: str  # id of the source step
    path: str  # where to open it: a local path or a URI
    file: str
    """Path relative to the source's `base`; part of the identity and of every document."""
    size: int  # bytes of the stored file
    token: str
    """Modification time or etag: serves the cache, reaches no output."""
    head: int | None = None
    """Only the first `head` documents (`--limit`)."""
    sha256: str = ""
    """What the stored file must have, in hex; nothing = not checked."""
    spans: Spans | None = None
    """Only these byte ranges of the file; its digest must be part of `token`."""
    start: int = 0
    stop: int | None = None
    """The bytes that are this unit of work, `stop` None to the file's end; see `Source.ranges`."""

    @property
    def num_bytes(self) -> int:
        """0 = not known before they are read."""
        return (self.size if self.stop is None else self.stop) - self.start


@dataclass(frozen=True)
class Listed:
    """One file, or some ranges of it, that a source's own `listing` names."""

    path: str
    file: str
    size: int
    """Bytes that will be read; 0 = not known before they are."""
    token: str = ""
    spans: Spans | None = None
