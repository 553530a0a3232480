"""The watchdog: a document that hangs a stage is left out, and nothing else is lost."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, InputError
from pipeline.execution import quarantine, watch
from pipeline.files.uris import open_storage
from pipeline.results.publish import published_sha256

STAGE = '''
import os
import re
from dataclasses import dataclass

from pipeline.stage import Filter, Page, Rules, at_least

@dataclass(frozen=True)
class Hangs(Filter):
    """A regular expression that never ends on some texts, and lets no other thread run."""

    def measure(self, page: Page) -> dict[str, float]:
        if os.environ.get("HANGS") and "hang" in page.text:
            re.match(r"(a+)+$", "a" * 60 + "b")
        return {"chars": len(page.text)}

    def rules(self) -> Rules:
        return (at_least("chars", 1),)
'''
LINE = """
name: hangs
seed: 1
workdir: work
steps:
  - id: texts
    read_jsonl: {paths: ["texts-*.jsonl"]}
  - id: hangs
    stages_of_ours:Hangs: {}
  - write_documents: {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of twenty texts; two of the second one hang."""
    (tmp_path / "stages_of_ours.py").write_text(STAGE)
    (tmp_path / "line.yaml").write_text(LINE)
    for number in range(3):
        texts = [f"text {number}.{row} of a file" for row in range(20)]
        if number == 1:
            texts[7], texts[13] = "this one does hang", "and so does this, hanging"
        lines = [json.dumps({"text": text, "id": f"{number}-{row}"}) + "\n"
                 for row, text in enumerate(texts)]  # fmt: skip
        (tmp_path / f"texts-{number}.jsonl").write_text("".join(lines))
    return tmp_path


def run(folder: Path, workers: int, work: str = "work", **more: str) -> dict[str, Any]:
    """What the command says on both its outputs; it has to succeed."""
    words = [sys.executable, "-m", "pipeline", "run", "line.yaml", "--json"]
    words += ["--workers", str(workers), "--set", f"workdir={folder / work}"]
    environment = {**os.environ, "RAY_ADDRESS": "local", "PYTHONPATH": str(ROOT), **more}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "said": done.stderr}


def test_on_ray_documents_that_hang_go_into_quarantine_and_nothing_else_changes(
    folder: Path,
) -> None:
    found = run(folder, 2, HANGS="1", TOKENMILL_WATCHDOG_SECONDS="1.5")
    [path] = (folder / "work" / "quarantine").glob("*.json")
    entries = json.loads(path.read_bytes())
    assert [entry["step"] for entry in entries] == ["hangs", "hangs"]
    assert found["said"].count("put into quarantine, as it took too long") == 2
    texts, hangs, *_ = found["funnel"]["steps"]
    assert (texts["documents_in"], hangs.get("quarantined", 0) + texts["quarantined"]) == (60, 2)
    again = run(folder, 0, HANGS="1")
    assert again["funnel"] == found["funnel"]
    assert again["said"].count("warning") == 0
    # The same bytes as with a list that was there from the start, and a stage that never hangs.
    (folder / "other" / "quarantine").mkdir(parents=True)
    (folder / "other" / "quarantine" / path.name).write_bytes(path.read_bytes())
    run(folder, 0, "other")
    bytes_of = [published_sha256(open_storage(str(folder / work))) for work in ("work", "other")]
    assert bytes_of[0] == bytes_of[1]


def test_without_ray_it_only_warns(folder: Path) -> None:
    stage = STAGE.replace('re.match(r"(a+)+$", "a" * 60 + "b")', "__import__('time').sleep(2)")
    (folder / "stages_of_ours.py").write_text(stage)
    found = run(folder, 0, HANGS="1", TOKENMILL_WATCHDOG_SECONDS="0.5")
    warnings = [line for line in found["said"].splitlines() if "warning" in line]
    assert len(warnings) == 2
    assert all("step 'hangs' has had the document " in line for line in warnings)
    assert not (folder / "work" / "quarantine").exists()
    assert found["funnel"]["steps"][0]["documents_in"] == 60


def test_the_watchdog_ends_with_its_process_however_that_ends(folder: Path) -> None:
    words = [sys.executable, "-m", "pipeline", "run", "line.yaml", "--workers", "0"]
    environment = {**os.environ, "HANGS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE) as process:
        watchdog = child_of(process.pid)
        process.kill()
    assert gone(watchdog)


def child_of(parent: int) -> int:
    """The watchdog of a process, once it has one."""
    last = time.monotonic() + 60
    while time.monotonic() < last:
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                of = int(path.read_text().rpartition(")")[2].split()[1])
                words = (path.parent / "cmdline").read_bytes()
            except (OSError, ValueError, IndexError):
                continue
            if of == parent and b"watchdog.py" in words:
                return int(path.parent.name)
        time.sleep(0.02)
    raise AssertionError("no watchdog came")


def gone(process: int) -> bool:
    last = time.monotonic() + 10
    while time.monotonic() < last:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_limit_of_nothing_starts_no_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(watch.VARIABLE, "0")
    monkeypatch.setattr(watch, "_watched", None)
    with watch.at("root", "unit", "step"):
        assert list(watch.one_by_one(lambda: [bytes(16)], ["row"])) == ["row"]
    assert watch._watched is None


def test_a_limit_that_is_no_number_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(watch.VARIABLE, "soon")
    with pytest.raises(ConfigError, match="WATCHDOG_SECONDS='soon' in the environment"):
        watch.limit()


def test_what_is_in_hand_is_told_from_the_first_row_to_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "_watched", watched := watch._Watched(60.0))
    ids = [bytes([number]) * 16 for number in range(3)]
    seen = []
    with watch.at("root", "unit", "step"):
        for _ in watch.one_by_one(lambda: ids, range(3)):
            seen.append(watch.read_page(watched._page[:]))
    assert [found and found.doc_id for found in seen] == ids
    # The first one may find models to load.
    assert [found and found.seconds for found in seen] == [600.0, 60.0, 60.0]
    assert {found.place for found in seen if found} == {watch.Place("root", "unit", "step", False)}
    assert watch.read_page(watched._page[:]) is None
    watched._end()


def test_the_time_of_compiling_kernels_is_no_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_watched", watched := watch._Watched(60.0))
    with watch.at("root", "unit", "step"):
        rows = watch.one_by_one(lambda: [bytes(16)], ["row"])
        next(rows)
        before = watch.read_page(watched._page[:])
        watch.rest()
        watch.rest()
        watch.resume()
        assert watch.read_page(watched._page[:]) is None
        watch.resume()
        after = watch.read_page(watched._page[:])
    assert before
    assert after
    assert after.since > before.since
    assert (after.number, after.doc_id) == (before.number, before.doc_id)
    rows.close()
    watch.rest()
    watch.resume()
    assert watch.read_page(watched._page[:]) is None
    watched._end()


Entries = st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.sampled_from("abc")))


@given(added=Entries, removed=Entries)
def test_a_list_holds_what_was_added_and_not_removed(
    tmp_path_factory: pytest.TempPathFactory,
    added: list[tuple[bytes, str]],
    removed: list[tuple[bytes, str]],
) -> None:
    storage = open_storage(str(tmp_path_factory.mktemp("work")))
    left: set[tuple[str, str]] = set()
    for doc_id, step in added:
        entry = doc_id.hex(), step
        assert quarantine.add(storage, "unit", *entry) == (entry not in left)
        left.add(entry)
    for doc_id, step in [*removed, *added[::2]]:
        quarantine.remove(storage, "unit", doc_id.hex(), step)
        left.discard((doc_id.hex(), step))
    assert quarantine.entries_of(storage, "unit") == sorted(left)
    assert quarantine.read_quarantine(storage) == ({"unit": sorted(left)} if left else {})


def test_a_list_that_is_none_is_an_error_that_names_it(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    for content in (b"{", b'[{"doc_id": "zz", "step": "a"}]', b'[{"step": "a"}]', b"[1]"):
        storage.put("quarantine/unit.json", content)
        with pytest.raises(InputError, match=r"quarantine/unit\.json: not a quarantine list"):
            quarantine.entries_of(storage, "unit")


def test_news_of_a_quarantine_travel_between_processes() -> None:
    news = quarantine.NewlyQuarantinedError("extract, unit 1", "1" * 32, (("2" * 32, "extract"),))
    found = pickle.loads(pickle.dumps(news))
    assert (str(found), found.unit, found.entries) == (str(news), news.unit, news.entries)
    assert found.exit_code == news.exit_code
