"""One suite for a local disk and for an object store (moto's S3 on this machine)."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, RunConfig
from s3_server import moto

from pipeline.errors import InputError
from pipeline.execution.runner import read_quarantine
from pipeline.files import object_storage
from pipeline.files.local_storage import LocalStorage
from pipeline.files.object_storage import ObjectStorage
from pipeline.files.storage import AlreadyExists, Storage
from pipeline.files.uris import find_inputs, fixed_prefix, open_input, open_storage, split_uri
from pipeline.results.publish import published_sha256
from pipeline.results.records import runs_of


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A boto3 client of an S3 server on 127.0.0.1, which the environment names as the endpoint."""
    boto3 = pytest.importorskip("boto3")
    with moto() as endpoint:
        yield boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint)


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    """`s3://<a fresh bucket>`."""
    name = "b-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-50:].strip("-")
    s3.create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder on the disk, or a prefix in a bucket; both with a space in their name."""
    if request.param == "local":
        return str(tmp_path / "a prefix")
    return f"{request.getfixturevalue('bucket')}/a prefix"


@pytest.fixture
def storage(root: str) -> Storage:
    return open_storage(root)


def paths(storage: Storage, prefix: str) -> list[str]:
    return [info.path for info in storage.list(prefix)]


def test_a_path_opens_the_disk_and_any_other_uri_an_object_store(bucket: str) -> None:
    assert isinstance(open_storage("/data/x"), LocalStorage)
    assert open_storage("file:///data/x").root == "/data/x"
    assert isinstance(open_storage(bucket), ObjectStorage)
    with pytest.raises(InputError, match=r"nosuch://x.*s3://bucket/prefix"):
        open_storage("nosuch://x")


def test_what_was_put_is_read_back_whole_in_ranges_and_as_a_stream(storage: Storage) -> None:
    data = bytes(range(256)) * 20_000
    storage.put("a/b c/d.bin", data)
    assert storage.get("a/b c/d.bin") == data
    assert storage.get_range("a/b c/d.bin", 300, 700) == data[300:1000]
    with storage.open("a/b c/d.bin") as stream:
        assert stream.read(10) == data[:10]
        assert stream.seek(-7, io.SEEK_END) == len(data) - 7
        assert stream.read() == data[-7:]
        assert stream.seek(1000) == stream.tell() == 1000
        assert stream.seek(24, io.SEEK_CUR) == 1024
        assert stream.read(3) == data[1024:1027]


def test_a_range_ends_at_the_end_of_the_file_and_is_empty_behind_it(storage: Storage) -> None:
    storage.put("file", b"0123456789")
    assert storage.get_range("file", 7, 100) == b"789"
    assert storage.get_range("file", 3, 0) == b""
    assert storage.get_range("file", 10, 8) == b""
    assert storage.get_range("file", 5000, 8) == b""


def test_an_empty_file_is_a_file(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    storage.put("bytes", b"", if_absent=True)
    storage.put("file", tmp_path / "empty", if_absent=True)
    assert storage.get("bytes") == storage.get("file") == b""
    info = storage.info("file")
    assert info is not None
    assert info.size == 0


def test_info_tells_the_size_and_its_token_changes_with_the_content(storage: Storage) -> None:
    storage.put("file", b"one")
    first = storage.info("file")
    storage.put("file", b"three")
    second = storage.info("file")
    assert first is not None
    assert second is not None
    assert (first.size, second.size) == (3, 5)
    assert first.token != second.token
    assert storage.info("other") is None
    assert storage.info("file/below") is None


def test_a_put_replaces_and_a_put_if_absent_never_does(storage: Storage) -> None:
    storage.put("file", b"old", if_absent=True)
    with pytest.raises(AlreadyExists):
        storage.put("file", b"new", if_absent=True)
    assert storage.get("file") == b"old"
    storage.put("file", b"newer")
    assert storage.get("file") == b"newer"


def test_of_eight_racing_puts_if_absent_one_wins_and_its_content_is_whole(
    storage: Storage, tmp_path: Path
) -> None:
    contents = [bytes([number]) * 300_000 for number in range(8)]
    for turn in range(5):
        barrier = threading.Barrier(8)
        winners: list[int] = []

        def put(number: int, turn: int = turn, barrier: Any = barrier, won: Any = winners) -> None:
            source: bytes | Path = contents[number]
            if number % 2:
                source = tmp_path / f"{turn}-{number}"
                source.write_bytes(contents[number])
            barrier.wait()
            try:
                storage.put(f"manifests/{turn}.json", source, if_absent=True)
                won.append(number)
            except AlreadyExists:
                pass

        threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1
        assert storage.get(f"manifests/{turn}.json") == contents[winners[0]]
    assert paths(storage, "manifests") == [f"manifests/{turn}.json" for turn in range(5)]


def test_a_missing_file_is_a_file_not_found_error_whoever_asks(storage: Storage) -> None:
    storage.put("there", b"x")
    for name in ("gone", "there/below"):
        for read in (storage.get, storage.open, lambda name: storage.get_range(name, 0, 1)):
            with pytest.raises(FileNotFoundError):
                read(name)


def test_a_delete_removes_one_file_and_forgives_a_missing_one(storage: Storage) -> None:
    for name in ("a/1", "a/2", "b/1"):
        storage.put(name, b"x")
    storage.delete("a/1")
    storage.delete("a/1")
    storage.delete("b/1")
    assert paths(storage, "") == ["a/2"]


def test_a_listing_holds_every_file_below_a_folder_in_order_of_path(storage: Storage) -> None:
    names = ["a/x", "a.b", "a/y/z", "ab/x", "a-b/x", "z", "a/.hidden"]
    for name in names:
        storage.put(name, name.encode())
    assert paths(storage, "") == sorted(names)
    assert paths(storage, "a") == ["a/.hidden", "a/x", "a/y/z"]
    assert paths(storage, "nothing") == []
    [found] = storage.list("ab")
    assert found == storage.info("ab/x") or found.size == 4
    assert -5 < found.age_seconds < 60


@pytest.mark.parametrize("if_absent", [True, False])
def test_a_large_local_file_arrives_byte_by_byte(
    storage: Storage, tmp_path: Path, if_absent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_storage, "_ONE_PUT", 20 << 20)  # so that 30 MB go in parts
    data = b"".join(number.to_bytes(4, "big") * 1024 for number in range(30 << 8))
    assert len(data) == 30 << 20
    (tmp_path / "shard").write_bytes(data)
    storage.put("shards/s", tmp_path / "shard", if_absent)
    assert storage.get("shards/s") == data
    assert (tmp_path / "shard").read_bytes() == data
    with pytest.raises(AlreadyExists):
        storage.put("shards/s", tmp_path / "shard", if_absent=True)


def test_a_shard_of_100_mb_is_put_if_absent_without_being_held_in_memory(
    bucket: str, tmp_path: Path
) -> None:
    shard = tmp_path / "shard"
    with shard.open("wb") as out:
        out.truncate(100 << 20)
        out.seek((100 << 20) - 3)
        out.write(b"end")
    script = f"""
