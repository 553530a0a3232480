"""Verdicts of our filters against datatrove's, Dolma's and DCLM's, on at least 10,000 real texts.

Texts are those of `benchmarks filters` and what our extractor makes of the pages of Debian's
documentation packages (`bulk`), none over LONGEST characters: the peers are Python. Peers run as
they are installed, DCLM's functions from a checkout (`--dclm`; without it DCLM is left out), once
with their own words and once with ours; datatrove with ours alone, as its own are a model's. DCLM's
n-grams with its own words are on the first 500 texts. No speeds: `benchmarks filters` has those.

A difference to a peer with its own words is laid to the words where the peer with our words gives
our verdict, else to its phrases in the same way; datatrove's causes are in `decisions`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import bulk
from benchmarks.decisions import UNEXPLAINED, compared, compared_with_datatrove, variant_cause
from benchmarks.filters import texts as filter_texts
from benchmarks.filters import written
from benchmarks.measure import MeasureError
from benchmarks.peers import LISTS, peer_environment, pins, python_of
from benchmarks.report import ROOT, Options, Report, input_json, our_versions, side_json
from benchmarks.turns import Side, say
from benchmarks.web import Web

SCRIPT = LISTS / "judge_texts.py"
OURS, DATATROVE, DOLMA, DCLM = "ours", "datatrove", "dolma", "dclm"
LONGEST = 20_000
QUICK = 10
"""With --quick one text in ten."""
LEAST = 10_000
DCLM_FILES = ("core_utils.py", "filters/content_filters.py", "modifiers.py")


def texts(data: Path) -> list[str]:
    """The texts, each once, in the order of a hash. Raises MeasureError."""
    found = dict.fromkeys(filter_texts(data, most=10**9))
    found |= dict.fromkeys(t.encode("utf-8", "replace").decode() for t in bulk.texts() if t.strip())
    return sorted(
        (text for text in found if len(text) <= LONGEST),
        key=lambda text: hashlib.sha256(text.encode()).digest(),
    )


def side(name: str, checkout: Path | None = None) -> Side:
    if name == OURS:
        python = Path(sys.executable)
    else:
        python = python_of("datatrove" if name == DATATROVE else "dolma")
    more = [str(checkout)] if checkout else []

    def command(web: Web, out: Path) -> list[str]:
        return [str(python), str(SCRIPT), name, str(web.folder / "texts.jsonl"), str(out), *more]

    def look(out: Path) -> Any:
        return json.loads((out / "about.json").read_text())

    return Side(name, command, look, {**peer_environment(), "PYTHONPATH": str(ROOT)})


def checked(checkout: Path) -> str:
    """SHA-256 of the modules that are run. Raises MeasureError where they are not there."""
    digest = hashlib.sha256()
    for name in DCLM_FILES:
        path = checkout / "baselines" / "mappers" / name
        if not path.is_file():
            raise MeasureError(f"--dclm: no {path}. Give a checkout of mlfoundations/dclm.")
        digest.update(path.read_bytes())
    return digest.hexdigest()


def decisions(
    found: Sequence[str],
    ours: Mapping[str, Sequence[str | None]],
    peer: Mapping[str, Mapping[str, Sequence[str | None]]],
    our_words: str,
) -> dict[str, dict[str, Any]]:
    """By filter, with the peer as it comes (`own`) and with our words (`ours`)."""
    told: dict[str, dict[str, Any]] = {"own": {}, "ours": {}}
    beyond = [what for what in peer if what.startswith(f"{our_words};")]
    others = [what for what in peer if what not in ("", our_words, *beyond)]
    for name, mine in ours.items():
        for kind, what, changes in (
            ("own", "", [our_words, *others, *beyond]), ("ours", our_words, beyond),
        ):  # fmt: skip
            theirs = peer[what][name]
            most = len(theirs)
            cause = variant_cause({change: peer[change][name] for change in changes})
            told[kind][name] = compared(found[:most], mine[:most], theirs, cause)
    return told


def run(options: Options) -> Report:
    found = texts(options.data)
    if len(found) < LEAST:
        raise MeasureError(f"{len(found)} texts, expected at least {LEAST:,}")
    found = found[: options.pages or (len(found) // QUICK if options.quick else len(found))]
    first, web = written("startup", found[:1]), written("verdicts", found)
    say(f"{web.documents} texts, {web.bytes / 1e6:.1f} MB")
    versions = {f"peer {name}": pins(name)[name] for name in (DATATROVE, DOLMA)}
    sides = [side(name) for name in (OURS, DATATROVE, DOLMA)]
    if options.dclm:
        versions["peer dclm, sha256 of its modules"] = checked(options.dclm)
        sides.append(side(DCLM, options.dclm.resolve()))
    else:
        say("dclm is left out: --dclm takes a checkout of mlfoundations/dclm")
    for one in sides:
        one.start_up(first, warm=False)
        one.turn(web)
    ours, told = sides[0].found, dict[str, Any]()
    for peer in sides[1:]:
        made = peer.found[peer.name]
        our_words = next(what for what in made if what.startswith("words"))
        if peer.name == DATATROVE:
            told[f"{peer.name}, our words"] = compared_with_datatrove(
                found, ours[peer.name][""], made[our_words]
            )
        else:
            both = decisions(found, ours[peer.name][""], made, our_words)
            told |= {peer.name: both["own"], f"{peer.name}, our words": both["ours"]}
    for name, filters in told.items():
        for kind, one in filters.items():
            say(f"{name}, {kind}: {one['equal']} of {one['texts']} equal {one['causes'] or ''}")
    unexplained = sum(
        one["causes"].get(UNEXPLAINED, 0) for f in told.values() for one in f.values()
    )
    debs = [path.name for path in bulk.packages().values()]
    return Report(
        "verdicts",
        input_json(web, source="extraction_gold (wanted and extracted), text, quality", bulk=debs),
        _shown(sides[0], decisions=told, unexplained=unexplained),
        {peer.name: _shown(peer) for peer in sides[1:]},
        {},
        {},
        {**our_versions(), **versions},
    )


def _shown(one: Side, **more: Any) -> dict[str, Any]:
    return side_json(one.turns, one.startup, {"engine": one.name, "processes": 1}, **more)
