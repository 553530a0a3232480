"""The engine's promises: conservation, equal bytes in any order, and only changed work redone."""

from __future__ import annotations

import json
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import RunConfig, split_files, write_jsonl

from pipeline.errors import StageError
from pipeline.execution.runner import RunResult
from pipeline.files.uris import open_storage
from pipeline.results.manifest import load_manifest
from pipeline.results.publish import published_sha256

LINE = """\
seed: 5
steps:
  - id: help
    read_jsonl: {{paths: [{paths}], base: {base}, id: id, url: url}}
  - gopher_quality: {{min_words: {min_words}}}
  - exact_dedup: {{}}
  - minhash_dedup: {{}}
  - write_documents: {{}}
  - mix: {{validation_permille: 20}}
  - train_tokenizer: {{vocab_size: 600, sample_bytes: 200_000}}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: 40_000}}
"""


def line(paths: list[Path], min_words: int = 50) -> str:
    names = ", ".join(f'"{path}"' for path in paths)
    return LINE.format(paths=names, base=paths[0].parent, min_words=min_words)


def kept_ids(workdir: Path) -> set[bytes]:
    files = sorted((workdir / "documents").rglob("*.parquet"))
    return {value for f in files for value in pq.read_table(f)["doc_id"].to_pylist()}


def executed_nodes(result: RunResult) -> set[str]:
    """Nodes of which at least one work was done in this run."""
    return {
        node
        for node, units in result.keys.items()
        if any(key in result.executed_keys for key in units.values())
    }


