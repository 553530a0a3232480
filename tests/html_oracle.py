"""What a scan of a page must hold, and what lexbor reads on the same page.

`check_scan` are the invariants that the readers of a scan rely on; `scan_exactly` scans in a room
without a byte to spare, so that index checks see the first write outside.

lexbor (selectolax) is a whole HTML5 parser, tree construction included. It shares no code with the
scanner, and its lists below are taken from the HTML Standard's chapter on rendering, not from ours.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from selectolax.lexbor import LexborHTMLParser

from stages.archives.engines import Wanted
from stages.archives.http import decoded_body, parse_response
from stages.archives.records import Lost
from stages.archives.walk import walk
from stages.charset import to_utf8
from stages.extract.desk import Writer
from stages.extract.page import ScannedPage, scan_page, valid_utf8
from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels.html_judge import Desk, desk_for

# --- Real pages -----------------------------------------------------------------------------------


def gold_pages(data: Path, every: int = 1) -> Iterator[tuple[str, bytes]]:
    """(id, UTF-8) of every nth of the pages with known main text."""
    for path in sorted((data / "extraction_gold").glob("*.jsonl.gz")):
        with gzip.open(path, "rb") as lines:
            for line in itertools.islice(lines, 0, None, every):
                row = json.loads(line)
                yield row["id"], row["html"].encode("utf-8", "replace")


def crawled_pages(data: Path) -> Iterator[tuple[str, bytes]]:
    """(file and offset, UTF-8) of the HTML of all WARC files, each page once."""
    seen = set()
    for path in sorted((data / "warc").rglob("*.warc*")):
        with path.open("rb") as stream:
            for found in walk(stream, Wanted(20 << 20)):
                if isinstance(found, Lost) or found.kind != "response" or found.block is None:
                    continue
                response = parse_response(found.block)
                declared = response.get(b"content-type")
                if "html" not in declared:
                    continue
                try:
                    html, _ = to_utf8(decoded_body(response, 20 << 20), declared)
                except ValueError:
                    continue
                if html.strip() and html not in seen:
                    seen.add(html)
                    yield f"{path.name}@{found.offset}", html


# --- Visible words and where they stand -----------------------------------------------------------


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


Words = list[tuple[str, tuple[str, ...]]]
"""Words in page order, each with the names of the blocks around it, the outermost first."""

_BLOCKS = _names(
    """address article aside blockquote button caption center dd details dialog dir div dl dt
    fieldset figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup legend li
    listing main menu nav noframes noscript ol optgroup option p plaintext pre search section
    summary table td template tfoot th thead tr ul xmp"""
)
"""`tbody` and `colgroup` are left out: parsers imply them, the scanner does not."""
_BREAKS = _BLOCKS | {"body", "br", "col", "colgroup", "hr", "html", "tbody"}
_UNSEEN = _names(
    """script style svg iframe textarea select datalist title noembed annotation template noframes
    head -comment"""
)
"""What the scanner leaves out or, as `template`, flags. `noframes` is raw text to lexbor."""

_INVISIBLE = dict.fromkeys([*range(9), *range(14, 32), 0x7F, 0xAD, 0x200B, 0xFEFF]) | {
    code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)
}
"""The scanner's rule for characters that show nothing; U+0080 to U+009F are windows-1252."""


class _Line:
    """The text between two breaks, which stands in the innermost block around its start."""

    def __init__(self) -> None:
        self.words: Words = []
        self._parts: list[str] = []
        self._path: tuple[str, ...] = ()

    def add(self, text: str, path: tuple[str, ...]) -> None:
        if not self._parts:
            self._path = path
        self._parts.append(text)

    def end(self) -> None:
        text = "".join(self._parts).translate(_INVISIBLE)
        self.words += [(word, self._path) for word in text.split()]
        self._parts.clear()


def lexbor_words(html: bytes) -> Words:
    """What lexbor's tree shows."""
    line = _Line()
    # A stack and no recursion: pages nest deeper than Python's calls.
    todo: list[tuple[Any, tuple[str, ...]]] = [(LexborHTMLParser(html).root, ())]
    while todo:
        node, path = todo.pop()
        if node is None:
            line.end()
        elif node.tag == "-text":
            line.add(node.text_content or "", path)
        elif node.tag == "head":  # browsers show the text of a noscript there
            todo += [(child, path) for child in node.iter() if child.tag == "noscript"]
        elif node.tag not in _UNSEEN:
            if node.tag in _BREAKS:
                line.end()
                todo.append((None, ()))
            inside = (*path, node.tag) if node.tag in _BLOCKS else path
            todo += [(child, inside) for child in node.iter(include_text=True)][::-1]
    line.end()
    return line.words


def scanned_words(page: ScannedPage) -> Words:
    """What the scanner shows, without what stands in templates and noframes."""
    paths: list[tuple[str, ...]] = []
    for parent, kind in page.nodes[:, [h.PARENT, h.KIND]].tolist():
        path = paths[parent] if parent >= 0 else ()
        name = tags.TAG_NAMES[kind]
        paths.append((*path, name) if name in _BLOCKS else path)
    found: Words = []
    for row, node in enumerate(page.blocks[:, h.NODE].tolist()):
        if "template" not in paths[node] and "noframes" not in paths[node]:
            found += [(word, paths[node]) for word in page.block_text(row).split()]
    return found


