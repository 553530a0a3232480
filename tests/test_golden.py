"""What every stage makes of a few fixed documents, and values that may never change.

`golden/<case>.jsonl` holds the output, `golden/versions.json` the stage's `version` that made it.
When a stage's output changes on purpose: bump its `version` with a line of history, then

    UPDATE_GOLDEN=1 python -m pytest tests/test_golden.py

which refuses an output that changed under an unchanged version. A stage that was never released
may be changed in place: delete its entry from versions.json first. Outputs that depend on a library
are compared only where its version is that of the golden.
"""

from __future__ import annotations

import difflib
import gzip
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.audit.lookup import Run, open_run
from pipeline.draw import draw
from pipeline.execution.runner import Options, RunResult, run
from pipeline.files.tables import artefact_folder, read_dataset
from pipeline.files.uris import open_storage
from pipeline.mixture.sampling import canonical_url
from pipeline.planning.build import catalogue, stage_class
from pipeline.planning.config import load_config, parse_config
from pipeline.planning.fingerprint import library_version
from pipeline.planning.plan import make_plan
from pipeline.schema import VERDICTS, WEB_DOCUMENTS
from pipeline.stage import Partition, Side
from stages.documents import document_id
from stages.fetch.client import Answer
from stages.fetch.crawl import Fetched, Hop
from stages.fetch.stage import FetchUrls
from stages.kernels.minhash import kernel_signatures
from stages.kernels.shingles import Normalisation
from stages.read_warc import ReadWarc

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).parent / "golden"
DOCUMENTS = "tests/golden/documents.jsonl"
DIRTY = "tests/golden/dirty.jsonl"
"""Texts with personal data and broken characters."""
PAGES = "samples/web/part-00000.warc.gz"
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
HOW = "UPDATE_GOLDEN=1 python -m pytest tests/test_golden.py"

Row = dict[str, Any]


# --- Reading runs ------------------------------------------------------------------------------


def finished(config: str, workdir: Path, limit: int | None = None) -> Run:
    """The run of a configuration, in this process."""
    plan = make_plan(parse_config(config, "golden.yaml", [f"workdir={workdir}"]))
    run(plan, Options(limit=limit))
    return open_run(str(workdir))


def rows_of(found: Run, node: str, output: str) -> list[Row]:
    """All rows of a node's output, in order of (file, offset)."""
    tables = [read_dataset(found.storage, data) for _, data in found.datasets(node, output)]
    rows = [row for table in tables for row in table.to_pylist()]
    return sorted(rows, key=lambda row: (row.get("file") or "", row.get("offset") or 0))


@cache
def texts() -> Mapping[str, str]:
    """id -> text of documents.jsonl and dirty.jsonl."""
    lines = [
        line
        for name in (DOCUMENTS, DIRTY)
        for line in (ROOT / name).read_text("utf-8").splitlines()
    ]
    return {row["id"]: row["text"] for row in map(json.loads, lines)}


@cache
def names() -> Mapping[bytes, str]:
    """doc_id -> the id in the files of texts, or the address of a sample page."""
    found = {document_id("docs", name): name for name in texts()}
    partition = Partition("docs", PAGES, "part-00000.warc.gz", 0, "")
    with (ROOT / PAGES).open("rb") as stream:
        for batch in ReadWarc(paths=(PAGES,)).read(partition, stream, Side("docs", 0)):
            if batch.documents is not None:
                ids, urls = batch.documents["doc_id"], batch.documents["url"]
                found.update(zip(ids.to_pylist(), urls.to_pylist(), strict=True))
    return found


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, bytes):
        return names().get(value, value.hex())
    return value.isoformat() if hasattr(value, "isoformat") else value


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


# --- Cases -------------------------------------------------------------------------------------

_STEPS = """
name: golden
seed: 7
keep_dropped: none
steps:
"""
_TEXTS = f"""{_STEPS}
  - id: docs
    read_jsonl: {{paths: ["{DOCUMENTS}"], id: id, url: url, date: date}}
"""
_TEXTS_AS_HTML = _TEXTS.replace("id: id", "html: text, id: id")
_DIRTY = _TEXTS.replace(DOCUMENTS, DIRTY)
_WEB = f"""{_STEPS}
  - id: docs
    read_warc: {{paths: ["{PAGES}"]}}
"""
_TOKENS = f"""{_TEXTS}
  - mix: {{weights: {{docs: 1}}, max_epochs: 3, tokens: 20000, validation_permille: 100}}
  - train_tokenizer: {{vocab_size: 300}}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: 8000}}
"""


