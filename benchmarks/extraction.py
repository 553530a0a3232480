"""Main text of web pages: our engine `blocks` against trafilatura's fastest setting, and others.

Every side is one process that runs the same loop over the same bytes (`peers/extract_pages.py`);
peers in an environment of their own. Peers are handed text decoded as the UTF-8 that it is; ours
gets the bytes and must find the charset, as in the pipeline. Start-up is one small page: imports,
model, kernels (compiled once and cached on disk).

Quality is judged by `score_extraction.py` on the same pages. Ours was trained on them, so its
figure is that of the cross-validation, read from `results/extraction_cv.json`, where every page is
extracted by a model that has not seen its domain; what is timed is the shipped model. On other
pages (`--data`) the shipped model's own texts are judged.

The 142 large pages of `wcxb-large` are judged apart and not timed: their texts by peers are kept
in `.data/predictions`, as they cannot change while version, settings and pages do not.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import MeasureError
from benchmarks.peers import LISTS, environment, peer_environment, pins, python_of
from benchmarks.report import (
    RESULTS,
    ROOT,
    Options,
    Report,
    input_json,
    our_versions,
    plain_ratio,
    ratio,
    side_json,
)
from benchmarks.turns import Side, alternate, pages_for, say
from benchmarks.web import FOLDER, Page, Web, gold_pages, startup_pages
from pipeline.errors import InputError
from stages.extract.gold import gold_digest, quality, read_gold, scorer, scorer_path

OURS = "blocks"
MAIN_PEER = "trafilatura_fast"
SETTINGS: Mapping[str, tuple[str, Mapping[str, bool]]] = {
    OURS: ("blocks", {}),
    MAIN_PEER: ("trafilatura", {"include_comments": False, "fast": True}),
    "trafilatura": ("trafilatura", {"include_comments": False}),
    "trafilatura_precision": ("trafilatura", {"include_comments": False, "favor_precision": True}),
    "trafilatura_recall": ("trafilatura", {"include_comments": False, "favor_recall": True}),
    "resiliparse": ("resiliparse", {}),
    "readability_lxml": ("readability", {}),
}
"""Side -> its engine in `extract_pages.py`, and the settings that differ from its defaults."""
OTHER_PEERS = tuple(name for name in SETTINGS if name not in (OURS, MAIN_PEER))
"""Timed in one turn each."""
FULL_ONLY = ("trafilatura_precision", "trafilatura_recall")
"""Left out with --quick, for its bound of eight minutes."""
LARGE = "wcxb-large.jsonl.gz"
TRIAL_PAGES = 100
LEAST_PAGES = 300
SCRIPT = LISTS / "extract_pages.py"
PREDICTIONS = FOLDER / "predictions"
CROSS_VALIDATION = RESULTS / "extraction_cv.json"


# --- Input -------------------------------------------------------------------------------------


def raw_pages(name: str, pages: Sequence[Page], root: Path = FOLDER) -> Web:
    """The pages as `extract_pages.py` reads them, written once; sha256 is over ids and bytes."""
    whole = hashlib.sha256()
    spans: list[tuple[str, str, int, int]] = []
    parts: list[bytes] = []
    at = 0
    for page in pages:
        data = page.html.encode("utf-8", "surrogatepass")
        whole.update(f"{page.id} {len(data)}\n".encode() + data)
        spans.append((page.id, page.url, at, at + len(data)))
        parts.append(data)
        at += len(data)
    folder = root / f"{name}-raw-{len(pages)}-{whole.hexdigest()[:8]}"
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        (part / "pages.bin").write_bytes(b"".join(parts))
        (part / "pages.json").write_text(json.dumps(spans))
        part.rename(folder)
    return Web(folder, len(pages), at, whole.hexdigest())


def large_pages(data: Path) -> list[Page]:
    """The large pages; none where the data has no such file."""
    path = data / "extraction_gold" / LARGE
    rows = read_gold([path]) if path.exists() else ()
    return [Page(row["id"], row.get("url") or "", row["html"]) for row in rows]


# --- Sides -------------------------------------------------------------------------------------


@dataclass
class Extractor:
    """One side: its process, and the texts that it made."""

    name: str
    side: Side
    digests: dict[int, set[str]] = field(default_factory=dict)
    """Number of pages -> digests of the texts that it made of so many, one a turn unless equal."""

    @property
    def texts(self) -> dict[str, str]:
        """Page id -> text, of the last turn."""
        found: dict[str, str] = self.side.found["texts"]
        return found


def extractor(name: str) -> Extractor:
    """The side of this name: ours under this interpreter, peers under theirs."""
    ours = name == OURS
    engine, settings = SETTINGS[name]
    digests: dict[int, set[str]] = {}
    python = Path(sys.executable) if ours else python_of("extractors")
    variables = {"PYTHONPATH": str(ROOT)} if ours else {}

    def command(web: Web, out: Path) -> list[str]:
        return [str(python), str(SCRIPT), engine, str(web.folder), str(out), json.dumps(settings)]

    def look(out: Path) -> dict[str, Any]:
        raw = (out / "texts.jsonl").read_bytes()
        rows = [json.loads(line) for line in raw.splitlines()]
        digest = hashlib.sha256(raw).hexdigest()
        digests.setdefault(len(rows), set()).add(digest)
        about: dict[str, Any] = json.loads((out / "about.json").read_text())
        return {**about, "texts": {row["id"]: row["text"] for row in rows}, "sha256": digest}

    label = f"ours ({name})" if ours else name
    side = Side(label, command, look, {**peer_environment(), **variables})
    return Extractor(name, side, digests)


def stored_texts(name: str, web: Web, folder: Path = PREDICTIONS) -> Path:
    """Where a peer's texts of these pages are kept: versions, settings and pages name the file."""
    script = hashlib.sha256(SCRIPT.read_bytes()).hexdigest()
    settings = json.dumps(SETTINGS[name])
    identity = f"{environment('extractors').name} {script} {settings} {web.sha256}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return folder / f"{name}-{web.documents}-{key}.jsonl.gz"


