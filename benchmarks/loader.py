"""Loader without a GPU: B = 64, T = 2,048, shuffled, int64 inputs and labels.

Ours from the hot cache against a torch DataLoader over a memmap with 0, 1 and 2 workers (the best
counts), mosaicml-streaming and litdata on local data of theirs. Each side is a process of its own
(`peers/load_batches.py`) and gives batches for some seconds; ratios are of tokens a second by the
clock, medians over turns of which each has every side. The peers give windows alone; ours masks
labels at documents' ends and knows `cu_seqlens` as well.

In this process: decoding of shards, start-up with 100,000 shards listed, seeking.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import loader_input
from benchmarks.peers import LISTS, peer_environment, python_of
from benchmarks.report import ROOT, Options, Report, input_json, our_versions, side_json
from benchmarks.turns import Side, say
from benchmarks.web import Web

SCRIPT = LISTS / "load_batches.py"
SECONDS, QUICK_SECONDS = 4.0, 2.0
WHOLE, QUICK = (40_000_000, 8), (8_000_000, 8)
"""Bytes of text, and orders of its documents."""
WORKERS = (0, 1, 2)
SHARDS = 100_000


class Loading:
    """A side under some settings, and its tokens a second turn by turn."""

    def __init__(
        self, kind: str, seconds: float, python: str = sys.executable, **more: Any
    ) -> None:
        self.kind, self._python = kind, python
        self.settings: dict[str, Any] = {"seconds": seconds, **more}
        self.rates: list[float] = []
        self.found: list[dict[str, Any]] = []
        environment = {**peer_environment(), "PYTHONPATH": str(ROOT)}
        shown = ", ".join(f"{key} {value}" for key, value in more.items())
        self.side = Side(f"{kind} ({shown})" if more else kind, self._command, _look, environment)

    def _command(self, web: Web, out: Path) -> Sequence[str]:
        given = json.dumps(self.settings)
        return [self._python, str(SCRIPT), self.kind, str(web.folder), str(out), given]

    def turn(self, web: Web) -> None:
        self.side.turn(web)
        self.found.append(self.side.found)
        self.rates.append(self.side.found["mtokens_per_second"])
        say(f"{self.side.name}: {self.rates[-1]:.0f} M tokens/s")

    def shown(self) -> dict[str, Any]:
        cpu = [one["cpu_seconds"] / one["tokens"] * 1e9 for one in self.found]
        return side_json(
            self.side.turns, self.side.turns[0], self.settings,
            mtokens_per_second=round(statistics.median(self.rates), 1),
            mtokens_per_second_turns=[round(rate, 1) for rate in self.rates],
            main_process_cpu_seconds_per_billion_tokens=round(statistics.median(cpu), 3),
            first_batch_seconds=[round(one["first_batch_seconds"], 3) for one in self.found],
        )  # fmt: skip


def _look(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "about.json").read_text())
    return found


def _ratio(ours: Loading, others: Sequence[Loading]) -> float:
    """Median over turns of ours over the best of the others in the same turn."""
    best = [max(rates) for rates in zip(*(one.rates for one in others), strict=True)]
    count = max(len(ours.rates), len(best))
    pairs = [(ours.rates[min(at, len(ours.rates) - 1)], best[min(at, len(best) - 1)])
             for at in range(count)]  # fmt: skip
    return float(statistics.median(mine / theirs for mine, theirs in pairs))


def run(options: Options) -> Report:
    """All of it; --quick: one turn of the peers, less text, mosaicml-streaming and litdata left
    out."""
    seconds = QUICK_SECONDS if options.quick else SECONDS
    web = loader_input.dataset(*(QUICK if options.quick else WHOLE))
    ours, positions = Loading("ours", seconds), Loading("ours", seconds, positions=True)
    variants = [positions, *(Loading("ours", seconds, packing=p) for p in ("best_fit", "document"))]
    torch = [Loading("torch", seconds, workers=count) for count in WORKERS]
    others: dict[str, list[Loading]] = {}
    if not options.quick:
        python = str(python_of("readers"))
        for kind in ("mds", "litdata"):
            if not (web.folder / kind).exists():
                Loading(kind, seconds, python, prepare=True).side.trial(web)
            others[kind] = [Loading(kind, seconds, python, workers=count) for count in WORKERS]
    ours.side.trial(web)  # fills the hot cache and compiles
    every = [*torch, *(one for of in others.values() for one in of)]
    for at in range(options.turns):
        for one in (ours, *variants):
            one.turn(web)
        if at < options.peer_turns:
            for one in every:
                one.turn(web)
    about = loader_input.about(web)
    peers = {one.side.name: one.shown() for one in every}
    return Report(
        "loader",
        input_json(web, tokens=about["tokens"], batch=[64, 2048]),
        ours.shown() | {
            "variants": {one.side.name: one.shown() for one in variants},
            "stored_bytes_of_raw": round(about["bytes"] / about["tokens"] / 2, 4),
            "decode": decode(web, options.turns), "start": start(web), "seek": seek(),
        },
        peers,
        {"ours_vs_torch_dataloader": _ratio(ours, torch)},
        {
            "ours_with_positions_vs_torch_dataloader": _ratio(positions, torch),
            **{f"ours_{one.settings['packing']}_vs_torch_dataloader": _ratio(one, torch)
               for one in variants[1:]},
            **{f"ours_vs_{kind}": _ratio(ours, of) for kind, of in others.items()},
        },
        our_versions(),
    )  # fmt: skip


# --- in this process ---------------------------------------------------------------------------


def _cpu(call: Callable[[], Any], turns: int) -> list[float]:
    spent = []
    for _ in range(turns):
        begun = time.process_time()
        call()
        spent.append(time.process_time() - begun)
    return spent


def decode(web: Web, turns: int) -> dict[str, Any]:
    """M tokens a CPU second from the shards: read, decoded and verified; the same with the cache's
    file written and mapped; and what pyarrow's reader does, unverified."""
    from loader import open_dataset
    from loader.hot_cache import HotCache
    from loader.row_groups import fetch

    dataset = open_dataset(str(web.folder / "dataset"))
    (stream,) = dataset.streams("train")
    places = [stream.place(number) for number in range(len(stream.starts) - 1)]
    tokens = sum(place.tokens for place in places)

    def into_cache() -> None:
        with tempfile.TemporaryDirectory(dir=web.folder) as folder:
            cache = HotCache(Path(folder), 1 << 40, 8 * dataset.dtype.itemsize)
            for place in places:
                cache.get(place, lambda place=place: fetch(dataset, place))  # type: ignore[misc]

    def by_pyarrow() -> None:
        for place in places:
            file = pq.ParquetFile(dataset.path(place.file))
            table = file.read_row_group(place.row_group, columns=["tokens"], use_threads=False)
            table["tokens"].combine_chunks().flatten().to_numpy()

    calls = {
        "verified": lambda: [fetch(dataset, place) for place in places],
        "into_the_cache": into_cache,
        "pyarrow": by_pyarrow,
    }
    found = {name: _cpu(call, turns + 1)[1:] for name, call in calls.items()}
    rates = {name: [round(tokens / one / 1e6, 1) for one in spent] for name, spent in found.items()}
    say(f"decode, M tokens a CPU second: {rates}")
    return {"mtokens_per_cpu_second": {n: statistics.median(r) for n, r in rates.items()}, **rates}


