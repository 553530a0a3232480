"""The pages under docs/ say what the code does: thresholds, links, paths, commands."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.build import catalogue
from pipeline.cli import COMMANDS, OUTSIDE, main

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
OURS = [page for page in PAGES if page.parent.name != "notes" and page.name != "design.md"]
"""Pages that describe the code as it is."""

_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_PATH = re.compile(
    r"`((?:pipeline|stages|tokenizer_training|loader|configs|samples|tests|benchmarks|docs)"
    r"/[\w/.-]+\.(?:py|md|yaml|json))`"
)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", without_code(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_thresholds_md_is_what_the_generator_makes() -> None:
    stored = (DOCS / "thresholds.md").read_text("utf-8")
    made: str = generator().page()
    assert stored == made, "the code changed: run python docs/generate.py"


def test_thresholds_md_has_every_stage_and_no_empty_source() -> None:
    text = (DOCS / "thresholds.md").read_text("utf-8")
    assert re.findall(r"^## ([a-z_0-9]+)$", text, re.MULTILINE) == list(catalogue())
    rows = [line for line in text.splitlines() if line.startswith("| `") and line.count("|") > 3]
    assert not [row for row in rows if row.endswith("|  |")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    lost = []
    for target in _LINK.findall(without_code(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            lost.append(target)
    assert not lost


@pytest.mark.parametrize("page", OURS, ids=name_of)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = set(_PATH.findall(page.read_text("utf-8")))
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", OURS, ids=name_of)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    shown = set(re.findall(r"python3? -m pipeline (\w+)", page.read_text("utf-8")))
    assert shown <= {*COMMANDS, *OUTSIDE}


def test_the_command_stages_lists_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stages"]) == 0
    listed = re.findall(r"^([a-z_0-9]+)  \(", capsys.readouterr().out, re.MULTILINE)
    assert listed == list(catalogue())


def test_decisions_are_numbered_and_say_whether_they_hold() -> None:
    decisions = sorted((DOCS / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in decisions] == list(range(1, len(decisions) + 1))
    for page in decisions:
        text = page.read_text("utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. "), page.name
        assert re.search(r"^\*\*Status\*\*: (in force|replaced by)", text, re.MULTILINE), page.name
        assert "## Decision" in text, page.name
        assert "## Consequences" in text, page.name
