"""The hot cache and its source under faults: real files, real kills, real full disks."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loader import published

import loader.hot_cache
import loader.row_groups
import stages.shard_writer
from loader.dataset import Dataset, open_dataset
from loader.hot_cache import PART, SUFFIX, HotCache, content_name
from loader.loader import Loader
from loader.row_groups import RowGroup, fetch, read_row_group
from pipeline.errors import InputError, IntegrityError

ROOT = Path(__file__).resolve().parent.parent
ROW_GROUPS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of six row groups of some 20,000 tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.shard_writer, "ROW_GROUP_TOKENS", 20_000)
        sizes = np.random.default_rng(3).integers(1, 900, 260).tolist()
        return published(tmp_path_factory.mktemp("dataset"), {"web": sizes}, per_shard=40_000)


@pytest.fixture
def dataset(folder: Path, tmp_path: Path) -> Dataset:
    """A copy of it, to be damaged."""
    shutil.copytree(folder, tmp_path / "dataset")
    return open_dataset(str(tmp_path / "dataset"))


def numbers(dataset: Dataset) -> range:
    (stream,) = dataset.streams("train")
    return range(len(stream.starts) - 1)


def cached(dataset: Dataset, cache: HotCache) -> list[tuple[bytes, bytes]]:
    """(tokens, starts) of every row group through the cache."""
    (stream,) = dataset.streams("train")
    found = []
    for number in numbers(dataset):
        place = stream.place(number)
        one = cache.get(place, lambda place=place: fetch(dataset, place))  # type: ignore[misc]
        found.append((one.tokens.tobytes(), one.starts.tobytes()))
    return found


def direct(dataset: Dataset) -> list[tuple[bytes, bytes]]:
    """The same, read by pyarrow alone."""
    (stream,) = dataset.streams("train")
    found = []
    for number in numbers(dataset):
        file = pq.ParquetFile(dataset.path(stream.files[number]))
        table = file.read_row_group(stream.row_groups[number], columns=["tokens"])
        lists = table["tokens"].combine_chunks()
        starts = lists.offsets.to_numpy()[:-1].astype(np.int64)
        found.append((lists.flatten().to_numpy().tobytes(), starts.tobytes()))
    return found


def new_cache(dataset: Dataset, folder: Path, max_bytes: int = 1 << 30, bits: int = 16) -> HotCache:
    return HotCache(folder, max_bytes, bits)


def refuse() -> RowGroup:
    raise AssertionError("decoded again")


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*/*{SUFFIX}"))


# --- What it holds -----------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [16, 13, 10], ids="bits={}".format)
def test_the_cache_gives_what_pyarrow_reads_and_decodes_once(
    dataset: Dataset, tmp_path: Path, bits: int
) -> None:
    hot = tmp_path / "hot"
    assert len(numbers(dataset)) >= ROW_GROUPS
    assert cached(dataset, new_cache(dataset, hot, bits=bits)) == direct(dataset)
    assert len(files_of(hot)) == len(numbers(dataset))
    (stream,) = dataset.streams("train")
    again = new_cache(dataset, hot, bits=bits)
    for number in numbers(dataset):
        found = again.get(stream.place(number), refuse)
        assert found.address % os.sysconf("SC_PAGE_SIZE") == 0
        assert not found.buffer.flags.writeable
        assert found.num_bytes < bits * found.num_tokens / 8 + 8 * len(found.starts) + 24


def test_a_layout_that_is_not_read_page_by_page_is_read_by_pyarrow(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, calls = direct(dataset), []
    real = loader.row_groups.tokens_of_chunk
    (stream,) = dataset.streams("train")

    def watched(*arguments: Any) -> Any:
        calls.append(real(*arguments))
        return calls[-1]

    monkeypatch.setattr(loader.row_groups, "tokens_of_chunk", watched)
    for options in (
        {"compression": "zstd", "use_dictionary": ["tokens.list.element"]},
        {"compression": "snappy", "use_dictionary": False, "data_page_version": "2.0"},
        {"compression": "none", "use_dictionary": False, "column_encoding": "BYTE_STREAM_SPLIT"},
        {"compression": "lz4", "use_dictionary": False},
        {"compression": "none", "use_dictionary": False},
        {"compression": "snappy", "use_dictionary": False, "data_page_size": 1000},
        {"compression": "gzip", "use_dictionary": False},
    ):
        fast = options["compression"] != "lz4" and len(options) < 4
        fast = fast and not {"data_page_version", "column_encoding"} & set(options)
        fast = fast and options["use_dictionary"] is False
        for file in dict.fromkeys(stream.files):
            path = Path(dataset.path(file))
            with pq.ParquetFile(path) as source:
                tables = [source.read_row_group(at) for at in range(source.num_row_groups)]
            if "column_encoding" in options:
                options = {
                    **options,
                    "column_encoding": {"tokens.list.element": "BYTE_STREAM_SPLIT"},
                }
                tables = [table.select(["num_tokens", "tokens"]) for table in tables]
            with pq.ParquetWriter(path, tables[0].schema, **options) as writer:
                for table in tables:
                    writer.write_table(table, row_group_size=table.num_rows)
        calls.clear()
        for number in numbers(dataset):
            found = read_row_group(dataset, stream, number)
            assert (found.tokens.tobytes(), found.starts.tobytes()) == wanted[number]
        assert all((one is not None) == fast for one in calls), options
        assert calls or not fast


def test_a_row_group_that_is_in_use_stays_readable_when_its_file_goes(dataset: Dataset) -> None:
    knobs: dict[str, Any] = {"shuffle": {"window": 9999}}
    small = Loader(dataset, 512, 4, cache_bytes=50_000, prefetch=0, **knobs)
    wanted = [batch.tokens_BT for batch in Loader(dataset, 512, 4, cache="memory", **knobs)]
    plans = [small.plan(4 * at) for at in range(len(wanted))]
    for plan, tokens in zip(plans, wanted, strict=True):
        assert (small._backend.fill(plan).tokens_BT == tokens).all()


@pytest.mark.parametrize("cache", ["memory", None])
def test_a_cache_that_is_too_small_gives_the_same_batches(
    dataset: Dataset, tmp_path: Path, cache: str | None
) -> None:
    place = cache or tmp_path / "hot"
    with pytest.warns(UserWarning, match="most rows will decode a row group of their own"):
        small = Loader(dataset, 512, 4, cache=place, cache_bytes=100)
    large = Loader(dataset, 512, 4, cache=tmp_path / "other")
    for one, other in zip(small, large, strict=True):
        assert (one.tokens_BT == other.tokens_BT).all()
    assert len(small.line._held) == 1


def test_what_was_used_longest_ago_leaves_when_the_bound_is_passed(
    dataset: Dataset, tmp_path: Path
) -> None:
    hot = tmp_path / "hot"
    (stream,) = dataset.streams("train")
    cached(dataset, new_cache(dataset, hot))
    sizes = {path: path.stat().st_size for path in files_of(hot)}
    names = [content_name(stream.place(number), 16) for number in numbers(dataset)]
    for turn, name in enumerate([*names[1:], names[0]]):
        os.utime(hot / name[:2] / f"{name}{SUFFIX}", (turn, turn))
    first = hot / names[1][:2] / f"{names[1]}{SUFFIX}"
    size = first.stat().st_size
    bounded = new_cache(dataset, hot, sum(sizes.values()))
    first.rename(tmp_path / "away")
    bounded.get(stream.place(1), lambda: read_row_group(dataset, stream, 1))
    assert len(files_of(hot)) == len(names)  # it fits
    bounded = new_cache(dataset, hot, sum(sizes.values()) - size)
    first.unlink()
    bounded.get(stream.place(1), lambda: read_row_group(dataset, stream, 1))
    left = {path.stem for path in files_of(hot)}
    assert left in ({*names} - {names[2]}, {*names} - {names[2], names[3]})
    assert sum(path.stat().st_size for path in files_of(hot)) <= bounded.max_bytes


# --- Damage ------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(0, 1 << 40), st.integers(0, 7), st.integers(0, ROW_GROUPS - 1))
def test_one_flipped_bit_in_a_shard_is_found_and_named_or_changes_nothing(
    folder: Path, at: int, bit: int, number: int
) -> None:
    whole = open_dataset(str(folder))
    (stream,) = whole.streams("train")
    place = stream.place(number)
    path = Path(whole.path(place.file))
    columns = pq.read_metadata(path).row_group(place.row_group)
    chunk = columns.column(columns.num_columns - 1)
    clean = path.read_bytes()
    broken = bytearray(clean)
    broken[chunk.data_page_offset + at % chunk.total_compressed_size] ^= 1 << bit
    wanted = read_row_group(whole, stream, number).tokens
    try:
        path.write_bytes(broken)
        found = read_row_group(whole, stream, number)
    except IntegrityError as error:
        assert place.file in str(error)  # noqa: PT017
        assert f"row group {place.row_group}" in str(error)  # noqa: PT017
    else:  # a byte of a page header that decoding does not use
        assert np.array_equal(found.tokens, wanted)
    finally:
        path.write_bytes(clean)


@pytest.mark.parametrize("bits", [16, 10], ids="bits={}".format)
@settings(max_examples=40)
@given(at=st.integers(0, 1 << 40), bit=st.integers(0, 7), number=st.integers(0, ROW_GROUPS - 1))
def test_one_flipped_bit_anywhere_in_a_cached_file_is_found_and_mended(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, bits: int, at: int, bit: int,
    number: int,
) -> None:  # fmt: skip
    whole = open_dataset(str(folder))
    hot = tmp_path_factory.getbasetemp() / "flipped"
    (stream,) = whole.streams("train")
    place = stream.place(number)
    read: Callable[[], RowGroup] = lambda: fetch(whole, place)  # noqa: E731
    wanted = read().tokens
    new_cache(whole, hot, bits=bits).get(place, read)
    name = content_name(place, bits)
    path = hot / name[:2] / f"{name}{SUFFIX}"
    clean = path.read_bytes()
    broken = bytearray(clean)
    broken[at % len(clean)] ^= 1 << bit
    path.write_bytes(broken)
    calls: list[int] = []
    again = new_cache(whole, hot, bits=bits)
    found = again.get(place, lambda: calls.append(1) or read())  # type: ignore[func-returns-value]
    assert np.array_equal(found.tokens, wanted)
    assert len(calls) == 1
    assert path.read_bytes() == clean


def test_a_sound_file_under_the_name_of_another_row_group_is_not_used(
    dataset: Dataset, tmp_path: Path
) -> None:
    (stream,) = dataset.streams("train")
    one, other = stream.place(0), stream.place(1)
    place = other._replace(tokens=one.tokens, documents=one.documents)
    new_cache(dataset, tmp_path).get(one, lambda: fetch(dataset, one))
    (path,) = files_of(tmp_path)
    name = content_name(place, 16)
    (tmp_path / name[:2]).mkdir(exist_ok=True)
    path.rename(tmp_path / name[:2] / f"{name}{SUFFIX}")
    with pytest.raises(AssertionError, match="decoded again"):
        new_cache(dataset, tmp_path).get(place, refuse)


@pytest.mark.parametrize("cache", ["disk", "memory"])
def test_ids_beyond_what_dataset_json_says_are_an_error_that_names_the_row_group(
    dataset: Dataset, tmp_path: Path, cache: str
) -> None:
    (stream,) = dataset.streams("train")
    place = stream.place(0)
    folder = tmp_path if cache == "disk" else None
    with pytest.raises(IntegrityError, match=r"row group 0: got ids up to \d+, expected 3 bits"):
        HotCache(folder, 1 << 30, 3).get(place, lambda: fetch(dataset, place))


def test_a_damaged_cached_file_of_a_damaged_shard_ends_in_an_error_that_names_it(
    dataset: Dataset, tmp_path: Path
) -> None:
    hot = tmp_path / "hot"
    cached(dataset, new_cache(dataset, hot))
    (stream,) = dataset.streams("train")
    for path in files_of(hot):
        path.write_bytes(path.read_bytes()[:-1])
    shard = Path(dataset.path(stream.files[0]))
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(IntegrityError, match=rf"{stream.files[0]}, row group 0"):
        next(Loader(dataset, 64, 4, cache=hot, shuffle="none"))


@pytest.mark.parametrize("keep", [0, 3, 1000])
def test_a_truncated_shard_is_named(dataset: Dataset, keep: int) -> None:
    (stream,) = dataset.streams("train")
    shard = Path(dataset.path(stream.files[0]))
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(IntegrityError, match=rf"{stream.files[0]}, row group 0: got unreadable"):
        read_row_group(dataset, stream, 0)


def test_an_error_comes_to_the_caller_again_until_it_is_mended(
    dataset: Dataset, tmp_path: Path
) -> None:
    (stream,) = dataset.streams("train")
    shard = Path(dataset.path(stream.files[0]))
    found = Loader(dataset, 64, 4, cache=tmp_path / "hot", shuffle="none")
    shard.rename(shard.with_suffix(".away"))
    for _ in range(2):
        with pytest.raises(InputError, match=f"{stream.files[0]}, row group 0: no such file"):
            next(found)
    assert found.state_dict()["consumed"] == 0
    shard.with_suffix(".away").rename(shard)
    assert next(found).samples_B.tolist() == [0, 1, 2, 3]


class Faulty:
    """A file system of which some reads go wrong."""

    type_name = "remote"

    def __init__(self, dataset: Dataset, wrong: Iterator[str]) -> None:
        self._real, self._wrong = dataset.filesystem, wrong

    def open_input_file(self, path: str) -> Any:
        kind = next(self._wrong, "")
        if kind == "fails":
            raise OSError("connection reset")
        if kind == "damaged":
            content = bytearray(Path(path).read_bytes())
            columns = pq.read_metadata(path).row_group(0)
            content[columns.column(columns.num_columns - 1).data_page_offset + 999] ^= 4
            return pa.BufferReader(bytes(content))
        return self._real.open_input_file(path)


def faulty(dataset: Dataset, *wrong: str) -> Dataset:
    return dataclasses.replace(dataset, filesystem=Faulty(dataset, iter(wrong)))


def test_failed_reads_are_tried_again_with_growing_pauses(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(loader.row_groups.time, "sleep", pauses.append)
    (stream,) = dataset.streams("train")
    wanted = read_row_group(dataset, stream, 0).tokens
    found = read_row_group(faulty(dataset, "fails", "fails", "fails"), stream, 0)
    assert np.array_equal(found.tokens, wanted)
    assert pauses == [0.1, 0.4, 1.6]
    with pytest.raises(IntegrityError, match=r"row group 0: got unreadable \(connection reset\)"):
        read_row_group(faulty(dataset, *["fails"] * 99), stream, 0)


def test_a_row_group_damaged_on_its_way_is_fetched_once_more(dataset: Dataset) -> None:
    (stream,) = dataset.streams("train")
    wanted = read_row_group(dataset, stream, 0).tokens
    found = read_row_group(faulty(dataset, "damaged"), stream, 0)
    assert np.array_equal(found.tokens, wanted)
    with pytest.raises(IntegrityError, match="row group 0"):
        read_row_group(faulty(dataset, "damaged", "damaged"), stream, 0)


def test_a_dataset_is_read_through_obstore(dataset: Dataset) -> None:
    from obstore.fsspec import FsspecStore

    through = open_dataset(dataset.root, filesystem=FsspecStore("file"))
    wanted = [batch.tokens_BT for batch in Loader(dataset, 64, 4, cache="memory")]
    found = [batch.tokens_BT for batch in Loader(through, 64, 4, cache="memory")]
    assert np.array_equal(found, wanted)


# --- A full disk -------------------------------------------------------------------------------

FULL = """
import resource, sys, warnings
from pathlib import Path
from loader import Loader, open_dataset
limit = int(sys.argv[3])
wanted = list(Loader(open_dataset(sys.argv[1]), 64, 4, cache="memory"))  # kernels get compiled here
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    found = Loader(open_dataset(sys.argv[1]), 64, 4, cache=sys.argv[2])
    for one, other in zip(found, wanted, strict=True):
        assert (one.tokens_BT == other.tokens_BT).all()
