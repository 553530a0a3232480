"""URL lists and word lists: speed, memory, and how often they are right.

- `url_filter` against datatrove's `URLFilter`, each in a process of its own, over the same URLs and
  the same lists: those that datatrove's package holds (UT1's adult list, 4.6 M domains, and three
  lists of words). Start-up is one URL, lists loaded and, ours, the index built already.
- The index of 5 M made-up domains: bytes, seconds to build it, and what a worker that maps it holds
  of its own.
- `bad_words` in MB/s over real texts, every text with the list of its language.
- Precision and recall against labels: of URL lists by UT1's categories, of word lists by people's
  judgement of comments and by HateCheck's templates.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.measure import MeasureError
from benchmarks.peers import LISTS, environment, peer_environment, pins, python_of
from benchmarks.report import ROOT, Options, Report, our_versions, plain_ratio, ratio, side_json
from benchmarks.turns import Side, alternate, say
from benchmarks.web import FOLDER, Web
from pipeline.stage import Side as StageSide
from pipeline.stage import TextBatch
from stages.bad_words import BadWords
from stages.url_filter import UrlFilter

SCRIPT = LISTS / "filter_urls.py"
PEER = "datatrove"
URLS, QUICK_URLS = 300_000, 100_000
DOMAINS = 5_000_000
INNOCENT = ("press", "bank", "jobsearch", "sports", "cooking", "shopping", "child", "radio",
            "translation", "educational_games", "sexual_education")  # fmt: skip
"""Categories of UT1 that have nothing to do with adult pages."""
Json = dict[str, Any]


def rows(path: Path) -> list[Json]:
    """The rows of a gzipped JSON-lines file. Raises MeasureError."""
    if not path.exists():
        raise MeasureError(f"{path} is missing: give the folder of data with --data")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def folder_of(name: str, files: Mapping[str, str]) -> Path:
    """A folder of files under `.data`, named by their content, written once."""
    whole = hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()
    folder = FOLDER / f"{name}-{whole[:12]}"
    if not folder.exists():
        part = Path(tempfile.mkdtemp(dir=FOLDER)) if FOLDER.exists() else folder.with_suffix(".new")
        for file, text in files.items():
            (part / file).parent.mkdir(parents=True, exist_ok=True)
            (part / file).write_text(text)
        part.rename(folder)
    return folder


# --- Speed against the peer ----------------------------------------------------------------------


def made_up_domains(number: int, seed: int) -> Iterable[str]:
    """So many domain names of two to four labels."""
    draw = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
    tops = ("com", "net", "org", "de", "co.uk", "ru", "info", "com.br", "fr", "xyz")
    for at in range(number):
        name = "".join(draw.choices(letters, k=draw.randint(3, 16))).strip("-")
        yield f"{name}{at % 997}.{draw.choice(tops)}"


def some_urls(data: Path, number: int) -> list[str]:
    """URLs with the paths of real pages: nine in ten of made-up hosts, the others of the lists."""
    paths = []
    for file in sorted((data / "extraction_gold").glob("*.jsonl.gz")):
        for row in rows(file):
            if url := row.get("url"):
                paths.append("/" + url.partition("://")[2].partition("/")[2])
    blocked = [
        row["domain"] for row in rows(data / "url_blocklist/datatrove_domains_sample.jsonl.gz")
    ]
    draw = random.Random(7)
    fresh = list(made_up_domains(number, 11))
    found = []
    for at in range(number):
        host = draw.choice(blocked) if at % 10 == 0 else fresh[at]
        found.append(f"https://{draw.choice(('', 'www.', 'm.'))}{host}{draw.choice(paths)}")
    return [" ".join(url.split()).replace(" ", "%20") for url in found]


def url_web(urls: Sequence[str]) -> Web:
    text = "\n".join(urls) + "\n"
    folder = folder_of("urls", {"urls.txt": text})
    return Web(folder, len(urls), len(text.encode()), hashlib.sha256(text.encode()).hexdigest())


def peer_lists() -> Path:
    """The folder of the lists in the peer's package."""
    python_of("url_filter")
    found = list(environment("url_filter").glob("lib/python*/site-packages/datatrove/assets"))
    if not found:
        raise MeasureError("the peer's package has no folder of lists: another version of it?")
    return found[0]


