"""Real HTML in bulk: the pages of Debian's documentation packages.

Packages are fetched by `apt-get download` (no root, nothing is installed) into `.data/debs`, which
is not committed, and kept; a release of Debian moves them, so results name the files that they are
from. Pages of a package come in the order of a hash of their paths, so that the first N are a fair
sample of it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.measure import MeasureError
from benchmarks.web import FOLDER

PACKAGES = (
    "debian-handbook",  # 26 languages
    "installation-guide-amd64",  # 19 languages
    "libreoffice-help-en-us",
    "linux-doc-6.1",
    "postgresql-doc-15",
    "python-django-doc",
    "python3.11-doc",
    "sqlite3-doc",
)
PAGES = 750
"""At most so many pages of a package."""


def _ran(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr[-1000:]
        raise MeasureError(f"{' '.join(command)} failed in {folder}:\n{said}")


def packages(root: Path = FOLDER, names: Sequence[str] = PACKAGES) -> Mapping[str, Path]:
    """Package -> its file, fetched where it is not there. Raises MeasureError."""
    folder = root / "debs"
    folder.mkdir(parents=True, exist_ok=True)
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise MeasureError(f"pages in bulk are of Debian's packages, and there is no {tool}")
    for name in names:
        if not list(folder.glob(f"{name}_*.deb")):
            _ran(["apt-get", "download", "--quiet", name], folder)
    return {name: max(folder.glob(f"{name}_*.deb")) for name in names}


def pages(package: Path, most: int = PAGES) -> Iterator[tuple[str, bytes]]:
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


def texts(root: Path = FOLDER) -> Iterator[str]:
    """What our extractor makes of the pages."""
    from stages.charset import to_utf8
    from stages.extract.engines import load_engine

    extract = load_engine("blocks")
    for package in packages(root).values():
        for _, html in pages(package):
            yield extract(to_utf8(html)[0], "").text
