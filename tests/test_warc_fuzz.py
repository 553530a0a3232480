"""Damaged copies of real archives: no crash, no hang, no wrong body, nothing lost that was spared.

`python -m pytest -m slow tests/test_warc_fuzz.py` tries 10,000.
"""

from __future__ import annotations

import gzip
import io
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from cpu_time import assert_time_in_proportion
from source_reading import five_records, zstd
from warc_mutations import MAX_BLOCK, Archive, Key, archives, key_of, mutated, walked

from stages.archives.engines import Wanted
from stages.archives.walk import walk

# Files whose header lines end in a bare LF, or whose records have no length: nothing but the next
# record tells there where one ends, so that damage behind a record takes it along.
LOOSE = ("mementos", "slash", "redirect", "lonely", ".arc")


def trimmed(key: Key) -> Key:
    """The record without blank lines at its end, which a longer length may take from behind it."""
    return (*key[:4], None if key[4] is None else key[4].rstrip(b"\r\n"))


def check(archive: Archive, seed: str) -> None:
    """One mutation; what nothing was done to is there, and in gzip files nothing else is."""
    mutation = mutated(archive, random.Random(seed))
    what = f"{seed}: {archive.name}: {mutation.what}"
    records, lost = walked(mutation.data)
    found = Counter(map(key_of, records))
    real = {trimmed(key_of(record)) for record in archive.records}
    if archive.compressed or not any(name in archive.name for name in LOOSE):
        spared = Counter(map(key_of, mutation.untouched))
        # A plain record in front of bytes that are none may be the one whose length is wrong.
        assert (spared - found).total() <= (0 if archive.compressed else 1), what
    if archive.compressed:
        assert {trimmed(key) for key in found} <= real, what
    if archive.compressed and not mutation.what.startswith(("cut", "drop")):
        assert lost or len(records) >= len(archive.records), what


def run(folder: Path, count: int, seed: int) -> None:
    small = list(archives(folder))
    assert sum(archive.compressed for archive in small) >= 14
    assert sum(not archive.compressed for archive in small) >= 15
    for number in range(count):
        check(small[number % len(small)], f"{seed}.{number}")


def test_damage_costs_the_records_it_touches_and_no_others(shared_data: Path) -> None:
    run(shared_data / "warc", 700, seed=1)


@pytest.mark.slow
def test_ten_thousand_kinds_of_damage(shared_data: Path) -> None:
    run(shared_data / "warc", 10_000, seed=2)


def test_reading_a_damaged_file_takes_little_memory(shared_data: Path) -> None:
    (archive,) = [a for a in archives(shared_data / "warc") if a.name == "warcfile.warc.gz"]
    for number in range(20):
        data = mutated(archive, random.Random(f"memory.{number}")).data
        tracemalloc.start()
        try:
            for _ in walk(io.BytesIO(data), Wanted(MAX_BLOCK, all_kinds=True)):
                pass
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


MEMBERS = [gzip.compress(part, mtime=0) for part in five_records()]
HOSTILE = {
    "version lines": b"WARC/1.0\r\n" * 20_000,
    "headers without a block": b"WARC/1.0\r\nContent-Length: 77\r\n\r\n" * 6_000,
    "lengths beyond the file": b"WARC/1.0\r\nContent-Length: 99999999999\r\n\r\nx" * 4_000,
    "gzip magics": b"\x1f\x8b\x08" * 60_000,
    "members cut short": b"".join(member[:-5] for member in MEMBERS) * 100,
    "members twice": gzip.compress(MEMBERS[0], mtime=0) * 300,
    "members of two": gzip.compress(five_records()[0] * 2, mtime=0) * 300,
    "arc lines": b"http://a.example/ 1.2.3.4 20080430204825 text/html 9\n" * 5_000,
    "frames cut short": b"".join(zstd(part)[:-3] for part in five_records()) * 40,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_time_grows_with_the_file_however_it_is_damaged(name: str) -> None:
    assert_time_in_proportion(walked, HOSTILE[name])
