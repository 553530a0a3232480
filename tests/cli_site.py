"""A small web of our own text, a finished run over it, and commands run in this process.

Test modules import the fixtures `finished`, `copied` and `cli`.
"""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.cli import main

CONFIG = """\
seed: 7
workdir: {workdir}
steps:
  - id: web
    read_warc: {{paths: ["{inputs}/*.warc.gz"]}}
  - extract: {{engine: resiliparse}}
  - gopher_quality: {{min_words: {min_words}}}
  - exact_dedup: {{}}
  - write_documents: {{}}
  - mix: {{}}
  - train_tokenizer: {{vocab_size: 400}}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: 3000}}
"""
TEXT = """the of and to in is that harbour lantern copper kettle orchard winter carpenter ladder
window meadow river stone letter garden bridge with for was on as it morning evening quiet naïve
straße bread market teacher answer question paper silver mountain valley"""
WORDS = TEXT.split()

SHORT = "https://example.org/short"
COPY = "https://example.org/copy"
PICTURE = "https://example.org/picture.png"
HOSTILE = "https://example.org/hostile"

Cli = Callable[..., tuple[int, str, str]]


def prose(seed: int, words: int = 140) -> str:
    """Sentences of our own, the same for equal seeds."""
    draw = random.Random(seed)
    sentences = []
    while words > 0:
        length = draw.randint(7, 14)
        sentence = " ".join(draw.choice(WORDS) for _ in range(length))
        sentences.append(sentence.capitalize() + ".")
        words -= length
    return " ".join(sentences)


def pages() -> dict[str, str]:
    """URL -> text of every page."""
    found = {f"https://example.org/page/{n}/": prose(n) for n in range(24)}
    found[COPY] = found["https://example.org/page/3/"]
    found[SHORT] = prose(100, 12)
    found[HOSTILE] = prose(101) + " \u202e[31m naïve \U0001f600 " + prose(102)
    return found


def write_warcs(folder: Path) -> None:
    """Two archives of the pages, with a picture and a page that is not found."""
    folder.mkdir(parents=True)
    rows = [(url, "200 OK", "text/html; charset=utf-8", text) for url, text in pages().items()]
    rows.append((PICTURE, "200 OK", "image/png", "not really"))
    rows.append(("https://example.org/gone", "404 Not Found", "text/html", "gone"))
    for part in range(2):
        with (folder / f"part-{part}.warc.gz").open("wb") as out:
            writer = WARCWriter(out, gzip=True)
            for number, (url, status, kind, text) in enumerate(rows):
                if number % 2 != part:
                    continue
                body = text if kind == "image/png" else _html(url, text)
                http = StatusAndHeaders(status, [("Content-Type", kind)], protocol="HTTP/1.1")
                headers = {
                    "WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{number:012d}>",
                    "WARC-Date": "2024-05-06T07:08:09Z",
                }
                payload = io.BytesIO(body.encode())
                record = writer.create_warc_record(
                    url, "response", payload=payload, http_headers=http, warc_headers_dict=headers
                )
                writer.write_record(record)


def _html(url: str, text: str) -> str:
    return (
        f"<html><head><title>{url}</title></head><body><main><article><p>{text}</p></article>"
        f"</main></body></html>"
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs, config.yaml and the workdir of a finished run. Not to be changed."""
    folder = tmp_path_factory.mktemp("cli")
    write_warcs(folder / "in")
    assert main(["run", str(write_config(folder)), "--workers", "0", "--quiet", "--json"]) == 0
    return folder


def write_config(folder: Path, min_words: int = 50, inputs: Path | None = None) -> Path:
    path = folder / "config.yaml"
    text = CONFIG.format(
        workdir=folder / "work", inputs=inputs or folder / "in", min_words=min_words
    )
    path.write_text(text)
    return path


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A finished run of its own, over the same inputs."""
    shutil.copytree(finished / "work", tmp_path / "work")
    write_config(tmp_path, inputs=finished / "in")
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command: (exit code, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "90")

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call


def run_again(folder: Path, cli: Cli, *more: str) -> dict[str, Any]:
    arguments = ("run", folder / "config.yaml", "--workers", "0", "--quiet", "--json", *more)
    code, out, err = cli(*arguments)
    assert code == 0, err
    summary: dict[str, Any] = json.loads(out)
    return summary


def age_runs(folder: Path) -> None:
    """Run ids count seconds: make what ran so far older than what runs next, however fast."""
    for number, path in enumerate(sorted((folder / "work" / "runs").iterdir())):
        path.rename(path.with_name(f"20000101T00000{number}Z-000000.json"))


def flip(path: Path, at: int | None = None) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.write_bytes(data)


def shards(folder: Path) -> list[Path]:
    found = sorted((folder / "work" / "dataset" / "shards").iterdir())
    assert len(found) > 1
    return found


def step_file(folder: Path, step: str, output: str) -> Path:
    return next(iter(sorted((folder / "work" / "steps").glob(f"{step}-*/{output}-*/*.parquet"))))
