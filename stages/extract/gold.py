"""Gold pages: reading them, and the quality of texts extracted from them.

A gold file is JSON lines (`.jsonl`, `.jsonl.gz`): id, url, html, gold_text or null, must_contain,
must_not_contain, lang, page_type, origin. The judge is `score_extraction.py`, which stands beside
the pages in $TOKENMILL_SHARED/tools and knows nothing of us: it is loaded, never copied.

Cross-validation and the benchmark both judge with `quality`, so that their figures can be compared.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import InputError

Row = Mapping[str, Any]

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = (".jsonl", ".jsonl.gz")
LANGUAGES = ("en", "de", "zh", "ja", "ko", "ar", "th", "ru", "hi")
"""Languages that are reported apart; all others together are `other`."""
TYPED_ORIGIN = "wcxb"
"""The one origin with pages of every type: elsewhere all are articles, by other conventions."""
_DETECT_CHARS = 5000


def shared() -> Path:
    """The folder that holds `data/` and `tools/`."""
    return Path(os.environ.get("TOKENMILL_SHARED", ROOT.parent / "shared"))


def gold_files(path: Path) -> list[Path]:
    """The file itself, or those of the folder in name order. Raises InputError without any."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise InputError(
            f"no gold pages at {path}: expected a .jsonl or .jsonl.gz file, or a folder of them"
        )
    return files


def gold_digest(files: Iterable[Path]) -> str:
    """SHA-256 over name and content of the files: which pages a figure was made on."""
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda each: each.name):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{file.name} {content}\n".encode())
    return whole.hexdigest()


def read_gold(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The rows in file order. Raises InputError at a line that is no gold page."""
    for file in files:
        opened = gzip.open if file.name.endswith(".gz") else open
        try:
            with opened(file, "rt", encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield _row(line, f"{file}:{number}")
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read: {error}") from error


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: expected a JSON object, got {line[:40]!r}: {error}") from None
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise InputError(f"{where}: expected an object with a string `id`, got {line[:40]!r}")
    if not isinstance(row.get("html"), str):
        raise InputError(f"{where}: page {row['id']!r} has no string `html`")
    return row


def page_bytes(row: Row) -> bytes:
    """The page as it would come from a crawl; gold is UTF-8 throughout."""
    # Lone surrogates, which JSON can hold, become bytes that are no UTF-8, as in a damaged page.
    html: str = row["html"]
    return html.encode("utf-8", "surrogatepass")


def language_of(row: Row) -> str:
    """One of `LANGUAGES` or `other`: what the wanted text is written in.

    The text is asked first (CLD2), the page's `lang` only where that gives no sure answer: many
    sites leave their template's `en` on pages in other languages.
    """
    import pycld2

    wanted = row.get("gold_text") or " ".join(row.get("must_contain") or ())
    code = ""
    try:
        sure, _, found = pycld2.detect(wanted[:_DETECT_CHARS], isPlainText=True)
        code = found[0][1] if sure else ""
    except (pycld2.error, UnicodeEncodeError):
        code = ""  # control characters or surrogates: CLD2 takes none
    code = (code or row.get("lang") or "").lower().replace("_", "-").partition("-")[0]
    return code if code in LANGUAGES else "other"


def scorer_path() -> Path:
    return shared() / "tools" / "score_extraction.py"


@functools.cache
def scorer() -> ModuleType:
    """The judge. Raises InputError where it is not at hand."""
    path = scorer_path()
    spec = importlib.util.spec_from_file_location("score_extraction", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(
            f"no judge at {path}: set TOKENMILL_SHARED to the folder that holds tools/"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quality(rows: Iterable[Row], texts: Mapping[str, str]) -> dict[str, Any]:
    """How good the texts are, as the judge measures it; a page without a text scores as empty.

    `origins` and `macro` (their plain mean) are `score`: page F1 where the origin has gold texts,
    else snippet F1. `page_types` is the page F1 of `wcxb` pages. `languages` holds for each group
    the number of its pages, of those with a gold text, and the page F1 of these (None if it has
    none); a group without a page is shown too, as what the pages say nothing about.
    """
    languages: dict[str, str] = {}

    def judged() -> Iterator[Row]:
        for row in rows:
            languages[row["id"]] = language_of(row)
            yield row

    judge = scorer()
    found = judge.score(judged(), dict(texts))
    groups: dict[str, list[Any]] = {}
    for page in found["pages"]:
        groups.setdefault(languages[page["id"]], []).append(page)
    typed = {
        name.partition(" / ")[2]: group
        for name, group in found["origin_page_types"].items()
        if name.startswith(f"{TYPED_ORIGIN} / ")
    }
    return {
        "pages": found["overall"]["pages"],
        "empty": found["overall"]["empty"],
        "missing": found["missing_predictions"],
        "macro": _rounded(found["macro"]),
        "origins": {name: _rounded(group["score"]) for name, group in found["origins"].items()},
        "page_types": {name: _rounded(group["page_f1"]) for name, group in typed.items()},
        "languages": {
            name: _language(judge.summarise(groups.get(name, []))) for name in (*LANGUAGES, "other")
        },
    }


def _language(group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pages": group["pages"],
        "gold_pages": group["gold_pages"],
        "page_f1": _rounded(group["page_f1"]),
        "snippet_f1": _rounded(group["snippet_f1"]),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
