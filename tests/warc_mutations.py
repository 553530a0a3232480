"""Damaged copies of real archives, and what must still be read of them."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.archives.engines import Wanted
from stages.archives.records import Lost, Record
from stages.archives.walk import walk

MAX_BLOCK = 1 << 24
Key = tuple[str, str | None, str | None, str, bytes | None]


def key_of(record: Record) -> Key:
    """What makes a record this record: everything but where it stands."""
    return record.kind, record.id, record.url, record.date_text, record.block


def walked(data: bytes) -> tuple[list[Record], list[Lost]]:
    """Records of all kinds, and losses, each checked to lie within the file."""
    found = list(walk(io.BytesIO(data), Wanted(MAX_BLOCK, all_kinds=True)))
    lost = [part for part in found if isinstance(part, Lost)]
    for part in lost:
        assert part.num_bytes > 0
        assert part.reason
        assert 0 <= part.offset <= part.offset + part.num_bytes <= len(data)
    return [part for part in found if isinstance(part, Record)], lost


@dataclass(frozen=True)
class Archive:
    """An undamaged file: its bytes, its records in order, and where each ends."""

    name: str
    data: bytes
    records: tuple[Record, ...]
    compressed: bool

    @property
    def ends(self) -> list[int]:
        starts = [record.offset for record in self.records]
        return [*starts[1:], len(self.data)]


def archives(folder: Path, max_bytes: int = 600_000) -> Iterator[Archive]:
    """The real files that are read whole, without any loss, one record a member."""
    for path in sorted(folder.rglob("*")):
        if ".warc" not in path.name and ".arc" not in path.name:
            continue
        data = path.read_bytes()
        if len(data) > max_bytes:
            continue
        records, lost = walked(data)
        compressed = data[:2] == b"\x1f\x8b"
        starts = [record.offset for record in records]
        apart = not compressed or all(data[at : at + 2] == b"\x1f\x8b" for at in starts)
        if len(records) > 2 and not lost and apart:
            yield Archive(path.name, data, tuple(records), compressed)


@dataclass(frozen=True)
class Mutation:
    """A damaged copy, and the records that nothing was done to."""

    what: str
    data: bytes
    untouched: tuple[Record, ...]


def mutated(archive: Archive, rng: random.Random) -> Mutation:
    """One kind of damage at a random place."""
    what = rng.choice([flip, cut, drop, insert, splice, lengths, nested])
    return what(archive, rng)


def _spared(archive: Archive, start: int, stop: int) -> tuple[Record, ...]:
    """Records that share no byte with `start` to `stop`."""
    return tuple(
        record
        for record, end in zip(archive.records, archive.ends, strict=True)
        if end <= start or record.offset >= stop
    )


def flip(archive: Archive, rng: random.Random) -> Mutation:
    """Up to eight bytes next to each other become others."""
    data = bytearray(archive.data)
    at = rng.randrange(len(data))
    stop = min(at + rng.randint(1, 8), len(data))
    for position in range(at, stop):
        data[position] ^= rng.randint(1, 255)
    return Mutation(f"flip {at}..{stop}", bytes(data), _spared(archive, at, stop))


def cut(archive: Archive, rng: random.Random) -> Mutation:
    """The file ends early."""
    at = rng.randrange(1, len(archive.data))
    return Mutation(f"cut {at}", archive.data[:at], _spared(archive, at, len(archive.data)))


def drop(archive: Archive, rng: random.Random) -> Mutation:
    """Some bytes are gone."""
    at = rng.randrange(len(archive.data))
    stop = min(at + rng.choice([1, 7, 100, 5000]), len(archive.data))
    data = archive.data[:at] + archive.data[stop:]
    return Mutation(f"drop {at}..{stop}", data, _spared(archive, at, stop))


def insert(archive: Archive, rng: random.Random) -> Mutation:
    """Some bytes too many, between two records or in one."""
    at = rng.choice([record.offset for record in archive.records])
    at = at if rng.random() < 0.5 else rng.randrange(len(archive.data))
    noise = rng.choice([rng.randbytes(rng.randint(1, 300)), b"\0" * 512, b"\r\n" * 3, b"WARC/1.0 "])
    data = archive.data[:at] + noise + archive.data[at:]
    return Mutation(f"insert {at} {noise[:9]!r}", data, _spared(archive, at, at))


def splice(archive: Archive, rng: random.Random) -> Mutation:
    """A piece of the file stands a second time at another place."""
    start = rng.randrange(len(archive.data))
    piece = archive.data[start : start + rng.randint(1, 5000)]
    at = rng.randrange(len(archive.data))
    data = archive.data[:at] + piece + archive.data[at:]
    return Mutation(f"splice {start} to {at}", data, _spared(archive, at, at))


def lengths(archive: Archive, rng: random.Random) -> Mutation:
    """The Content-Length of a record is another one, in a member whose checksum holds."""
    nth = rng.randrange(len(archive.records))
    start, end = archive.records[nth].offset, archive.ends[nth]
    stored = archive.data[start:end]
    text = gzip.decompress(stored) if archive.compressed else stored
    head, blank, body = text.partition(b"\r\n\r\n")
    length = archive.records[nth].length
    wrong = rng.choice([length + rng.randint(1, 99), max(length - rng.randint(1, 99), 0), 10**12])
    changed = head.replace(b"Content-Length: %d" % length, b"Content-Length: %d" % wrong)
    text = changed + blank + body
    stored = gzip.compress(text, 1, mtime=0) if archive.compressed else text
    data = archive.data[:start] + stored + archive.data[end:]
    return Mutation(f"length of {nth}: {wrong}", data, _spared(archive, start, end))


def nested(archive: Archive, rng: random.Random) -> Mutation:
    """A record is compressed once more, in its place."""
    nth = rng.randrange(len(archive.records))
    start, end = archive.records[nth].offset, archive.ends[nth]
    stored = gzip.compress(archive.data[start:end], 1, mtime=0)
    data = archive.data[:start] + stored + archive.data[end:]
    return Mutation(f"nested {nth}", data, _spared(archive, start, end))