def agreement(ours: Words, theirs: Words, *, placed: bool) -> tuple[float, float]:
    """(recall, precision) of our words against theirs, as multisets; 1 where there are none.

    `placed`: a word counts as the same only where the blocks around it are the same.
    """
    counts = [Counter(words if placed else [word for word, _ in words]) for words in (ours, theirs)]
    common = (counts[0] & counts[1]).total()
    return (common / len(theirs) if theirs else 1.0), (common / len(ours) if ours else 1.0)


# --- Scans under index checks ---------------------------------------------------------------------

ROOT = Path(__file__).resolve().parent.parent
CHECKED = {
    **os.environ,
    "NUMBA_BOUNDSCHECK": "1",
    # Checked kernels are cached apart: numba would take one for the other.
    "NUMBA_CACHE_DIR": str(ROOT / "stages" / "kernels" / "__pycache__" / "checked"),
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
}
"""The environment of a process whose kernels raise IndexError at an index outside an array.

The index -1 passes, as it does in Python: the invariants below have to see what it does.
"""


def index_checks_are_on() -> bool:
    """True if this process's kernels check indices: proven by a scan in too small a room."""
    room = h.room_for(8, 1)._replace(text=np.empty(4, dtype=np.uint8))
    if "NUMBA_BOUNDSCHECK" not in os.environ:
        return False
    try:
        scan_page(b"12345678", room)
    except IndexError:
        return True
    return False


def scan_exactly(html: bytes) -> ScannedPage:
    """A scan in a new room of the very size that the page needs."""
    html = valid_utf8(html)
    num_tags = html.count(b"<")
    room = h.room_for(len(html), num_tags)
    page = scan_page(html, room)
    # Searches in vain are paid for by the page's size, and short when that is spent.
    spent = h.FREE_STEPS + h.STEPS_PER_BYTE * len(html) - room.state[h.STEPS_LEFT]
    most = h.FREE_STEPS + h.STEPS_PER_BYTE * len(html) + h.MAX_DEPTH
    assert spent <= most + 3 * num_tags * (h.SHORT_WALK + 1), f"{spent} steps up the stack"
    return page


class ExactWriter(Writer):
    """Judges and writes each page in new room of the very size that the page needs."""

    def _desk_for(self, page: ScannedPage) -> Desk:
        self._out = np.empty(0, dtype=np.uint8)
        return desk_for(len(page.blocks), len(page.nodes), len(page.text))


def check_text(text: str) -> None:
    """Fails where a main text breaks what its readers rely on."""
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text), "control character"
    for line in text.split("\n"):
        assert not line.endswith((" ", "\t")), f"white space at the end of {line!r}"


def same_scan(one: ScannedPage, other: ScannedPage) -> bool:
    tables = ("text", "nodes", "blocks", "tokens", "facts")
    same = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in tables)
    return same and one.html == other.html and one.cut == other.cut


# --- What every scan must hold --------------------------------------------------------------------

_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


def check_scan(page: ScannedPage) -> None:
    """Fails with a plain sentence where a scan breaks what its readers rely on."""
    text = page.text.tobytes()
    text.decode()  # raises unless it is valid UTF-8
    found = _CONTROL.search(text)
    assert not found, f"control character in the text at {found}"
    _check_nodes(page)
    _check_blocks(page, text)
    kinds, starts, ends = page.facts.T
    assert (kinds > 0).all(), "fact without a kind"
    assert (kinds < len(tags.FACTS)).all(), "fact of an unknown kind"
    assert ((starts >= 0) & (starts < ends) & (ends <= len(page.html))).all(), "fact outside"


def _check_nodes(page: ScannedPage) -> None:
    nodes = page.nodes
    places = np.arange(len(nodes))
    parents, kinds = nodes[:, h.PARENT], nodes[:, h.KIND]
    assert parents[0] == -1, "node 0 has a parent"
    assert (parents[1:] >= 0).all(), "node without a parent"
    assert (parents < places).all(), "node before its parent"
    assert ((kinds >= 0) & (kinds < len(tags.TAG_NAMES))).all(), "unknown element"
    assert (nodes[:, h.ANCESTORS] >= 0).all(), "flags overflow"
    first, last = nodes[:, h.TOKENS_FROM], nodes[:, h.TOKENS_TO]
    assert (first <= last).all(), "tokens end before they start"
    assert (first[1:] == last[:-1]).all(), "tokens between nodes"
    assert first[0] == 0, "tokens before the first node"
    assert last[-1] == len(page.tokens), "tokens behind the last node"


def _check_blocks(page: ScannedPage, text: bytes) -> None:
    blocks = page.blocks
    if not len(blocks):
        return
    start, end = blocks[:, h.START], blocks[:, h.END]
    assert start[0] >= 0, "block before the text"
    assert (start < end).all(), "empty block"
    assert (end[:-1] <= start[1:]).all(), "blocks overlap or are out of order"
    assert end[-1] <= len(text), "block outside the text"
    # A block starts and ends at a character, and does not end in white space.
    assert (page.text[start] & 0xC0 != 0x80).all(), "block starts inside a character"
    assert not np.isin(page.text[end - 1], np.frombuffer(b" \n\t", np.uint8)).any(), "open end"
    nodes = blocks[:, h.NODE]
    assert ((nodes >= 0) & (nodes < len(page.nodes))).all(), "block of no node"
    counts = blocks[:, [h.LINK_BYTES, h.BOLD_BYTES]]
    assert ((counts >= 0) & (counts <= (end - start)[:, None])).all(), "more link than text"
    assert (blocks[:, [h.LINKS, h.BREAKS]] >= 0).all(), "negative count"
