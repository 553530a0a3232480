"""The benchmarks' own tools: the measurer sees all CPU, inputs and reports are what they claim."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import burner, measure, peers, report, web
from benchmarks.ledger import Ledger, Sight
from benchmarks.measure import MeasureError, Usage

USAGE = Usage(12.0, 6.0, 3 << 20, 4 << 20, 2 << 20, "sampling", 0)
IDLE = Usage(2.0, 1.0, 1 << 20, 1 << 20, 1 << 20, "sampling", 0)


@pytest.mark.parametrize("method", measure.METHODS)
def test_burners_are_counted_wherever_they_hide(method: str) -> None:
    try:
        measure.open_counter(method, "A=1").close()
    except MeasureError as error:
        pytest.skip(str(error))
    usage, burned = burner.check(method, 0.4)
    assert usage.cpu_seconds == pytest.approx(burned, rel=0.08)
    assert usage.method == method
    assert usage.killed == 0
    assert 0 < usage.peak_process_rss_bytes <= usage.peak_rss_bytes


@pytest.mark.parametrize("method", ["sampling", None])
def test_what_outlives_the_command_is_killed(method: str | None) -> None:
    daemon = "import os,time\nif os.fork() == 0:\n os.setsid()\n time.sleep(300)"
    usage = measure.measure([sys.executable, "-c", daemon], method=method, grace=0.2)
    assert usage.killed == 1
    assert usage.wall_seconds < 60


def test_a_failed_command_is_an_error_with_its_output(tmp_path: Path) -> None:
    failing = [sys.executable, "-c", "raise SystemExit('no such luck')"]
    with pytest.raises(MeasureError, match="no such luck"):
        measure.measure(failing, log=tmp_path / "log")


def test_ledger_counts_nothing_twice() -> None:
    ledger = Ledger()

    def see(*sights: tuple[int, int, float, float]) -> None:
        """(pid, parent, own, waited) of all living members."""
        ledger.observe({s[0]: Sight(s[0], s[1], 7, s[2], s[3], False) for s in sights})

    see((10, 1, 1.0, 0.0), (11, 10, 2.0, 0.0), (12, 10, 3.0, 0.0))
    assert ledger.total() == 6.0
    see((10, 1, 1.0, 2.5), (12, 10, 3.0, 0.0))  # 11 ran on to 2.5 and was waited for
    assert ledger.total() == 6.5
    see((10, 1, 1.0, 2.5), (12, 10, 3.0, 0.0), (13, 12, 1.0, 0.0))
    see((10, 1, 1.0, 2.5), (13, 1, 1.5, 0.0))  # 12 ended unnoticed; 13 was adopted by init
    assert ledger.total() == pytest.approx(1.0 + 5.0 + 1.5)
    see()  # 10 and 13 ended, nobody waited
    assert ledger.total() == pytest.approx(7.5)
    see((11, 99, 0.5, 0.0))  # the pid is used again, by another process of the tree
    assert ledger.processes == 4


def test_input_is_the_same_every_time(tmp_path: Path) -> None:
    pages = [*web.startup_pages(), web.Page("x", "https://a.example/ü?q=1", "<p>ümlaut\ud800</p>")]
    first = web.write_web(pages, tmp_path / "one", 2)
    second = web.write_web(pages, tmp_path / "two", 2)
    assert first.sha256 == second.sha256
    assert first.documents == 3
    names = [p.name for p in sorted(first.folder.iterdir())]
    assert names == ["part-00000.warc.gz", "part-00001.warc.gz"]
    for name in names:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    records = gzip.decompress((first.folder / names[0]).read_bytes())
    assert records.count(b"WARC-Type: response") == 2
    assert web.write_web(pages[:2], tmp_path / "two", 2).sha256 != first.sha256


def test_our_reader_reads_every_page(tmp_path: Path) -> None:
    from pipeline.stage import Partition, Side
    from stages.read_warc import ReadWarc

    written = web.write_web(web.startup_pages(), tmp_path / "web", 1)
    path = written.folder / "part-00000.warc.gz"
    partition = Partition("web", str(path), path.name, path.stat().st_size, "")
    with path.open("rb") as stream:
        batches = list(ReadWarc((str(path),)).read(partition, stream, Side("web", 1)))
    assert not any(batch.refused or batch.damage for batch in batches)
    tables = [batch.documents for batch in batches if batch.documents is not None]
    assert [url for table in tables for url in table["url"].to_pylist()] == [
        page.url for page in web.startup_pages()
    ]


def test_gold_pages_come_in_one_order(shared_data: Path) -> None:
    pages = web.gold_pages(shared_data)
    assert len(pages) == len({page.url for page in pages}) > 1000
    assert not any(page.id.startswith("wcxb-large") for page in pages)
    assert web.gold_pages(shared_data, 20) == pages[:20]
    repeated = list(web.copies(pages[:3], 7))
    assert len({page.url for page in repeated}) == 7
    assert [page.html for page in repeated] == [pages[at % 3].html for at in range(7)]


def test_no_pages_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="--data"):
        web.gold_pages(tmp_path)


def stub(**changes: Any) -> report.Report:
    """A report of `engine` as a benchmark would hand it back."""
    side = report.side_json([USAGE], IDLE, {"workers": 2})
    given: dict[str, Any] = {
        "name": "engine",
        "input": {"documents": 3, "bytes": 9, "sha256": "0" * 64},
        "ours": side,
        "peers": {"pool": side},
        "ratios": {"ours_vs_pool": report.ratio([USAGE], IDLE, [USAGE] * 3, IDLE)},
        "other_ratios": {},
        "versions": report.our_versions(),
        "machine": report.machine("python -m benchmarks engine"),
        **changes,
    }
    return report.Report(**given)


def test_report_has_the_fixed_shape(tmp_path: Path) -> None:
    found = stub().to_json()
    assert list(found) == list(report.KEYS)
    assert set(found["input"]) >= {"documents", "bytes", "sha256"}
    assert found["ratios"] == {"ours_vs_pool": 1.0}
    assert json.loads(json.dumps(found)) == found


def test_report_with_other_ratios_is_refused() -> None:
    with pytest.raises(MeasureError, match="ours_vs_pool"):
        stub(ratios={"ours_vs_ray": 1.0}).to_json()
    with pytest.raises(ValueError):
        stub(ratios={"ours_vs_pool": float("nan")}).to_json()


def test_start_up_is_left_out_and_noise_is_refused() -> None:
    twice = Usage(22.0, 11.0, 1, 1, 1, "sampling", 0)
    assert report.ratio([twice], IDLE, [USAGE] * 3, IDLE) == 2.0
    with pytest.raises(MeasureError, match="too small"):
        report.ratio([IDLE], IDLE, [USAGE], IDLE)


def test_table_is_made_from_the_results(tmp_path: Path) -> None:
    (tmp_path / "engine.json").write_text(json.dumps(stub(other_ratios={"memory": 0.5}).to_json()))
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
    made = report.write_table(page, tmp_path)
    assert "| engine | **ours_vs_pool** | **1.00** | 3 documents | 1 / 1 | `" in made
    assert "| engine | memory | 0.50 | 3 documents | 1 / 1 |  |" in made
    assert page.read_text() == f"before\n<!-- table -->\n{made}<!-- end of table -->\nafter\n"


def test_the_table_names_the_command_of_a_result_without_a_headline_and_the_part_of_a_ratio(
    tmp_path: Path,
) -> None:
    found = stub().to_json() | {"ratios": {}, "other_ratios": {"a": 2, "b": 3}}
    (tmp_path / "whatif.json").write_text(json.dumps(found))
    found |= {"ratios": {"ours_vs_datatrove_four_filters": 4}, "other_ratios": {"whole": 2}}
    found["peers"] = {"datatrove": {"documents": 2, "turns": [1]}, "same": {"turns": [1, 2]}}
    (tmp_path / "filters.json").write_text(json.dumps(found))
    rows = report.table(tmp_path).splitlines()[2:]
    assert [row.count("`") for row in rows] == [2, 0, 2, 0]
    assert rows[0].startswith("| filters | **ours_vs_datatrove_four_filters** | **4.00** | 2 doc")
    assert "| filters | whole | 2.00 | 3 documents |" in rows[1]


def test_the_page_shows_the_committed_results() -> None:
    assert report.table() in report.PAGE.read_text(), "run `python -m benchmarks table`"


@pytest.mark.parametrize(("name", "state"), [("nonsense", "no benchmark"), ("scale", "not built")])
def test_an_unknown_name_says_what_there_is(
    name: str, state: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "built", lambda: ["end_to_end", "engine"])
    assert command.main([name, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert state in err
    assert "end_to_end, engine" in err


def test_both_benchmarks_are_found() -> None:
    assert {"end_to_end", "engine"} <= set(command.built())


def test_every_peer_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert peers.pins("datatrove")["datatrove"] == "0.10.1"
    with pytest.raises(MeasureError, match="datatrove"):
        peers.pins("nobody")
    monkeypatch.setattr(peers, "LISTS", tmp_path)
    (tmp_path / "loose.txt").write_text("datatrove>=0.10\n")
    with pytest.raises(MeasureError, match="not pinned"):
        peers.pins("loose")


@pytest.mark.slow
def test_pool_and_engine_keep_the_same_documents(tmp_path: Path) -> None:
    """The bare pool does the engine's work: `engine` refuses a result where they differ."""
    from benchmarks import engine

    pages = list(web.copies(web.startup_pages(), 6))
    written = web.write_web(pages, tmp_path / "web", 3)
    for side in (engine.pool_side(), engine.our_side(0)):
        out = tmp_path / side.name.split()[0]
        subprocess.run(side.command(written, out), check=True, cwd=report.ROOT)
        assert len(side.look(out)) == 2