lines = [str(one.message) for one in said]
assert len(lines) == 1 and "is full: row groups stay in memory" in lines[0], lines
parts = [path for path in Path(sys.argv[2]).rglob("*.part")]
assert not parts, parts
"""


def run(script: str, *arguments: object, prefix: tuple[str, ...] = ()) -> str:
    command = [*prefix, sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_where_files_may_not_grow_row_groups_stay_in_memory_with_one_warning(
    dataset: Dataset, tmp_path: Path
) -> None:
    run(FULL, dataset.root, tmp_path / "hot", 1_000)
    assert not files_of(tmp_path / "hot")


def test_on_a_full_disk_row_groups_stay_in_memory_with_one_warning(
    dataset: Dataset, tmp_path: Path
) -> None:
    mount = "mount -t tmpfs -o size=100k tokens"
    inside = ("unshare", "-Urm", "sh", "-c", f'{mount} "$0" && exec "$@"', str(tmp_path / "hot"))
    (tmp_path / "hot").mkdir()
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("this user may not mount a file system of his own")
    run(FULL, dataset.root, tmp_path / "hot", 0, prefix=inside)


def test_a_folder_that_cannot_be_written_is_said_once(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot be used"):
        found = cached(dataset, new_cache(dataset, tmp_path / "file" / "hot"))
    assert found == direct(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cached(dataset, HotCache(None, 1 << 30, 16)) == found


READ_ONLY = """
import sys, warnings
import numpy as np
from loader import Loader, open_dataset
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    found = list(Loader(open_dataset(sys.argv[1]), 64, 4, cache=sys.argv[2]))
wanted = list(Loader(open_dataset(sys.argv[1]), 64, 4, cache="memory"))
assert all((a.tokens_BT == b.tokens_BT).all() for a, b in zip(found, wanted, strict=True))
(line,) = [str(one.message) for one in said]
assert "cannot be used (Read-only file system)" in line, line
"""


def test_a_damaged_file_that_may_not_be_removed_is_not_used(
    dataset: Dataset, tmp_path: Path
) -> None:
    hot = tmp_path / "hot"
    cached(dataset, new_cache(dataset, hot))
    damaged = files_of(hot)[0]
    content = bytearray(damaged.read_bytes())
    content[100] ^= 1
    damaged.write_bytes(content)
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    inside = ("unshare", "-Urm", "sh", "-c", mount, str(hot))
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("this user may not mount a file system of his own")
    run(READ_ONLY, dataset.root, hot, prefix=inside)
    assert damaged.read_bytes() == content


def test_mapped_row_groups_hold_no_file_descriptors(dataset: Dataset, tmp_path: Path) -> None:
    (stream,) = dataset.streams("train")
    cache = new_cache(dataset, tmp_path / "hot")
    cached(dataset, cache)
    before = len(os.listdir("/proc/self/fd"))
    held = [cache.get(stream.place(number), refuse) for number in numbers(dataset)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert all(one.on_disk for one in held)
    maps = Path("/proc/self/maps")
    assert maps.read_text().count(str(tmp_path / "hot")) == len(held)
    views = [(one.tokens, one.tokens.tobytes()) for one in held]
    del held
    assert all(tokens.tobytes() == content for tokens, content in views)
    del views
    assert str(tmp_path / "hot") not in maps.read_text()


# --- Processes ---------------------------------------------------------------------------------

KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import loader.hot_cache as hot_cache
from loader import open_dataset
from loader.hot_cache import HotCache
from loader.row_groups import fetch

dataset = open_dataset(sys.argv[1])
(stream,) = dataset.streams("train")
places = [stream.place(number) for number in range(len(stream.starts) - 1)]
wanted = {place: fetch(dataset, place).tokens.tobytes() for place in places}
hot_cache.STALE_SECONDS = -1

def fill(folder, fetched=fetch):
    cache = HotCache(folder, 1 << 30, 16)
    read = lambda one: cache.get(one, lambda: fetched(dataset, one))
    return [read(one).tokens.tobytes() for one in places]

def forked(folder):
    child = os.fork()
    if child == 0:
        fill(folder)
        os._exit(0)
    return child

begun = time.perf_counter()
for turn in range(3):  # as those that are killed: on a busy machine a fork takes longer than it all
    os.waitpid(forked(Path(sys.argv[2], f"whole-{turn}")), 0)
seconds = (time.perf_counter() - begun) / 3
draw, made, parts = random.Random(int(sys.argv[3])), 0, 0
for turn in range(int(sys.argv[3])):
    folder = Path(sys.argv[2], str(turn))
    child = forked(folder)
    time.sleep(draw.uniform(0, seconds * 1.2))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    files = list(folder.glob("*/*.tokens"))
    for place in places:
        name = hot_cache.content_name(place, 16)
        path = folder / name[:2] / f"{name}.tokens"
        if path in files:  # whatever is there under its name is whole
            assert path.read_bytes()[: place.tokens * 2] == wanted[place]
    made, parts = made + len(files), parts + len(list(folder.glob("*/*.part")))
    calls = []
    assert fill(folder, lambda *of: calls.append(1) or fetch(*of)) == list(wanted.values())
    assert len(calls) == len(places) - len(files)
    assert calls == [] or not list(folder.glob("*/*.part"))
print(made, parts, len(places))
"""


