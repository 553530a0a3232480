"""Reading http(s) files from a server that misbehaves: all bytes right, or a clear error."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import itertools
import json
import os
import pickle
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, RunConfig
from hypothesis import given, settings
from hypothesis import strategies as st
from source_reading import five_records, html_record, record
from web_server import Answering, WebServer, behind_the_probe, busy, cut, lie, serving, times

from pipeline.errors import ConfigError, InputError
from pipeline.files.addresses import content_name, redacted, shown
from pipeline.files.spans import Spans
from pipeline.files.uris import find_inputs, open_storage
from pipeline.network import rates
from pipeline.network import settings as network_settings
from pipeline.network.cache import Cache
from pipeline.network.opening import http_ranges, open_http
from pipeline.network.remote_file import UNIT
from pipeline.network.settings import Network, parse_network
from pipeline.planning.config import parse_config
from pipeline.results.records import config_to_json

QUICK = Network(
    requests_per_second=0, first_wait_seconds=0.01, longest_wait_seconds=0.05, timeout_seconds=0.5
)
DATA = random.Random(3).randbytes(5 * UNIT // 2 + 77)


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """Short waits; what a run set is forgotten."""
    network_settings.use(QUICK)
    yield
    network_settings.use(Network())


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serving(WebServer({"/data.bin": DATA})) as server:
        yield server


def whole(web: WebServer, name: str = "/data.bin") -> bytes:
    with open_http(web.url + name) as stream:
        return stream.read()


# --- weather -------------------------------------------------------------------------------------

WEATHER = {
    "nothing": lambda: times(0, busy()),
    "503 for a while": lambda: times(4, busy()),
    "429 and a pause": lambda: times(3, busy(429, "0")),
    "resets": lambda: times(3, cut(70_000, reset=True), behind_the_probe),
    "resets at once": lambda: times(4, cut(0, reset=True)),
    "truncates": lambda: times(3, cut(300_001), behind_the_probe),
    "stalls": lambda: times(1, cut(100_000, stall=0.8), behind_the_probe),
    "a length too large": lambda: times(3, lie(lambda n: n + 1000), behind_the_probe),
    "a length too small": lambda: times(3, lie(lambda n: n // 2), behind_the_probe),
}
SERVERS = {"etag": True, "modified": True, "weak": False, "": False, "no ranges": False}
"""Validator of a server -> whether it can be read in ranges."""


@pytest.mark.parametrize("server", list(SERVERS))
@pytest.mark.parametrize("weather", list(WEATHER))
def test_all_bytes_are_right_in_any_weather_or_the_error_is_clear(
    web: WebServer, server: str, weather: str
) -> None:
    web.ranges = server != "no ranges"
    web.validators = server if web.ranges else "etag"
    web.faults = [WEATHER[weather]()]
    if not SERVERS[server] and weather.startswith("a length"):
        with pytest.raises(InputError, match=r"changed while it was in use.*of 2,621,517 bytes"):
            whole(web)
    else:
        assert whole(web) == DATA


@pytest.mark.parametrize("server", list(SERVERS))
def test_a_server_that_always_lies_about_the_length_is_read_right_or_refused(
    web: WebServer, server: str
) -> None:
    web.ranges = server != "no ranges"
    web.validators = server if web.ranges else "etag"
    web.faults = [lie(lambda n: n - n // 3)]
    if SERVERS[server]:
        assert whole(web) == DATA
        return
    web.ranges = False
    with pytest.raises(InputError, match="more bytes than the 1,747,678 of its Content-Length"):
        whole(web)
    web.faults = [lie(lambda n: n + n // 3)]
    with pytest.raises(InputError, match=r"2,621,517 bytes, expected 3,495,356, 8 times in a row"):
        whole(web)


def test_a_file_of_unknown_length_is_read_whole(web: WebServer) -> None:
    def chunked(answer: Answering) -> None:
        answer.headers |= {"Transfer-Encoding": "chunked", "Content-Length": ""}

    web.ranges = False
    web.faults = [chunked, times(2, cut(50_000), lambda r: r.span is None)]
    assert whole(web) == DATA


# --- content that changes ------------------------------------------------------------------------


@pytest.mark.parametrize("server", list(SERVERS))
@pytest.mark.parametrize("when", ["between requests", "behind the listing"])
def test_two_versions_are_never_mixed(web: WebServer, server: str, when: str) -> None:
    web.ranges = server != "no ranges"
    web.validators = server if web.ranges else "etag"
    new = DATA[: UNIT + 5] + b"!" + DATA[UNIT + 6 :]
    [listed] = find_inputs(web.url + "/data.bin")
    if server == "modified":  # another time, as the clock of a server that changes a file
        web.faults = [
            lambda answer: answer.headers.update(
                {"Last-Modified": "Sat, 18 Nov 2023 00:00:00 GMT"}
                if web.files["/data.bin"] == new and answer.status in (200, 206)
                else {}
            )
        ]
    if when == "behind the listing":
        web.files["/data.bin"] = new
        if server == "":
            return  # of a server that says nothing every answer is a file of its own
        with pytest.raises(InputError, match=r"changed while it was in use.*Run again"):
            open_http(listed.path, listed.size, listed.token).read()
        return
    with open_http(listed.path, listed.size, listed.token) as stream:
        first = stream.read(UNIT // 2)
        web.files["/data.bin"] = new
        if not SERVERS[server]:  # one answer, begun before: a break in it begins another
            stream.raw.ranges.close()  # type: ignore[attr-defined]
            stream.seek(0)
            assert stream.read(100) == DATA[:100]
            stream.seek(0)
        with pytest.raises(InputError, match="changed while it was in use"):
            first += stream.read()
    assert DATA.startswith(first)


def test_a_change_that_no_header_shows_is_seen_when_an_answer_breaks(web: WebServer) -> None:
    web.validators = ""
    with open_http(web.url + "/data.bin") as stream:
        assert stream.read(2 * UNIT) == DATA[: 2 * UNIT]
        web.files["/data.bin"] = b"?" + DATA[1:]
        stream.raw.ranges.close()  # type: ignore[attr-defined]
        with pytest.raises(InputError, match="others from 0 on"):
            stream.read()


def test_a_change_in_the_middle_of_an_archive_is_an_error_and_no_damage(
    web: WebServer, run_yaml: RunConfig, tmp_path: Path
) -> None:
    """A reader in C may take our error for the end of the file: the engine must not."""
    filler = record(random.Random(1).randbytes(UNIT // 2), 9, "resource")
    body = b"".join(gzip.compress(page) + gzip.compress(filler, 1) for page in five_records())
    web.files["/a.warc.gz"] = body
    assert len(body) > 2 * UNIT

    def changes(answer: Answering) -> None:
        if answer.request.span and answer.request.span[0] > UNIT:
            answer.status, answer.body = 412, b""

    web.faults = [changes]
    with pytest.raises(InputError, match="changed while it was in use"):
        run_yaml(ONE_WARC.format(paths=f"{web.url}/a.warc.gz"))
    web.faults = []
    result = run_yaml(ONE_WARC.format(paths=f"{web.url}/a.warc.gz"))
    assert result.funnel.damage == []


ONE_WARC = """
network: {{requests_per_second: 0, first_wait_seconds: 0.01, timeout_seconds: 5}}
max_drop_ratio: 1.0
steps:
  - id: web
    read_warc: {{paths: ["{paths}"]}}
  - extract: {{engine: resiliparse}}
  - write_documents: {{}}
