"""A run over an S3 API whose answers are refused, lost and cut: the bytes of a run on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, RunConfig
from s3_server import moto, proxied

from pipeline.errors import InputError
from pipeline.execution.lease import Lease
from pipeline.files.storage import AlreadyExists
from pipeline.files.uris import find_inputs, open_input, open_storage
from pipeline.network import settings as network_settings
from pipeline.network.settings import Network
from pipeline.results.publish import published_sha256

QUICK = Network(first_wait_seconds=0.01, longest_wait_seconds=0.05)


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    network_settings.use(QUICK)
    yield
    network_settings.use(Network())


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto() as found:
        yield found


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> str:
    boto3 = pytest.importorskip("boto3")
    name = f"b{abs(hash(request.node.name)) % 10**9}"
    boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint).create_bucket(Bucket=name)
    return f"s3://{name}"


LINE = """\
seed: 11
network: {{first_wait_seconds: 0.01, longest_wait_seconds: 0.05}}
steps:
  - id: web
    read_warc: {{paths: ["{inputs}/*.warc.gz"]}}
  - extract: {{engine: resiliparse}}
  - gopher_quality: {{min_words: 20}}
  - exact_dedup: {{}}
  - write_documents: {{}}
  - mix: {{validation_permille: 20}}
  - train_tokenizer: {{vocab_size: 400, sample_bytes: 100_000}}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: 30_000}}
"""


def test_refused_lost_and_cut_answers_change_no_byte_of_a_run(
    endpoint: str, bucket: str, run_yaml: RunConfig, tmp_path: Path
) -> None:
    data = (ROOT / "samples/web/part-00000.warc.gz").read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.warc.gz").write_bytes(data)
    open_storage(f"{bucket}/in").put("a.warc.gz", data)
    local = run_yaml(LINE.format(inputs=tmp_path / "in"), tmp_path / "work")
    # Every sixth request of a method meets the next fate: which requests those are differs between
    # runs, as threads race, but each fate is met by some.
    seen: Counter[str] = Counter()

    def plan(number: int, method: str, path: str) -> str:
        fates = ["500", "slow", "reset", "lost" if method == "PUT" else "cut"]
        seen[method] += 1
        turn, at = divmod(seen[method], 6)
        return fates[turn % len(fates)] if at == 0 else "pass"

    with proxied(endpoint, plan) as proxy:
        far = run_yaml(LINE.format(inputs=f"{bucket}/in"), f"{bucket}/work")
        assert min(map(proxy.count, ("500", "slow", "reset", "lost", "cut"))) > 1
    assert far.funnel.rows == local.funnel.rows
    assert far.dataset == local.dataset
    assert published_sha256(open_storage(f"{bucket}/work")) == published_sha256(
        open_storage(str(tmp_path / "work"))
    )
    assert open_storage(f"{bucket}/work").info("lease.json") is None


@pytest.mark.parametrize("fate", ["lost", "reset", "500"])
def test_a_put_if_absent_whose_answer_was_lost_is_ours_and_another_content_is_not(
    endpoint: str, bucket: str, fate: str
) -> None:
    plain = open_storage(bucket)
    plain.put("theirs", b"theirs")

    def plan(number: int, method: str, path: str) -> str:
        return fate if method == "PUT" and number == 0 else "pass"

    for name in ("ours", "theirs"):
        with proxied(endpoint, plan):
            if name == "ours":
                open_storage(bucket).put(name, b"ours", if_absent=True)
            else:
                with pytest.raises(AlreadyExists):
                    open_storage(bucket).put(name, b"ours", if_absent=True)
        assert plain.get(name) == name.encode()
    with proxied(endpoint, plan), Lease(open_storage(bucket)):
        assert plain.info("lease.json")
    assert plain.info("lease.json") is None


def test_an_object_that_changes_while_it_is_read_is_an_error(bucket: str) -> None:
    storage = open_storage(bucket)
    storage.put("a", bytes(3 << 20))
    [listed] = find_inputs(f"{bucket}/a")
    with open_input(listed.path, listed.size, listed.token) as stream:
        assert stream.read(10) == bytes(10)
        storage.put("a", b"\1" * (3 << 20))
        stream.seek(5 << 19)
        with pytest.raises(InputError, match=r"/a: it changed while it was in use"):
            stream.read()
    with pytest.raises(InputError, match="changed while it was in use: got"):
        open_input(listed.path, listed.size, listed.token)
    with open_input(listed.path) as stream:
        assert stream.read() == b"\1" * (3 << 20)


def test_a_store_that_stays_away_is_a_retryable_error_that_names_the_object(
    endpoint: str, bucket: str
) -> None:
    open_storage(bucket).put("a", b"x" * 100)
    network_settings.use(Network(attempts=2, first_wait_seconds=0.01))
    with proxied(endpoint, lambda *_: "slow") as proxy:
        with pytest.raises(InputError, match=rf"cannot read {bucket}/a: ") as failed:
            open_storage(bucket).get("a")
        assert failed.value.retryable
        assert 4 <= len(proxy.seen) <= 20
    always = pytest.raises(InputError, match=rf"cannot read {bucket}/a: ")
    with proxied(endpoint, lambda n, m, p: "cut" if m == "GET" else "pass"), always:
        open_input(f"{bucket}/a").read()
