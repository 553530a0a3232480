"""inspect, explain, trace, verify and gc on a real run: what they say, and what they exit with."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.cli import main
from pipeline.display import cells, clean, cut, folded
from pipeline.lease import Lease
from pipeline.publish import published_sha256
from pipeline.shards import Decoder
from pipeline.storage import open_storage
from pipeline.targets import Condition

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


@pytest.fixture(scope="module")
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


# --- inspect -----------------------------------------------------------------------------------


def test_inspect_without_a_target_lists_what_there_is(finished: Path, cli: Cli) -> None:
    code, out, _ = cli("inspect", finished / "work")
    assert code == 0
    for name in ("extract", "gopher_quality.metrics", "exact_dedup.losers", "write_documents"):
        assert name in out
    code, out, _ = cli("inspect", finished / "work", "--json")
    for target in json.loads(out)["targets"]:
        assert cli("inspect", finished / "work", target, "--json")[0] == 0, target


def test_inspect_shows_the_documents_of_a_step_by_workdir_or_config(
    finished: Path, cli: Cli
) -> None:
    for run in (finished / "work", finished / "config.yaml"):
        code, out, _ = cli("inspect", run, "exact_dedup", "--rows", "2", "--json")
        found = json.loads(out)
        assert code == 0
        assert len(found["rows"]) == 2
        assert found["total_rows"] == len(pages()) - 2
        assert found["columns"]["text"] == "large_string"
        assert found["rows"][0]["url"] in pages()


def test_inspect_says_that_a_fused_step_has_no_documents_of_its_own(
    finished: Path, cli: Cli
) -> None:
    _, out, _ = cli("inspect", finished / "work", "web")
    assert "fused with the steps up to 'extract'" in " ".join(out.split())


def test_inspect_finds_rows_by_drop_reason_and_by_bounds(finished: Path, cli: Cli) -> None:
    run = finished / "work"
    where = "drop_reason=gopher_quality.word_count_too_low"
    _, out, _ = cli("inspect", run, "gopher_quality.metrics", "--where", where, "--json")
    assert [row["url"] for row in json.loads(out)["rows"]] == [SHORT]
    few = ("--where", "gopher_quality.word_count<50", "--columns", "url,gopher_quality.word_count")
    _, out, _ = cli("inspect", run, "gopher_quality.metrics", *few)
    assert SHORT in out
    assert "1 of 27 rows" in out
    _, out, _ = cli("inspect", run, "gopher_quality.dropped", "--json")
    assert [row["url"] for row in json.loads(out)["rows"]] == [SHORT]


def test_inspect_suggests_the_nearest_step_and_column(finished: Path, cli: Cli) -> None:
    code, _, err = cli("inspect", finished / "work", "gofer_quality")
    assert (code, "Did you mean 'gopher_quality'" in err) == (3, True)
    code, _, err = cli("inspect", finished / "work", "extract", "--columns", "urll")
    assert (code, "Did you mean 'url'?" in err) == (3, True)
    code, _, err = cli("inspect", finished / "work", "extract", "--where", "nothing")
    assert (code, "COLUMN=VALUE" in err) == (2, True)


def test_inspect_decodes_a_shard_token_by_token_wherever_it_is_named(
    finished: Path, cli: Cli
) -> None:
    shard = shards(finished)[0]
    for arguments in (
        (shard,),
        (finished / "work", shard.name),
        (finished / "work", f"dataset/shards/{shard.name}"),
    ):
        code, out, _ = cli("inspect", *arguments, "--rows", "1")
        assert code == 0
        assert "token shard 0 of" in out
        assert out.count("|") > 30
        assert all(cells(line) <= 90 for line in out.splitlines())
    _, out, _ = cli("inspect", shard, "--rows", "1", "--json", "--tokens", "20")
    row = json.loads(out)["rows"][0]
    assert len(row["tokens"]) == len(row["pieces"]) == 20
    assert pages()[row["url"]].startswith("".join(row["pieces"]).rstrip())


def test_a_shard_away_from_its_dataset_is_shown_as_ids(
    finished: Path, tmp_path: Path, cli: Cli
) -> None:
    alone = tmp_path / "a" / "b" / "alone.parquet"
    alone.parent.mkdir(parents=True)
    shutil.copy(shards(finished)[0], alone)
    code, out, _ = cli("inspect", alone)
    assert (code, "ids only" in out) == (0, True)


def test_inspect_reads_json_lines_and_refuses_other_files(tmp_path: Path, cli: Cli) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"a": 1, "b": "one"}\n\n{"a": 2, "b": "two"}\n')
    code, out, _ = cli("inspect", file, "--where", "a>=2", "--json")
    found = json.loads(out)
    assert (code, found["rows"], found["total_rows"]) == (0, [{"a": 2, "b": "two"}], 2)
    other = tmp_path / "x.bin"
    other.write_bytes(b"\0\1")
    code, _, err = cli("inspect", other)
    assert (code, "neither Parquet nor JSON Lines" in err) == (3, True)


# --- explain -----------------------------------------------------------------------------------


def explained(cli: Cli, folder: Path, document: str) -> dict[str, Any]:
    code, out, _ = cli("explain", folder / "work", document, "--json")
    assert code == 0
    [found] = json.loads(out)["documents"]
    return dict(found)


def test_explain_says_which_rule_was_broken_and_where_its_bound_comes_from(
    finished: Path, cli: Cli
) -> None:
    found = explained(cli, finished, SHORT)
    assert found["dropped_by"] == ["gopher_quality"]
    steps = {step["step"]: step for step in found["steps"]}
    assert steps["extract"]["verdict"] == "kept"
    assert steps["gopher_quality"]["verdict"] == "dropped"
    assert steps["tokenize"]["verdict"] == "not reached"
    [words] = [m for m in steps["gopher_quality"]["metrics"] if m["name"] == "word_count"]
    assert (words["value"] < 50, words["minimum"]) == (True, 50)
    assert words["verdict"] == "broke word_count_too_low"
    assert [knob["name"] for knob in words["knobs"]] == ["min_words", "max_words"]
    assert all(knob["source"] for knob in words["knobs"])
    _, out, _ = cli("explain", finished / "config.yaml", SHORT)
    assert "dropped by gopher_quality: word_count_too_low" in out
    assert all(cells(line) <= 90 for line in out.splitlines())


def test_explain_names_the_document_that_a_duplicate_lost_to(finished: Path, cli: Cli) -> None:
    pair = {COPY, "https://example.org/page/3/"}
    found = {url: explained(cli, finished, url) for url in pair}
    [lost] = [url for url in pair if found[url]["dropped_by"]]
    [won] = pair - {lost}
    [step] = [s for s in found[lost]["steps"] if s["verdict"] == "dropped"]
    assert step["drop_reason"] == "exact_dedup.duplicate"
    assert step["matched"] == {"doc_id": found[won]["doc_id"], "url": won}


def test_explain_finds_the_rows_that_hold_a_kept_document(finished: Path, cli: Cli) -> None:
    url = "https://example.org/page/5/"
    found = explained(cli, finished, url)
    assert found["outcome"] == "kept"
    [entry] = found["shards"]
    row = pq.read_table(finished / "work" / entry["file"]).slice(entry["row"], 1).to_pylist()[0]
    assert (row["url"], row["num_tokens"]) == (url, entry["tokens"])
    [entry] = found["documents"]
    row = pq.read_table(finished / "work" / entry["file"]).slice(entry["row"], 1).to_pylist()[0]
    assert row["url"] == url
    assert explained(cli, finished, found["doc_id"]) == found


def test_explain_says_why_a_source_refused_a_document(finished: Path, cli: Cli) -> None:
    found = explained(cli, finished, PICTURE)
    assert found["outcome"] == "refused by the source web: not_html"
    assert [step["verdict"] for step in found["steps"]][:3] == [
        "dropped", "dropped before", "not reached",
    ]  # fmt: skip


def test_explain_suggests_the_same_url_with_a_slash_and_its_neighbours(
    finished: Path, cli: Cli
) -> None:
    code, _, err = cli("explain", finished / "work", "http://www.example.org/page/5")
    assert (code, "Did you mean:\n  https://example.org/page/5/" in err) == (3, True)
    code, _, err = cli("explain", finished / "work", "ab" * 16)
    assert (code, "no document abab" in err) == (3, True)


# --- trace -------------------------------------------------------------------------------------


def test_every_row_of_every_shard_is_traced_to_its_page(finished: Path, cli: Cli) -> None:
    seen = set()
    for shard in shards(finished):
        for number in range(pq.read_metadata(shard).num_rows):
            _, out, _ = cli("trace", shard, number, "--json")
            found = json.loads(out)
            url = found["url"]
            seen.add(url)
            assert f"WARC-Target-URI: {url}" in found["original"]["headers"]
            assert pages()[url][:100] in found["original"]["body"]
            assert pages()[url].startswith(found["text"]["head"][:100])
            steps = [step["step"] for step in found["steps"]]
            assert (steps[0], steps[-1]) == ("web", "write_shards")
    assert len(seen) == len(pages()) - 2


def test_trace_shows_the_text_around_a_token(finished: Path, cli: Cli) -> None:
    name = shards(finished)[1].name
    _, out, _ = cli("trace", finished / "work", name, 0, "--token", 50, "--json")
    text = json.loads(out)["text"]
    ids = pq.read_table(shards(finished)[1])["tokens"][0].as_py()
    assert text["id"] == ids[50]
    around = text["before"] + text["piece"] + text["after"]
    assert around.strip()[:60] in pages()[json.loads(out)["url"]]
    _, out, _ = cli("trace", finished / "work", name.rpartition("-")[0], 0, "--token", 50)
    assert f"[[{clean(text['piece'])}]]" in out
    code, _, err = cli("trace", finished / "work", name, 0, "--token", 10**6)
    assert (code, "has no token 1,000,000" in err) == (3, True)
    code, _, err = cli("trace", finished / "work", name, 10**6)
    assert (code, "has no row 1,000,000" in err) == (3, True)


def test_trace_says_when_the_input_is_gone_and_shows_the_rest(
    finished: Path, tmp_path: Path, cli: Cli
) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(finished / "in", folder / "in")
    write_config(folder)
    run_again(folder, cli)
    shutil.rmtree(folder / "in")
    code, out, _ = cli("trace", shards(folder)[0], 0)
    assert code == 0
    assert "the original is not shown" in out
    assert "https://example.org/" in out
    assert "web -> extract" in out


def test_the_original_of_a_jsonl_row_is_its_line(tmp_path: Path, cli: Cli) -> None:
    lines = [json.dumps({"text": prose(n), "url": f"https://lines.example/{n}"}) for n in range(9)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    config = CONFIG.format(workdir=tmp_path / "work", inputs="", min_words=5)
    source = f'    read_jsonl: {{paths: ["{tmp_path}/in.jsonl"], url: url}}'
    kept = [text for text in config.splitlines() if "read_warc" not in text]
    kept = [text for text in kept if "extract" not in text]
    kept.insert(kept.index("  - id: web") + 1, source)
    (tmp_path / "config.yaml").write_text("\n".join(kept))
    run_again(tmp_path, cli)
    shard = next((tmp_path / "work" / "dataset" / "shards").iterdir())
    _, out, _ = cli("trace", shard, 1, "--json")
    found = json.loads(out)
    assert found["original"]["kind"] == f"line {found['offset']}"
    assert json.loads(found["original"]["body"])["url"] == found["url"]


# --- verify ------------------------------------------------------------------------------------


def test_a_whole_workdir_verifies_by_path_and_by_config(finished: Path, cli: Cli) -> None:
    for run in (finished / "work", finished / "config.yaml"):
        code, out, _ = cli("verify", run)
        assert (code, "all as written" in out) == (0, True)
    code, out, _ = cli("verify", finished / "work", "--all", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)


def damage_shard(folder: Path) -> Path:
    flip(shards(folder)[0])
    return shards(folder)[0]


def damage_step(folder: Path) -> Path:
    path = step_file(folder, "extract", "docs")
    flip(path)
    return path


def lose_step(folder: Path) -> Path:
    path = step_file(folder, "exact_dedup", "metrics")
    path.unlink()
    return path


def cut_manifest(folder: Path) -> Path:
    path = sorted((folder / "work" / "manifests").iterdir())[5]
    path.write_bytes(path.read_bytes()[:90])
    return path


def damage_document(folder: Path) -> Path:
    path = next(iter(sorted((folder / "work" / "documents").rglob("*.parquet"))))
    path.write_bytes(path.read_bytes()[:-20])
    return path


def damage_tokenizer(folder: Path) -> Path:
    path = next((folder / "work" / "dataset").glob("tokenizer-*/tokenizer.json"))
    flip(path)
    return path


def damage_meta(folder: Path) -> Path:
    path = next((folder / "work" / "dataset").glob("tokenizer-*/meta.json"))
    flip(path)
    return path


def damage_index(folder: Path) -> Path:
    path = next((folder / "work" / "dataset").glob("index-*.parquet"))
    flip(path, 40)
    return path


def cut_dataset(folder: Path) -> Path:
    path = folder / "work" / "dataset" / "dataset.json"
    path.write_bytes(path.read_bytes()[:200])
    return path


def cut_version(folder: Path) -> Path:
    path = folder / "work" / "dataset" / "versions" / "1.json"
    path.write_bytes(b"{}")
    return path


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (damage_shard, "damaged"),
        (damage_step, "damaged"),
        (lose_step, "missing"),
        (cut_manifest, "corrupt"),
        (damage_document, "damaged"),
        (damage_tokenizer, "damaged"),
        (damage_meta, "damaged"),
        (damage_index, "damaged"),
        (cut_dataset, "corrupt"),
        (cut_version, "corrupt"),
    ],
)
def test_damage_is_found_named_repaired_and_made_again(
    damage: Callable[[Path], Path], kind: str, copied: Path, cli: Cli
) -> None:
    storage = open_storage(str(copied / "work"))
    published = published_sha256(storage)
    path = damage(copied).relative_to(copied / "work")
    code, out, err = cli("verify", copied / "work")
    assert code == 5
    assert f"{kind}  {path}" in out
    assert "1 problem in" in err
    assert "--repair" in err
    code, out, _ = cli("verify", copied / "work", "--repair")
    assert (code, "repaired" in out) == (0, True)
    summary = run_again(copied, cli)
    assert summary["works_executed"] <= 2
    assert published_sha256(storage) == published
    assert cli("verify", copied / "work", "--all")[0] == 0
    assert [p.name for p in (copied / "work/dataset/versions").iterdir()] == ["1.json"]


def test_verify_reads_what_a_run_without_a_record_left(copied: Path, cli: Cli) -> None:
    shutil.rmtree(copied / "work" / "runs")
    path = damage_step(copied)
    code, out, _ = cli("verify", copied / "work")
    assert (code, path.name in out) == (5, True)


def test_earlier_runs_are_hashed_with_all_only(copied: Path, cli: Cli) -> None:
    old = step_file(copied, "gopher_quality", "metrics")
    age_runs(copied)
    run_again(copied, cli, "--set", "steps.gopher_quality.min_words=10")
    flip(old, 20)
    assert cli("verify", copied / "work")[0] == 0
    assert cli("verify", copied / "work", "--all")[0] == 5


def test_there_is_nothing_to_verify_or_collect_in_an_empty_folder(tmp_path: Path, cli: Cli) -> None:
    for command in ("verify", "gc", "inspect", "explain"):
        more = ["https://example.org/"] if command == "explain" else []
        code, _, err = cli(command, tmp_path / "nothing", *more)
        assert (code, "nothing" in err) == (3, True), command
    assert not (tmp_path / "nothing").exists()


# --- gc ----------------------------------------------------------------------------------------


def files_of(folder: Path) -> set[str]:
    work = folder / "work"
    return {str(path.relative_to(work)) for path in work.rglob("*") if path.is_file()}


def test_gc_deletes_nothing_that_a_kept_run_needs(copied: Path, cli: Cli) -> None:
    before = files_of(copied)
    code, _, _ = cli("gc", copied / "work", "--keep-runs", "1", "--min-age-hours", "0")
    assert code == 0
    assert files_of(copied) == before
    assert run_again(copied, cli)["works_executed"] == 0


def test_gc_deletes_the_work_of_forgotten_runs_and_keeps_every_version(
    copied: Path, cli: Cli
) -> None:
    work = copied / "work"
    age_runs(copied)
    before = files_of(copied)
    change = ("--set", "steps.gopher_quality.min_words=10")
    run_again(copied, cli, *change)
    both = files_of(copied)
    code, out, _ = cli("gc", work, "--keep-runs", "1")
    assert (code, "spared" in out) == (0, True)
    assert files_of(copied) == both
    arguments = ("gc", copied / "config.yaml", "--keep-runs", "1", "--min-age-hours", "0")
    _, out, _ = cli(*arguments, "--dry-run", "--json")
    planned = set(json.loads(out)["paths"])
    assert files_of(copied) == both
    (work / ".scratch" / "tmpdead").mkdir(parents=True)
    (work / ".scratch" / "tmpdead" / "half").write_bytes(b"x")
    assert cli(*arguments)[0] == 0
    after = files_of(copied)
    assert after == both - planned
    assert planned
    assert all(path.startswith(("steps/", "manifests/")) for path in planned)
    assert planned <= before
    assert not (work / ".scratch" / "tmpdead").exists()
    assert cli("verify", work, "--all")[0] == 0
    assert run_again(copied, cli, *change)["works_executed"] == 0
    assert sorted(p.name for p in (work / "dataset/versions").iterdir()) == ["1.json", "2.json"]


def test_gc_keeps_as_many_runs_as_asked(copied: Path, cli: Cli) -> None:
    run_again(copied, cli, "--set", "steps.gopher_quality.min_words=10")
    before = files_of(copied)
    cli("gc", copied / "work", "--keep-runs", "2", "--min-age-hours", "0")
    assert files_of(copied) == before


def test_gc_refuses_while_a_run_holds_the_lease(copied: Path, cli: Cli) -> None:
    with Lease(open_storage(str(copied / "work"))):
        code, _, err = cli("gc", copied / "work", "--min-age-hours", "0")
        assert (code, "another driver" in err) == (3, True)
        assert cli("verify", copied / "work", "--repair")[0] == 3
        assert cli("verify", copied / "work")[0] == 0


def test_gc_refuses_when_it_cannot_read_what_a_run_needs(copied: Path, cli: Cli) -> None:
    cut_manifest(copied)
    before = files_of(copied)
    code, _, err = cli("gc", copied / "work", "--min-age-hours", "0")
    assert (code, "--repair" in err) == (5, True)
    assert files_of(copied) == before


# --- text for terminals ------------------------------------------------------------------------


@given(st.text())
def test_no_page_can_move_the_cursor_or_turn_a_line_around(text: str) -> None:
    assert clean(text).isprintable() or not clean(text)


@given(st.text(st.characters(codec="utf-8")), st.integers(30, 60))
def test_cut_and_folded_text_fits_its_columns(text: str, columns: int) -> None:
    text = clean(text)
    assert cells(cut(text, columns)) <= columns
    assert all(cells(line) <= columns for line in folded(text, columns))
    assert "".join(folded(text, columns)) == text


def test_the_pieces_of_tokens_join_to_the_text_even_inside_a_character(finished: Path) -> None:
    folder = next((finished / "work" / "dataset").glob("tokenizer-*"))
    decoder = Decoder((folder / "tokenizer.json").read_bytes())
    for shard in shards(finished):
        for row in pq.read_table(shard).to_pylist():
            pieces = decoder.pieces(row["tokens"])
            assert len(pieces) == len(row["tokens"])
            assert "".join(pieces) == decoder.text(row["tokens"])
            if row["url"] == HOSTILE:
                assert "😀" in pieces


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ("a=1", 1, True),
        ("a=1.0", 1, True),
        ("a!=1", 1, False),
        ("a<2", 1.5, True),
        ("a>=2", None, False),
        ("a=null", None, True),
        ("a!=null", 3, True),
        ("a=ab", b"\xab", True),
        ("a=x=y", "x=y", True),
        ("a=word", 1, False),
    ],
)
def test_conditions_compare_numbers_ids_and_nulls(
    condition: str, value: object, holds: bool
) -> None:
    assert Condition.parse(condition).holds(value) is holds
