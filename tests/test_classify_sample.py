"""The sample of a class against its definition, for any steps, bounds and partitions."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.draw import draw
from pipeline.phases import Combine
from pipeline.stage import Side
from stages.classify.sample import (
    PURPOSE,
    SAMPLE,
    Bounds,
    joined,
    sample_phases,
    shared_phase,
)

DOCS = pa.schema([field for field in SAMPLE if field.name != "draw"])
SEED = 3
STEPS = ("a", "b")
KNOBS = ("sample_documents", "sample_bytes", "max_document_bytes")

IDS = st.lists(st.integers(0, 30), max_size=25, unique=True)
CUTS = st.lists(st.integers(0, 30), max_size=3)
BOUNDS = st.builds(
    Bounds, st.integers(1, 12), st.integers(1, 60), st.sampled_from([1, 2, 3, 5, 8, 100])
)


def document(number: int) -> dict[str, Any]:
    """Some texts are empty or null, some are cut inside a character; every seventh id repeats."""
    text = [None, "", "é", "aé", "語語語", "abcdefghij", "x" * 17, "🙂 two"][number % 8]
    return {
        "doc_id": (number - (number % 7 == 6)).to_bytes(16, "big"),
        "source": "web",
        "file": "f.jsonl",
        "offset": number,
        "text": text,
    }


def split(ids: list[int], cuts: list[int]) -> list[pa.Table]:
    """Partitions of the documents, at least one."""
    at = [0, *sorted(c % (len(ids) + 1) for c in cuts), len(ids)]
    rows = [[document(n) for n in ids[a:b]] for a, b in itertools.pairwise(at)]
    return [pa.Table.from_pylist(part, schema=DOCS) for part in rows]


def run(phases: tuple[Combine, ...], docs: dict[str, list[pa.Table]]) -> dict[str, pa.Table]:
    """What each phase merges, by its name."""
    small: dict[str, pa.Table] = {}
    for phase in phases:
        (step,) = (name for name in phase.reads if name.startswith("docs:"))
        others = {name: small[name] for name in phase.reads if name in small}
        assert phase.each is not None
        assert phase.each_schema is not None
        found = [phase.each_schema.empty_table()]
        for part in docs[step.removeprefix("docs:")]:
            columns = part.select(list(phase.columns or part.column_names))
            found.append(phase.each({step: columns, **others}, Side("t", SEED, others)))
            assert found[-1].schema.equals(phase.each_schema)
        made = phase.merge(pa.concat_tables(found), Side("t", SEED, others))
        assert isinstance(made, pa.Table)
        small[phase.name] = made
    return small


def sampled(docs: dict[str, list[pa.Table]], bounds: Bounds) -> pa.Table:
    phases = tuple(p for step in docs for p in sample_phases(step, f"s_{step}", bounds, KNOBS))
    tables = run(phases, docs)
    for step in docs:
        assert tables[f"s_{step}"].num_rows <= bounds.documents
    return joined(tables, [f"s_{step}" for step in docs], bounds)


def cut(text: str | None, limit: int) -> str:
    return (text or "").encode()[:limit].decode(errors="ignore")


def by_definition(ids: set[int], bounds: Bounds) -> list[tuple[int, str]]:
    """(offset, text): every document with a text in order of the draw, while it fits."""
    rows = [document(number) for number in ids]
    rows.sort(key=lambda r: (draw(SEED, PURPOSE, r["doc_id"]), r["doc_id"], r["offset"]))
    found: list[tuple[int, str]] = []
    size = 0
    for row in rows:
        text = cut(row["text"], bounds.document_bytes)
        if not text:
            continue
        size += len(text.encode())
        if found and (size > bounds.num_bytes or len(found) == bounds.documents):
            break
        found.append((row["offset"], text))
    return found


@settings(max_examples=80, deadline=None)
@given(IDS, IDS, BOUNDS, CUTS, st.randoms(use_true_random=False))
def test_a_sample_is_the_start_of_the_drawn_order_within_its_bounds_for_any_partitions(
    first: list[int], second: list[int], bounds: Bounds, cuts: list[int], order: Any
) -> None:
    found = []
    for turn in range(2):
        steps = {}
        for step, ids in zip(STEPS, (first, second), strict=True):
            ids = order.sample(ids, len(ids)) if turn else ids
            parts = split(ids, cuts if turn else [])
            steps[step] = order.sample(parts, len(parts)) if turn else parts
        found.append(sampled(steps, bounds))
    assert found[0].equals(found[1])
    rows = zip(found[0]["offset"].to_pylist(), found[0]["text"].to_pylist(), strict=True)
    assert list(rows) == by_definition({*first, *second}, bounds)
    taken = sum(len(text.encode()) for text in found[0]["text"].to_pylist())
    assert taken <= max(bounds.num_bytes, bounds.document_bytes)
    assert found[0].num_rows <= bounds.documents


@settings(max_examples=60, deadline=None)
@given(IDS, IDS, BOUNDS, CUTS)
def test_what_a_sample_shares_with_a_step_is_found_beyond_that_steps_own_sample(
    negatives: list[int], positives: list[int], bounds: Bounds, cuts: list[int]
) -> None:
    docs = {"n": split(negatives, cuts), "p": split(positives, cuts)}
    phases = (*sample_phases("n", "s_n", bounds, KNOBS), shared_phase("p", "both", ("s_n",)))
    tables = run(phases, docs)
    own = {document(number)["doc_id"] for number in positives}
    expected = sorted({i for i in tables["s_n"]["doc_id"].to_pylist() if i in own})
    assert tables["both"]["doc_id"].to_pylist() == expected