"""


# --- what is asked and said ----------------------------------------------------------------------


def test_only_what_is_missing_is_asked_again(web: WebServer) -> None:
    web.faults = [times(1, cut(300_001), lambda r: r.span == (0, UNIT))]
    ranges = http_ranges(web.url + "/data.bin")
    assert ranges.fetch(0, UNIT) == DATA[:UNIT]
    assert sorted(r.span or () for r in web.log) == [(0, 1), (0, UNIT), (300_001, UNIT)]
    assert all(r.headers["if-match"].startswith('"') for r in web.log[1:])
    assert all(r.headers["accept-encoding"] == "identity" for r in web.log)


def test_a_connection_that_always_breaks_early_is_read_piece_by_piece(web: WebServer) -> None:
    web.faults = [lambda a: cut(150_000, reset=True)(a) if behind_the_probe(a.request) else None]
    assert whole(web) == DATA
    assert len(web.log) > len(DATA) // 150_000


def test_the_pause_that_a_server_asks_for_is_kept(web: WebServer) -> None:
    web.faults = [times(1, busy(503, "1"))]
    assert whole(web) == DATA
    assert web.log[1].at - web.log[0].at >= 1
    web.faults = [busy(503, "7200")]
    started = time.monotonic()
    with pytest.raises(InputError, match=r"answer 503 \(it asks for a pause of 7200 s\), 1 time"):
        whole(web)
    assert time.monotonic() - started < 1


def test_an_error_that_outlasts_the_waiting_is_retryable_and_says_where(web: WebServer) -> None:
    web.faults = [busy(503)]
    with pytest.raises(InputError) as failed:
        whole(web)
    assert failed.value.retryable
    assert pickle.loads(pickle.dumps(failed.value)).retryable
    assert re_found(r"cannot read http://127.0.0.1:\d+/data.bin: answer 503, 8 times in a row at "
                    r"byte 0. Run again later", str(failed.value))  # fmt: skip
    for status in (403, 400):
        web.faults = [busy(status)]
        with pytest.raises(InputError, match=f"answer {status}") as failed:
            whole(web)
        assert not failed.value.retryable
    web.faults = []
    with pytest.raises(FileNotFoundError):
        whole(web, "/other")
    assert find_inputs(web.url + "/other") == []
    with pytest.raises(InputError, match="cannot be listed"):
        find_inputs(web.url + "/*.gz")
    with pytest.raises(InputError, match="is only read"):
        open_storage(web.url).put("x", b"")


def re_found(pattern: str, text: str) -> bool:
    return bool(re.search(pattern, text))


def test_redirects_are_followed_and_passwords_stay_with_their_server(web: WebServer) -> None:
    with serving(WebServer({"/far.bin": DATA})) as other:

        def moved(answer: Answering) -> None:
            if answer.request.path == "/here.bin":
                answer.status, answer.body = 302, b""
                answer.headers["Location"] = f"{other.url}/far.bin"

        web.faults = [moved]
        address = web.url.replace("://", "://me:secret@") + "/here.bin"
        with open_http(address) as stream:
            assert stream.read() == DATA
        assert {r.headers.get("authorization") for r in web.log} == {"Basic bWU6c2VjcmV0"}
        assert {r.headers.get("authorization") for r in other.log} == {None}


def test_a_digest_of_the_server_is_checked(web: WebServer) -> None:
    def digest(answer: Answering) -> None:
        value = base64.b64encode(hashlib.sha256(answer.body).digest()).decode()
        answer.headers["Content-Digest"] = f"sha-256=:{value}:"

    def flip(answer: Answering) -> None:
        answer.body = answer.body[:50] + bytes([answer.body[50] ^ 1]) + answer.body[51:]

    web.faults = [digest, times(3, flip, behind_the_probe)]
    assert whole(web) == DATA
    web.faults = [digest, lambda a: flip(a) if behind_the_probe(a.request) else None]
    with pytest.raises(InputError, match="bytes of another sha-256 than it says"):
        whole(web)
    web.faults = [digest, times(2, cut(999), behind_the_probe)]
    assert whole(web) == DATA


@pytest.mark.parametrize("place", ["web", "disk"])
def test_a_checksum_of_the_user_is_checked_before_anything_is_kept(
    web: WebServer, run_yaml: RunConfig, tmp_path: Path, place: str
) -> None:
    body = b"".join(json.dumps({"text": f"line {n}"}).encode() + b"\n" for n in range(500))
    web.files["/lines.jsonl"] = body
    (tmp_path / "lines.jsonl").write_bytes(body)
    path = f"{web.url if place == 'web' else tmp_path}/lines.jsonl"
    text = (
        "network: {{requests_per_second: 0}}\nsteps:\n  - read_jsonl: {{paths: ['{}']}}\n"
        "  - write_documents: {{}}\n"
    )
    good, bad = hashlib.sha256(body).hexdigest(), "0" * 64
    with pytest.raises(InputError, match=f"has the sha256 {good}, expected {bad}"):
        run_yaml(text.format(f"{path}#sha256={bad}"))
    result = run_yaml(text.format(f"{path}#sha256={good.upper()}"))
    assert result.funnel.rows[0].documents_in == 500
    assert result.executed == 2


# --- the stream ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, len(DATA) + 10), st.integers(0, UNIT)), max_size=8))
@pytest.mark.parametrize("ranges", [True, False])
def test_reading_anywhere_is_reading_the_bytes(
    steady: WebServer, ranges: bool, jumps: list[tuple[int, int]]
) -> None:
    network_settings.use(QUICK)
    steady.ranges = ranges
    local = io.BytesIO(DATA)
    with open_http(steady.url + "/data.bin") as stream:
        assert stream.seek(0, 2) == len(DATA)
        for at, length in jumps:
            assert stream.seek(at) == local.seek(at)
            assert stream.read(length) == local.read(length)


@pytest.fixture(scope="module")
def steady() -> Iterator[WebServer]:
    with serving(WebServer({"/data.bin": DATA})) as server:
        yield server


MEMORY = """
import sys
from pathlib import Path
from pipeline.network import settings
from pipeline.stage import Partition, Side
from pipeline.files.uris import find_inputs
from stages.read_warc import ReadWarc