import threading
from pathlib import Path
from pipeline.files.storage import AlreadyExists
from pipeline.files.uris import open_storage
storage = open_storage({bucket!r})
storage.put("small", b"x")
def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) >> 10
most, over = held(), threading.Event()
before = most
def watch():
    global most
    while not over.wait(0.001):
        most = max(most, held())
watching = threading.Thread(target=watch)
watching.start()
storage.put("shard", Path({str(shard)!r}), if_absent=True)
over.set()
watching.join()
print(most - before)
try:
    storage.put("shard", Path({str(shard)!r}), if_absent=True)
except AlreadyExists:
    print("refused")
"""
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    grown, second = done.stdout.split()
    assert second == "refused"
    assert int(grown) < 30
    storage = open_storage(bucket)
    info = storage.info("shard")
    assert info is not None
    assert info.size == 100 << 20
    assert storage.get_range("shard", (100 << 20) - 4, 10) == b"\0end"


KILLED_WHILE_WRITING = """
import os, sys, time
from pipeline.files.uris import open_storage

def never(descriptor):
    print("written", flush=True)
    time.sleep(60)

os.fsync = never
open_storage(sys.argv[1]).put(sys.argv[2], b"y" * 1_000_000, if_absent=sys.argv[3] == "absent")
"""


@pytest.mark.parametrize("mode", ["absent", "replace"])
@pytest.mark.parametrize("name", ["manifests/k.json", "runs/k.json", "quarantine/k.json"])
def test_a_put_that_is_killed_leaves_nothing_that_a_reader_would_see(
    tmp_path: Path, mode: str, name: str
) -> None:
    storage = open_storage(str(tmp_path))
    if mode == "replace":
        storage.put(name, b"[]")
    words = [sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path), name, mode]
    child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    left = [path.name for path in (tmp_path / name).parent.iterdir()]
    halves = [n for n in left if re.fullmatch(r"\.k\.json\.[0-9a-f]{12}\.tmp", n)]
    assert len(halves) == 1  # gc knows this form
    if mode == "absent":
        assert left == halves
        assert storage.info(name) is None
        assert runs_of(storage) == []
        assert read_quarantine(storage) == {}
        storage.put(name, b"new", if_absent=True)
    else:
        assert storage.get(name) == b"[]"
        assert read_quarantine(storage) == ({"k": []} if name.startswith("quarantine") else {})


def test_a_bucket_that_is_not_there_is_an_input_error_that_names_it(bucket: str) -> None:
    nowhere = open_storage(bucket + "-not-there/x")
    for call in (
        lambda: nowhere.put("a", b"x"),
        lambda: list(nowhere.list("")),
        lambda: nowhere.put("a", b"x", if_absent=True),
    ):
        with pytest.raises(InputError, match=r"-not-there/x"):
            call()


def test_options_of_the_connection_come_from_the_environment() -> None:
    options = object_storage._client_options
    assert options("s3://b/x", {}) == {"timeout": "10m"}
    given = {"AWS_ALLOW_HTTP": "true", "AWS_TIMEOUT": "30s", "GOOGLE_PROXY_URL": "http://p"}
    assert options("s3://b", given) == {"timeout": "30s", "allow_http": "true"}
    assert options("gs://b", given) == {"timeout": "10m", "proxy_url": "http://p"}


# --- inputs ----------------------------------------------------------------------------------


INPUTS = ["0.jsonl", "a/1.jsonl", "a/2.txt", "a/b/3.jsonl", "a/.git/4.jsonl", "a/.5.jsonl", "c[1]"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["0.jsonl"]),
        ("*/*.jsonl", ["a/1.jsonl"]),
        ("**/*.jsonl", ["0.jsonl", "a/1.jsonl", "a/b/3.jsonl"]),
        ("a/**/*.jsonl", ["a/1.jsonl", "a/b/3.jsonl"]),
        ("a/**", ["a/1.jsonl", "a/2.txt", "a/b/3.jsonl"]),
        ("a/?.[jt]*", ["a/1.jsonl", "a/2.txt"]),
        ("a/.*", ["a/.5.jsonl"]),
        ("a/2.txt", ["a/2.txt"]),
        ("c[[]1]", ["c[1]"]),
        ("a", []),
        ("nothing/*", []),
        ("nothing", []),
    ],
)
def test_a_pattern_finds_the_same_inputs_on_a_disk_and_in_an_object_store(
    storage: Storage, pattern: str, found: list[str]
) -> None:
    for name in INPUTS:
        storage.put(name, name.encode())
    infos = find_inputs(f"{storage.root}/{pattern}")
    assert [info.path for info in infos] == [f"{storage.root}/{name}" for name in found]
    assert [info.size for info in infos] == [len(name) for name in found]
    for info, name in zip(infos, found, strict=True):
        with open_input(info.path) as stream:
            assert stream.read() == name.encode()


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("/data/crawl/*.gz", "/data/crawl"),
        ("/data/crawl/part.gz", "/data/crawl"),
        ("/data/**/x/*.gz", "/data"),
        ("/*.gz", "/"),
        ("crawl/[ab]/*.gz", "crawl"),
        ("*.gz", "."),
        ("s3://bucket/a/b?/*.gz", "s3://bucket/a"),
        ("s3://bucket/*.gz", "s3://bucket"),
        ("s3://bucket/a/b.gz", "s3://bucket/a"),
    ],
)
def test_the_fixed_prefix_is_the_folder_before_the_first_wildcard(
    pattern: str, prefix: str
) -> None:
    assert fixed_prefix(pattern) == prefix


def test_a_path_splits_into_a_root_and_a_name() -> None:
    assert split_uri("/data/x.gz") == ("/data", "x.gz")
    assert split_uri("/x.gz") == ("/", "x.gz")
    assert split_uri("x.gz") == (".", "x.gz")
    assert split_uri("s3://bucket/a/x.gz") == ("s3://bucket/a", "x.gz")


# --- the proof -------------------------------------------------------------------------------

LINE = """\
seed: 11
steps:
  - id: web
    read_warc: {{paths: ["{inputs}/web/*.warc.gz"]}}
  - extract: {{engine: resiliparse}}
  - gopher_quality: {{min_words: 20}}
  - id: books
    read_jsonl: {{paths: ["{inputs}/**/*.jsonl.gz"], text: content, id: id, base: "{inputs}"}}
  - inputs: [gopher_quality, books]
    exact_dedup: {{}}
  - minhash_dedup: {{keep: ["-date"]}}
  - write_documents: {{}}
  - mix: {{weights: {{web: 0.7, books: 0.3}}, validation_permille: 20}}
  - train_tokenizer: {{vocab_size: 400, sample_bytes: 100_000}}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: 30_000}}
