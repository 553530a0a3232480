"""inspect, explain and trace on a real run: what they say, and what they exit with."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cli_site import (
    CONFIG,
    COPY,
    HOSTILE,
    PICTURE,
    SHORT,
    Cli,
    cli,
    copied,
    finished,
    pages,
    prose,
    run_again,
    shards,
    write_config,
)
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit.display import cells, clean, cut, folded
from pipeline.audit.lookup import find_documents, metrics_of, open_run
from pipeline.audit.shards import Decoder
from pipeline.audit.targets import Condition
from pipeline.audit.verdicts import knobs_of, step_metrics
from pipeline.commands.explain import _step_lines
from pipeline.phases import Emit
from pipeline.planning.plan import Step
from pipeline.stage import RowStage
from stages.language import Language

__all__ = ["cli", "copied", "finished"]  # fixtures


# --- inspect -----------------------------------------------------------------------------------


def test_inspect_of_a_datasets_folder_says_what_it_holds(
    finished: Path, tmp_path: Path, cli: Cli
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished / "work" / "dataset", copy)
    code, out, _ = cli("inspect", copy)
    assert code == 0
    said = json.loads((copy / "dataset.json").read_bytes())
    for total in said["totals"]:
        assert f"{total['split']}/{total['group']}" in out
        assert f"{total['written_tokens']:,} tokens" in out
    (shard,) = re.findall(r"pipeline inspect (\S+)", out)
    assert cli("inspect", shard)[0] == 0
    code, out, _ = cli("inspect", copy, "--json")
    assert (code, json.loads(out)["fingerprint"]) == (0, said["fingerprint"])
    (copy / "dataset.json").write_text("{")
    code, _, err = cli("inspect", copy)
    assert "not whole JSON" in err


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
        lines = [line for line in out.splitlines() if str(finished) not in line]  # paths are whole
        assert all(cells(line) <= 90 for line in lines)
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


@pytest.mark.parametrize("url", ["https://example.org/page/3/", COPY, SHORT, HOSTILE, PICTURE])
def test_explain_shows_every_metric_with_its_bounds_and_verdict_on_the_whole_way(
    finished: Path, cli: Cli, url: str
) -> None:
    run = open_run(str(finished / "work"))
    [place] = find_documents(run, "url", url)
    found = explained(cli, finished, url)
    ways = {
        step.id: row
        for name, node in run.segments()
        if (row := metrics_of(run, name, place)) is not None
        for step in [link.step for link in node.links if not isinstance(link.phase, Emit)]
    }
    shown = {step["step"]: step for step in found["steps"]}
    for step_id, row in ways.items():
        stage = run.plan[step_id].stage
        assert isinstance(stage, RowStage)
        metrics = shown[step_id]["metrics"]
        assert {m["name"]: m["value"] for m in metrics} == {
            name: row[f"{step_id}.{name}"] for name in stage.metric_types()
        }
        bounds = [(m["name"], m["minimum"], m["maximum"]) for m in metrics]
        for rule in stage.rules():
            assert (rule.metric, rule.minimum, rule.maximum) in bounds
        for m in metrics:
            value, low, high = m["value"], m["minimum"], m["maximum"]
            below = None not in (value, low) and value < low
            above = None not in (value, high) and value > high
            assert m["verdict"].startswith("broke ") == (below or above)
            assert (m["verdict"] == "not measured") == (value is None)
    assert set(ways) <= set(shown)


def test_explain_names_the_knob_of_a_bound_that_the_stage_chose_itself() -> None:
    stage = Language(keep=("en",))
    [score] = [rule for rule in stage.rules() if rule.metric == "score"]
    [found] = knobs_of(stage, score)
    assert (found["name"], found["value"], found["unit"]) == ("min_score", None, "ratio")
    assert ".65" in found["source"]
    [metric] = [
        m
        for m in step_metrics(Step("language", stage, (), {}, 0, None), {"language.score": 0.5})
        if m["name"] == "score"
    ]
    line = "\n".join(_step_lines(
        {"step": "language", "verdict": "dropped", "drop_reason": "language.low_score",
         "metrics": [metric], "matched": None}, 8
    ))  # fmt: skip
    assert "score  0.5  >= 0.65  broke low_score" in line
    assert "min_score = default ratio" in line


def test_explain_shows_a_metric_that_was_not_measured(finished: Path, cli: Cli) -> None:
    _, out, _ = cli("explain", finished / "work", PICTURE)
    [line] = [line for line in out.splitlines() if line.strip().startswith("num_chars")]
    assert line.split()[1:] == ["-", ">=", "1", "not", "measured"]


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