settings.use(settings.Network(requests_per_second=0))
def peak():
    # Not ru_maxrss, which begins at the memory of the process that forked this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) >> 10
for address in sys.argv[1:]:
    [found] = find_inputs(address)
    stage = ReadWarc(paths=(address,))
    part = Partition("web", found.path, "a", found.size, found.token)
    documents = 0
    with stage.open(part) as stream:
        for batch in stage.read(part, stream, Side("web", 1)):
            documents += batch.documents.num_rows if batch.documents else 0
    print(documents, found.size, peak())
"""


def peaks(web: WebServer, *names: str) -> list[list[int]]:
    """(documents, bytes, peak memory in MB) after reading each archive in one process."""
    words = [sys.executable, "-c", MEMORY, *(web.url + name for name in names)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


def test_a_long_archive_needs_no_more_memory_than_a_short_one(web: WebServer) -> None:
    size, longer, before, after = grown(web, 24, 120)
    assert longer > 4.9 * size
    assert after - before < 30


@pytest.mark.slow
def test_an_archive_of_a_gigabyte_needs_no_gigabyte(web: WebServer) -> None:
    _, longer, before, after = grown(web, 30, 1000)
    print(f"{longer:,} bytes: {before} MB, then {after} MB")
    assert after < 300
    assert longer > 1e9
    assert after - before < 60


def grown(web: WebServer, short: int, long: int) -> tuple[int, int, int, int]:
    """Sizes of a short and a long archive of so many MB, and peak memory in MB behind each."""
    block = random.Random(1).randbytes(1 << 20)
    page = gzip.compress(html_record("x", 1)) + gzip.compress(record(block, 2, "resource"), 1)
    web.files["/short.warc.gz"], web.files["/long.warc.gz"] = page * short, page * long
    first, second = peaks(web, "/short.warc.gz", "/long.warc.gz")
    assert (first[0], second[0]) == (short, long)
    return first[1], second[1], first[2], second[2]


# --- the cache -----------------------------------------------------------------------------------


def test_what_was_fetched_is_read_from_the_cache_and_a_damaged_part_is_fetched_again(
    web: WebServer, tmp_path: Path
) -> None:
    network_settings.use(dataclasses.replace(QUICK, cache=str(tmp_path / "cache")))
    assert whole(web) == DATA
    first = len(web.fetched("/data.bin"))
    assert whole(web) == DATA
    assert len(web.fetched("/data.bin")) == first
    parts = sorted((tmp_path / "cache").glob("*/*.part"))
    assert len(parts) == 3
    parts[0].write_bytes(parts[0].read_bytes()[:-1] + b"?")
    parts[1].write_bytes(b"")
    assert whole(web) == DATA
    assert len(web.fetched("/data.bin")) in (first + 1, first + 2)
    web.files["/data.bin"] = DATA[::-1]
    assert whole(web) == DATA[::-1]


CACHE_WRITER = """
import random, sys
from pipeline.network.cache import Cache
cache = Cache(sys.argv[1], 1_000_000)
draw = random.Random(int(sys.argv[2]))
for _ in range(150):
    number = draw.randrange(60)
    data = cache.get(str(number))
    assert data is None or data == bytes([number]) * 40_000
    cache.put(str(number), bytes([number]) * 40_000)
