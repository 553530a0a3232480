"""train_classifier and classify: fastText against the hashed linear model, on labelled documents.

Each set is written as JSON Lines, positives and negatives apart, and run through the real steps;
the figures are those of the step's own `report.json`. Three tenths are held out by hash of the
doc_id; each turn names the documents otherwise and so holds out others. Figures are means over the
turns, with the least and the largest area under the ROC curve.

    human      DCLM's pages with a human label of quality
    articles   Wikipedia's good articles against the same pages
    toxicity   comments with a human label of toxicity
    hate       HateCheck's templates: near copies stand on both sides, so the figures are too good

Speed is CPU time of `classify` on the wanted texts of `extraction_gold`, the best of the turns.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.measure import MeasureError, Usage
from benchmarks.pii import column_bytes, texts, turns_of
from benchmarks.report import Options, Report, our_versions, side_json
from benchmarks.turns import say
from pipeline.audit.lookup import open_run
from pipeline.execution.runner import Options as RunOptions
from pipeline.execution.runner import run as run_plan
from pipeline.files.tables import artefact_folder
from pipeline.planning.config import parse_config
from pipeline.planning.plan import make_plan
from pipeline.stage import Side, TextBatch
from stages.classify.models import FILES
from stages.classify.stage import Classify
from stages.classify.words import POSITIVE

MODELS = tuple(FILES)
TURNS = 3
"""Hold-outs a set; one with --quick."""
SETS = ("human", "articles", "toxicity", "hate")
HUMAN = "quality/dclm_human_quality.jsonl.gz"
ARTICLES = "quality/wikitext2_valid.jsonl.gz"
TOXICITY = "toxicity/surge_toxicity_en.jsonl.gz"
HATE = "toxicity/hatecheck_en.jsonl.gz"
SPEED_BYTES = 4_000_000

Labelled = Sequence[tuple[str, bool]]

_CONFIG = """
name: classifiers
seed: 1
steps:
  - id: positives
    read_jsonl: {{paths: ["{folder}/positives.jsonl"], id: id}}
  - id: negatives
    read_jsonl: {{paths: ["{folder}/negatives.jsonl"], id: id}}
  - train_classifier: {{positives: [positives], negatives: [negatives], model: {model},
      holdout_permille: 300}}
  - inputs: [negatives]
    classify: {{}}
  - write_documents: {{}}
"""


# --- Input -------------------------------------------------------------------------------------


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        raise MeasureError(f"no labelled documents at {path}. Give the folder with --data.")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def detokenised(text: str) -> str:
    """WikiText's text as it was: without its marks, spaces where they belong."""
    text = text.replace("<unk>", "").replace(" @-@ ", "-").replace(" @,@ ", ",")
    text = re.sub(r"^(?:= )+|(?: =)+$", "", text.replace(" @.@ ", "."), flags=re.MULTILINE)
    return re.sub(r" +([.,;:!?)'])", r"\1", re.sub(r" +", " ", text.replace("( ", "(")))


def labelled(data: Path, name: str) -> Labelled:
    """(text, is positive) of a set."""
    if name in ("human", "articles"):
        human = [(row["text"], row["label"] == 1) for row in _rows(data / HUMAN)]
        if name == "human":
            return human
        articles = [(detokenised(row["text"]), True) for row in _rows(data / ARTICLES)]
        return [*articles, *((text, False) for text, _ in human)]
    path, label = (TOXICITY, "toxic") if name == "toxicity" else (HATE, "hateful")
    return [(row["text"], row["label"] == label) for row in _rows(data / path)]


# --- Quality -----------------------------------------------------------------------------------


def trained(rows: Labelled, model: str, turn: int, folder: Path) -> Path:
    """The artefact's folder of a run on the documents."""
    folder.mkdir(parents=True)
    for name, wanted in (("positives", True), ("negatives", False)):
        lines = [
            json.dumps({"id": f"{turn}-{number}", "text": text}) + "\n"
            for number, (text, positive) in enumerate(rows)
            if positive == wanted
        ]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    workdir = folder / "work"
    text = _CONFIG.format(folder=folder, model=model)
    run_plan(make_plan(parse_config(text, "classifiers", [f"workdir={workdir}"])), RunOptions())
    found = open_run(str(workdir))
    ((_, data),) = found.datasets("train_classifier.classifier", "artefact")
    return artefact_folder(found.storage, data)