_CLASSES = f"""{_TEXTS}
  - id: dirty
    read_jsonl: {{paths: ["{DIRTY}"], id: id, url: url, date: date}}
  - train_classifier: {{positives: [docs], negatives: [dirty], model: linear,
      holdout_permille: 300}}
  - id: step
    inputs: [docs]
    classify: {{min_score: 0.3, alpha: 9}}
  - write_documents: {{}}
"""


class Case:
    """One golden file: a stage, the configuration or file that it meets, and its rows."""

    def __init__(
        self, stage: str, config: str, rows: Callable[[Case, Path], list[Row]], limit: int = 0
    ) -> None:
        self.stage, self.config, self.rows, self.limit = stage, config, rows, limit or None

    @property
    def inputs(self) -> str:
        """Digest of everything that the case gives to the stage."""
        names = [DOCUMENTS, PAGES, *([DIRTY] if DIRTY in self.config else [])]
        files = b"".join((ROOT / name).read_bytes() for name in names)
        return digest(f"{self.config}{self.limit}".encode() + files)

    def libraries(self) -> dict[str, str]:
        """The installed versions on which the rows may depend."""
        plan = make_plan(parse_config(self.config, "golden.yaml", ["workdir=none"]))
        named = {name for step in plan.steps for name in step.stage.libraries}
        return {name: library_version(name) for name in sorted(named)}


def judged(case: Case, tmp: Path) -> list[Row]:
    """For every document the verdict, the metrics, and what the step changed or added."""
    found = finished(case.config, tmp, case.limit)
    metrics: dict[bytes, Row] = {}
    for name, _ in found.segments_with("step"):
        for row in rows_of(found, name, "metrics"):
            metrics.setdefault(row["doc_id"], {}).update(row)
    after = {row["doc_id"]: row for row in documents_out(found)}
    told = []
    for doc_id, row in metrics.items():
        verdict = {k: row[k] for k in ("drop_reason", "matched_doc_id") if row[k] is not None}
        own = {k.removeprefix("step."): v for k, v in row.items() if k not in VERDICTS.names}
        columns = {k: v for k, v in after.get(doc_id, {}).items() if k not in WEB_DOCUMENTS.names}
        if columns.get("text") == texts().get(plain(doc_id)):
            columns.pop("text", None)
        told.append({"id": doc_id, **verdict, "metrics": own, **columns})
    return told


def documents_out(found: Run) -> Iterator[Row]:
    """The documents that leave the step."""
    for node in reversed(list(found.nodes)):
        if node in found.keys and any(True for _ in found.datasets(node, "docs")):
            yield from rows_of(found, node, "docs")
            return


def read(case: Case, tmp: Path) -> list[Row]:
    """What a source gives, pages and texts by their digest and first characters."""
    found = finished(case.config, tmp, case.limit)
    told: list[Row] = []
    for row in rows_of(found, "docs", "metrics"):
        if row["drop_reason"]:
            told.append({k: row[k] for k in ("url", "file", "offset", "drop_reason")})
    for row in rows_of(found, "docs", "docs"):
        body = row.pop("html", None) or row.pop("text", "").encode()
        row["doc_id"] = row["doc_id"].hex()
        told.append({**row, "body": f"{len(body)} bytes, sha256 {digest(body)}"})
    return told