"""


def test_a_cache_that_processes_share_never_passes_its_cap(tmp_path: Path) -> None:
    words = [sys.executable, "-c", CACHE_WRITER, str(tmp_path)]
    running = [subprocess.Popen([*words, str(seed)], cwd=ROOT) for seed in range(3)]
    most = 0
    while any(child.poll() is None for child in running):
        with Cache(str(tmp_path), 1).counted():  # no process adds or evicts meanwhile
            most = max(most, sum(p.stat().st_size for p in tmp_path.glob("*/*.part")))
        time.sleep(0.02)
    assert [child.returncode for child in running] == [0, 0, 0]
    files = list(tmp_path.glob("*/*"))
    total = sum(path.stat().st_size for path in files)
    assert 300_000 < total <= 1_000_000
    assert most <= 1_000_000
    assert int((tmp_path / "size").read_text()) == total
    assert {path.suffix for path in files} == {".part"}


def test_the_least_recently_used_part_goes_first(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path), 100_000)
    for number in range(8):
        cache.put(str(number), bytes(10_000))
        os.utime(cache._path(str(number)), (number, number))
    assert cache.get("0") is not None  # used now
    for number in range(8, 12):
        cache.put(str(number), bytes(10_000))
    assert cache.get("0") is not None
    assert cache.get("1") is None
    assert cache.get("11") is not None
    cache.put("too large", bytes(100_000))
    assert cache.get("too large") is None


# --- one limit for all ---------------------------------------------------------------------------

LIMIT = 25
MANY = """
network: {{requests_per_second: 0.5, hosts: {{127.0.0.1: {limit}}}, first_wait_seconds: 0.01}}
steps:
  - read_jsonl: {{paths: [{paths}]}}
  - write_documents: {{}}
