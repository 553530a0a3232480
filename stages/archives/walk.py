"""Every whole record of an archive in order, and what lies between them if it cannot be read.

A record counts only when all of it was read and something vouches for it:

- gzip: its member's checksum held. fastwarc reads on to the next member, which proves the one
  before; zlib checks the last member, and one of several records or whatever fastwarc gives up on
  before it is read. Of a member that breaks off at the file's end the records before its last are
  given; of one that is broken, those whose block digest holds.
- zstd: its frame was read to its end, and its block digest holds if it has one.
- plain: its block has the declared length, is followed by a blank line, a record or the file's end,
  and its block digest holds if it has one.

So block digests are asked only where no checksum vouches: wrong ones stand in the archives of some
crawlers, on pages that are as they were fetched. Payload digests are not asked: tools do not agree
whether they are those of the body before or after its transfer encoding was undone.

After damage, reading goes on at the next place where a record starts.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO, Literal

from stages.archives.arc import by_arc
from stages.archives.containers import (
    ARC_START,
    HEADER_BYTES,
    Container,
    UntilBroken,
    Window,
    arc_end,
    begins_record,
    container_of,
    dictionary_frame,
    member_end,
    next_start,
    peek,
    plain_end,
    unpacked,
    unpacked_zstd,
    unzipped_head,
)
from stages.archives.engines import (
    TRUNCATED,
    Announced,
    Engine,
    Wanted,
    announced,
    by_fastwarc,
    by_warcio,
)
from stages.archives.records import Lost, Record, digest_holds

EngineName = Literal["auto", "fastwarc", "warcio"]
_WRONG_DIGEST = "block digest does not match"
_PADDING = b"\0\r\n \t"


def walk(
    stream: BinaryIO,
    wanted: Wanted,
    engine: EngineName = "auto",
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Record | Lost]:
    """Records and losses of a stored file, or of its bytes from `start` to `stop`, in order.

    `start` and `stop` are offsets at which records begin. Losses that touch are one; none is empty.
    """
    size = stream.seek(0, os.SEEK_END)
    stop = size if stop is None else min(stop, size)
    walker = _Walk(stream, wanted, engine, start, stop, size)
    lost: Lost | None = None
    seen = False
    for found in walker.run():
        if isinstance(found, Lost):
            if lost is not None and _WRONG_DIGEST in (lost.reason, found.reason):
                # A record of wrong digest has its own bounds, so that it is a loss of its own.
                yield Lost(lost.offset, max(found.offset - lost.offset, 1), lost.reason)
                lost = None
            lost = lost or found
            continue
        if lost is not None:
            length = found.offset - lost.offset
            yield Lost(lost.offset, max(length, lost.num_bytes, 1), lost.reason)
            lost = None
        seen = True
        yield found
    if not seen and walker.stop > start:
        reason = lost.reason if lost else "no record"
        yield Lost(start, walker.stop - start, f"no readable record: {reason}")
    elif lost is not None:
        yield Lost(lost.offset, max(walker.stop - lost.offset, 1), lost.reason)


class _Walk:
    """Reads on from `at`, in turn the fast way and, where that ends, one member at a time."""

    def __init__(
        self, stream: BinaryIO, wanted: Wanted, engine: EngineName, start: int, stop: int, size: int
    ) -> None:
        self.stream, self.wanted = stream, wanted
        self.engine, self.at, self.stop, self.size = engine, start, stop, size
        self.prefix = b""
        self.kind = "unknown"
        self.bare_lf = False
        self.is_arc = False
        self.no_blank_until = 0
        self.problem = ""
        self.readers: list[Engine] = [by_warcio] if engine == "warcio" else [by_fastwarc]
        if engine == "auto":
            self.readers.append(by_warcio)

    def run(self) -> Iterator[Record | Lost]:
        self.prefix = dictionary_frame(self.stream, self.stop)
        if self.prefix and self.at == 0:
            self.at = len(self.prefix)
        while self.at < self.stop:
            if self._only_padding():
                return
            container = self._look()
            before = self.at
            if container == "plain" and not self.is_arc and not self._header_ends():
                yield from self._search("record header without an end")
                continue
            if self._is_fast(container):
                yield from self._fast(container)
                if self.at > before:
                    self.kind = container
            if self._only_padding():
                return
            if self.at == before or self._look() == container:
                yield from self._careful(container)

    def _is_fast(self, container: Container) -> bool:
        """Whether to leave it to fastwarc how far it comes."""
        # With bare line feeds it is lenient, and passes over damage without a word.
        if self.engine == "warcio":
            return False
        return container == "zstd" or not (self.is_arc or self.bare_lf)

    def _header_ends(self) -> bool:
        """Whether a blank line follows within `HEADER_BYTES`, each byte looked at once."""
        stop = min(self.at + HEADER_BYTES, self.size)
        start = max(self.at, self.no_blank_until - 3)
        data = peek(self.stream, start, stop - start) if stop > start else b""
        if b"\n\r\n" in data or b"\n\n" in data:
            return True
        self.no_blank_until = max(stop, self.no_blank_until)
        return False

    def _look(self) -> Container:
        """What stands at `at`."""
        head = peek(self.stream, self.at, min(4096, self.stop - self.at))
        container = container_of(head)
        text = unzipped_head(head) if container == "gzip" else head
        if container == "zstd":
            text = unpacked_zstd(self.stream, self.at, self.stop, self.prefix)
        # fastwarc reads headers that end in a bare LF only when asked to be lenient.
        self.bare_lf = b"\n" in text and b"\r\n" not in text
        self.is_arc = text.startswith(b"filedesc:") or bool(ARC_START.match(text))
        return container

    def _only_padding(self) -> bool:
        """True at the end, or where nothing but padding is left."""
        if self.stop - self.at > 1 << 20:
            return False
        return not peek(self.stream, self.at, self.stop - self.at).strip(_PADDING)

    # --- The fast way ------------------------------------------------------------------------

    def _fast(self, container: Container) -> Iterator[Record | Lost]:
        """Records that fastwarc reads and proves; `at` is then behind the last of them."""
        prefix = self.prefix if container == "zstd" else b""
        # A record is proved by those behind it. So the last ones of a range are proved as in the
        # whole file, by those behind its end.
        stop = self.stop if container == "zstd" else self.size
        window = Window(self.stream, self.at, stop, prefix)
        found = announced(window, self.wanted, self.bare_lf)
        self.problem = ""
        try:
            if container == "gzip":
                yield from self._fast_gzip(found)
            else:
                yield from self._fast_other(found, container)
        except OSError as error:
            self.problem = str(error).lower() or "unreadable record"

    def _fast_gzip(self, found: Iterator[Announced]) -> Iterator[Record]:
        """Members of one record each, up to the first of several or the end.

        fastwarc gives the second record of a member the position of the member behind it. So a
        record begins a member if the next one stands elsewhere, and is proved where a record is
        known to begin another.
        """
        older: Record | None = None
        newer: Record | None = None
        for position, read in found:
            if newer is None:
                # fastwarc passes over what it cannot read before its first record.
                if position != self.at:
                    return
            elif position == newer.offset or position >= self.size:
                return
            if older is not None:
                assert newer is not None
                self.at = newer.offset
                yield older
                older = None
                if self.at >= self.stop:
                    return
            record = read()
            if isinstance(record, str):
                return
            older, newer = newer, record
        if newer is not None:
            yield from self._last_two(older, newer)

    def _last_two(self, older: Record | None, newer: Record) -> Iterator[Record]:
        """The last records, if the last begins a member, and the last alone if that is whole.

        Where a record begins a member, fastwarc would have given it: it is none but the last.
        """
        head = unzipped_head(peek(self.stream, newer.offset, 4096))
        if not begins_record(head):
            return
        if older is not None:
            self.at = newer.offset
            yield older
        if self.at >= self.stop:
            return
        end, state = member_end(self.stream, newer.offset, self.stop)
        if state == "whole":
            self.at = end
            yield newer

    def _fast_other(
        self, found: Iterator[Announced], container: Container
    ) -> Iterator[Record | Lost]:
        """Plain records, each proved by the next; records of frames, as far as they are read."""
        held: Record | None = None
        frame, nth = self.at, -1
        for position, read in found:
            if held is not None:
                frame, nth = self._placed(held, position, frame, nth)
                yield self._judged(held)
                self.at = position
                if container == "plain" and position >= self.stop:
                    return
            elif position != self.at:
                return
            record = read()
            if isinstance(record, str):
                self.problem = record
                return
            held = record
        if container == "zstd" and held is not None:
            self._placed(held, self.stop, frame, nth)
            self.at = self.stop
            yield self._judged(held)

    def _placed(self, record: Record, following: int, frame: int, nth: int) -> tuple[int, int]:
        """(frame, number in it) of a record, by the position of the one behind it.

        As with gzip, all but the first record of a frame have the position of the next frame.
        """
        if nth >= 0 and record.offset in (following, self.stop):
            record.offset, nth = frame + nth + 1, nth + 1
            return frame, nth
        return record.offset, 0

    def _judged(self, record: Record) -> Record | Lost:
        """The record, or its loss if no checksum vouches for it and its digest is wrong."""
        if digest_holds(record) is False:
            return Lost(record.offset, 1, _WRONG_DIGEST)
        return record

    # --- One member or record at a time --------------------------------------------------------

    def _careful(self, container: Container) -> Iterator[Record | Lost]:
        """The member or plain record at `at`; if it is not whole, the search for the next."""
        at = self.at
        if container == "gzip":
            end, state = member_end(self.stream, at, self.size)
        elif container == "plain":
            ends = arc_end if self.is_arc else plain_end
            end, reason = ends(self.stream, at, self.size)
            state = reason or "whole"
        else:
            # A frame ends where the next one begins: what stands between is told by reading it.
            end = next_start(self.stream, at + 1, self.stop, "zstd", self.prefix)
            state = "whole"
        if state == "whole":
            if container == "gzip":
                end = self._continued(at, end)
            yield from self._trusted(at, end, container, state)
            self.at, self.kind = end, "arc" if self.is_arc and container == "plain" else container
            return
        reason = "truncated record" if state == "cut" else self.problem or "unreadable record"
        if container == "gzip":
            yield from self._trusted(at, self.size, container, state)
            reason = reason if state == "cut" else "broken gzip member"
            yield Lost(at, 1, reason)
            # What is left of a broken member is passed over, not searched for the like of records.
            self.at = at if state == "cut" else max(at, end - (1 << 16))
        else:
            reason = state
        yield from self._search(reason)

    def _continued(self, at: int, end: int) -> int:
        """Where the last member ends that goes on with the record that begins in this one.

        Some tools end members where they like. Only members that begin no record are added, and
        only to one whose record is longer than it.
        """
        last = end
        while (following := peek(self.stream, last, min(4096, self.stop - last))) and (
            begins_record(unzipped_head(following)) is False
        ):
            last, state = member_end(self.stream, last, self.stop)
            if state != "whole":
                return end
        if last == end:
            return end
        found = self._each(self.readers[0], at, end, "gzip", whole=True)
        return last if any(part == TRUNCATED for part in found) else end

    def _search(self, reason: str) -> Iterator[Lost]:
        """The loss of what stands at `at`; `at` is then where the next record seems to start."""
        yield Lost(self.at, 1, reason)
        kind = self.kind
        if self.is_arc and kind in ("plain", "unknown"):
            kind = "arc"
        self.at = next_start(self.stream, self.at + 1, self.stop, kind, self.prefix)

    def _trusted(
        self, at: int, end: int, container: Container, state: str
    ) -> Iterator[Record | Lost]:
        """Records of a member, or of plain bytes, from `at` to `end`.

        Of a member that is `cut` all but the last, of one that is `broken` those with a digest that
        holds. The second reader goes on where the first one gives up.
        """
        given, problem = 0, ""
        readers = [by_arc] if self.is_arc else self.readers
        whole = state == "whole"
        for reader in readers if whole else readers[:1]:
            read, problem = 0, ""
            for nth, found in enumerate(self._each(reader, at, end, container, whole)):
                if isinstance(found, str):
                    problem = found
                    break
                read = nth + 1
                if nth < given:
                    continue
                found.offset = at + nth
                given = read
                if whole and container == "gzip":
                    yield found
                elif state != "broken" or digest_holds(found):
                    yield self._judged(found)
            if not problem and read:
                return
        if whole:
            yield Lost(at, max(end - at, 1), problem or "no record")

    def _each(
        self, reader: Engine, at: int, end: int, container: Container, whole: bool
    ) -> Iterator[Record | str]:
        """What a reader says of these bytes, each record after it was seen to end well.

        What breaks off ends no record, so that its last one is left out.
        """
        prefix = self.prefix if container == "zstd" else b""
        window: io.RawIOBase = Window(self.stream, at, end, prefix)
        if container == "gzip" and not whole:
            window = UntilBroken(window)
        elif container != "plain" and reader is not by_fastwarc:
            window = unpacked(Window(self.stream, at, end), container, prefix)
        held: Record | None = None
        try:
            for _, found in reader(window, self.wanted, self.bare_lf):
                if held is not None:
                    yield held
                    held = None
                if isinstance(found, str):
                    yield found
                    return
                held = found
        except OSError as error:
            yield str(error).lower() or "unreadable record"
            return
        if held is not None and whole:
            yield held