def keep_texts(path: Path, texts: Mapping[str, str]) -> None:
    """In the form that the judge reads: {"id", "text"} a line."""
    lines = [json.dumps({"id": number, "text": text}) + "\n" for number, text in texts.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    part.rename(path)


def texts_of(one: Extractor, web: Web) -> dict[str, str]:
    """The extractor's texts of pages that are not timed: kept ones, or made now."""
    path = stored_texts(one.name, web)
    if one.name != OURS and path.exists():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return {row["id"]: row["text"] for row in map(json.loads, lines)}
    before = one.side.found
    one.side.trial(web)
    texts, one.side.found = one.texts, before
    if one.name != OURS:
        keep_texts(path, texts)
    return texts


# --- Quality -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gold:
    """What the texts are judged by: rows without their pages."""

    timed: list[dict[str, Any]]
    large: list[dict[str, Any]]
    digest: str
    digest_without_large: str

    def judged(self, timed: Mapping[str, str], large: Mapping[str, str]) -> dict[str, Any]:
        """Quality on the timed pages; with texts of the large ones, on these and on all too."""
        found = {"quality": quality(self.timed, timed)}
        if self.large and large:
            found["quality_large"] = quality(self.large, large)
            found["quality_with_large"] = quality([*self.timed, *self.large], {**timed, **large})
        return found


def gold(data: Path, wanted: Iterable[str]) -> Gold:
    """The rows of the timed pages, and of all large ones."""
    ids = set(wanted)
    files = sorted((data / "extraction_gold").glob("*.jsonl.gz"))
    timed, large = [], []
    for file in files:
        for row in read_gold([file]):
            del row["html"]
            if file.name == LARGE:
                large.append(row)
            elif row["id"] in ids:
                timed.append(row)
    return Gold(
        timed,
        large,
        gold_digest(files),
        gold_digest(file for file in files if file.name != LARGE),
    )


def our_quality(
    judge: Gold, timed: Mapping[str, str], large: Mapping[str, str], path: Path = CROSS_VALIDATION
) -> dict[str, Any]:
    """Ours, and what it is: out of fold on the pages of the training, direct on any others."""
    known = json.loads(path.read_text()) if path.exists() else {}
    same = {judge.digest: "quality_with_large", judge.digest_without_large: "quality"}
    if not known:
        return {"basis": f"none: no {path.name}, which `python -m stages.extract train` makes"}
    if known["digest"] not in same:
        return {
            "basis": "the shipped model's own texts: these are not the pages of its training",
            "compare_with": "quality",
            **judge.judged(timed, large),
        }
    return {
        "basis": "5-fold cross-validation by domain: no page is judged by a model that saw its "
        "domain; the shipped model, which is what is timed, was trained on all",
        "compare_with": same[known["digest"]],
        "quality": known["cv"],
        "leave_one_origin_out": known["leave_one_origin_out"],
    }


# --- The run -----------------------------------------------------------------------------------


def run(options: Options) -> Report:
    try:
        scorer()  # before minutes of measuring, not after them
    except InputError as error:
        raise MeasureError(str(error)) from error
    empty = raw_pages("startup", startup_pages(1))
    ours, peer = extractor(OURS), extractor(MAIN_PEER)
    for one in (ours, peer):
        one.side.start_up(empty)
    pages = gold_pages(options.data, options.pages)
    if options.quick and len(pages) > LEAST_PAGES:
        trial = raw_pages("gold", pages[:TRIAL_PAGES])
        pages = pages[: pages_for(peer.side, trial, options.minutes * 60, LEAST_PAGES)]
    web = raw_pages("gold", pages)
    say(f"{web.documents} pages, {web.bytes / 1e6:.1f} MB")
    alternate(ours.side, options.turns, peer.side, options.peer_turns, web)
    if len(ours.digests[web.documents]) > 1:
        raise MeasureError("our texts differ from turn to turn: there is no result")
    skipped = FULL_ONLY if options.quick else ()
    others = [extractor(name) for name in OTHER_PEERS if name not in skipped]
    for one in others:
        one.side.start_up(empty, warm=False)
        one.side.turn(web)
    for one in (peer, *others):
        keep_texts(stored_texts(one.name, web), one.texts)
    return _report(options, web, pages, ours, [peer, *others])


def _report(
    options: Options, web: Web, pages: Sequence[Page], ours: Extractor, peers: list[Extractor]
) -> Report:
    judge = gold(options.data, (page.id for page in pages))
    large: dict[str, dict[str, str]] = {one.name: {} for one in (ours, *peers)}
    # Large pages take trafilatura as long as all others together: with --quick only if kept.
    if judge.large:
        large_web = raw_pages("large", large_pages(options.data))
        for one in (ours, *peers):
            if not options.quick or one is ours or stored_texts(one.name, large_web).exists():
                large[one.name] = texts_of(one, large_web)
    sides = {}
    for one in peers:
        say(f"judging {one.name}")
        sides[one.name] = _side(one, web, judge.judged(one.texts, large[one.name]))
    main = peers[0].side
    return Report(
        "extraction",
        input_json(
            web,
            source="extraction_gold without wcxb-large",
            gold_sha256=judge.digest,
            judge_sha256=hashlib.sha256(scorer_path().read_bytes()).hexdigest(),
        ),
        _side(ours, web, {"quality": our_quality(judge, ours.texts, large[OURS])}),
        sides,
        {f"ours_vs_{MAIN_PEER}": _ratio(main, ours.side)},
        {
            **{f"ours_vs_{one.name}": _ratio(one.side, ours.side) for one in peers[1:]},
            f"ours_vs_{MAIN_PEER}_with_startup": plain_ratio(
                main.turns, ours.side.turns, "cpu_seconds"
            ),
            f"ours_vs_{MAIN_PEER}_memory": plain_ratio(
                main.turns, ours.side.turns, "peak_pss_bytes"
            ),
        },
        {**our_versions(), **{f"peer {name}": at for name, at in pins("extractors").items()}},
    )


def _ratio(peer: Side, ours: Side) -> float:
    return ratio(peer.turns, peer.startup, ours.turns, ours.startup)


def _side(one: Extractor, web: Web, judged: Mapping[str, Any]) -> dict[str, Any]:
    side, found = one.side, one.side.found
    engine, settings = SETTINGS[one.name]
    shown = side_json(side.turns, side.startup, {"engine": engine, "processes": 1, **settings})
    above = shown["cpu_seconds"] - shown["startup"]["cpu_seconds"]
    if above <= 0:
        raise MeasureError(f"{one.name} took no more than its start-up: give it more pages")
    return {
        **shown,
        "pages_per_cpu_second": round(web.documents / above, 1),
        "slowest_page_ms": round(max(found["seconds"]) * 1e3, 1),
        "failed": found["failed"],
        "texts_sha256": found["sha256"],
        **judged,
    }
