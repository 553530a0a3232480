"""Extraction's evaluation: predictions, gold and its judge, the sides of the benchmark."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import extraction, peers, report, web
from benchmarks.measure import MeasureError
from pipeline.errors import InputError
from stages.charset import to_utf8
from stages.extract import __main__ as command
from stages.extract import gold, predict
from stages.extract.result import Extracted

ROWS: list[dict[str, Any]] = [
    {"id": "a", "url": "https://a.example/1", "html": "<p>Grüße aus Köln</p>"},
    {"id": "b", "url": None, "html": "<p>\ud800 half a pair</p>"},
    {"id": "c", "url": "https://a.example/2", "html": "<p>raise</p>"},
    {"id": "d", "url": "https://a.example/3", "html": ""},
]
GOLD: list[dict[str, Any]] = [
    {
        "id": "1", "origin": "wcxb", "page_type": "forum", "lang": "en",
        "gold_text": "The house by the river was sold in winter and nobody has seen the sailor.",
    },
    {
        "id": "2", "origin": "wcxb", "page_type": "article", "lang": "en-US",
        "gold_text": "北京的冬天很冷，我们在图书馆里看书，晚上一起吃饭，然后回家睡觉。",
    },
    {
        "id": "3", "origin": "eval", "page_type": "article", "lang": "ru_RU", "gold_text": None,
        "must_contain": ["x1"], "must_not_contain": ["menu"],
    },
]  # fmt: skip


def letters(html: bytes, url: str | None) -> Extracted:
    """An engine that drops tags, and fails on a page that says so."""
    text = re.sub(rb"<[^>]*>", b"", html).decode()
    if text == "raise":
        raise ValueError(text)
    return Extracted(text)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """`load_engine` gives `letters`; the list holds what it was asked for."""
    asked: list[dict[str, Any]] = []
    module = types.ModuleType("stages.extract.engines")

    def load_engine(name: str, **options: Any) -> Callable[[bytes, str | None], Extracted]:
        asked.append({"name": name, **options})
        return letters

    module.load_engine = load_engine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


def write_gold(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def need_judge() -> None:
    if not gold.scorer_path().exists():
        pytest.skip(f"no judge in TOKENMILL_SHARED at {gold.scorer_path()}")


# --- predict -----------------------------------------------------------------------------------


def test_predict_writes_every_page_in_order_and_the_same_bytes_every_time(
    tmp_path: Path, engine: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_gold(tmp_path / "gold.jsonl.gz", ROWS)
    outs = [tmp_path / name / "preds.jsonl.gz" for name in ("one", "two")]
    for out in outs:
        assert command.main(["predict", str(source), "--out", str(out)]) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(outs[0].read_bytes()).splitlines()]
    assert [row["id"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["text"] for row in rows][::2] == ["Grüße aus Köln", ""]
    assert list(outs[0].parent.iterdir()) == [outs[0]]
    shown = capsys.readouterr().out
    assert "4 pages, 2 without text, 1 failed" in shown
    assert "ValueError: 1" in shown
    assert "engine alone" in shown
    assert "with charset" in shown
    assert engine == [{"name": "blocks"}] * 2


def test_predict_reads_a_folder_in_name_order_and_hands_options_on(
    tmp_path: Path, engine: list[dict[str, Any]]
) -> None:
    write_gold(tmp_path / "in" / "b.jsonl", ROWS[:1])
    write_gold(tmp_path / "in" / "a.jsonl.gz", ROWS[3:])
    (tmp_path / "in" / "README.md").write_text("no gold")
    out = tmp_path / "preds.jsonl"
    given = ["--engine", "trafilatura", "--favor", "recall", "--comments", "keep", "--fallback"]
    assert command.main(["predict", str(tmp_path / "in"), "--out", str(out), *given]) == 0
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["d", "a"]
    assert engine == [{"name": "trafilatura", "favor": "recall", "comments": "keep", "fast": False}]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no gold pages"), ("[]\n", "string `id`"), ('{"id": "x"}', "html"), ("{", "JSON")],
)
def test_predict_refuses_what_is_no_gold_and_leaves_nothing(
    tmp_path: Path, engine: object, capsys: pytest.CaptureFixture[str],
    content: str | None, message: str,
) -> None:  # fmt: skip
    source = tmp_path / "gold.jsonl"
    if content is not None:
        source.write_text(content)
    out = tmp_path / "out" / "preds.jsonl.gz"
    assert command.main(["predict", str(source), "--out", str(out)]) == InputError.exit_code
    assert message in capsys.readouterr().err
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_predict_refuses_a_name_that_the_judge_cannot_read(
    tmp_path: Path, engine: object, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_gold(tmp_path / "gold.jsonl", ROWS)
    assert command.main(["predict", str(source), "--out", str(tmp_path / "p.txt")]) == 3
    assert ".jsonl.gz" in capsys.readouterr().err


def test_a_broken_gzip_is_an_input_error(tmp_path: Path) -> None:
    path = write_gold(tmp_path / "gold.jsonl.gz", ROWS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"gold\.jsonl\.gz"):
        list(gold.read_gold([path]))


def test_start_up_is_paid_on_a_page_of_our_own() -> None:
    html, charset = to_utf8(predict._WARM_UP)
    assert charset == "windows-1252"
    assert "“Quoted”" in html.decode()
    seen: list[bytes] = []

    def engine(page: bytes, url: str | None) -> Extracted:
        seen.append(page)
        return Extracted("x")

    speed = predict.Speed()
    texts = list(predict.extracted(ROWS, lambda: engine, speed))
    assert texts == ["x"] * 4
    assert len(seen) == 5
    assert len(speed.engine) == len(speed.charset) == 4


def test_training_is_loaded_only_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "stages.extract.training", None)
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    assert "train" in capsys.readouterr().out
    with pytest.raises(ImportError):
        command.main(["train", "gold"])


# --- Gold and its judge ------------------------------------------------------------------------


def test_quality_groups_by_origin_page_type_and_language() -> None:
    need_judge()
    texts = {"1": GOLD[0]["gold_text"], "2": "", "3": "x1 menu"}
    found = gold.quality(GOLD, texts)
    assert found["pages"] == 3
    assert found["empty"] == 1
    assert found["origins"] == {"eval": 0.0, "wcxb": 0.5}
    assert found["macro"] == 0.25
    assert found["page_types"] == {"article": 0.0, "forum": 1.0}
    assert list(found["languages"]) == [*gold.LANGUAGES, "other"]
    assert found["languages"]["en"]["page_f1"] == 1.0
    assert found["languages"]["zh"] == {
        "pages": 1, "gold_pages": 1, "page_f1": 0.0, "snippet_f1": None
    }  # fmt: skip
    assert found["languages"]["ru"]["pages"] == 1
    assert found["languages"]["th"]["pages"] == 0


def test_the_language_is_that_of_the_text_and_else_that_of_the_page() -> None:
    assert [gold.language_of(row) for row in GOLD] == ["en", "zh", "ru"]
    assert gold.language_of({"gold_text": "\x01\ud800", "lang": "xx"}) == "other"
    assert gold.language_of({"gold_text": None, "lang": None}) == "other"


def test_the_digest_names_files_and_contents_but_no_folder(tmp_path: Path) -> None:
    paths = [write_gold(tmp_path / name / "x.jsonl", ROWS) for name in ("one", "two")]
    assert gold.gold_digest([paths[0]]) == gold.gold_digest([paths[1]])
    other = write_gold(tmp_path / "one" / "y.jsonl", ROWS)
    assert gold.gold_digest([other]) != gold.gold_digest([paths[0]])
    assert gold.gold_digest([paths[0], other]) == gold.gold_digest([other, paths[0]])


# --- The benchmark -----------------------------------------------------------------------------


def test_peers_are_the_versions_that_ours_uses() -> None:
    text = (report.ROOT / "constraints.txt").read_text()
    ours = {
        name.lower(): version
        for name, _, version in (line.partition("==") for line in text.splitlines())
        if version
    }
    pinned = {name.lower(): version for name, version in peers.pins("extractors").items()}
    shared = set(pinned) & set(ours)
    assert {"trafilatura", "resiliparse", "lxml", "justext", "htmldate", "courlan"} <= shared
    assert {name: pinned[name] for name in shared} == {name: ours[name] for name in shared}
    assert set(pinned) - shared == {"chardet", "cssselect", "readability-lxml"}


def test_both_sides_read_the_same_bytes(tmp_path: Path) -> None:
    pages = [web.Page("a", "https://a.example/", "<p>ü</p>"), web.Page("b", "", "<p>\ud800</p>")]
    made = extraction.raw_pages("x", pages, tmp_path)
    assert extraction.raw_pages("x", pages, tmp_path) == made
    spans = json.loads((made.folder / "pages.json").read_text())
    data = (made.folder / "pages.bin").read_bytes()
    assert [data[start:end] for *_, start, end in spans] == [
        b"<p>\xc3\xbc</p>",
        b"<p>\xed\xa0\x80</p>",
    ]
    assert made.bytes == len(data)
    assert [path.name for path in tmp_path.iterdir()] == [made.folder.name]
    assert extraction.raw_pages("x", pages[:1], tmp_path).sha256 != made.sha256


def driver() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("extract_pages", extraction.SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [name for name in extraction.SETTINGS if "readab" not in name])
def test_the_loop_of_every_side_gives_each_page_its_text(
    tmp_path: Path, name: str, engine: object
) -> None:
    pages = web.startup_pages(2)
    made = extraction.raw_pages("x", pages, tmp_path)
    extractor, settings = extraction.SETTINGS[name]
    driver().main(extractor, made.folder, tmp_path / "out", settings)
    rows = [json.loads(line) for line in (tmp_path / "out" / "texts.jsonl").open()]
    assert [row["id"] for row in rows] == [page.id for page in pages]
    for row, page in zip(rows, pages, strict=True):
        first = page.html.partition("<p>")[2].partition(".")[0]
        assert first in row["text"]
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    assert about["failed"] == {}
    assert len(about["seconds"]) == 2


def test_a_page_that_breaks_an_extractor_is_counted_and_empty(
    tmp_path: Path, engine: object
) -> None:
    pages = [web.Page("a", "", "<p>raise</p>"), web.Page("b", "", "<p>fine</p>")]
    made = extraction.raw_pages("x", pages, tmp_path)
    driver().main("blocks", made.folder, tmp_path / "out", {})
    rows = [json.loads(line) for line in (tmp_path / "out" / "texts.jsonl").open()]
    assert [row["text"] for row in rows] == ["", "fine"]
    assert json.loads((tmp_path / "out" / "about.json").read_text())["failed"] == {"ValueError": 1}


@pytest.mark.slow
def test_readability_runs_in_the_peers_own_environment(tmp_path: Path) -> None:
    made = extraction.raw_pages("x", web.startup_pages(2), tmp_path)
    side = extraction.extractor("readability_lxml").side
    out = tmp_path / "out"
    subprocess.run(side.command(made, out), check=True, cwd=report.ROOT)
    found = side.look(out)
    assert len(found["texts"]) == 2
    assert all(text.count("\n") >= 5 for text in found["texts"].values())


def cross_validation(digest: str) -> dict[str, Any]:
    figures = {"macro": 0.94, "origins": {"wcxb": 0.9}, "page_types": {"forum": 0.88}}
    languages = {"ko": {"pages": 4, "gold_pages": 4, "page_f1": 0.8, "snippet_f1": None}}
    return {
        "digest": digest,
        "cv": {**figures, "languages": languages},
        "leave_one_origin_out": {"macro": 0.93, "origins": {"wcxb": 0.85}},
    }


def test_our_quality_on_the_training_pages_is_out_of_fold(tmp_path: Path) -> None:
    need_judge()
    judge = extraction.Gold(GOLD, [], "all", "small")
    path = tmp_path / "cv.json"
    missing = extraction.our_quality(judge, {}, {}, path)
    assert "train" in missing["basis"]
    assert "quality" not in missing
    for digest, pages in (("all", "quality_with_large"), ("small", "quality")):
        path.write_text(json.dumps(cross_validation(digest)))
        found = extraction.our_quality(judge, {}, {}, path)
        assert "cross-validation" in found["basis"]
        assert found["compare_with"] == pages
        assert found["quality"]["macro"] == 0.94
    path.write_text(json.dumps(cross_validation("other pages")))
    direct = extraction.our_quality(judge, {"1": GOLD[0]["gold_text"]}, {}, path)
    assert "not the pages of its training" in direct["basis"]
    assert direct["quality"]["page_types"]["forum"] == 1.0


def test_the_cross_validation_was_made_on_the_gold_at_hand(shared_data: Path) -> None:
    if not extraction.CROSS_VALIDATION.exists():
        pytest.skip("no cross-validation is committed yet")
    known = json.loads(extraction.CROSS_VALIDATION.read_text())["digest"]
    judge = extraction.gold(shared_data, ())
    assert known in (judge.digest, judge.digest_without_large)


def test_without_the_judge_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENMILL_SHARED", str(tmp_path))
    gold.scorer.cache_clear()
    with pytest.raises(MeasureError, match="TOKENMILL_SHARED"):
        extraction.run(report.Options(True, tmp_path, 3))


def test_kept_texts_are_read_back_and_belong_to_one_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = web.Web(tmp_path, 2, 9, "0" * 64)
    names = {extraction.stored_texts(name, made, tmp_path) for name in extraction.SETTINGS}
    assert len(names) == len(extraction.SETTINGS)
    other = web.Web(tmp_path, 2, 9, "1" * 64)
    assert extraction.stored_texts("trafilatura", other, tmp_path) not in names
    monkeypatch.setattr(extraction, "stored_texts", lambda name, web: tmp_path / "kept.jsonl.gz")
    extraction.keep_texts(tmp_path / "kept.jsonl.gz", {"a": "\ud800 ü"})
    side: Any = None  # must not be run
    assert extraction.texts_of(extraction.Extractor("resiliparse", side), made) == {"a": "\ud800 ü"}
