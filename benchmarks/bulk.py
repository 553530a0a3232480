"""Real pages by the ten thousand: the HTML of Debian's documentation packages, as texts.

The packages come through apt by name, are unpacked below `.data` and never committed. Their pages
(`shared/data/BULK.md` tells what they are: 30 languages of one help system, half translated, two
releases of one manual, javadoc) are full of true near-duplicates. Each goes through our extractor
once; what is written is a text a row, in Parquet, in the order of a hash of package and path, so
that the first N are a fair sample.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import MeasureError
from benchmarks.turns import say
from benchmarks.web import FOLDER, Web

LANGUAGES = (
    "ca cs da de el en-us es et eu fi fr gl hi hu id it ja km ko nl pl pt pt-br ru sl sv tr vi "
    "zh-cn zh-tw"
)
PACKAGES = (
    *(f"libreoffice-help-{language}" for language in LANGUAGES.split()),
    "debian-handbook", "installation-guide-amd64", "libboost1.74-doc", "libboost1.81-doc",
    "linux-doc-6.1", "openjdk-17-doc", "postgresql-doc-15", "python-django-doc",
    "python3.11-doc", "sqlite3-doc",
)  # fmt: skip
SCHEMA = pa.schema([("id", pa.string()), ("text", pa.large_string())])
_CHUNK = 500
"""Pages that a worker takes at once."""


def unpacked(package: str, root: Path = FOLDER) -> Path:
    """The folder that holds the package's files; fetched and unpacked by the first to ask."""
    folder = root / "packages" / package
    if (folder / "version").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise MeasureError(f"{package} comes from Debian: apt-get and dpkg are not on this machine")
    say(f"fetching {package}")
    _run(["apt-get", "download", package], folder)
    [archive] = folder.glob("*.deb")
    _run(["dpkg", "-x", archive.name, "files"], folder)
    version = _run(["dpkg-deb", "--field", archive.name, "Version"], folder)
    archive.unlink()
    (folder / "version").write_text(version.strip())
    return folder


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise MeasureError(
            f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}. As root, `apt-get update` "
            f"fetches the lists of packages."
        )
    return done.stdout


def pages(packages: Sequence[str]) -> list[tuple[str, Path]]:
    """(id, file) of every page that is a file of its own, in the order of a hash of the id."""
    found = []
    for package in packages:
        root = unpacked(package) / "files"
        for path in (*root.rglob("*.html"), *root.rglob("*.htm")):
            if path.is_file() and not path.is_symlink():
                found.append((f"{package}/{path.relative_to(root)}", path))
    return sorted(found, key=lambda page: hashlib.sha256(page[0].encode()).digest())


def _texts(paths: Sequence[Path]) -> list[str]:
    from stages.charset import to_utf8
    from stages.extract.engines import load_engine

    extract = load_engine("blocks")
    return [extract(to_utf8(path.read_bytes())[0], "").text for path in paths]


def _extracted(found: Sequence[tuple[str, Path]], workers: int) -> Iterator[tuple[str, str]]:
    """(id, text) of the pages that have one."""
    chunks = [found[at : at + _CHUNK] for at in range(0, len(found), _CHUNK)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = pool.map(_texts, [[path for _, path in chunk] for chunk in chunks])
        for chunk, texts in zip(chunks, made, strict=True):
            for (name, _), text in zip(chunk, texts, strict=True):
                if text.strip():
                    yield name, text


def bulk_texts(packages: Sequence[str] = PACKAGES, workers: int = 2) -> Path:
    """A Parquet file of all texts (id, text), made once for these versions of the packages."""
    versions = {p: (unpacked(p) / "version").read_text() for p in packages}
    digest = hashlib.sha256(json.dumps(versions).encode()).hexdigest()[:8]
    path = FOLDER / f"bulk-{digest}" / "texts.parquet"
    if path.exists():
        return path
    found = pages(packages)
    say(f"extracting {len(found):,} pages of {len(packages)} packages, once")
    rows = list(_extracted(found, workers))
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "versions.json").write_text(json.dumps(versions, indent=1))
    part = path.with_suffix(".part")
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    table = pa.table([columns[0], columns[1].cast(pa.large_string())], schema=SCHEMA)
    pq.write_table(table, part, compression="zstd", row_group_size=10_000)
    part.rename(path)
    return path


def versions_of(path: Path) -> dict[str, str]:
    """Package -> version of a file that `bulk_texts` made."""
    found: dict[str, str] = json.loads((path.parent / "versions.json").read_text())
    return found


def spread(rows: pa.Table, name: str, files: int, root: Path = FOLDER) -> Web:
    """The rows as so many Parquet files, row i in file i mod `files`; written once."""
    whole = hashlib.sha256(f"{files}".encode())
    size = 0
    for text in rows["text"].to_pylist():
        data = text.encode()
        size += len(data)
        whole.update(len(data).to_bytes(8, "big") + data)
    folder = root / f"{name}-{rows.num_rows}-{whole.hexdigest()[:8]}"
    web = Web(folder, rows.num_rows, size, whole.hexdigest())
    if (folder / "complete").exists():
        return web
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(files):
        wanted = pa.array(range(number, rows.num_rows, files))
        pq.write_table(rows.take(wanted), folder / f"part-{number:05d}.parquet", compression="zstd")
    (folder / "complete").touch()
    return web