@pytest.fixture(scope="module")
def texts(real_texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Real texts with exact copies under other names."""
    english = [row for row in real_texts if row["text"].count(" the ") > 20][:20]
    copies = [{**row, "id": row["id"] + "-copy"} for row in english]
    return [*real_texts, *copies]


def test_documents_in_are_kept_or_dropped_or_quarantined_and_none_vanishes(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    result = run_yaml(line(split_files(tmp_path / "in", texts, 3)))
    rows = result.funnel.rows
    assert rows[0].documents_in == len(texts)
    for before, after in pairwise(rows):
        assert before.kept == after.documents_in
    assert sum(sum(row.dropped.values()) for row in rows) + rows[-1].kept == len(texts)
    assert next(r for r in rows if r.step == "exact_dedup").dropped["exact_dedup.duplicate"] >= 15
    [train, validation] = sorted(result.dataset["totals"], key=lambda t: t["split"])
    assert train["documents"] + validation["documents"] == rows[-1].kept


def test_the_order_in_which_inputs_are_listed_changes_no_published_byte(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    paths = split_files(tmp_path / "in", texts, 4)
    run_yaml(line(paths), tmp_path / "a")
    run_yaml(line(paths[::-1]), tmp_path / "b")
    first, second = (published_sha256(open_storage(str(tmp_path / name))) for name in "ab")
    assert first == second


def test_how_documents_are_split_into_files_does_not_change_which_are_kept(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    kept = []
    for files in (1, 2, 7):
        where = tmp_path / f"{files}"
        run_yaml(line(split_files(where / "in", texts, files)), where / "work")
        kept.append(kept_ids(where / "work"))
    assert kept[0] == kept[1] == kept[2]


def test_a_rerun_of_a_finished_run_does_no_work(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    text = line(split_files(tmp_path / "in", texts[:120], 2))
    first, second = run_yaml(text), run_yaml(text)
    assert (second.executed, second.reused) == (0, first.executed)
    assert (second.version, second.keys) == (first.version, first.keys) == (1, first.keys)


def test_a_late_threshold_repeats_no_earlier_segment_and_stops_at_equal_outputs(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    paths = split_files(tmp_path / "in", texts, 3)
    text = line(paths).replace("tokens_per_shard: 40_000", "tokens_per_shard: 80_000")
    first = run_yaml(line(paths))
    second = run_yaml(text)
    done = executed_nodes(second)
    assert done == {"write_shards.shards.scatter", "write_shards.shards", "write_shards.dataset"}
    assert second.keys["gopher_quality"] == first.keys["gopher_quality"]
    assert second.version == 2


def test_a_threshold_that_changes_no_verdict_changes_nothing_behind_its_segment(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    paths = split_files(tmp_path / "in", texts, 3)
    first = run_yaml(line(paths, 50))
    same = line(paths).replace("min_words: 50", "min_words: 50, max_words: 99_999")
    again = run_yaml(same)
    assert executed_nodes(again) == {"gopher_quality"}
    assert again.dataset["fingerprint"] == first.dataset["fingerprint"]


def test_an_added_file_redoes_nothing_before_the_first_exchange(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    paths = split_files(tmp_path / "in", texts, 3)
    first = run_yaml(line(paths[:2]))
    second = run_yaml(line(paths))
    before = set(first.keys["gopher_quality"].values())
    after = set(second.keys["gopher_quality"].values())
    assert before < after
    assert len((after - before) & second.executed_keys) == 1
    assert not before & second.executed_keys


USER_STAGE = """\
from dataclasses import dataclass

from pipeline.stage import Filter, Page, Rules, at_most, knob


@dataclass(frozen=True)
class Shout(Filter):
    max_upper: float = knob(0.3, unit="ratio", source="test")

    def measure(self, page: Page) -> dict[str, float]:
        letters = [c for c in page.text if c.isalpha()]
        return {"upper": sum(map(str.isupper, letters)) / max(len(letters), 1)}

    def rules(self) -> Rules:
        return (at_most("upper", self.max_upper),)
"""


def test_an_edited_user_filter_redoes_its_segment_and_only_what_changed_behind_it(
    run_yaml: RunConfig,
    texts: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib
    import sys

    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "shout_filter_under_test.py"
    module.write_text(USER_STAGE)
    step = "  - id: shout\n    shout_filter_under_test:Shout: {}\n  - minhash_dedup"
    text = line(split_files(tmp_path / "in", texts, 2)).replace("  - minhash_dedup", step)
    first = run_yaml(text)
    assert "shout" in {row.step for row in first.funnel.rows}
    assert any(node.startswith("shout") for node in first.keys)
    module.write_text(USER_STAGE.replace("letters = [", "# another comment\n        letters = ["))
    importlib.invalidate_caches()
    sys.modules.pop("shout_filter_under_test")
    second = run_yaml(text)
    assert executed_nodes(second) == {"shout"}


def test_a_document_named_in_quarantine_is_skipped_and_counted_apart(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    paths = split_files(tmp_path / "in", texts[:60], 2)
    text = line(paths, 1)
    first = run_yaml(text)
    before = kept_ids_of_version(tmp_path / "work")
    doc_id = min(before)
    unit = next(
        unit
        for unit, key in first.keys["gopher_quality"].items()
        if doc_id in _metric_ids(tmp_path / "work", key)
    )
    quarantine = tmp_path / "work" / "quarantine" / f"{unit}.json"
    quarantine.parent.mkdir()
    quarantine.write_text(json.dumps([{"doc_id": doc_id.hex(), "step": "gopher_quality"}]))
    second = run_yaml(text)
    assert sum(row.quarantined for row in second.funnel.rows) == 1
    assert len(second.executed_keys & set(second.keys["gopher_quality"].values())) == 1
    assert kept_ids_of_version(tmp_path / "work") == before - {doc_id}


def _metric_ids(workdir: Path, key: str) -> set[bytes]:
    manifest = load_manifest(open_storage(str(workdir)), key)
    assert manifest is not None
    [ref] = manifest.outputs["metrics"].files
    return set(pq.read_table(workdir / ref.path)["doc_id"].to_pylist())


def kept_ids_of_version(workdir: Path) -> set[bytes]:
    """doc_ids of the documents that the version in force lists."""
    dataset = json.loads((workdir / "dataset" / "dataset.json").read_text())
    return {
        value
        for entry in dataset["documents"]
        for value in pq.read_table(workdir / "dataset" / entry["file"])["doc_id"].to_pylist()
    }


def test_a_failing_filter_names_step_partition_and_document_and_a_mended_one_goes_on(
    run_yaml: RunConfig,
    texts: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "breaking_filter.py"
    broken = USER_STAGE.replace("max(len(letters), 1)", "(0 if 'doc-60' in page.url else 1)")
    module.write_text(broken)
    rows = [{**row, "url": row["id"]} for row in texts[:60]]
    source = f"""\
steps:
  - id: help
    read_jsonl: {{paths: ["{write_jsonl(tmp_path / "in" / "a.jsonl", rows)}"], url: url, id: id}}
  - breaking_filter:Shout: {{}}
  - write_documents: {{}}
"""
    with pytest.raises(StageError) as caught:
        run_yaml(source)
    assert caught.value.exit_code == 4
    message = str(caught.value)
    assert "step 'shout', doc_id" in message
    assert "ZeroDivisionError" in message
    module.write_text(USER_STAGE)
    sys.modules.pop("breaking_filter")
    assert run_yaml(source).version == 1


def test_until_stops_after_a_step_and_publishes_nothing(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    text = line(split_files(tmp_path / "in", texts[:60], 2))
    result = run_yaml(text, until="exact_dedup")
    assert result.version is None
    assert not (tmp_path / "work" / "dataset").exists()
    assert "minhash_dedup.buckets" not in result.keys
    assert run_yaml(text).reused > 0


def test_a_limit_takes_the_first_documents_of_each_source_and_publishes_apart(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    paths = split_files(tmp_path / "in", texts, 3)
    result = run_yaml(line(paths, 1), limit=150)
    assert result.funnel.rows[0].documents_in == 150
    folder = tmp_path / "work" / "dataset-limit-150"
    assert (folder / "dataset.json").exists()
    assert not (tmp_path / "work" / "dataset").exists()


def test_a_step_that_drops_nearly_everything_stops_the_run(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    rows = [{**row, "id": f"{row['id']}-{n}"} for n in range(3) for row in texts]
    path = write_jsonl(tmp_path / "in" / "a.jsonl", rows)
    source = textwrap.dedent(f"""\
        max_drop_ratio: 0.9
        steps:
          - id: help
            read_jsonl: {{paths: ["{path}"], id: id}}
          - gopher_quality: {{min_words: 90_000}}
          - write_documents: {{}}
        """)
    with pytest.raises(StageError, match=r"step 'gopher_quality' dropped .* above max_drop_ratio"):
        run_yaml(source)
    assert not (tmp_path / "work" / "dataset").exists()


def test_an_output_in_the_middle_of_a_segment_cuts_nothing(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "in" / "a.jsonl", texts[:80])
    head = f'steps:\n  - id: help\n    read_jsonl: {{paths: ["{path}"], id: id}}\n'
    tail = "  - gopher_quality: {}\n  - id: final\n    write_documents: {}\n"
    plain = run_yaml(head + tail, tmp_path / "a")
    side = "  - id: raw\n    write_documents: {}\n"
    both = run_yaml(head + side + tail, tmp_path / "b")
    assert both.keys["gopher_quality"] == plain.keys["gopher_quality"]
    assert (
        both.dataset["documents"][-1]["documents"] + both.dataset["documents"][0]["documents"]
        == 80 + plain.dataset["documents"][0]["documents"]
    )


def test_until_a_global_step_does_all_its_phases(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    result = run_yaml(line(split_files(tmp_path / "in", texts, 2)), until="exact_dedup")
    row = next(row for row in result.funnel.rows if row.step == "exact_dedup")
    assert row.dropped["exact_dedup.duplicate"] >= 15


def test_a_limit_of_no_documents_ends_cleanly(
    run_yaml: RunConfig, texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "in" / "a.jsonl", texts[:5])
    source = f"""\
steps:
  - id: help
    read_jsonl: {{paths: ["{path}"], id: id}}
  - gopher_quality: {{}}
  - exact_dedup: {{}}
  - write_documents: {{}}
"""
    assert run_yaml(source, limit=0).version is None
