"""A fuzz campaign: mutated, truncated and pathological pages, under index checks.

    python tests/test_html_fuzz.py --inputs 1000000 --seed 1

Each input is made from (seed, number) alone, mostly 1 to 4 KB of a real page with up to six
changes. It is scanned, judged by the model and written down (text or Markdown, comments and related
stories kept or not) in rooms without a byte to spare; every fourth also in used rooms, which must
give the same. An error, a broken invariant (`html_oracle.check_scan`) or more steps up the
stack than the budget allows ends the campaign and names the input. A hang ends it with a traceback.

    python tests/test_html_fuzz.py --hostile

measures the pages that were made to be costly: CPU seconds of each, and the process's memory.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the command line

from html_oracle import (
    CHECKED,
    ROOT,
    ExactWriter,
    check_scan,
    check_text,
    gold_pages,
    index_checks_are_on,
    same_scan,
    scan_exactly,
)

from stages.extract.desk import Writer
from stages.extract.model import load_model
from stages.extract.page import Scanner
from stages.kernels import html_tags as tags

HANG_SECONDS = 60
"""A thousand inputs take a fraction of a second."""
PAGES_EVERY, WHOLE_PAGES, TRAPS = 10, 0.001, 0.03
"""Of the gold pages every tenth is read; shares of whole pages and of pathological ones."""

# Where the scanner's states begin and end, and bytes that are none or half of a character.
BITS = [
    b"<", b">", b"</", b"/>", b"&", b"&#", b"&#x", b";", b'"', b"'", b"=", b"\x00", b"\x85",
    b"\xc2", b"\xc2\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xf0\x9d", b"\xff", b"\r", b"\r\n",
    b"<!--", b"-->", b"--!>", b"<!-", b"<?xml ", b"<![CDATA[", b"]]>", b"<script>", b"</script",
    b"<svg>", b"</svg>", b"<svg/>", b"<foreignObject>", b"<title>", b"<textarea>", b"<select>",
    b"<xmp>", b"<plaintext>", b"<pre>\n", b"<noscript>", b"<template>", b"<table>", b"<td>",
    b"<tr>", b"</table>", b"<caption>", b"<a href=x>", b"</a>", b"<a name=x>", b"<b>", b"</b>",
    b"<form>", b"</form>", b"<p>", b"</p>", b"<li>", b"<br>", b"<br><br>", b"<h1>", b"</h2>",
    b"</body>", b"<html>", b"<math>", b"<object>", b"</div>", b"<div class='a-B c1 d_e' id=x>",
    b"<p hidden style='display: none'>", b"<time datetime=1>",
    b"<meta property=og:url content=x>", b"<a rel='license author' href=>", b"&nLt;", b"&notin",
    b"&AMP", b"&#0;", b"&#128;", b"&nbsp;", b"&shy;",
]  # fmt: skip


def real_pages() -> list[bytes]:
    shared = Path(os.environ.get("TOKENMILL_SHARED", ROOT.parent / "shared")) / "data"
    return [html for _, html in gold_pages(shared, PAGES_EVERY)]


def make_input(seed: int, number: int, pages: Sequence[bytes]) -> bytes:
    rng = random.Random(f"{seed} {number}")
    kind = rng.random()
    if kind < TRAPS or not pages:
        data = _trap(rng)
    else:
        page = rng.choice(pages)
        data = page if kind > 1 - WHOLE_PAGES else _fragment(rng, page)
    for _ in range(rng.randrange(7)):
        data = _changed(rng, data, pages)
    return data


def _fragment(rng: random.Random, page: bytes) -> bytes:
    size = rng.randrange(1_000, 4_000)
    start = rng.randrange(max(len(page) - size, 1))
    return page[start : start + size]


def _trap(rng: random.Random) -> bytes:
    """Few pieces, often repeated: nests, storms of tags, markup without an end."""
    pieces = [rng.choice(BITS) for _ in range(rng.randrange(1, 6))]
    pieces += [f"<{rng.choice(tags.TAG_NAMES)}>".encode() for _ in range(rng.randrange(3))]
    pieces += [f"</{rng.choice(tags.TAG_NAMES)}>".encode() for _ in range(rng.randrange(2))]
    rng.shuffle(pieces)
    size = sum(map(len, pieces))
    return b"".join(pieces) * rng.randrange(1, max(6_000 // size, 2))


def _changed(rng: random.Random, data: bytes, pages: Sequence[bytes]) -> bytes:
    """One change: flip, cut, insert, repeat, splice, or truncate."""
    at = rng.randrange(len(data) + 1)
    end = min(at + rng.choice((1, 2, 8, 64, 512)), len(data))
    match rng.randrange(7):
        case 0:
            return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[end:]
        case 2 | 3:
            return data[:at] + rng.choice(BITS) + data[at:]
        case 4:
            return data[:at] + data[at:end] * rng.choice((2, 3, 20)) + data[end:]
        case 5:
            other = _fragment(rng, rng.choice(pages)) if pages else rng.choice(BITS)
            return data[:at] + other[: end - at] + data[at:]
        case _:
            return data[: max(at, len(data) // 2)]


def run_campaign(seed: int, inputs: int, pages: Sequence[bytes]) -> int:
    """Bytes that were scanned. Raises at the first input that breaks anything."""
    scanner, num_bytes = Scanner(), 0
    exact, used, model = ExactWriter(), Writer(), load_model()
    for number in range(inputs):
        if number % 1_000 == 0:
            compiling = 240 if number == 0 else 0
            faulthandler.dump_traceback_later(HANG_SECONDS + compiling, exit=True)
        html = make_input(seed, number, pages)
        num_bytes += len(html)
        try:
            page = scan_exactly(html)
            check_scan(page)
            assert number % 4 or same_scan(scanner.scan(html), page), "a used room differs"
            if len(page.blocks):
                how = number % 1_024, number // 2 % 4, number % 2 == 0
                found = exact.main_text(page, model, *how)
                check_text(found[0])
                assert number % 4 or used.main_text(page, model, *how) == found, "a used desk does"
        except Exception as error:
            raise AssertionError(f"input {number} of seed {seed}: {error!r}: {html!r}") from error
    faulthandler.cancel_dump_traceback_later()
    return num_bytes


def campaign_process(inputs: int, seed: int) -> str:
    command = [sys.executable, __file__, "--inputs", str(inputs), "--seed", str(seed)]
    found = subprocess.run(command, env=CHECKED, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-2_000:] + found.stderr[-6_000:]
    return found.stdout


@pytest.mark.parametrize(
    "inputs", [4_000, pytest.param(100_000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_no_mutated_page_breaks_the_scanner(shared_data: Path, inputs: int) -> None:
    """The first run compiles the checked kernels, which takes a minute."""
    assert f"{inputs:,} inputs" in campaign_process(inputs, seed=3)


def test_the_same_seed_makes_the_same_inputs() -> None:
    pages = [b"<p>one</p>" * 300, b"<div>two</div>" * 300]
    assert make_input(1, 7, pages) == make_input(1, 7, pages) != make_input(2, 7, pages)


# --- Hostile pages --------------------------------------------------------------------------------

_SIZE = 20_000_000  # the largest page that a source hands on (DESIGN section 4)


def _filled(unit: bytes, before: bytes = b"", after: bytes = b"<p>end") -> bytes:
    return before + unit * ((_SIZE - len(before) - len(after)) // len(unit)) + after


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a script of 10 MB": lambda: b"<script>" + b"x<y;" * 2_500_000 + b"</script><p>end",
    "100,000 nested elements": lambda: b"<div>" * 100_000 + b"end" + b"</div>" * 100_000,
    "100,000 nested unknown elements": lambda: b"<x-y>" * 100_000 + b"end" + b"</x-y>" * 100_000,
    "20 MB in one line": lambda: _filled(b"word "),
    "20 MB in one word": lambda: _filled(b"w"),
    "20 MB of random bytes": lambda: random.Random(1).randbytes(_SIZE),
    "20 MB of random tags": lambda: _random_tags(),
    "20 MB of zeros": lambda: _filled(b"\0"),
    "20 MB of one bracket": lambda: _filled(b"<", after=b" end"),
    "20 MB of paragraphs": lambda: _filled(b"<p>a"),
    "20 MB of links": lambda: _filled(b"<a href=x>a"),
    "20 MB of references": lambda: _filled(b"&nLt;"),
    "20 MB of windows-1252 controls": lambda: _filled(b"\xc2\x80"),
    "20 MB of end tags in a deep nest": lambda: _filled(b"</y>", b"<x-y>" * 1_000),
    "20 MB of attributes": lambda: _filled(b" a=b class='c d'", b"<p", b"><p>end"),
    "20 MB of class names": lambda: _filled(b"ab ", b"<p class='", b"'><p>end"),
    "20 MB of comments without an end": lambda: _filled(b"<!-- a "),
    "20 MB of cells": lambda: _filled(b"<td>a", b"<table>"),
}  # fmt: skip


def _random_tags() -> bytes:
    rng = random.Random(2)
    unit = b"".join(
        b"<%s%s>a" % (rng.choice((b"", b"/")), rng.choice(tags.TAG_NAMES[1:]).encode())
        for _ in range(2_000)
    ).replace(b"<plaintext>", b"")
    return _filled(unit)


def peak_mb() -> float:
    """Peak resident memory of this process; getrusage would count the parent's from before exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure_hostile() -> None:
    """A line for each page: CPU seconds, the process's memory in MB so far, characters of text."""
    scanner = Scanner()
    scanner.scan(b"<p>compiled")
    for name, make in HOSTILE.items():
        html = make()
        start = time.process_time()
        page = scanner.scan(html)
        seconds = time.process_time() - start
        print(f"{name}\t{seconds:.2f}\t{peak_mb():.0f}\t{len(page.text)}")
        check_scan(page)


