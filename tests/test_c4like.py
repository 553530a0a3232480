"""The main job on the sample web: what was planted is found, and nothing else goes missing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from slow_exports import same, stored_documents

from loader import Loader, open_dataset
from loader.export import FORMATS, export
from pipeline.execution.runner import Options, RunResult, run
from pipeline.planning.config import load_config
from pipeline.planning.plan import make_plan

SAMPLES = ROOT / "samples"


class Outcome:
    """A finished run and where each page ended."""

    def __init__(self, result: RunResult, workdir: Path) -> None:
        self.result, self.workdir = result, workdir
        self.truth = [json.loads(line) for line in (SAMPLES / "truth.jsonl").open()]
        self.kept = {row["url"] for row in self.documents()}
        self.reasons = dict(self.dropped())

    def documents(self) -> Iterator[dict[str, Any]]:
        dataset = json.loads((self.workdir / "dataset" / "dataset.json").read_text())
        for entry in dataset["documents"]:
            yield from pq.read_table(self.workdir / "dataset" / entry["file"]).to_pylist()

    def dropped(self) -> Iterator[tuple[str, str]]:
        for units in self.result.keys.values():
            for key in units.values():
                manifest = json.loads((self.workdir / "manifests" / f"{key}.json").read_text())
                for file in manifest["outputs"].get("metrics", {"files": []})["files"]:
                    table = pq.read_table(self.workdir / file["path"])
                    for row in table.select(["url", "drop_reason"]).to_pylist():
                        if row["drop_reason"]:
                            yield row["url"], row["drop_reason"]

    def of_kind(self, *kinds: str, **fields: object) -> list[dict[str, Any]]:
        return [
            row
            for row in self.truth
            if row["kind"] in kinds and all(row[name] == value for name, value in fields.items())
        ]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    workdir = tmp_path_factory.mktemp("c4like")
    paths = f'steps.web.paths=["{SAMPLES}/web/*.warc.gz"]'
    books = f'steps.books.paths=["{SAMPLES}/books.jsonl.gz"]'
    config = load_config(ROOT / "configs/c4like.yaml", [f"workdir={workdir}", paths, books])
    return Outcome(run(make_plan(config), Options()), workdir)


def test_every_page_of_the_crawl_is_kept_or_has_one_reason(outcome: Outcome) -> None:
    urls = {row["url"] for row in outcome.truth}
    assert urls == {url for url in (outcome.kept | set(outcome.reasons)) if url}
    assert not outcome.kept & set(outcome.reasons)


def test_english_pages_that_should_stay_stay(outcome: Outcome) -> None:
    wanted = outcome.of_kind("unique", language="en", expect="keep")
    assert len(wanted) > 100
    lost = {row["url"]: outcome.reasons.get(row["url"]) for row in wanted}
    lost = {url: reason for url, reason in lost.items() if url not in outcome.kept}
    assert len(lost) <= 0.03 * len(wanted), lost


def test_what_is_no_article_is_dropped_for_the_reason_that_was_planted(outcome: Outcome) -> None:
    expected = {
        "not_html": {"web.not_html"},
        "http_error": {"web.http_status"},
        "empty": {"web.empty", "extract.empty", "c4_lines.too_few_sentences"},
        "lorem_ipsum": {"c4_lines.lorem_ipsum"},
        "curly_braces": {"c4_lines.curly_bracket"},
        "adult": {"bad_words.bad_words"},
    }
    for kind, reasons in expected.items():
        for row in outcome.of_kind(kind, expect="drop"):
            assert outcome.reasons.get(row["url"]) in reasons, row


def test_of_each_planted_cluster_of_copies_at_most_one_page_stays(outcome: Outcome) -> None:
    clusters = defaultdict(set)
    for row in outcome.of_kind("exact_duplicate", "mirror", language="en"):
        clusters[row["of"]] |= {row["of"], row["url"]}
    assert len(clusters) >= 5
    for original, urls in clusters.items():
        assert len(urls & outcome.kept) <= 1, original


def test_planted_near_duplicates_of_high_similarity_are_removed(outcome: Outcome) -> None:
    """At Jaccard .85 a pair becomes a candidate with probability .988 (14 x 8)."""
    rows = outcome.of_kind("near_duplicate", language="en")
    close = [row for row in rows if row["jaccard"] >= 0.85]
    assert close
    for row in close:
        assert len({row["of"], row["url"]} & outcome.kept) <= 1, row


def test_other_languages_are_dropped_by_the_language_step_or_before(outcome: Outcome) -> None:
    for row in outcome.truth:
        if row["language"] not in ("en", None):
            assert row["url"] not in outcome.kept, row


def test_the_mixture_is_reached_within_a_thousandth_or_one_document_of_a_source(
    outcome: Outcome,
) -> None:
    longest: dict[str, int] = defaultdict(int)
    folder = outcome.workdir / "dataset"
    for entry in outcome.result.dataset["shards"]:
        for row in pq.read_table(folder / entry["file"]).to_pylist():
            longest[row["source"]] = max(longest[row["source"]], row["num_tokens"])
    train = {
        row["group"]: row for row in outcome.result.dataset["totals"] if row["split"] == "train"
    }
    for group, row in train.items():
        assert row["copies"] > 1 or row["cut_documents"] == 0, "a longer document may be cut whole"
        slack = max(row["wanted_tokens"] / 1000, longest[group])
        assert 0 <= row["wanted_tokens"] - row["written_tokens"] <= slack
    wanted = {group: row["wanted_tokens"] for group, row in train.items()}
    assert abs(wanted["web"] - 4 * wanted["books"]) <= 4  # 0.8 and 0.2, in whole tokens


def test_plain_pyarrow_reads_tokens_with_their_provenance(outcome: Outcome) -> None:
    dataset = json.loads((outcome.workdir / "dataset" / "dataset.json").read_text())
    for entry in dataset["shards"]:
        table = pq.read_table(outcome.workdir / "dataset" / entry["file"])
        assert table.schema.field("tokens").type == pa.list_(
            pa.field("element", pa.uint16(), nullable=False)
        )
        assert table.num_rows == entry["documents"]
        lengths = [len(tokens) for tokens in table["tokens"].to_pylist()]
        assert lengths == table["num_tokens"].to_pylist()
        assert sum(lengths) == entry["tokens"]
        assert set(table["url"].to_pylist()) <= outcome.kept | {None}


@pytest.mark.parametrize("name", FORMATS)
def test_every_export_holds_the_shards_in_stored_order(
    outcome: Outcome, tmp_path: Path, name: str
) -> None:
    dataset = outcome.workdir / "dataset"
    done = export(str(dataset), name, tmp_path / "out")
    for split, found in done["splits"].items():
        totals = [row for row in outcome.result.dataset["totals"] if row["split"] == split]
        assert found["tokens"] == sum(row["written_tokens"] for row in totals)
        assert found["documents"] == sum(row["written_documents"] for row in totals)
        same(name, tmp_path / "out", split, stored_documents(dataset, split))


def test_the_loader_gives_every_written_token_and_resumes_to_the_token(outcome: Outcome) -> None:
    dataset = open_dataset(str(outcome.workdir / "dataset"))
    whole = [b.tokens_BT.copy() for b in Loader(dataset, seq_len=256, batch_size=8, seed=3)]
    first = Loader(dataset, seq_len=256, batch_size=8, seed=3)
    batches = iter(first)
    for expected in whole[:20]:
        assert (next(batches).tokens_BT == expected).all()
    state = first.state_dict()
    second = Loader(dataset, seq_len=256, batch_size=8, seed=3)
    second.load_state_dict(state)
    rest = [b.tokens_BT.copy() for b in second]
    assert len(rest) == len(whole) - 20
    assert all((a == b).all() for a, b in zip(rest, whole[20:], strict=True))