def fetched(case: Case, tmp: Path) -> list[Row]:
    """What a source gives of pages that an earlier fetch has kept: no network is asked."""
    plan = make_plan(parse_config(case.config, "golden.yaml", [f"workdir={tmp}"]))
    stage, when = plan["docs"].stage, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert isinstance(stage, FetchUrls)
    store = stage.store("docs", open_storage(str(tmp)))
    headers = (("Content-Type", "text/html"), ("Transfer-Encoding", "chunked"))
    for name in ("/one", "/two", "/closed", "/moved"):
        url = f"https://pages.example{name}"
        body = f"<html><p>The page {name} of the golden list.</p></html>".encode()
        request = (name, (("Host", "pages.example"),))
        hops = [Hop(url, when, Answer(200, "OK", "HTTP/1.1", headers, body, "192.0.2.1", request))]
        if name == "/moved":
            moved = (("Location", "/two"),)
            answer = Answer(301, "Moved", "HTTP/1.1", moved, b"", "192.0.2.1", request)
            hops.insert(0, Hop(url, when, answer))
        outcome = "robots_denied" if name == "/closed" else "fetched"
        kept = () if name == "/closed" else tuple(hops)
        store.put(Fetched(url, outcome, "allowed", when, kept))
    # Another zlib makes other offsets of the same records.
    return [{k: v for k, v in row.items() if k != "offset"} for row in read(case, tmp)]


def tokenizer(case: Case, tmp: Path) -> list[Row]:
    """The facts of the artefact, the merges of its vocabulary, its bytes."""
    found = finished(case.config, tmp)
    folder = next((tmp / "dataset").glob("tokenizer-*"))
    content = (folder / "tokenizer.json").read_bytes()
    merges = [" ".join(m) if isinstance(m, list) else m for m in merges_of(content)]
    assert found.version is not None
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    return [{"meta": meta, "sha256": digest(content)}, {"merges": merges}]


def merges_of(content: bytes) -> list[Any]:
    merges: list[Any] = json.loads(content)["model"]["merges"]
    return merges


def tokens(case: Case, tmp: Path) -> list[Row]:
    """The ids of every document: how many, the first, the digest of all."""
    found = finished(case.config, tmp)
    return [
        {
            "id": row["doc_id"],
            "num_tokens": row["num_tokens"],
            "first": row["tokens"][:12],
            "last": row["tokens"][-1],
            "sha256": digest(np.array(row["tokens"], "<u4").tobytes()),
        }
        for row in rows_of(found, "tokenize", "docs")
    ]


def classifier(case: Case, tmp: Path) -> list[Row]:
    """The facts of the artefact without the model's bytes, which are floats, and the hold-out."""
    found = finished(case.config, tmp)
    ((_, data),) = found.datasets("train_classifier.classifier", "artefact")
    folder = artefact_folder(found.storage, data)
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    del meta["sha256"]
    return [meta, *map(json.loads, (folder / "holdout.jsonl").read_text("utf-8").splitlines())]


def mixture(case: Case, tmp: Path) -> list[Row]:
    """The totals by split and group."""
    version = finished(case.config, tmp).version
    assert version is not None
    totals: list[Row] = version["totals"]
    return totals


def shards(case: Case, tmp: Path) -> list[Row]:
    """The rows of every shard, in their order."""
    finished(case.config, tmp)
    told = []
    for path in sorted((tmp / "dataset" / "shards").iterdir()):
        shard = path.name.rpartition("-")[0]
        for row in pq.read_table(path).to_pylist():
            ids = np.array(row.pop("tokens"), "<u4")
            told.append({"shard": shard, **row, "sha256": digest(ids.tobytes())})
    return told


def written(case: Case, tmp: Path) -> list[Row]:
    """The lines of the document files."""
    finished(case.config, tmp, case.limit)
    files = sorted((tmp / f"documents-limit-{case.limit}").rglob("*.jsonl*")) or sorted(
        tmp.rglob("write_documents/*.jsonl*")
    )
    lines = [line for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]
    return [json.loads(line) for line in lines]


def step(stage: str, knobs: str = "{}", before: str = "", head: str = _TEXTS) -> str:
    """A configuration with the stage as `step`, and its documents written."""
    return f"{head}{before}  - id: step\n    {stage}: {knobs}\n  - write_documents: {{}}\n"


def source(stage: str, knobs: str) -> str:
    return f"{_STEPS}  - id: docs\n    {stage}: {knobs}\n  - write_documents: {{}}\n"


_TABLE = "tests/golden/table.parquet"
_BENCHMARK = "benchmarks: [tests/golden/benchmark.jsonl]"
_FIELDS = "id: id, url: url, date: date"

