"""Decontamination: the kernel against its definition, verdicts, reports, real benchmarks."""

from __future__ import annotations

import gzip
import itertools
import json
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import RunConfig, write_jsonl
from dedup_documents import doc_id, placements, scattered, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from phase_driver import Outcome, run_stage
from test_shingles import slow_normalise

from pipeline.audit.lookup import open_run
from pipeline.audit.targets import find_target
from pipeline.batch import split_words
from pipeline.errors import InputError
from pipeline.planning.fingerprint import identity
from stages.decontaminate.examples import (
    MAX_PLACES,
    Lengths,
    benchmark_files,
    load_index,
    read_rows,
)
from stages.decontaminate.report import judged
from stages.decontaminate.stage import Decontaminate, cut, excerpt
from stages.kernels.grams import WORDS, gram_hits, make_grams, word_hashes, word_places
from stages.kernels.shingles import text_buffers

QUESTION = (
    "Which of the seven lamps on the old harbour wall was lit first when the fleet came home?"
)
ANSWER = "The green one, by the keeper's daughter."
LONG = " ".join(f"Sentence number {n} of a page about gardens and their walls." for n in range(40))


def benchmark(folder: Path, rows: list[dict[str, Any]], name: str = "lamps.jsonl") -> str:
    return str(write_jsonl(folder / name, rows))


@pytest.fixture
def lamps(tmp_path: Path) -> str:
    """A benchmark of a long example, a short one, and one of two words."""
    rows = [
        {"question": QUESTION, "answer": ANSWER},
        {"question": "Name the smallest planet.", "answer": "Mercury, of course."},
        {"question": "Hm?", "answer": "Yes."},
    ]
    return benchmark(tmp_path / "benchmarks", rows)


SIDE: Any = None


def reports(stage: Decontaminate, outcome: Outcome) -> tuple[list[Any], list[Any]]:
    """The rows of the two reports, of examples and of benchmarks."""
    found = outcome.tables["found"].values()
    parts = pa.concat_tables([stage.example_parts({"found": part}, SIDE) for part in found])
    examples = stage.phases()[3].merge(parts, SIDE)  # type: ignore[union-attr]
    parts = pa.concat_tables([stage.benchmark_parts({"found": part}, SIDE) for part in found])
    return examples.to_pylist(), stage.merge_benchmarks(parts, SIDE).to_pylist()


# --- The kernel -----------------------------------------------------------------------------------

SMALL = st.lists(st.sampled_from(["a", "b", "C", "é", "東", "7", "77"]), max_size=14)
SPACES = st.sampled_from([" ", ", ", "\n", "-", " “"])


def slow_words(text: str) -> list[str]:
    return split_words(slow_normalise(text, WORDS))