"""


EIGHT = """
import sys
from pipeline.execution.executors import OnRay
from pipeline.network.settings import Network

def read(address, network, slots):
    from pipeline.network.opening import open_http
    from pipeline.network.rates import use_slots
    from pipeline.network.settings import use
    use(network)
    use_slots(slots)
    return sum(len(open_http(address).read()) for _ in range(5))

network = Network(requests_per_second=0.5, hosts={"127.0.0.1": int(sys.argv[1])})
engine = OnRay("/nowhere", 8, "local", network, True)
remote = engine.ray.remote(num_cpus=1)(read)
waiting = [remote.remote(address, network, engine._slots) for address in sys.argv[2:]]
print(sum(engine.ray.get(waiting)))
engine.close()
"""


def test_eight_workers_together_never_pass_the_limit_of_a_host() -> None:
    files = {f"/{n}.txt": b"x" * 1000 for n in range(8)}
    with serving(WebServer(files)) as web:
        web.faults = [times(3, busy(503, "1"), lambda r: len(web.log) > 20)]
        words = [sys.executable, "-c", EIGHT, str(LIMIT), *(web.url + name for name in files)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "40000\n"
        assert len(web.log) == 2 * 5 * len(files) + 3
        assert len({r.port for r in web.log}) >= 8
        assert LIMIT // 2 <= web.most_in_a_second() <= LIMIT


@pytest.mark.slow
def test_a_run_with_eight_workers_never_passes_the_limit_of_a_host(tmp_path: Path) -> None:
    files = {f"/{n}.jsonl": b'{"text": "line %d"}\n' % n * 20 for n in range(50)}
    with serving(WebServer(files)) as web:
        web.faults = [times(3, busy(503, "1"), behind_the_probe)]
        paths = ", ".join(f"{web.url}{name}" for name in files)
        (tmp_path / "run.yaml").write_text(MANY.format(paths=paths, limit=LIMIT))
        words = [sys.executable, "-m", "pipeline", "run", str(tmp_path / "run.yaml"), "--json"]
        words += ["--workers", "8", "--set", f"workdir={tmp_path / 'work'}"]
        environment = {**os.environ, "RAY_ADDRESS": "local"}
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["funnel"]["steps"][0]["documents_in"] == 1000
        assert len(web.log) == 2 * len(files) + 3
        assert len({r.port for r in web.log if behind_the_probe(r)}) >= 8
        assert LIMIT // 2 <= web.most_in_a_second() <= LIMIT


def test_slots_are_apart_and_a_late_worker_gives_its_slot_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network_settings.use(Network(requests_per_second=50))
    monkeypatch.setattr(rates, "_slots", rates.Spacing())
    sent, late = [], [True]
    sleep = time.sleep

    def slept(seconds: float) -> None:
        sleep(seconds + (0.3 if late and late.pop() else 0))

    monkeypatch.setattr("pipeline.network.rates.time.sleep", slept)
    started = time.monotonic()
    for _ in range(30):
        rates.wait_for_slot("a.example")
        sent.append(time.monotonic())
    assert sent[0] - started > 0.3  # the late one asked twice
    assert sent[-1] - sent[0] >= 29 * 1.2 / 50 - rates.LATE_SECONDS
    rates.pause("a.example", 0.4)
    rates.wait_for_slot("a.example")
    assert time.monotonic() - sent[-1] >= 0.4
    rates.wait_for_slot("b.example")


# --- settings and secrets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("{request_per_second: 3}", "test.yaml:1: unknown key 'network.request_per_second'.*Did"),
        ("{attempts: 0}", "network.attempts is 0, expected at least 1"),
        ("{requests_per_second: many}", "network: Expected `float`"),
        ("{hosts: {'http://a/': 3}}", "expected a host name"),
        ("fast", "expected a mapping"),
    ],
)
def test_a_wrong_setting_is_found_before_any_work(network: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(f"network: {network}\nsteps: []", "test.yaml")


def test_settings_are_set_by_key_and_kept_in_the_run_record() -> None:
    text = "network: {requests_per_second: 3, cache_bytes: 5B}\nsteps: []"
    config = parse_config(text, "t.yaml", ["network.attempts=2", "network.cache=/c/${NO_:-x}"])
    assert config.network == Network(3, attempts=2, cache="/c/x", cache_bytes=5_000_000_000)
    assert config.network.rate("a") == 3
    raw = config_to_json(config)
    assert parse_network(raw["network"], "") == config.network
    assert "network" not in config_to_json(parse_config("steps: []", "t.yaml"))


SIGNED = "?X-Amz-Signature=abc123&X-Amz-Date=20240101"


def test_no_password_or_signature_reaches_an_output(
    web: WebServer, run_yaml: RunConfig, tmp_path: Path
) -> None:
    web.files["/lines.jsonl"] = b'{"text": "a line of text"}\n' * 3 + b"broken"
    address = web.url.replace("://", "://me:hush@") + "/lines.jsonl" + SIGNED
    text = "network: {{requests_per_second: 0}}\nsteps:\n  - read_jsonl: {{paths: ['{}']}}\n"
    text += "  - write_documents: {{}}\n"
    run_yaml(text.format(address))
    web.faults = [busy(403)]
    with pytest.raises(InputError) as failed:
        run_yaml(text.format(address))
    outputs = [p.read_bytes() for p in (tmp_path / "work").rglob("*") if p.is_file()]
    assert len(outputs) > 3
    for secret in (b"hush", b"abc123"):
        assert secret not in str(failed.value).encode()
        assert not [data for data in outputs if secret in data]
    assert any(b"lines.jsonl" in data for data in outputs)


def test_addresses_are_shown_without_what_is_secret() -> None:
    url = "https://me:pw@host:8/a/b.gz?sig=abc&part=3"
    assert shown(url) == "https://host:8/a/b.gz?..."
    assert redacted(f"cannot read '{url}', sorry") == (
        "cannot read 'https://host:8/a/b.gz?sig=...&part=3', sorry"
    )
    assert redacted("a=b at c@d.example") == "a=b at c@d.example"
    assert content_name(url) == content_name("https://host:8/a/b.gz?part=3&X-Amz-Date=1")
    assert content_name(url) != content_name("https://host:8/a/b.gz?part=4")
    assert content_name("https://host/a.gz?sig=x&se=2024") == "https://host/a.gz"


# --- packed ranges -------------------------------------------------------------------------------

PLACES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 50)), max_size=30)


@given(PLACES, st.integers(0, 60), st.integers(1, 300))
def test_requests_hold_every_range_once_and_no_gap_above_the_bound(
    steps: list[tuple[int, int]], gap: int, most: int
) -> None:
    pairs, at = [], 0
    for skip, length in steps:
        pairs.append((at + skip, length))
        at += skip + length
    spans = Spans.of([p for p, _ in pairs], [n for _, n in pairs])
    wanted = [pair for pair in pairs if pair[1]]
    assert spans.pairs.tolist() == [list(pair) for pair in wanted]
    assert spans.num_bytes == sum(n for _, n in wanted)
    seen = []
    for first, behind, start, stop in spans.requests(gap, most):
        inside = wanted[first:behind]
        assert (start, stop) == (inside[0][0], sum(inside[-1]))
        assert stop - start <= most or len(inside) == 1
        for (a, n), (b, _) in itertools.pairwise(inside):
            assert b - a - n <= gap
        seen += inside
    assert seen == wanted


def test_ranges_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="10 bytes at 5 and 3 bytes at 12 overlap"):
        Spans.of([12, 5], [3, 10])
    assert len(Spans.of([5, 5], [10, 10])) == 1
