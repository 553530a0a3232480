"""Real HTML in bulk: the pages of Debian's documentation packages, and their texts.

Packages are fetched by `apt-get download` (no root, nothing is installed) into `.data/debs`, which
is not committed, and kept; a release of Debian moves them, so results name the files that they are
from. Pages of a package come in the order of a hash of their paths, so that the first N are a fair
sample of it.

30 of the packages are one help system in 30 languages, half translated, two are releases of one
manual: the pages are full of true near-duplicates.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import MeasureError
from benchmarks.turns import say
from benchmarks.web import FOLDER, Web

FEW_PACKAGES = (
    "debian-handbook",  # 26 languages
    "installation-guide-amd64",  # 19 languages
    "libreoffice-help-en-us",
    "linux-doc-6.1",
    "postgresql-doc-15",
    "python-django-doc",
    "python3.11-doc",
    "sqlite3-doc",
)
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
PAGES = 750
"""At most so many pages of a package, where a few are enough."""
SCHEMA = pa.schema([("id", pa.string()), ("text", pa.large_string())])
_CHUNK = 200
"""Pages that a worker takes at once."""


def _ran(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr[-1000:]
        raise MeasureError(f"{' '.join(command)} failed in {folder}:\n{said}")


def packages(root: Path = FOLDER, names: Sequence[str] = FEW_PACKAGES) -> Mapping[str, Path]:
    """Package -> its file, fetched where it is not there. Raises MeasureError."""
    folder = root / "debs"
    folder.mkdir(parents=True, exist_ok=True)
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise MeasureError(f"pages in bulk are of Debian's packages, and there is no {tool}")
    for name in names:
        if not list(folder.glob(f"{name}_*.deb")):
            say(f"fetching {name}")
            _ran(["apt-get", "download", "--quiet", name], folder)
    return {name: max(folder.glob(f"{name}_*.deb")) for name in names}


def pages(package: Path, most: int | None = PAGES) -> Iterator[tuple[str, bytes]]:
    """(path, HTML) of the first pages of a package in the order of their paths' hashes."""
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    found: list[tuple[bytes, str, bytes]] = []
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as unpacked,
        tarfile.open(fileobj=unpacked.stdout, mode="r|") as files,
    ):
        for file in files:
            if file.isreg() and file.name.endswith((".html", ".htm")):
                data = files.extractfile(file)
                assert data is not None
                digest = hashlib.sha256(file.name.encode("utf-8", "replace")).digest()
                found.append((digest, file.name, data.read()))
    if unpacked.returncode:
        raise MeasureError(f"{' '.join(command)} failed; delete the file and run again")
    for _, name, html in sorted(found)[:most]:
        yield name, html


def _texts(pages: Sequence[bytes]) -> list[str]:
    from stages.charset import to_utf8
    from stages.extract.engines import load_engine

    extract = load_engine("blocks")
    return [extract(to_utf8(html)[0], "").text for html in pages]


def texts(root: Path = FOLDER) -> Iterator[str]:
    """What our extractor makes of a few pages of some packages."""
    for package in packages(root).values():
        yield from _texts([html for _, html in pages(package)])


def bulk_texts(names: Sequence[str] = PACKAGES, workers: int = 2) -> Path:
    """A Parquet file of all texts (id, text) of all packages, in the order of a hash of their ids.

    Made once for these versions of the packages.
    """
    debs = packages(names=names)
    files = [path.name for path in debs.values()]
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:8]
    path = FOLDER / f"bulk-{digest}" / "texts.parquet"
    if path.exists():
        return path
    rows = sorted(
        _all_texts(debs, workers), key=lambda row: hashlib.sha256(row[0].encode()).digest()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "packages.json").write_text(json.dumps(files, indent=1))
    ids, found = zip(*rows, strict=True)
    table = pa.table([pa.array(ids), pa.array(found, pa.large_string())], schema=SCHEMA)
    part = path.with_suffix(".part")
    pq.write_table(table, part, compression="zstd", row_group_size=10_000)
    part.rename(path)
    return path


def _all_texts(debs: Mapping[str, Path], workers: int) -> Iterator[tuple[str, str]]:
    """(id, text) of every page that has a text."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for package, deb in debs.items():
            say(f"extracting the pages of {package}, once")
            found = list(pages(deb, None))
            chunks = [found[at : at + _CHUNK] for at in range(0, len(found), _CHUNK)]
            made = pool.map(_texts, [[html for _, html in chunk] for chunk in chunks])
            for chunk, texts_of in zip(chunks, made, strict=True):
                for (name, _), text in zip(chunk, texts_of, strict=True):
                    if text.strip():
                        yield f"{package}/{name.removeprefix('./')}", text


def packages_of(path: Path) -> list[str]:
    """The packages' files that a file of `bulk_texts` was made from."""
    found: list[str] = json.loads((path.parent / "packages.json").read_text())
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
