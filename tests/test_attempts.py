"""A server that is away for longer than a request waits costs a pause and no run, with and
without Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, RunConfig
from web_server import Request, WebServer, behind_the_probe, busy, serving, times

from pipeline.errors import InputError
from pipeline.network import settings as network_settings
from pipeline.network.settings import Network

LINE = """
network: {{requests_per_second: 0, attempts: 2, first_wait_seconds: 0.01,
           longest_wait_seconds: {pause}}}
steps:
  - read_jsonl: {{paths: [{paths}]}}
  - write_documents: {{}}
"""
FILES = {f"/{n}.jsonl": b'{"text": "line %d of a file"}\n' % n for n in range(3)}


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serving(WebServer(dict(FILES))) as server:
        yield server
    network_settings.use(Network())


def line(web: WebServer, pause: float) -> str:
    return LINE.format(pause=pause, paths=", ".join(f"{web.url}{name}" for name in FILES))


def of_one_file(request: Request) -> bool:
    """A request for the bytes of the second of three files."""
    return behind_the_probe(request) and request.path == "/1.jsonl"


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_work_is_done_three_times_and_then_the_run_ends(
    web: WebServer, workers: int, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text(line(web, 0.05))
    words = [sys.executable, "-m", "pipeline", "run", str(tmp_path / "run.yaml"), "--json"]
    words += ["--workers", str(workers), "--set", f"workdir={tmp_path / 'work'}"]
    environment = {**os.environ, "RAY_ADDRESS": "local"}
    for count, code in ((6, 3), (4, 0)):  # each time it asks twice
        web.faults = [times(count, busy(), of_one_file)]
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        for attempt in (2, 3):
            assert f"attempt {attempt} of 3 in 0 s: " in done.stderr
        assert done.stderr.count("/1.jsonl: answer 503, 2 times in a row") == 2 + (code > 0)
        assert "Traceback" not in done.stderr
    assert len([r for r in web.log if of_one_file(r)]) == 6 + 4 + 1
    assert json.loads(done.stdout)["funnel"]["steps"][0]["documents_in"] == 3


def test_others_go_on_while_a_work_waits_and_the_bytes_are_those_of_a_quiet_day(
    web: WebServer, run_yaml: RunConfig, tmp_path: Path
) -> None:
    quiet = run_yaml(line(web, 1), tmp_path / "quiet")
    web.log.clear()
    web.faults = [times(2, busy(), of_one_file)]
    result = run_yaml(line(web, 1), tmp_path / "late")
    bodies = [r.path for r in web.log if behind_the_probe(r)]
    assert bodies == ["/0.jsonl", "/1.jsonl", "/1.jsonl", "/2.jsonl", "/1.jsonl"]
    waited = [r.at for r in web.log if of_one_file(r)]
    assert waited[2] - waited[1] >= 0.5
    assert result.dataset == quiet.dataset
    assert result.funnel.rows == quiet.funnel.rows


def test_an_error_that_will_not_pass_ends_the_run_at_once(
    web: WebServer, run_yaml: RunConfig
) -> None:
    web.faults = [times(99, busy(403), of_one_file)]
    with pytest.raises(InputError, match=r"/1\.jsonl: answer 403"):
        run_yaml(line(web, 60))
    assert len([r for r in web.log if of_one_file(r)]) == 1