def _listed(web: Web, folder: Path) -> None:
    """A dataset that lists SHARDS files, each like the first row group of the input's first."""
    source = Path(web.folder, "dataset")
    facts = json.loads((source / "dataset.json").read_text())
    row = pq.read_table(source / facts["index"]).slice(0, 1)
    table = row.take(pa.array(np.zeros(SHARDS, np.int64)))
    names = [f"shards/train-web-{number}-{number:08x}.parquet" for number in range(SHARDS)]
    table = table.set_column(0, table.schema.field(0), pa.array(names))
    out = io.BytesIO()
    pq.write_table(table, out)
    index = f"index-{hashlib.sha256(out.getvalue()).hexdigest()[:8]}.parquet"
    (folder / "shards").mkdir()
    (folder / index).write_bytes(out.getvalue())
    (folder / "dataset.json").write_text(json.dumps({**facts, "index": index}))


START = """
import json, sys, time
begun = time.monotonic()
from loader import Loader, open_dataset
loader = Loader(open_dataset(sys.argv[1]), 2048, 64, cache=sys.argv[2], shuffle=sys.argv[3])
if sys.argv[4] == "look":
    import numpy as np
    numbers = loader._planner.row_groups(np.arange(64 * 16)).tolist()
    print(json.dumps([loader.line.place(number).file for number in numbers]))
else:
    next(loader)
    print(time.monotonic() - begun)
loader.close()
"""


def start(web: Web) -> dict[str, Any]:
    """Seconds from the first import to the first batch, of SHARDS listed files of which only those
    exist that are touched."""
    import subprocess

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=web.folder) as name:
        folder = Path(name)
        _listed(web, folder)
        first = min((web.folder / "dataset" / "shards").glob("train-web-0-*"))
        for shuffle in ("full", "none"):

            def say_of(mode: str, shuffle: str = shuffle) -> Any:
                command = [sys.executable, "-c", START, name, str(folder / "hot"), shuffle, mode]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
                return json.loads(done.stdout)

            for file in say_of("look"):
                if not (folder / file).exists():
                    (folder / file).hardlink_to(first)
            for state in ("cold", "warm"):
                found[f"{shuffle}_{state}_seconds"] = round(say_of("go"), 3)
            shutil.rmtree(folder / "hot")
    say(f"start with {SHARDS:,} shards listed: {found}")
    return {"shards": SHARDS, **found}


def seek() -> dict[str, Any]:
    """CPU milliseconds to pack one block of best_fit, and to find a batch among 15 T tokens."""
    from loader.order import Order, Shuffle
    from loader.packing_kernels import best_fit

    lengths = np.random.default_rng(1).lognormal(6, 1, 6000).astype(np.int64) + 1
    ends = np.minimum(np.cumsum(lengths), 1024 * 2048)
    begins = np.unique(np.append(0, ends[ends < 1024 * 2048]))
    sizes = np.diff(begins, append=1024 * 2048)
    order = Order([15 * 10**12 // 2048], 1, Shuffle("full"))
    calls: dict[str, Callable[[], Any]] = {
        "pack_a_block": lambda: best_fit(begins, sizes, 2048, 1024),
        "locate_64_of_15_t_tokens": lambda: order.locate(np.arange(64) + 10**9),
    }
    for call in calls.values():
        call()
    return {f"{name}_ms": round(min(_cpu(call, 7)) * 1e3, 3) for name, call in calls.items()}
