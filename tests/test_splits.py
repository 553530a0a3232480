"""Large archives as several partitions: any cut gives the same documents, refusals and damage."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from source_reading import as_gzip, html_record, http, record, zstd
from warc_mutations import archives, mutated

from pipeline.errors import InputError
from pipeline.execution.runner import Options, run
from pipeline.planning.config import parse_config
from pipeline.planning.inputs import list_inputs
from pipeline.planning.plan import make_plan
from pipeline.stage import Partition, Side
from stages.archives.splits import cut_at, indexed_offsets, record_offsets
from stages.read_warc import ReadWarc

READER = ReadWarc(paths=("a",))


def told(data: bytes, start: int = 0, stop: int | None = None) -> list[Any]:
    """Documents, refusals and damage of a range."""
    found: list[Any] = []
    partition = Partition("web", "a", "a.warc", len(data), "", start=start, stop=stop)
    damage: list[Any] = []
    refused: list[Any] = []
    for batch in READER.read(partition, io.BytesIO(data), Side("web", 1)):
        if batch.documents is not None:
            found += batch.documents.to_pylist()
        refused += batch.refused
        damage += batch.damage
    return [found, refused, damage]


def joined(data: bytes, ranges: list[tuple[int, int]]) -> list[Any]:
    parts = [told(data, start, stop) for start, stop in ranges]
    return [[row for part in parts for row in part[n]] for n in range(3)]


RECORDS = [
    part
    for n in range(12)
    for part in (html_record(f"page {n} " * (n + 1), n), record(http(b""), 100 + n, "request"))
]
PACKED = {
    "gzip": as_gzip(RECORDS),
    "plain": b"".join(RECORDS),
    "zstd": b"".join(map(zstd, RECORDS)),
    "members of two": b"".join(
        gzip.compress(b"".join(RECORDS[n : n + 2]), mtime=0) for n in range(0, 24, 2)
    ),
}


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(PACKED)), size=st.integers(1, 9000), at=st.integers(0))
@example(name="plain", size=1, at=19)  # a header's line without a colon, last in its range
@example(name="gzip", size=1, at=3466)  # a member that does not end before its range does
@example(name="members of two", size=1, at=1919)
def test_any_cut_gives_the_documents_of_the_whole_file(name: str, size: int, at: int) -> None:
    data = bytearray(PACKED[name])
    if at % 3:
        data[at % len(data)] ^= 1 + at % 255
    ranges = cut_at(record_offsets(io.BytesIO(bytes(data))), len(data), size)
    assert [stop for _, stop in ranges[:-1]] == [start for start, _ in ranges[1:]]
    assert joined(bytes(data), ranges) == told(bytes(data))


def test_any_cut_of_a_damaged_real_file_gives_what_the_whole_file_gives(
    shared_data: Path,
) -> None:
    cuts = 0
    small = list(archives(shared_data / "warc", 150_000))
    for number in range(80):
        rng = random.Random(f"cut.{number}")
        data = mutated(small[number % len(small)], rng).data
        ranges = cut_at(record_offsets(io.BytesIO(data)), len(data), rng.randint(1, 3000))
        assert joined(data, ranges) == told(data), number
        cuts += len(ranges) - 1
    assert cuts > 150


def test_a_file_that_is_one_member_is_not_cut() -> None:
    for data in (gzip.compress(b"".join(RECORDS)), zstd(b"".join(RECORDS))):
        assert cut_at(record_offsets(io.BytesIO(data)), len(data), 1) == [(0, len(data))]


@pytest.mark.parametrize("kind", ["cdx", "cdxj"])
def test_an_index_beside_the_file_says_where_it_may_be_cut(kind: str) -> None:
    data = PACKED["gzip"]
    true = list(record_offsets(io.BytesIO(data)))
    wrong = [true[3] + 1, len(data) + 5]
    rows = [*reversed(true), *wrong]
    if kind == "cdxj":
        lines = ["!meta {}"]
        lines += [
            f"com,example)/ 2024 {json.dumps({'offset': str(n), 'filename': 'x/a.warc.gz'})}"
            for n in rows
        ]
        lines.append(f"com,example)/ 2024 {json.dumps({'offset': '9', 'filename': 'b.warc.gz'})}")
    else:
        lines = [" CDX N b a m s k r M S V g"]
        lines += [f"com,example)/ 2024 http://e/ - 200 x - - 9 {n} a.warc.gz" for n in rows]
    assert indexed_offsets(io.BytesIO(data), "\n".join(lines), "y/a.warc.gz") == true


def plan_of(folder: Path, split_bytes: int) -> Any:
    config = (
        f"name: cut\nseed: 1\nworkdir: {folder}/work\nsteps:\n  - id: web\n"
        f'    read_warc: {{paths: ["{folder}/in/*"], split_bytes: {split_bytes}}}\n'
        "  - write_documents: {}\n"
    )
    return make_plan(parse_config(config, "cut.yaml", []))


def test_a_large_file_is_several_partitions_by_its_index_or_by_a_pass(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.warc.gz").write_bytes(PACKED["gzip"])
    whole, _ = list_inputs(plan_of(tmp_path, 1_000_000))
    assert [(p.start, p.stop) for p in whole["web"]] == [(0, None)]
    cut, _ = list_inputs(plan_of(tmp_path, 2000))
    assert len(cut["web"]) > 2
    assert sum(p.num_bytes for p in cut["web"]) == len(PACKED["gzip"])
    again, _ = list_inputs(plan_of(tmp_path, 2000), split=False)
    assert again == whole
    offset = list(record_offsets(io.BytesIO(PACKED["gzip"])))[11]
    (tmp_path / "in" / "a.warc.gz.cdxj").write_text(f'e)/ 2024 {{"offset": {offset}}}\n')
    pattern = plan_of(tmp_path, 2000)
    indexed = [p for p in list_inputs(pattern)[0]["web"] if p.file == "a.warc.gz"]
    assert [p.start for p in indexed] == [0, offset]


def test_a_link_that_leads_nowhere_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.warc.gz").write_bytes(PACKED["gzip"])
    (tmp_path / "in" / "b.warc.gz").symlink_to(tmp_path / "gone.warc.gz")
    with pytest.raises(InputError, match=r"b\.warc\.gz is a link to .*gone\.warc\.gz"):
        list_inputs(plan_of(tmp_path, 1_000_000))


SAMPLE = Path(__file__).parents[1] / "samples" / "web" / "part-00000.warc.gz"
SHARDS = """
name: cut
seed: 1
workdir: {folder}
steps:
  - id: web
    read_warc: {{paths: ["{sample}"], split_bytes: {split_bytes}}}
  - extract: {{engine: resiliparse}}
  - exact_dedup: {{}}
  - mix: {{weights: {{web: 1}}}}
  - train_tokenizer: {{vocab_size: 300}}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: 20000}}
"""


def test_a_dataset_has_the_same_bytes_however_its_input_is_cut(tmp_path: Path) -> None:
    made = []
    for split_bytes in (1_000_000_000, 20_000):
        folder = tmp_path / str(split_bytes)
        text = SHARDS.format(folder=folder, sample=SAMPLE, split_bytes=split_bytes)
        plan = make_plan(parse_config(text, "cut.yaml", []))
        assert (len(list_inputs(plan)[0]["web"]) > 2) == (split_bytes == 20_000)
        run(plan, Options())
        shards = sorted((folder / "dataset").rglob("*.parquet"))
        made.append([(path.name, path.read_bytes()) for path in shards])
    assert made[0] == made[1]
    assert len(made[0]) > 2