def slow_hits(
    words: list[str], grams: list[list[str]], seeds: list[int], skips: int
) -> list[tuple[int, int]]:
    """(place, gram): the gram's seed stands there, its last word too, the rest nearly."""
    found = []
    for at, (number, gram) in itertools.product(range(len(words)), enumerate(grams)):
        there = words[at : at + len(gram)]
        if len(there) == len(gram) and there[-1] == gram[-1]:
            differ = [i for i, (a, b) in enumerate(zip(there, gram, strict=True)) if a != b]
            if len(differ) <= skips and all(i >= seeds[number] for i in differ):
                found.append((at, number))
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.lists(SMALL.filter(len), max_size=6, unique_by=lambda g: tuple(x.lower() for x in g)),
    st.lists(SMALL, max_size=4), SPACES, st.integers(1, 4), st.integers(0, 2),
)  # fmt: skip
def test_the_kernel_finds_what_the_definition_finds(
    grams: list[list[str]], pages: list[list[str]], space: str, seed: int, skips: int
) -> None:
    plain = [slow_words(" ".join(gram)) for gram in grams]
    kept = [n for n, words in enumerate(plain) if words not in plain[:n]]
    plain = [plain[n] for n in kept]
    words, ends = word_hashes(pa.array([" ".join(grams[n]) for n in kept], pa.large_string()))
    size = np.diff(ends).astype(np.int32)
    seeds = np.minimum(size, seed).astype(np.int32) if skips else size
    table = make_grams(words, ends[:-1], size, seeds, skips)
    column = pa.array([space.join(page) for page in pages], pa.large_string())
    found = gram_hits(column, table)
    for row, text in enumerate(column.to_pylist()):
        expected = slow_hits(slow_words(text), plain, seeds.tolist(), skips)
        hits = found.get(row)
        assert (0 if hits is None else len(hits.gram)) == len(expected)
        if hits is None:
            continue
        assert hits.gram.tolist() == [gram for _, gram in expected]
        for gram, start, end in zip(*(values.tolist() for values in hits), strict=True):
            there = slow_words(text.encode()[start:end].decode())
            assert len(there) == len(plain[gram])
            assert skips or there == plain[gram]


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), SPACES)
def test_every_word_is_placed_where_it_stands(text: str, space: str) -> None:
    text = f"{text}{space}½ ﬁn e\u0301 \u200b {text}"
    data, offsets = text_buffers(pa.array(["before", text], pa.large_string()))
    places = np.zeros((len(data) + 8, 2), np.int64)
    count = word_places(data, offsets[1], offsets[2], *WORDS.tables(), places)
    raw = bytes(data)
    words = [slow_words(raw[a:b].decode()) for a, b in places[:count].tolist()]
    assert [word for found in words for word in found] == slow_words(text)
    assert all(len(found) == 1 for found in words)


@pytest.mark.parametrize("gap", [16_370, 16_384, 16_390, 33_000])
def test_a_run_across_the_pieces_of_a_long_text_is_found(lamps: str, gap: int) -> None:
    index = load_index([lamps], (), LENGTHS)
    for before in range(gap, gap + 12):
        text = "filler " * before + QUESTION
        hits = gram_hits(pa.array([text], pa.large_string()), index.grams)[0]
        assert text.encode()[hits.start[0] : hits.end[0]].decode().startswith("Which of the")
        assert len(hits.gram) == 18 - 13 + 1


LENGTHS = Lengths(13, 8, False, 5, 8, 0)


# --- Examples -------------------------------------------------------------------------------------


def test_an_example_is_found_by_any_run_of_thirteen_words(lamps: str) -> None:
    run = " ".join(QUESTION.split()[3:16])
    shorter = " ".join(QUESTION.split()[3:15])
    outcome = run_stage(Decontaminate((lamps,)), [texts(f"He said {run} and left.", shorter)])
    assert outcome.dropped["doc_id"].to_pylist() == [doc_id(0)]
    assert outcome.dropped["reason"].to_pylist() == ["contaminated"]


def test_a_short_example_is_looked_for_as_a_whole_and_a_tiny_one_not_at_all(lamps: str) -> None:
    whole = "name the SMALLEST planet? mercury of course"
    part = "name the smallest planet"
    outcome = run_stage(Decontaminate((lamps,)), [texts(f"quiz: {whole}!", part, "Hm? Yes.")])
    assert outcome.dropped["doc_id"].to_pylist() == [doc_id(0)]
    _, (row,) = reports(Decontaminate((lamps,)), outcome)
    assert (row["examples"], row["short_examples"], row["examples_found"]) == (3, 1, 1)


def test_a_short_question_is_found_without_its_answers(tmp_path: Path) -> None:
    question = "Which metal of these is liquid at room temperature?"
    path = benchmark(tmp_path, [{"choices": ["iron", "mercury"], "question": question}])
    page = texts(f"Quiz night. {question.upper()} Nobody knew.")
    assert run_stage(Decontaminate((path,)), [page]).dropped.num_rows == 1
    assert run_stage(Decontaminate((path,), min_ngram=10), [page]).dropped.num_rows == 0


