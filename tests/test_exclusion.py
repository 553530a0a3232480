"""Excluded pages stay out at the source, and only what held them is done again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import write_jsonl
from erase_run import FILES, PER_FILE, run_it, url_of, write_inputs
from workdir_scan import holding

from pipeline.errors import ConfigError, IntegrityError
from pipeline.execution.runner import RunResult


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    write_inputs(tmp_path / "in")
    return tmp_path / "in"


def listed(folder: Path, *lines: str) -> str:
    path = folder / "list.txt"
    path.write_text("# pages of a takedown\n\n" + "\n".join(lines) + "\n")
    return str(path)


def excluded(result: RunResult) -> dict[str, int]:
    rows = {row.step: row.dropped for row in result.funnel.rows}
    return {name: rows[name].get(f"{name}.excluded", 0) for name in ("a", "b")}


def test_named_pages_and_domains_do_not_come_in_and_no_table_names_them(inputs: Path) -> None:
    work = inputs.parent / "work"
    urls = listed(inputs, "http://a.example/page/a3k/?x=1#top", url_of("a12k"), url_of("zz"))
    domains = inputs / "domains.txt"
    domains.write_text("b.example\n")
    result = run_it(
        inputs, work, f"exclude_urls={urls}", f"exclude_domains={domains}", until="gopher_quality"
    )
    assert excluded(result) == {"a": 2, "b": PER_FILE * FILES}
    assert not holding(work, ["a3kq", "a12kq", url_of("a3k"), "b.example", "b7kq"])
    assert holding(work, ["a4kq"])


def test_a_longer_list_redoes_only_the_partitions_that_hold_its_pages(inputs: Path) -> None:
    work = inputs.parent / "work"
    first = run_it(inputs, work, until="gopher_quality")
    assert first.executed == 2 * FILES
    one = run_it(
        inputs, work, f"exclude_urls={listed(inputs, url_of('a3k'))}", until="gopher_quality"
    )
    assert (one.executed, one.reused) == (1, 2 * FILES - 1)
    both = f"exclude_urls={listed(inputs, url_of('a3k'), url_of('b25k'), url_of('nowhere'))}"
    two = run_it(inputs, work, both, until="gopher_quality")
    assert (two.executed, two.reused) == (1, 2 * FILES - 1)
    assert excluded(two) == {"a": 1, "b": 1}
    again = run_it(inputs, work, both, until="gopher_quality")
    assert (again.executed, again.keys) == (0, two.keys)
    none = run_it(inputs, work, until="gopher_quality")
    assert (none.executed, none.keys) == (0, first.keys)


def test_keys_do_not_depend_on_when_the_list_was_known(inputs: Path) -> None:
    lists = f"exclude_urls={listed(inputs, url_of('a3k'), url_of('b25k'))}"
    late = inputs.parent / "late"
    run_it(inputs, late, until="gopher_quality")
    expected = run_it(inputs, late, lists, until="gopher_quality").keys
    assert run_it(inputs, inputs.parent / "early", lists, until="gopher_quality").keys == expected


def test_a_page_that_comes_in_a_new_file_stays_out_too(inputs: Path) -> None:
    work = inputs.parent / "work"
    lists = f"exclude_urls={listed(inputs, url_of('a3k'), 'https://new.example/1')}"
    run_it(inputs, work, lists, until="gopher_quality")
    row = {"id": "n", "url": "http://www.new.example/1/", "text": "newcomer said it all."}
    write_jsonl(inputs / "a" / "part-9.jsonl", [row])
    result = run_it(inputs, work, lists, until="gopher_quality")
    assert result.executed == 1
    assert excluded(result)["a"] == 2
    assert not holding(work, ["newcomer"])


def test_a_page_taken_off_the_list_comes_back(inputs: Path) -> None:
    work = inputs.parent / "work"
    run_it(
        inputs, work, f"exclude_urls={listed(inputs, url_of('a3k'), url_of('a4k'))}",
        until="gopher_quality",
    )  # fmt: skip
    result = run_it(
        inputs, work, f"exclude_urls={listed(inputs, url_of('a3k'))}", until="gopher_quality"
    )
    assert excluded(result) == {"a": 1, "b": 0}
    assert holding(work, ["a4kq"])


@pytest.mark.parametrize(
    ("key", "text", "says"),
    [
        ("exclude_urls", "https://x.example/1\npaper.example/2\n", r"list.txt:2: .* is no URL"),
        ("exclude_domains", "x.example\n\nhttp://y.example\n", r"list.txt:3: .* is no domain"),
        ("exclude_urls", None, r"list.txt: .*Expected a UTF-8 file of urls"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_with_its_line(
    key: str, text: str | None, says: str, inputs: Path
) -> None:
    path = inputs / "list.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        run_it(inputs, inputs.parent / "work", f"{key}={path}")


def test_a_lost_list_of_erased_pages_stops_a_run(inputs: Path) -> None:
    work = inputs.parent / "work"
    (work / "exclusions").mkdir(parents=True)
    (work / "exclusions" / "erased-1.json").write_text(json.dumps({"no": 1}))
    with pytest.raises(IntegrityError, match=r"erased-1\.json is no list of excluded pages"):
        run_it(inputs, work)