"""


def test_a_run_from_and_into_an_object_store_publishes_the_bytes_of_a_local_run(
    bucket: str, run_yaml: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    remote = open_storage(f"{bucket}/in")
    files = {"web/part-0.warc.gz": "web/part-00000.warc.gz", "b/books.jsonl.gz": "books.jsonl.gz"}
    for name, sample in files.items():
        data = (ROOT / "samples" / sample).read_bytes()
        remote.put(name, data)
        open_storage(str(tmp_path / "in")).put(name, data)
    there = f"{bucket}/runs/c4"
    local = run_yaml(LINE.format(inputs=tmp_path / "in"), tmp_path / "work")
    far = run_yaml(LINE.format(inputs=f"{bucket}/in"), there)
    assert local.funnel.rows == far.funnel.rows
    assert len(local.dataset["shards"]) > 2
    assert far.dataset == local.dataset
    storage = open_storage(there)
    assert published_sha256(storage) == published_sha256(open_storage(str(tmp_path / "work")))
    assert storage.info("lease.json") is None
    shard = storage.get("dataset/" + far.dataset["shards"][0]["file"])
    assert pq.read_table(pa.BufferReader(shard)).num_rows > 0
    assert json.loads(storage.get("dataset/dataset.json"))["version"] == 1
    again = run_yaml(LINE.format(inputs=f"{bucket}/in"), there)
    assert (again.executed, again.reused) == (0, far.executed)
    assert list((tmp_path / "tmp").glob("tokenmill-scratch-*/*")) == []