@pytest.mark.parametrize(
    "times", [12, pytest.param(80, marks=pytest.mark.slow, id="80 at random points")]
)
def test_a_process_killed_while_filling_leaves_nothing_half_made_in_use(
    dataset: Dataset, tmp_path: Path, times: int
) -> None:
    made, parts, places = map(int, run(KILLS, dataset.root, tmp_path / "hot", times).split())
    assert 0 < made < times * places  # some were killed on the way
    assert parts >= 0


BOTH = """
import sys
import loader.row_group_line as line
from loader import Loader, open_dataset
real, calls = line.fetch, []
line.fetch = lambda *of: calls.append(1) or real(*of)
sys.stdin.readline()
batches = Loader(open_dataset(sys.argv[1]), 64, 4, cache=sys.argv[2])
found = [batch.tokens_BT.sum() for batch in batches]
print(len(calls), sum(found))
"""


def test_two_processes_that_fill_at_once_decode_each_row_group_once(
    dataset: Dataset, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", BOTH, dataset.root, str(tmp_path / "hot")]
    both = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for one in both:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate()[0].split() for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sum(int(calls) for calls, _ in said) == len(numbers(dataset))
    total = sum(int(batch.tokens_BT.sum()) for batch in Loader(dataset, 64, 4, cache="memory"))
    assert {int(tokens) for _, tokens in said} == {total}


def test_who_waits_for_a_row_group_that_another_decodes_takes_its_file(
    dataset: Dataset, tmp_path: Path
) -> None:
    (stream,) = dataset.streams("train")
    place, begun, go = stream.place(0), threading.Event(), threading.Event()

    def slow() -> RowGroup:
        begun.set()
        assert go.wait(30)
        return fetch(dataset, place)

    first = threading.Thread(target=lambda: new_cache(dataset, tmp_path).get(place, slow))
    first.start()
    assert begun.wait(30)
    found: list[Any] = []
    second = threading.Thread(
        target=lambda: found.append(new_cache(dataset, tmp_path).get(place, refuse))
    )
    second.start()
    go.set()
    first.join()
    second.join()
    assert found[0].tokens.tobytes() == direct(dataset)[0][0]


def test_parts_of_dead_writers_are_swept_and_those_of_living_ones_stay(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader.hot_cache, "STALE_SECONDS", -1)
    (tmp_path / "ab").mkdir()
    dead, living = (tmp_path / "ab" / f"{name}{PART}" for name in ("dead", "living"))
    dead.write_bytes(b"half")
    with living.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        cached(dataset, new_cache(dataset, tmp_path))
        assert not dead.exists()
        assert living.exists()