def url_side(name: str, lists: Path) -> Side:
    ours = name.startswith("ours")
    python = Path(sys.executable) if ours else python_of("url_filter")
    variables = {"PYTHONPATH": str(ROOT)} if ours else {}

    def command(web: Web, out: Path) -> list[str]:
        return [str(python), str(SCRIPT), name, str(web.folder), str(out), str(lists)]

    def look(out: Path) -> Json:
        found: Json = json.loads((out / "dropped.json").read_text())
        return found

    return Side(name, command, look, {**peer_environment(), **variables})


# --- In this process -----------------------------------------------------------------------------


def match_column(stage: UrlFilter, urls: Sequence[str]) -> list[str | None]:
    table = pa.table({"url": pa.array(urls, pa.string())})
    answer = stage.process(TextBatch(table), StageSide("url_filter", 1))
    found: list[str | None] = answer.columns["url_match"].to_pylist()
    return found


def big_index(urls: Sequence[str], turns: int) -> Json:
    """The index of 5 M made-up domains: its size, its build, a worker's memory, its speed."""
    with tempfile.TemporaryDirectory(prefix="tokenmill-benchmark-") as name:
        root = Path(name)
        (root / "domains").write_text("\n".join(made_up_domains(DOMAINS, 3)) + "\n")
        knobs: Json = {"lists": str(root / "domains"), "cache": str(root / "cache")}
        began = time.process_time()
        match_column(UrlFilter(**knobs), urls[:1])
        built = time.process_time() - began
        size = sum(file.stat().st_size for file in (root / "cache").glob("*/*"))
        (root / "small").write_text("small.example\n")
        small = str(root / "small")
        code = _WORKER.format(root=str(ROOT), knobs=knobs, small=small, turns=turns)
        text = "\n".join(urls)
        done = subprocess.run(
            [sys.executable, "-c", code], input=text, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise MeasureError(f"the worker failed: {done.stderr[-800:]}")
        told: Json = json.loads(done.stdout)
        return {
            "domains": DOMAINS,
            "index_bytes": size,
            "build_cpu_seconds": round(built, 1),
            **told,
        }


_WORKER = """
import json, sys, time
sys.path.insert(0, {root!r})
import pyarrow as pa
from benchmarks.nsfw import match_column
from stages.url_filter import UrlFilter, look_up
from stages.url_lists import load_index
urls = sys.stdin.read().splitlines()
def own():
    lines = open('/proc/self/smaps_rollup').read().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith('Anonymous:'))
stage = UrlFilter(**{knobs!r})
small = UrlFilter(lists={small!r}, cache={knobs!r}['cache'])
match_column(small, urls[:8192])
before = own()
match_column(stage, urls[:8192])
grown = own() - before
index = load_index(stage.lists, stage.categories, None, stage.cache)
column = pa.array(urls, pa.string())
best = 1e9
for _ in range({turns} + 2):
    began = time.process_time()
    look_up(column, index)
    best = min(best, time.process_time() - began)
found = dict(own_bytes_of_a_worker=max(grown, 0), urls_per_cpu_second=round(len(urls) / best))
print(json.dumps(found))
"""


def word_lists_folder(data: Path) -> Path:
    """LDNOOBW's lists, in its layout."""
    terms: dict[str, list[str]] = {}
    for row in rows(data / "toxicity/ldnoobw_words.jsonl.gz"):
        terms.setdefault(row["lang"], []).append(row["term"])
    return folder_of("ldnoobw", {name: "\n".join(words) + "\n" for name, words in terms.items()})


def word_speed(data: Path, lists: Path, turns: int) -> Json:
    """MB of text a CPU second, every text with the list of its language."""
    texts: list[tuple[str, str]] = []
    for name in ("text/libreoffice_help_multilingual", "langid/lingua_sentences"):
        texts += [(row["lang"], row["text"]) for row in rows(data / f"{name}.jsonl.gz")]
    stage = BadWords(lists=str(lists))
    found = _word_lists(stage)
    texts = [(lang, text) for lang, text in texts if found.language(lang)]
    random.Random(1).shuffle(texts)
    table = word_table(texts)
    size = sum(len(text.encode()) for _, text in texts)
    began, best = time.process_time(), 1e9
    stage.process(TextBatch(table), StageSide("bad_words", 1))
    first = time.process_time() - began
    for _ in range(turns + 2):
        began = time.process_time()
        stage.process(TextBatch(table), StageSide("bad_words", 1))
        best = min(best, time.process_time() - began)
    return {
        "list_languages": len(found.tables),
        "text_languages": len({found.language(lang) for lang, _ in texts}),
        "bytes": size,
        "mb_per_cpu_second": round(size / 1e6 / best, 1),
        "first_call_cpu_seconds": round(first, 2),
    }


def _word_lists(stage: BadWords) -> Any:
    from stages.word_lists import word_lists

    return word_lists(stage.lists, stage.language, stage.boundaries, stage.min_severity or 0)


def word_table(texts: Sequence[tuple[str, str]]) -> pa.Table:
    ids = [at.to_bytes(16, "big") for at in range(len(texts))]
    return pa.table(
        {
            "doc_id": pa.array(ids, pa.binary(16)),
            "lang": pa.array([lang for lang, _ in texts], pa.string()),
            "text": pa.array([text for _, text in texts], pa.large_string()),
        }
    )


# --- Precision and recall ------------------------------------------------------------------------


def judged(hits: Sequence[bool], wanted: Sequence[bool]) -> Json:
    """Precision, recall and the share of good ones that fall."""
    both = sum(hit and want for hit, want in zip(hits, wanted, strict=True))
    good = sum(not want for want in wanted)
    return {
        "bad": sum(wanted),
        "good": good,
        "precision": round(both / max(sum(hits), 1), 4),
        "recall": round(both / max(sum(wanted), 1), 4),
        "good_dropped": round((sum(hits) - both) / max(good, 1), 4),
    }


def url_quality(data: Path, lists: Path) -> Json:
    """UT1's adult list and the words on pages of other categories, and on gold pages."""
    sample = rows(data / "url_blocklist/ut1_categories_sample.jsonl.gz")
    domains = rows(data / "url_blocklist/datatrove_domains_sample.jsonl.gz")
    tar = str(lists / "url_filterblacklistsv0_3_0.tar.gz")
    words: Json = {
        "hard_words": str(lists / "banned_words.txt"),
        "soft_words": str(lists / "soft_banned_words.txt"),
        "substrings": str(lists / "banned_subwords.txt"),
    }
    gold = sorted({row["url"] for file in sorted((data / "extraction_gold").glob("*.jsonl.gz"))
                   for row in rows(file) if row.get("url")})  # fmt: skip
    bad = {
        "adult domains, in the list": [f"http://www.{row['domain']}/" for row in domains],
        "adult URLs of a later UT1": [
            f"http://{row['value']}" for row in sample if row["category"] == "adult"
        ],
    }
    good = {
        "other categories of UT1": [
            f"http://{row['value']}" for row in sample if row["category"] in INNOCENT
        ],
        "pages of extraction_gold": gold,
    }
    found: Json = {}
    for name, stage in (
        ("lists", UrlFilter(lists=tar)),
        ("words", UrlFilter(**words)),
        ("lists and words", UrlFilter(lists=tar, **words)),
    ):
        shares = {
            key: sum(match is not None for match in match_column(stage, urls)) / len(urls)
            for key, urls in {**bad, **good}.items()
        }
        found[name] = {key: round(share, 4) for key, share in shares.items()}
    found["urls"] = {key: len(urls) for key, urls in {**bad, **good}.items()}
    return found


def word_quality(data: Path, lists: Path) -> Json:
    """Word lists against labels, by set of texts."""
    severities = "".join(
        json.dumps(row) + "\n"
        for row in rows(data / "toxicity/profanity_list_en_severity.jsonl.gz")
    )
    severe = str(folder_of("severity", {"en.jsonl": severities}))
    stages = {
        "LDNOOBW": BadWords(lists=str(lists)),
        "LDNOOBW, c4": BadWords(lists=str(lists), boundaries="c4"),
        **{f"severity {n}+": BadWords(lists=severe, min_severity=n) for n in (1, 2, 3, 4)},
    }
    found: Json = {}
    for path in sorted((data / "toxicity").glob("*.jsonl.gz")):
        labelled = [row for row in rows(path) if "label" in row]
        if not labelled:
            continue
        wanted = [row["label"] in ("toxic", "hateful") for row in labelled]
        table = word_table([(row["lang"], row["text"]) for row in labelled])
        for name, stage in stages.items():
            if name.startswith("severity") and labelled[0]["lang"] != "en":
                continue
            metrics = stage.process(TextBatch(table), StageSide("bad_words", 1)).metrics
            hits = [bool(count) for count in metrics["bad_words"].to_pylist()]
            set_name = path.name.removesuffix(".jsonl.gz")
            found.setdefault(set_name, {})[name] = judged(hits, wanted)
    return found


# --- The run -------------------------------------------------------------------------------------


def run(options: Options) -> Report:
    lists = peer_lists()
    FOLDER.mkdir(parents=True, exist_ok=True)
    urls = some_urls(options.data, options.pages or (QUICK_URLS if options.quick else URLS))
    web, empty = url_web(urls), url_web(["https://start.example/"])
    ours, peer = url_side("ours", lists), url_side(PEER, lists)
    lists_alone = url_side("ours_lists", lists)
    for side in (ours, lists_alone, peer):
        side.start_up(empty)
    for _ in range(options.turns):
        lists_alone.turn(web)
    alternate(ours, options.turns, peer, options.peer_turns, web)
    say("the index of 5 M domains")
    index = big_index(urls, options.turns)
    say("bad words")
    words = word_lists_folder(options.data)
    speed = word_speed(options.data, words, options.turns)
    verdicts = _verdicts(ours.found, peer.found, len(urls))
    above = side_json(ours.turns, ours.startup, {"batch": 8192})
    rate = len(urls) / max(above["cpu_seconds"] - above["startup"]["cpu_seconds"], 1e-3)
    alone = side_json(lists_alone.turns, lists_alone.startup, {"lists": "domains and URLs"})
    alone_seconds = max(alone["cpu_seconds"] - alone["startup"]["cpu_seconds"], 1e-3)
    peer_side = side_json(peer.turns, peer.startup, {"lists": "integrated"})
    return Report(
        "nsfw",
        {"documents": len(urls), "bytes": web.bytes, "sha256": web.sha256, "source": "URLs"},
        {
            **above,
            "urls_per_cpu_second": round(rate),
            "lists_alone": {**alone, "urls_per_cpu_second": round(len(urls) / alone_seconds)},
            "verdicts": verdicts,
            "index": index,
            "bad_words": speed,
            "url_quality": url_quality(options.data, lists),
            "word_quality": word_quality(options.data, words),
        },
        {PEER: peer_side},
        {"ours_vs_datatrove_url_filter": ratio(peer.turns, peer.startup, ours.turns, ours.startup)},
        {
            "ours_vs_datatrove_url_filter_with_startup": plain_ratio(
                peer.turns, ours.turns, "cpu_seconds"
            ),
            "ours_vs_datatrove_url_filter_memory": plain_ratio(
                peer.turns, ours.turns, "peak_pss_bytes"
            ),
        },
        {**our_versions(), **{f"peer {name}": at for name, at in pins("url_filter").items()}},
    )


def _verdicts(ours: Json, peer: Json, urls: int) -> Json:
    """How many URLs each side drops, and the reasons of those that only one does."""
    only: dict[str, dict[str, int]] = {"ours": {}, PEER: {}}
    for name, one, other in (("ours", ours, peer), (PEER, peer, ours)):
        for number, reason in one.items():
            if number not in other:
                only[name][reason] = only[name].get(reason, 0) + 1
    return {"urls": urls, "ours": len(ours), PEER: len(peer), "only_by": only}