def test_fields_make_the_example_in_the_order_that_is_asked_for(lamps: str) -> None:
    page = texts(f"{ANSWER} {QUESTION}")
    crossing = " ".join(f"{ANSWER} {QUESTION}".split()[1:14])
    assert run_stage(Decontaminate((lamps,)), [texts(crossing)]).dropped.num_rows == 0
    stage = Decontaminate((lamps,), fields=("answer", "question"))
    assert run_stage(stage, [texts(crossing)]).dropped.num_rows == 1
    stage = Decontaminate((lamps,), fields=("answer",))
    assert run_stage(stage, [page]).dropped.num_rows == 1  # seven words, as a whole
    with pytest.raises(InputError, match="no benchmark has 'anser'"):
        Decontaminate((lamps,), fields=("anser",)).check()


def test_words_may_differ_behind_the_first_ones_but_not_the_last(lamps: str) -> None:
    words = QUESTION.split()[:13]
    changed = [*words[:9], "ONE", "TWO", *words[11:]]
    early = ["ONE", *words[1:]]
    late = [*words[:12], "ONE"]
    pages = texts(*(" ".join(w) for w in (changed, early, late)))
    stage = Decontaminate((lamps,), skip_words=2)
    assert run_stage(stage, [pages]).dropped["doc_id"].to_pylist() == [doc_id(0)]
    assert run_stage(Decontaminate((lamps,), skip_words=1), [pages]).dropped.num_rows == 0


def test_with_percentile_each_benchmark_has_its_own_n(tmp_path: Path) -> None:
    ten = [{"q": f"one two three four five six seven eight nine {n}"} for n in range(40)]
    long = [{"q": f"{QUESTION} {QUESTION} {n}"} for n in range(40)]
    two = [{"q": f"here {n}"} for n in range(40)]
    paths = [benchmark(tmp_path, rows, f"{len(rows[0]['q'])}.jsonl") for rows in (ten, long, two)]
    stage = Decontaminate(tuple(paths), lengths="percentile")
    assert sorted(b.ngram for b in stage.index().benchmarks) == [8, 10, 13]


def test_only_enough_of_an_example_contaminates_where_a_share_is_asked(tmp_path: Path) -> None:
    passage = " ".join(f"word{n}" for n in range(52))
    path = benchmark(tmp_path, [{"text": passage}])
    words = passage.split()
    pages = texts(" ".join(words[:26]), f"{passage} and more", " ".join(words[::-1]))
    stage = Decontaminate((path,), min_share=0.6)
    outcome = run_stage(stage, [pages])
    assert outcome.dropped["doc_id"].to_pylist() == [doc_id(1)]
    assert outcome.metrics["share"].to_pylist() == [0.5, 1.0, 0.0]
    (example,), (row,) = reports(stage, outcome)
    assert (example["documents"], example["documents_after"]) == (2, 1)
    assert (row["documents"], row["documents_after"]) == (2, 1)


def test_runs_in_many_documents_are_common_phrases_if_so_asked(lamps: str) -> None:
    pages = texts(*[f"{n} {QUESTION}" for n in range(4)], f"{ANSWER} {QUESTION} {ANSWER}")
    assert run_stage(Decontaminate((lamps,), max_documents=5), [pages]).dropped.num_rows == 5
    outcome = run_stage(Decontaminate((lamps,), max_documents=4), [pages])
    assert outcome.dropped["doc_id"].to_pylist() == [doc_id(4)]  # the runs into the answer


# --- What is done ---------------------------------------------------------------------------------


def test_masking_cuts_the_run_and_a_window_and_drops_short_pieces(lamps: str) -> None:
    page = f"{LONG} {QUESTION} {LONG}"
    outcome = run_stage(Decontaminate((lamps,), action="mask"), [texts(page, LONG)])
    text, clean = outcome.kept["text"].to_pylist()
    assert clean == LONG
    head, tail = LONG + " ", " " + LONG
    # The longest match is the question itself; its mark is no word.
    assert text == f"{head[:-200].strip()}\n\n{('?' + tail)[200:].strip()}"
    row = {n: outcome.metrics[n].to_pylist()[0] for n in ("pieces", "hits_left", "chars_left")}
    assert row == {"pieces": 2, "hits_left": 0, "chars_left": len(text)}
    short = run_stage(Decontaminate((lamps,), action="mask"), [texts(f"{LONG} {QUESTION} Short.")])
    assert short.metrics["pieces"].to_pylist() == [1]
    gone = run_stage(Decontaminate((lamps,), action="mask"), [texts(f"Short. {QUESTION}")])
    assert gone.dropped["reason"].to_pylist() == ["nothing_left"]