def quality(rows: Labelled, model: str, turns: int, root: Path) -> dict[str, Any]:
    """Means over the turns of the report's figures."""
    reports = [
        json.loads((trained(rows, model, turn, root / str(turn)) / "report.json").read_text())
        for turn in range(turns)
    ]
    areas = [report["roc_auc"] for report in reports]
    return {
        "documents": len(rows),
        "positives": sum(positive for _, positive in rows),
        "held_out": _mean([report["documents"] for report in reports]),
        "roc_auc": _mean(areas),
        "roc_auc_least": min(areas),
        "roc_auc_largest": max(areas),
        "at_kept_share": _table(reports, "at_kept_share", "kept_share"),
        "at_threshold": _table(reports, "at_threshold", "threshold"),
        "calibration": _table(reports, "calibration", "from"),
    }


def _table(reports: Sequence[dict[str, Any]], name: str, key: str) -> list[dict[str, Any]]:
    """The rows of one table of the reports, figure by figure their mean."""
    rows = zip(*(report[name] for report in reports), strict=True)
    return [
        {key: row[0][key]}
        | {figure: _mean([one[figure] for one in row]) for figure in row[0] if figure != key}
        for row in rows
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return round(statistics.fmean(found), 4) if found else None


# --- Speed -------------------------------------------------------------------------------------


def speed(folder: Path, column: pa.Array, turns: int) -> tuple[list[Usage], float]:
    """CPU time of each turn, and MB a CPU second of the best."""
    ids = pa.array([at.to_bytes(16, "big") for at in range(len(column))], pa.binary(16))
    table = pa.table({"doc_id": ids, "text": column})
    side = Side("classify", 1, artefacts={"classifier": folder})
    stage = Classify(labels=(f"__label__{POSITIVE}",))
    found = turns_of(lambda: _process(stage, table, side), turns)
    best = min(turn.cpu_seconds for turn in found)
    return found, round(column_bytes(column) / 1e6 / max(best, 1e-9), 1)


def _process(stage: Classify, table: pa.Table, side: Side) -> None:
    stage.process(TextBatch(table), side)


# --- The run -----------------------------------------------------------------------------------


def run(options: Options) -> Report:
    turns = 1 if options.quick else TURNS
    column = texts(options.data)
    sizes = [len(text.encode()) for text in column.to_pylist()]
    wanted = next((n for n in range(len(sizes)) if sum(sizes[:n]) > SPEED_BYTES), len(sizes))
    column = column.slice(0, min(wanted, options.pages or wanted))
    sets = {name: labelled(options.data, name) for name in SETS}
    found: dict[str, dict[str, Any]] = {}
    usage: dict[str, list[Usage]] = {}
    speeds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="tokenmill-classifiers-") as root:
        for name, rows in sets.items():
            for model in MODELS:
                folder = Path(root, name, model)
                found.setdefault(name, {})[model] = quality(rows, model, turns, folder)
                say(f"{name}, {model}: AUC {found[name][model]['roc_auc']}")
        for model in MODELS:
            folder = trained(sets["human"], model, 0, Path(root, "speed", model))
            usage[model], speeds[model] = speed(folder, column, options.turns)
    digest = hashlib.sha256(json.dumps([sets, column.to_pylist()]).encode()).hexdigest()
    idle = Usage(0.0, 0.0, 0, 0, 0, "process_time", 0)
    ours = side_json(
        usage[MODELS[0]], idle, {"processes": 1, "hold_outs": turns},
        quality=found, mb_per_cpu_second=speeds,
    )  # fmt: skip
    return Report(
        "classifiers",
        {
            "documents": sum(map(len, sets.values())),
            "bytes": sum(len(text.encode()) for rows in sets.values() for text, _ in rows),
            "sha256": digest,
            "source": "quality, toxicity; speed: extraction_gold, wanted texts",
        },
        ours,
        {},
        {},
        {"linear_vs_fasttext_speed": speeds["linear"] / speeds["fasttext"]},
        our_versions(),
    )
