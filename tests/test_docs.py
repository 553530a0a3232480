"""The pages under docs/ say what the code does: thresholds, links, paths, commands."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import json
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipeline.cli import COMMANDS, OUTSIDE, main
from pipeline.planning.build import catalogue, stage_class
from pipeline.stage import RowStage

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


RULES = {"at_least": 2, "at_most": 2, "between": 3, "equals": 2}
"""What makes a rule -> the place of the reason among its arguments."""
SIDES = {"at_least": ["low"], "at_most": ["high"], "between": ["low", "high"]}
"""What makes a rule -> the ends of the reasons that it gives without a name."""
_SIGNALS = ("noimageai", "noindex", "noimageindex", "noarchive", "nosnippet")
NAMED_BY_KNOBS: dict[str, dict[str, Any]] = {
    "url_filter": {"lists": "l", "hard_words": "h", "soft_words": "s", "substrings": "t"},
    "consent": {**dict.fromkeys(_SIGNALS, True), "licences": ("l",), "refused_licences": ("r",)},
}
"""Stages whose code names reasons by the values of knobs -> knobs that give all of them."""
RETURNING_REASONS = {"_columns", "_page", "_text", "_decoded"}
"""Methods of read_warc that return what a document is made of, or the reason why there is none."""


def code_of(cls: type) -> list[ast.AST]:
    """Every node of the stage's classes and of the functions by which it reads or drops."""
    modules = [sys.modules[cls.__module__]]
    if hasattr(modules[0], "add_row"):
        modules.append(sys.modules["stages.documents"])
    roots: list[ast.AST] = []
    for module in modules:
        body = ast.parse(Path(str(module.__file__)).read_text("utf-8")).body
        roots += [node for node in body if isinstance(node, ast.FunctionDef)]
    for one in cls.__mro__:
        if one.__module__.split(".")[0] in ("stages", "tokenizer_training"):
            roots += ast.parse(textwrap.dedent(inspect.getsource(one))).body
    return [node for root in roots for node in ast.walk(root)]


def reasons_of(name: str) -> set[str]:
    """Every reason that the code of a stage can give."""
    cls = stage_class(name, "test")
    found: set[str] = set()
    for node in code_of(cls):
        if isinstance(node, ast.FunctionDef) and node.name in RETURNING_REASONS:
            returned = [n.value for n in ast.walk(node) if isinstance(n, ast.Return)]
            either = [n for n in returned if isinstance(n, ast.IfExp)]
            returned += [end for n in either for end in (n.body, n.orelse)]
            found |= {n.value for n in returned if isinstance(n, ast.Constant)}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "reason":
            found |= {node.value.value} if isinstance(node.value, ast.Constant) else set()
        elif isinstance(node, ast.Call):
            found |= reasons_of_call(name, node)
    missing = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    made = all(f.default is not missing or f.default_factory is not missing for f in fields)
    if issubclass(cls, RowStage) and made:
        for rule in cls(**NAMED_BY_KNOBS.get(name, {})).rules():
            low, high = rule.reasons()
            found |= {low} if rule.minimum is not None else set()
            found |= {high} if rule.maximum is not None else set()
    return found - {""}


def reasons_of_call(stage: str, node: ast.Call) -> set[str]:
    """What a call names as a reason, if it is one that does."""
    called = ast.unparse(node.func).rpartition(".")[2]
    named = {k.arg: k.value for k in node.keywords}
    given: ast.expr | None = None
    if called in RULES:
        place = RULES[called]
        given = named.get("name", node.args[place] if len(node.args) > place else None)
        if given is None:
            metric = node.args[0]
            assert isinstance(metric, ast.Constant)
            return {f"{metric.value}_too_{side}" for side in SIDES[called]}
        assert isinstance(given, ast.Constant) or stage in NAMED_BY_KNOBS, ast.unparse(node)
    elif called == "refuse":
        given = node.args[0]
    elif called == "Processed" and "drop" in named:
        given = named.get("reason", ast.Constant("dropped"))
    return {given.value} if isinstance(given, ast.Constant) else set()


@pytest.mark.parametrize("name", catalogue())
def test_thresholds_md_explains_every_reason_for_which_a_stage_drops(name: str) -> None:
    text = (DOCS / "thresholds.md").read_text("utf-8")
    lines = re.findall(rf"^- `{name}\.([\w-]+)`: (.+)\.$", text, re.MULTILINE)
    assert {reason for reason, _ in lines} >= reasons_of(name)
    # A bound alone explains nothing: each line has words of its own.
    assert not [reason for reason, says in lines if re.fullmatch(r"[^;]*; `\w+`", says)]


def test_what_benchmarks_md_says_of_whatif_stands_in_its_result() -> None:
    found = json.loads((ROOT / "benchmarks/results/whatif.json").read_text("utf-8"))
    page = (DOCS / "benchmarks.md").read_text("utf-8")
    part = page.partition("\n## whatif")[2].partition("\n## ")[0]
    ours = found["ours"]
    assert f"held {ours['peak_process_rss_bytes'] / 1e6:.0f} MB at most" in part
    assert found["machine"]["command"] in part
    ratio = found["other_ratios"]["run_vs_slowest_question_a_document"]
    assert f"takes {ratio:.0f} times as much" in part
    rows = re.findall(r"^\| ([^|:]+?)(?::[^|]*)? \| ([\d.]+) \| ([\d,]+) \|$", part, re.MULTILINE)
    said = {name: (float(cpu), int(changed.replace(",", ""))) for name, cpu, changed in rows}
    changes = ("newly_kept", "newly_dropped", "other_reason")
    assert said == {
        name: (round(one["cpu_seconds"], 1), sum(one[change] for change in changes))
        for name, one in ours["questions"].items()
    }


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