CASES: dict[str, Case] = {
    "read_warc": Case("read_warc", source("read_warc", f'{{paths: ["{PAGES}"]}}'), read),
    "read_common_crawl": Case(
        "read_common_crawl",
        source("read_common_crawl", f'{{crawl: CC-MAIN-2024-10, base: ".", paths: ["{PAGES}"]}}'),
        read,
        limit=4,
    ),
    "read_jsonl": Case(
        "read_jsonl", source("read_jsonl", f'{{paths: ["{DOCUMENTS}"], {_FIELDS}}}'), read
    ),
    "read_parquet": Case(
        "read_parquet", source("read_parquet", f'{{paths: ["{_TABLE}"], {_FIELDS}}}'), read
    ),
    "fetch_urls": Case(
        "fetch_urls",
        source("fetch_urls", "{paths: [tests/golden/urls.txt], contact: golden@example.org}"),
        fetched,
    ),
    "read_arrow": Case(
        "read_arrow",
        source("read_arrow", f'{{paths: ["tests/golden/table.arrow"], {_FIELDS}}}'),
        read,
    ),
    "read_csv": Case(
        "read_csv",
        source(
            "read_csv",
            f'{{paths: ["tests/golden/table.csv"], {_FIELDS}, columns: {{words: int64}}}}',
        ),
        read,
    ),
    "read_text": Case(
        "read_text",
        source("read_text", '{paths: ["tests/golden/book.txt"], split: paragraphs}'),
        read,
    ),
    "extract": Case("extract", step("extract", head=_WEB), judged, limit=3),
    "extract-trafilatura": Case(
        "extract", step("extract", "{engine: trafilatura}", head=_WEB), judged, limit=3
    ),
    "extract-resiliparse": Case(
        "extract", step("extract", "{engine: resiliparse}", head=_WEB), judged, limit=3
    ),
    "consent": Case(
        "consent",
        step("consent", "{noindex: true}", "  - extract: {engine: resiliparse}\n", _TEXTS_AS_HTML),
        judged,
        limit=1,
    ),
    "url_filter": Case(
        "url_filter",
        step(
            "url_filter",
            "{lists: tests/golden/url_lists, categories: [adult, spam], "
            "hard_words: tests/golden/url_lists/hard_words.txt}",
        ),
        judged,
    ),
    "language-keep": Case("language", step("language", "{keep: [en, de]}"), judged),
    "normalise": Case("normalise", step("normalise", head=_DIRTY), judged),
    "pii": Case("pii", step("pii", head=_DIRTY), judged),
    "pii-drawn": Case(
        "pii",
        step(
            "pii",
            "{types: [email, ip], max_spans: 2, masks: {email: [email@example.com, "
            "firstname.lastname@example.org], ip: ['<A>', '<B>', '<C>']}}",
            head=_DIRTY,
        ),
        judged,
    ),
    "pii-drop": Case("pii", step("pii", "{action: drop, max_spans: 1}", head=_DIRTY), judged),
    **{
        f"gopher_quality-{counting}": Case(
            "gopher_quality", step("gopher_quality", f"{{counting: {counting}}}"), judged
        )
        for counting in ("datatrove", "dclm", "dolma")
    },
    "gopher_repetition-dclm": Case(
        "gopher_repetition", step("gopher_repetition", "{counting: dclm}"), judged, limit=6
    ),
    "gopher_repetition-dolma": Case(
        "gopher_repetition", step("gopher_repetition", "{counting: dolma}"), judged, limit=6
    ),
    "quality_signals": Case("quality_signals", step("quality_signals"), judged, limit=6),
    "bad_words-spared": Case("bad_words", step("bad_words", "{keep_fraction: 0.5}"), judged),
    "c4_paragraphs": Case(
        "c4_paragraphs", step("c4_paragraphs", "{min_paragraph_chars: 100}"), judged
    ),
    "exact_dedup-url": Case(
        "exact_dedup", step("exact_dedup", "{by: url, within: source, keep: [-date]}"), judged
    ),
    "decontaminate": Case(
        "decontaminate", step("decontaminate", f"{{{_BENCHMARK}}}"), judged, limit=6
    ),
    "decontaminate-mask": Case(
        "decontaminate", step("decontaminate", f"{{{_BENCHMARK}, action: mask}}"), judged, limit=6
    ),
    "minhash_dedup-date": Case(
        "minhash_dedup", step("minhash_dedup", "{keep: [-date], threshold: 0.7}"), judged
    ),
    "train_classifier": Case("train_classifier", _CLASSES, classifier),
    "train_classifier-fasttext": Case(
        "train_classifier", _CLASSES.replace("model: linear", "dim: 8, buckets: 2000"), classifier
    ),
    "classify": Case("classify", _CLASSES, judged),
    "keep_top": Case("keep_top", step("keep_top", "{by: offset, share: 0.3, of: bytes}"), judged),
    "mix": Case("mix", _TOKENS, mixture),
    "train_tokenizer": Case("train_tokenizer", _TOKENS, tokenizer),
    "use_tokenizer": Case(
        "use_tokenizer",
        f"{_TEXTS}  - use_tokenizer: {{file: tests/golden/tokenizer.json}}\n"
        f"  - tokenize: {{}}\n  - write_shards: {{}}\n",
        tokenizer,
    ),
    "tokenize": Case("tokenize", _TOKENS, tokens),
    "write_shards": Case("write_shards", _TOKENS, shards),
    "write_documents": Case(
        "write_documents", f"{_TEXTS}  - write_documents: {{format: jsonl}}\n", written, limit=2
    ),
}
for _name in catalogue():
    if not any(case.stage == _name and key == _name for key, case in CASES.items()):
        CASES[_name] = Case(_name, step(_name), judged)