def test_a_document_in_too_many_pieces_is_dropped(lamps: str) -> None:
    page = QUESTION.join([LONG] * 5)
    stage = Decontaminate((lamps,), action="mask", max_pieces=4)
    assert run_stage(stage, [texts(page)]).dropped["reason"].to_pylist() == ["too_many_pieces"]
    assert run_stage(Decontaminate((lamps,), action="mask"), [texts(page)]).kept.num_rows == 1


def test_annotating_names_the_benchmarks_and_drops_nothing(lamps: str, tmp_path: Path) -> None:
    other = benchmark(tmp_path / "benchmarks", [{"text": LONG}], "gardens.jsonl")
    pages = texts(f"{LONG} {QUESTION}", QUESTION, "Clean.", None)
    outcome = run_stage(Decontaminate((lamps, other), action="annotate"), [pages])
    assert outcome.kept["contamination"].to_pylist() == ["gardens,lamps", "lamps", None, None]
    assert outcome.kept["text"].to_pylist() == pages["text"].to_pylist()


PIECES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), max_size=4)


@given(st.text("aé東 \n", min_size=20, max_size=20), PIECES, st.integers(0, 9), st.integers(0, 4))
def test_cutting_leaves_each_character_far_from_a_span_once(
    text: str, spans: list[Any], window: int, least: int
) -> None:
    starts = [len(text[:n].encode()) for n in range(len(text) + 1)]
    chars = [(min(a // 3, 20), min(b // 3, 20)) for a, b in spans]
    near = {i for a, b in chars for i in range(max(0, a - window), min(len(text), b + window))}
    expected: list[str] = []
    marks = "".join("\0" if i in near else c for i, c in enumerate(text))
    found = cut(text, [(starts[a], starts[b]) for a, b in chars], window, least)
    for piece in marks.split("\0"):
        if len(piece.strip()) >= max(1, least):
            expected.append(piece.strip())
    # An empty span with no window cuts between two characters, which marks cannot show.
    if all(a < b for a, b in chars) or window:
        assert found == expected


def test_an_excerpt_shows_the_hit_and_its_surroundings_on_one_line() -> None:
    data = ("é" * 50 + "\n the hit \n" + "東" * 50).encode()
    start = data.index(b"the hit")
    shown = excerpt(data, start, start + 7)
    assert "[[the hit]]" in shown
    assert "\n" not in shown
    assert "\ufffd" not in shown


# --- Reports --------------------------------------------------------------------------------------


def test_the_reports_count_examples_and_documents_before_and_after(lamps: str) -> None:
    pages = texts(f"One. {QUESTION}", f"Two. {QUESTION} {ANSWER}", LONG)
    stage = Decontaminate((lamps,))
    examples, (row,) = reports(stage, run_stage(stage, scattered(pages, [0, 1, 1])))
    (example,) = examples
    assert (example["benchmark"], example["example"], example["words"]) == ("lamps", 0, 26)
    assert (example["documents"], example["documents_after"], example["share"]) == (2, 0, 1.0)
    assert example["doc_id"] == doc_id(1)
    assert example["excerpt"].startswith("Two. [[Which of the seven")
    assert (row["examples_found"], row["examples_found_after"], row["share_found"]) == (1, 0, 1 / 3)
    marked = Decontaminate((lamps,), action="annotate")
    _, (row,) = reports(marked, run_stage(marked, [pages]))
    assert (row["documents"], row["documents_after"]) == (2, 2)


PAGES = st.lists(
    st.sampled_from(
        [QUESTION, f"{QUESTION} {LONG}", LONG, ANSWER, f"a {ANSWER} b {QUESTION}", "", None]
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(st.data(), PAGES, st.integers(1, 4), st.integers(0, 9), st.sampled_from(["drop", "mask"]))
def test_partitions_buckets_and_order_change_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    pages: list[str | None],
    buckets: int,
    shuffle: int,
    action: Any,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "decontaminate"
    path = benchmark(folder, [{"question": QUESTION, "answer": ANSWER}, {"text": LONG[:300]}])
    stage = Decontaminate((path,), action=action, max_documents=3)
    table = texts(*pages)
    places = data.draw(placements(len(pages)))
    one = run_stage(stage, [table], buckets=1)
    many = run_stage(stage, scattered(table, places), buckets, batch_rows=2, shuffle=shuffle)
    assert reports(stage, one) == reports(stage, many)
    for name in ("kept", "dropped", "metrics"):
        rows = [getattr(outcome, name).to_pylist() for outcome in (one, many)]
        assert sorted(map(str, rows[0])) == sorted(map(str, rows[1]))
    assert len(pages) == one.kept.num_rows + one.dropped.num_rows


def test_a_run_publishes_what_is_clean_and_shows_its_reports(
    lamps: str, tmp_path: Path, run_yaml: RunConfig
) -> None:
    rows = [{"id": str(n), "text": t} for n, t in enumerate([QUESTION, LONG, f"{LONG} {QUESTION}"])]
    path = write_jsonl(tmp_path / "pages.jsonl", rows)
    run_yaml(
        f"""
name: test
steps:
  - id: pages
    read_jsonl: {{paths: ["{path}"], id: id}}
  - decontaminate: {{benchmarks: ["{lamps}"]}}
  - write_documents: {{}}
"""
    )
    run = open_run(str(tmp_path / "work"))
    (row,) = find_target(run, "decontaminate.benchmarks").read(9, None, ()).rows
    assert (row["benchmark"], row["documents"], row["documents_after"]) == ("lamps", 2, 0)
    table = find_target(run, "decontaminate.examples")
    (example,) = table.read(9, None, ()).rows
    assert "[[Which of the seven" in example["excerpt"]
    stored = pq.read_table(tmp_path / "work" / table.paths[0])
    assert stored["example"].to_pylist() == [0]
    assert len(find_target(run, "decontaminate").read(9, None, ()).rows) == 1


# --- Files ----------------------------------------------------------------------------------------


def test_benchmarks_are_read_from_every_layout(tmp_path: Path) -> None:
    rows = [{"q": QUESTION, "n": 1}, {"q": ANSWER, "n": 2}]
    plain = benchmark(tmp_path, rows, "a.jsonl")
    packed = benchmark(tmp_path, rows, "b.jsonl.gz")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    (tmp_path / "d.parquet.gz").write_bytes(gzip.compress((tmp_path / "c.parquet").read_bytes()))
    files = benchmark_files([f"{tmp_path}/*"])
    assert list(files) == ["a", "b", "c", "d"]
    assert [read_rows(path) for path in files.values()] == [rows] * 4
    assert (plain, packed) == (files["a"], files["b"])


def test_files_that_cannot_be_read_or_told_apart_are_errors(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"q": 1}\n{"q": \n')
    with pytest.raises(InputError, match=r"bad\.jsonl, line 2"):
        read_rows(str(bad))
    bad.write_text("[1]\n")
    with pytest.raises(InputError, match="no JSON object"):
        read_rows(str(bad))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 99)[:-12])
    with pytest.raises(InputError, match="broken gzip"):
        read_rows(str(tmp_path / "cut.jsonl.gz"))
    with pytest.raises(ValueError, match="no file at"):
        Decontaminate((str(tmp_path / "none*"),)).check()
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match="have one name, 'bad'"):
        Decontaminate((str(bad), str(tmp_path / "bad.json"))).check()


def test_a_run_of_very_many_examples_is_told_of_the_first_ones(tmp_path: Path) -> None:
    form = "Read the passage above with care and then give the one answer that fits it best"
    path = benchmark(tmp_path, [{"q": f"{form} {n}"} for n in range(MAX_PLACES + 9)])
    stage = Decontaminate((path,))
    outcome = run_stage(stage, [texts(f"{form} of all.", f"{form} {MAX_PLACES + 8}")])
    assert outcome.dropped.num_rows == 2
    found, _ = reports(stage, outcome)
    assert [row["example"] for row in found] == [*range(MAX_PLACES), MAX_PLACES + 8]


def test_a_benchmark_without_examples_finds_nothing_and_says_so(tmp_path: Path) -> None:
    empty = benchmark(tmp_path, [], "empty.jsonl")
    tiny = benchmark(tmp_path, [{"q": "Two words"}, {"n": 1}], "tiny.jsonl")
    stage = Decontaminate((empty, tiny), action="mask")
    outcome = run_stage(stage, [texts("Two words", "", None, LONG)])
    assert outcome.kept["text"].to_pylist() == ["Two words", "", None, LONG]
    found, rows = reports(stage, outcome)
    assert found == []
    assert [(r["examples"], r["short_examples"], r["share_found"]) for r in rows] == [
        (0, 0, 0.0), (2, 2, 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["\0" * 9000, "x" * 3_000_000, "東" * 500_000, "\n" * 99_999, "a b " * 400_000, "\u0301" * 9],
)
def test_hostile_texts_are_searched_to_their_end(lamps: str, text: str) -> None:
    stage = Decontaminate((lamps,))
    outcome = run_stage(stage, [texts(f"{text} {QUESTION} {text}", text)])
    assert outcome.dropped["doc_id"].to_pylist() == [doc_id(0)]


def test_the_identity_is_the_content_of_the_files_not_their_place(tmp_path: Path) -> None:
    one = benchmark(tmp_path / "one", [{"q": QUESTION}])
    two = benchmark(tmp_path / "two", [{"q": QUESTION}])
    three = benchmark(tmp_path / "three", [{"q": ANSWER}])
    keys = [identity(Decontaminate((path,)), 0) for path in (one, two, three)]
    assert keys[0] == keys[1] != keys[2]


# --- Real benchmarks ------------------------------------------------------------------------------


@cache
def is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"


def unmarked(text: str) -> str:
    return text.translate({ord(c): None for c in set(text) if is_mark(c)})


def spaced(text: str) -> str:
    return text.translate({ord(c): " " for c in set(text) if is_mark(c)})


FORMS: dict[str, Callable[[str], str]] = {
    "verbatim": str,
    "upper case without punctuation": lambda text: unmarked(text).upper(),
    "more punctuation": lambda text: "“" + "” – “".join(text.title().split()) + "”!",
    "inside longer text": lambda text: f"{LONG} {spaced(text).swapcase()} {LONG}",
}


def test_every_example_of_real_benchmarks_is_found_in_every_form(shared_data: Path) -> None:
    folder = shared_data / "benchmarks"
    stage = Decontaminate((f"{folder}/*.jsonl.gz",))
    index = stage.index()
    examples = []
    for path in stage.files:
        with gzip.open(path, "rt") as lines:
            examples += [" ".join(strings(json.loads(line))) for line in lines]
    assert len(examples) == index.first_example[-1] > 13_000
    for name, form in FORMS.items():
        hits = gram_hits(pa.array(map(form, examples), pa.large_string()), index.grams)
        missed = [n for n in range(len(examples)) if n not in hits]
        assert not missed, f"{name}: {len(missed)} examples, such as {examples[missed[0]]!r}"
        rows = np.repeat(
            np.arange(len(examples)), [len(hits[n].gram) for n in range(len(examples))]
        )
        found = judged(
            rows, np.concatenate([hits[n].gram for n in range(len(examples))]), index, 0.0
        )
        own = found.document == found.example
        assert own.sum() == len(examples), name
        # A few letters have a capital whose small letter is another: the micro sign is one.
        cut = {examples[n] for n in found.example[own & (found.share < 0.999)].tolist()}
        lost = [text for text in cut if unmarked(text).upper().lower() == unmarked(text).lower()]
        assert not lost, f"{name}: {lost[0]!r} is not found whole"
        assert len(cut) < 10


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in values for text in strings(part)]