def test_hostile_pages_cost_under_two_seconds_and_500_mb_each_and_keep_their_text() -> None:
    environment = {**os.environ, "PYTHONPATH": CHECKED["PYTHONPATH"]}
    # Compiling takes a gigabyte: a process before the measured one does it, if none has yet.
    compile_first = "from stages.extract.page import Scanner; Scanner().scan(b'<p>')"
    subprocess.run([sys.executable, "-c", compile_first], env=environment, check=True)
    command = [sys.executable, __file__, "--hostile"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert [row[0] for row in rows] == list(HOSTILE)
    for name, seconds, memory, size in rows:
        assert float(seconds) < 2, name
        assert float(memory) < 500, name
        assert int(size) >= 3, name


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the HTML scanner under index checks.")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hostile", action="store_true")
    options = parser.parse_args()
    if options.hostile:
        measure_hostile()
        return
    if "NUMBA_BOUNDSCHECK" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], CHECKED)
    assert index_checks_are_on(), "the kernels do not check indices"
    pages = real_pages()
    start = time.process_time()
    num_bytes = run_campaign(options.seed, options.inputs, pages)
    seconds = time.process_time() - start
    print(
        f"{options.inputs:,} inputs of {len(pages)} real pages, {num_bytes / 1e6:,.0f} MB, "
        f"seed {options.seed}: no failure, {seconds:.0f} s of CPU time"
    )


if __name__ == "__main__":
    main()