# --- Comparing ---------------------------------------------------------------------------------


def versions() -> dict[str, Row]:
    path = GOLDEN / "versions.json"
    found: dict[str, Row] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def key_of(name: str) -> str:
    """`module:Class`, and what else names the case."""
    cls = stage_class(CASES[name].stage, "golden")
    suffix = name.removeprefix(CASES[name].stage)
    return f"{cls.__module__}:{cls.__qualname__}{suffix}"


def as_jsonl(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, default=plain) + "\n" for row in rows)


def difference(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "golden", "now", n=0)
    return "\n".join(line[:300] for line in list(lines)[:12])


@pytest.mark.parametrize("name", CASES)
def test_a_stage_gives_its_golden_output_or_has_a_new_version(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    case, key = CASES[name], key_of(name)
    module = key.partition(":")[0].replace(".", "/") + ".py"
    text = as_jsonl(case.rows(case, tmp_path / "work"))
    now: Row = {
        "version": stage_class(case.stage, "golden").version,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "inputs": case.inputs,
        "libraries": case.libraries(),
    }
    path, entry = GOLDEN / f"{name}.jsonl", versions().get(key)
    same_cause = entry is not None and all(
        entry[part] == now[part] for part in ("version", "inputs", "libraries")
    )
    if same_cause and entry is not None and entry["sha256"] != now["sha256"]:
        old = path.read_text("utf-8") if path.exists() else ""
        pytest.fail(
            f"{name}: the output changed and `version` is still {now['version']}. If that is "
            f"meant, bump `version` in {module} with a line of history, then run {HOW}\n"
            + difference(old, text)
        )
    if UPDATE:
        path.write_text(text, "utf-8")
        known = {**versions(), key: now}
        ordered = {k: known[k] for k in sorted(known)}
        (GOLDEN / "versions.json").write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
        return
    assert entry is not None, f"{name}: no golden output yet; make it: {HOW}"
    assert path.exists(), f"{path.name} is missing; make it: {HOW}"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"], "edited by hand"
    assert entry["version"] == now["version"], f"`version` was bumped: now run {HOW}"
    assert entry["inputs"] == now["inputs"], f"the case's inputs changed: now run {HOW}"
    if entry["libraries"] != now["libraries"]:
        pytest.skip(f"golden of {entry['libraries']}, installed {now['libraries']}")
    assert entry["sha256"] == now["sha256"]


def test_the_golden_files_are_those_of_the_cases_and_small() -> None:
    inputs = {"documents.jsonl", "dirty.jsonl", "table.parquet", "tokenizer.json", "url_lists"}
    inputs |= {"benchmark.jsonl", "table.csv", "table.arrow", "book.txt", "urls.txt"}
    known = {f"{name}.jsonl" for name in CASES} | inputs
    known |= {"versions.json", "frozen.json", "c4like.json"}
    files = {path.name: path.stat().st_size for path in GOLDEN.iterdir()}
    assert set(files) == known
    assert {key_of(name) for name in CASES} == set(versions())
    assert sum(files.values()) < 320_000


# --- Values that may never change --------------------------------------------------------------

FROZEN_TEXTS = (
    "The quick brown fox jumps over the lazy dog, and 1,234 times again.",
    "Größe café ÎLE 2024",
    "石橋村の開いたままの小屋",
    "one",
    "",
)


def frozen() -> Row:
    """Values that stored data depends on: identities, randomness, signatures."""
    signatures, has_words = kernel_signatures(
        pa.array(FROZEN_TEXTS, pa.large_string()), 5, 112, 1, Normalisation()
    )
    ids = [document_id("web", "<urn:uuid:0>"), document_id("books", "book-0"), document_id("", b"")]
    urls = [
        "https://www.example.org/a/?utm_source=x&b=1",
        "http://example.org/a?page=2",
        "https://example.org/?ref=home",
        "HTTP://example.org//",
        "",
    ]
    return {
        "doc_id": [value.hex() for value in ids],
        "draw": [
            str(draw(seed, purpose, doc_id, copy))
            for seed, purpose, copy in ((0, "mix", 0), (1234, "shuffle", 0), (1234, "mix", 3))
            for doc_id in ids
        ],
        "canonical_url": {url: canonical_url(url) for url in urls},
        "has_words": has_words.tolist(),
        "minhash": [row[:8].tolist() for row in signatures],
        "minhash_sha256": hashlib.sha256(signatures.astype("<u4").tobytes()).hexdigest(),
    }


def test_identities_randomness_and_signatures_never_change() -> None:
    path = GOLDEN / "frozen.json"
    if UPDATE and not path.exists():
        path.write_text(json.dumps(frozen(), indent=1) + "\n", "utf-8")
    stored = json.loads(path.read_text("utf-8"))
    assert frozen() == stored, "stored runs depend on these values: they have no new version"


# --- A whole run -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def c4like(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, Path]:
    workdir = tmp_path_factory.mktemp("c4like")
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        config = load_config("configs/c4like.yaml", [f"workdir={workdir}"])
        return run(make_plan(config), Options()), workdir
    finally:
        os.chdir(before)


def installed(*also: str) -> dict[str, str]:
    plan = make_plan(load_config(str(ROOT / "configs/c4like.yaml"), ["workdir=none"]))
    named = {*also, *(name for step in plan.steps for name in step.stage.libraries)}
    return {name: library_version(name) for name in sorted(named)}


def test_the_c4like_run_keeps_the_documents_that_it_always_kept(
    c4like: tuple[RunResult, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    result, workdir = c4like
    kept: list[bytes] = []
    for path in (workdir / "documents").rglob("*.parquet"):
        kept += pq.read_table(io.BytesIO(path.read_bytes()), columns=["doc_id"])[0].to_pylist()
    now = {
        "libraries": installed("pyarrow"),
        "recipe": hashlib.sha256(Path("configs/c4like.yaml").read_bytes()).hexdigest(),
        "funnel": [row.__dict__ for row in result.funnel.rows],
        "documents": len(kept),
        "doc_ids_sha256": hashlib.sha256(b"".join(sorted(kept))).hexdigest(),
        "totals": result.dataset["totals"],
        "shards": sorted(path.name for path in (workdir / "dataset/shards").iterdir()),
    }
    now = json.loads(json.dumps(now))
    path = GOLDEN / "c4like.json"
    if UPDATE:
        path.write_text(json.dumps(now, indent=1) + "\n", "utf-8")
    stored = json.loads(path.read_text("utf-8"))
    other = {k: v for k, v in now["libraries"].items() if stored["libraries"].get(k) != v}
    if set(other) - {"pyarrow"}:
        pytest.skip(f"golden of {stored['libraries']}, installed here: {other}")
    for part in ("funnel", "documents", "doc_ids_sha256", "totals"):
        assert now[part] == stored[part], f"{part}: {HOW} if versions or the recipe changed"
    if not other:  # the bytes of Parquet are those of one pyarrow
        assert now["shards"] == stored["shards"]
