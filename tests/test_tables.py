"""Tables and text: the same rows through every format, bad rows by their number, any damage."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import RunConfig
from hypothesis import given, settings
from hypothesis import strategies as st
from source_reading import Reading, zstd

from pipeline.errors import ConfigError, InputError
from pipeline.stage import Source
from stages.documents import MappedSource
from stages.read_arrow import ReadArrow
from stages.read_csv import ReadCsv
from stages.read_jsonl import ReadJsonl
from stages.read_parquet import ReadParquet
from stages.read_text import ReadText

COLUMNS = {"score": "float64", "likes": "int64", "new": "bool", "licence": "string"}
KNOBS: dict[str, Any] = {"paths": ("a",), "id": "id", "url": "url", "columns": COLUMNS}
Row = dict[str, Any]


def as_jsonl(rows: list[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def as_csv(rows: list[Row], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_parquet(rows: list[Row]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=7)
    return out.getvalue()


def as_arrow(rows: list[Row], new: Callable[..., Any] = pa.ipc.new_file, batch: int = 7) -> bytes:
    table = pa.Table.from_pylist(rows)
    out = io.BytesIO()
    with new(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)
    return out.getvalue()


def as_arrow_stream(rows: list[Row]) -> bytes:
    return as_arrow(rows, pa.ipc.new_stream)


FORMATS: dict[str, tuple[type[MappedSource], Callable[[list[Row]], bytes], Row]] = {
    "jsonl": (ReadJsonl, as_jsonl, {}),
    "csv": (ReadCsv, as_csv, {}),
    "tsv": (ReadCsv, lambda rows: as_csv(rows, "\t"), {"delimiter": "\t"}),
    "parquet": (ReadParquet, as_parquet, {}),
    "arrow file": (ReadArrow, as_arrow, {}),
    "arrow stream": (ReadArrow, as_arrow_stream, {}),
}


def rows_of(count: int, seed: int = 1) -> list[Row]:
    rng = random.Random(seed)
    words = ["plain", 'a "quoted" word', "two\nlines", "comma, semicolon;", "tab\there", "späße 中"]
    return [
        {
            "id": f"row-{n}",
            "url": f"https://example.com/{n}" if n % 3 else None,
            "text": " ".join(rng.choices(words, k=5)),
            "score": rng.choice([0.5, -2.25, None]),
            "likes": rng.choice([0, 7, -(1 << 62), None]),
            "new": rng.choice([True, False, None]),
            "licence": rng.choice(["CC-BY", None]),
        }
        for n in range(count)
    ]


def documents(reading: Reading) -> list[Row]:
    return [{k: v for k, v in row.items() if k != "offset"} for row in reading.rows]


# --- one table, every format --------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.uuids().map(str),
                "text": TEXT.filter(lambda text: text.strip() and "\0" not in text),
                "url": st.none() | st.just("https://example.com/a?b=c,d"),
                "score": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "likes": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
                "new": st.none() | st.booleans(),
                "licence": st.none() | TEXT.filter(lambda text: bool(text) and "\0" not in text),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_format_gives_the_same_documents(rows: list[Row]) -> None:
    # A table of nulls alone has a type of its own, which no program writes for a text.
    rows = [*rows, rows_of(40)[1] | {"score": 0.5, "likes": 1, "new": True, "licence": "x"}]
    wanted = None
    for name, (source, write, knobs) in FORMATS.items():
        reading = Reading(source(**KNOBS, **knobs), write(rows))
        assert (reading.refused, reading.damage) == ([], []), name
        wanted = wanted or documents(reading)
        assert documents(reading) == wanted, name
    assert wanted is not None
    for row, document in zip(rows, wanted, strict=True):
        assert {name: document[name] for name in ("text", "url", *COLUMNS)} == {
            name: row[name] for name in ("text", "url", *COLUMNS)
        }


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstd], ids=["gzip", "bzip2", "zstd"])
@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_tables_of_lines_are_read_through_any_compression(
    name: str, pack: Callable[[bytes], bytes]
) -> None:
    source, write, knobs = FORMATS[name]
    plain = Reading(source(**KNOBS, **knobs), write(rows_of(50)))
    packed = Reading(source(**KNOBS, **knobs), pack(write(rows_of(50))))
    assert packed.rows == plain.rows
    assert len(plain.rows) == 50
    assert packed.damage == []


def test_zstd_that_begins_with_a_skippable_frame_is_zstd() -> None:
    data = b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstd(as_jsonl(rows_of(9)))
    assert len(Reading(ReadJsonl(**KNOBS), data).rows) == 9


def test_a_limit_ends_every_format_after_as_many_documents() -> None:
    for source, write, knobs in FORMATS.values():
        reading = Reading(source(**KNOBS, **knobs), write(rows_of(30)), head=11)
        assert [row["text"] for row in reading.rows] == [row["text"] for row in rows_of(30)][:11]


def test_real_texts_survive_every_format(real_texts: list[Row]) -> None:
    knobs: Row = {"paths": ("a",), "id": "id", "url": "url"}
    wanted = [(row["text"], row["url"]) for row in real_texts]
    for name, (source, write, more) in FORMATS.items():
        reading = Reading(source(**knobs, **more), write(real_texts))
        assert [(row["text"], row["url"]) for row in reading.rows] == wanted, name


def test_csv_is_read_as_arrow_reads_it(real_texts: list[Row]) -> None:
    import pyarrow.csv

    data = as_csv(real_texts)
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    table = pyarrow.csv.read_csv(io.BytesIO(data), parse_options=options)
    rows = Reading(ReadCsv(paths=("a",), id="id", url="url"), data).rows
    assert [row["text"] for row in rows] == table["text"].to_pylist()
    assert len(rows) == len(real_texts)


# --- declared columns ---------------------------------------------------------------------------


def test_a_value_of_another_type_refuses_its_row_with_its_number() -> None:
    bad = [
        {"text": "a", "likes": "many"},
        {"text": "b", "likes": 1.5},
        {"text": "c", "likes": 1 << 63},
        {"text": "d", "new": "perhaps"},
        {"text": "e", "score": [1]},
        {"text": "f", "licence": {"name": "x"}},
    ]
    rows = [{"text": "first"}, *bad, {"text": "last", "likes": "12", "new": "TRUE", "score": 3}]
    reading = Reading(ReadJsonl(paths=("a",), columns=COLUMNS), as_jsonl(rows))
    numbers = [(row["reason"], row["offset"]) for row in reading.refused]
    # 2^63 is no JSON number that orjson reads as int64, and is no int64 either way.
    assert numbers == [("bad_value", n) for n in range(1, 7)]
    assert [(r["likes"], r["new"], r["score"]) for r in reading.rows] == [
        (None, None, None), (12, True, 3.0),
    ]  # fmt: skip


def test_columns_are_renamed_and_taken_from_inside() -> None:
    columns: Row = {
        "lang_given": {"field": "meta.lang", "type": "string"},
        "meta_json": {"field": "meta", "type": "json"},
        "tags": "strings",
        "seen": "timestamp",
    }
    row = {"text": "a", "meta": {"lang": "de", "b": 1}, "tags": ["x", "y"], "seen": "2024-05-06"}
    (got,) = Reading(ReadJsonl(paths=("a",), columns=columns), as_jsonl([row])).rows
    assert (got["lang_given"], got["tags"]) == ("de", ["x", "y"])
    assert got["meta_json"] == '{"b":1,"lang":"de"}'
    assert got["seen"] == datetime(2024, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"a": "strng"}, "no type 'strng'. Did you mean 'string'?"),
        ({"url": "string"}, "this name is taken"),
        ({"a.b": "string"}, "my_a_b"),
        ({"a": {"type": "string", "from": "b"}}, "unknown key 'from'"),
    ],
)
def test_a_wrong_declaration_is_found_while_planning(
    columns: Row, says: str, run_yaml: RunConfig
) -> None:
    text = f'steps:\n  - read_jsonl: {{paths: ["x"], columns: {json.dumps(columns)}}}\n'
    with pytest.raises(ConfigError, match=r"test\.yaml:2") as error:
        run_yaml(text + "  - write_documents: {}\n")
    assert says in str(error.value)


def test_declared_columns_reach_the_written_documents(tmp_path: Path, run_yaml: RunConfig) -> None:
    (tmp_path / "in.csv").write_bytes(as_csv(rows_of(20)))
    (tmp_path / "in.jsonl").write_bytes(as_jsonl([{"text": "no such column here"}]))
    result = run_yaml(f"""
steps:
  - id: table
    read_csv: {{paths: ["{tmp_path}/in.csv"], id: id, columns: {json.dumps(COLUMNS)}}}
  - id: other
    read_jsonl: {{paths: ["{tmp_path}/in.jsonl"]}}
  - inputs: [table, other]
    write_documents: {{format: parquet}}
""")
    files = [tmp_path / "work/dataset" / entry["file"] for entry in result.dataset["documents"]]
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    likes = {row["text"]: row["likes"] for row in rows if row["source"] == "table"}
    assert likes == {row["text"]: row["likes"] for row in rows_of(20)}
    (other,) = (row for row in rows if row["source"] == "other")
    assert other.get("score") is None


# --- CSV ----------------------------------------------------------------------------------------


def csv_reading(data: bytes, **knobs: Any) -> Reading:
    return Reading(ReadCsv(paths=("a",), **knobs), data)


def told(reading: Reading) -> list[tuple[str, int]]:
    rows = [(row["text"], row["offset"]) for row in reading.rows]
    return sorted(rows + [(r["reason"], r["offset"]) for r in reading.refused], key=lambda r: r[1])


def test_bad_rows_are_refused_with_the_line_on_which_they_start() -> None:
    data = (
        b'id,text\r\n1,"a ""q"", b\r\nc"\r\n2,plain\r\n3,"lost\r\n4,ok\r\n5,"x"\r\n\r\n'
        b'6,a,b\r\n7,"e"f\r\n8\r\n9,\r\n10,last \xc3\xa9'
    )
    assert told(csv_reading(data)) == [
        ('a "q", b\r\nc', 1),
        ("plain", 3),
        ("bad_line", 4),
        ("ok", 5),
        ("x", 6),
        ("bad_line", 8),
        ("bad_line", 9),
        ("bad_line", 10),
        ("empty", 11),
        ("last é", 12),
    ]


def test_a_lost_quote_costs_one_row_wherever_it_stands() -> None:
    lines = [b'%d,"text ""%d"" of,\nrow"' % (n, n) for n in range(200)]
    for at in (0, 1, 77, 199):
        broken = [*lines]
        broken[at] = b'%d,"lost' % at
        reading = csv_reading(b"id,text\n" + b"\n".join(broken) + b"\n")
        assert reading.reasons == {"bad_line": 1}
        assert reading.refused[0]["offset"] == 1 + 2 * at
        assert len(reading.rows) == 199


def test_a_file_of_broken_quotes_is_read_in_time_linear_in_its_size() -> None:
    # Each line would be read on to the end of the file, so that all of them are its square.
    data = b"text\n" + b'x","y\n' * 60_000
    reading = csv_reading(data)
    assert reading.reasons == {"bad_line": 60_000}
    assert [row["offset"] for row in reading.refused] == list(range(1, 60_001))


def test_a_file_without_a_header_is_read_by_the_given_names() -> None:
    reading = csv_reading(b"1;eins\n2;zwei\n", delimiter=";", header=False, names=("id", "text"))
    assert told(reading) == [("eins", 0), ("zwei", 1)]
    renamed = csv_reading(b"NR;INHALT\n1;eins\n", delimiter=";", names=("id", "text"))
    assert told(renamed) == [("eins", 1)]


def test_quotes_may_be_off_or_escaped() -> None:
    assert told(csv_reading(b'text\tn\n"a\t1\n', delimiter="\t", quote="")) == [('"a', 1)]
    assert told(csv_reading(b'text,n\n"a \\"b\\"",1\n', escape="\\")) == [('a "b"', 1)]


def test_the_name_of_a_file_tells_tabs_from_commas() -> None:
    from pipeline.stage import Partition, Side

    stage = ReadCsv(paths=("a",))
    for name, data in (("a.tsv.gz", b"n\ttext\n1\ta,b\n"), ("a.csv", b"n,text\n1,a\tb\n")):
        partition = Partition("web", name, name, len(data), "")
        (batch,) = stage.read(partition, io.BytesIO(data), Side("web", 1))
        assert batch.documents is not None
        assert batch.documents["text"].to_pylist() in (["a,b"], ["a\tb"])


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "windows-1252", "shift_jis"])
def test_charsets_are_told_or_named(charset: str) -> None:
    text = (
        "日本語の文章はここにあります。" * 9
        if charset == "shift_jis"
        else "Grüße aus Köln und Łódź"
    )
    text = text.replace("Łódź", "Zürich") if charset == "windows-1252" else text
    data = f"text,n\r\n{text},1\r\n".encode(charset)
    named = None if charset.startswith("utf") else charset
    assert told(csv_reading(data, encoding=named)) == [(text, 1)]
    assert told(csv_reading(data)) == [(text, 1)]


def test_a_row_that_is_no_utf8_in_a_utf8_file_is_refused() -> None:
    head = b"text\n" + ("schön hier " * 60 + "\n").encode() * 2000
    reading = csv_reading(head + b"sch\xf6n\nlast\n")
    assert reading.reasons == {"undecodable": 1}
    assert reading.refused[0]["offset"] == 2001
    assert reading.rows[-1]["text"] == "last"


def test_a_missing_or_doubled_column_names_the_header() -> None:
    with pytest.raises(InputError, match=r"a\.file.*'txt'.*header has not: id, text.*Did you mean"):
        csv_reading(b"id,text\n1,a\n", text="txt")
    with pytest.raises(InputError, match="twice"):
        csv_reading(b"text,text\n1,a\n")
    with pytest.raises(InputError, match="'text'"):
        csv_reading(b"1,a\n", header=False, names=("a", "b"))


def test_a_row_beyond_the_bound_is_refused_without_being_kept() -> None:
    data = b'n,text\n1,"' + b"x\n" * 200_000 + b'"\n2,ok\n'
    reading = csv_reading(data, max_row_bytes=100_000)
    assert reading.reasons["too_large"] >= 1
    assert reading.rows[-1]["text"] == "ok"
    big = csv_reading(b"n,text\n1," + b"x" * 2000 + b"\n2,ok\n", max_document_bytes=1000)
    assert told(big) == [("too_large", 1), ("ok", 2)]


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"header": False}, "needs `names"),
        ({"names": ("a", "a")}, "twice"),
        ({"delimiter": "||"}, "one character"),
        ({"encoding": "utf-9"}, "no charset 'utf-9'"),
        ({"delimiter": '"'}, "same character"),
        ({"delimiter": "\n"}, "a line end"),
    ],
)
def test_knobs_of_csv_that_cannot_be_are_refused(knobs: Row, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ReadCsv(paths=("a",), **knobs).check()


# --- plain text ---------------------------------------------------------------------------------

BOOK = "\n\nErste Zeile\r\nzweite Zeile\n \ndritter Absatz<|eot|>weiter\n<|eot|>\nGrüße"


@pytest.mark.parametrize(
    ("knobs", "wanted"),
    [
        ({}, [(BOOK, 0)]),
        (
            {"split": "lines"},
            [
                *[("Erste Zeile", 2), ("zweite Zeile", 3)],
                *[("dritter Absatz<|eot|>weiter", 5), ("<|eot|>", 6), ("Grüße", 7)],
            ],
        ),
        (
            {"split": "paragraphs"},
            [
                ("Erste Zeile\nzweite Zeile", 2),
                ("dritter Absatz<|eot|>weiter\n<|eot|>\nGrüße", 5),
            ],
        ),
        (
            {"separator": "<|eot|>"},
            [("Erste Zeile\r\nzweite Zeile\n \ndritter Absatz", 2), ("weiter", 5), ("Grüße", 7)],
        ),
    ],
)
def test_a_document_is_a_file_a_line_a_paragraph_or_a_piece(
    knobs: Row, wanted: list[tuple[str, int]]
) -> None:
    for data in (BOOK.encode(), gzip.compress(BOOK.encode())):
        reading = Reading(ReadText(paths=("a",), **knobs), data)
        assert [(row["text"], row["offset"]) for row in reading.rows] == wanted
        assert {row["charset"] for row in reading.rows} == {"utf-8"}
        assert (reading.refused, reading.damage) == ([], [])


def test_a_separator_is_found_in_a_file_that_is_one_line() -> None:
    pieces = [f"document {n} " + "x" * (n % 3000) for n in range(2000)]
    source = ReadText(paths=("a",), separator="<|endoftext|>", max_document_bytes=5000)
    reading = Reading(source, "<|endoftext|>".join(pieces).encode())
    assert [row["text"] for row in reading.rows] == pieces
    assert {row["offset"] for row in reading.rows} == {0}


@pytest.mark.parametrize("charset", ["utf-16", "windows-1252", "gb18030"])
def test_the_charset_of_a_text_is_told_and_recorded(charset: str) -> None:
    text = {"utf-16": "Łódź ", "windows-1252": "Grüße aus Köln. ", "gb18030": "这是一个句子。"}[
        charset
    ]
    text = (text * 40).strip()
    (row,) = Reading(ReadText(paths=("a",)), text.encode(charset)).rows
    assert row["text"] == text
    assert row["charset"] == {"utf-16": "utf-16le"}.get(charset, charset)


def test_texts_beyond_the_bound_and_blank_ones_are_refused() -> None:
    for knobs in ({}, {"split": "lines"}, {"separator": "%%"}):
        reading = Reading(ReadText(paths=("a",), max_document_bytes=10, **knobs), b"x" * 50)  # type: ignore[arg-type]
        assert reading.reasons == {"too_large": 1}
    assert Reading(ReadText(paths=("a",)), b" \n ").reasons == {"empty": 1}
    lines = Reading(
        ReadText(paths=("a",), split="lines", max_document_bytes=10), b"a\n" + b"x" * 50 + b"\nb"
    )
    assert [row["text"] for row in lines.rows] == ["a", "b"]
    assert lines.refused[0]["offset"] == 1


# --- Arrow and Parquet --------------------------------------------------------------------------


def test_an_arrow_file_without_its_footer_keeps_the_batches_before_the_break() -> None:
    data = as_arrow(rows_of(70))
    for cut in (len(data) - 20, len(data) * 2 // 3):
        reading = Reading(ReadArrow(**KNOBS), data[:cut])
        assert len(reading.rows) >= 35
        assert [row["offset"] for row in reading.rows] == list(range(len(reading.rows)))
        assert cut == len(data) - 20 or reading.damage


def test_a_broken_batch_of_an_arrow_file_costs_that_batch_only() -> None:
    data = bytearray(as_arrow([{"text": f"text {n} " + "x" * 90} for n in range(70)]))
    at = data.index(b"text 30 ")
    at = data.rindex(b"\xff\xff\xff\xff", 0, at)
    data[at : at + 16] = b"\0" * 16
    reading = Reading(ReadArrow(paths=("a",)), bytes(data))
    assert [row["offset"] for row in reading.rows if row["offset"] < 28] == list(range(28))
    assert len(reading.damage) == 1
    assert len(reading.rows) == 63


def test_a_value_that_python_cannot_hold_costs_its_row_only() -> None:
    far = pa.array([None, None, 1 << 59, None, None], pa.int64()).cast(pa.timestamp("us"))
    bad = pa.array([b"a", b"b", b"\xff\xfe", b"d", b"e"]).view(pa.string())
    texts = pa.array([f"text {n}" for n in range(5)])
    for table, reason in (
        (pa.table({"text": texts, "x": far}), "bad_value"),
        (pa.table({"text": bad, "x": far.slice(0, 1).take(pa.array([0] * 5))}), "undecodable"),
    ):
        for data, source in ((parquet_of(table), ReadParquet), (arrow_of(table), ReadArrow)):
            reading = Reading(source(paths=("a",), columns={"x": "timestamp"}), data)
            assert reading.reasons == {reason: 1}
            assert reading.refused[0]["offset"] == 2
            assert [row["offset"] for row in reading.rows] == [0, 1, 3, 4]


def test_nanoseconds_are_cut_to_seconds() -> None:
    when = pa.array([1_700_000_000_123_456_789], pa.int64()).cast(pa.timestamp("ns"))
    table = pa.table({"text": ["a"], "date": when})
    for data, source in ((parquet_of(table), ReadParquet), (arrow_of(table), ReadArrow)):
        (row,) = Reading(source(paths=("a",), date="date"), data).rows
        assert row["date"].timestamp() == 1_700_000_000


def parquet_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def arrow_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


# --- damage -------------------------------------------------------------------------------------


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The file with one fault: flipped bytes, a cut, a hole, a copy of a part, nonsense."""
    at, length = rng.randrange(len(data)), rng.randrange(1, 64)
    fault = rng.randrange(5)
    if fault == 0:
        out = bytearray(data)
        for _ in range(rng.randrange(1, 9)):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        return bytes(out)
    if fault == 1:
        return data[:at]
    if fault == 2:
        return data[:at] + data[at + length :]
    if fault == 3:
        return data[:at] + data[at // 2 : at // 2 + length] + data[at:]
    return data[:at] + rng.randbytes(length) + data[at + length :]


PACKED: dict[str, tuple[Source, bytes]] = {
    **{
        name: (source(**KNOBS, **knobs), write(rows_of(120)))
        for name, (source, write, knobs) in FORMATS.items()
    },
    "csv.gz": (ReadCsv(**KNOBS), gzip.compress(as_csv(rows_of(40)))),
    "jsonl.zst": (ReadJsonl(**KNOBS), zstd(as_jsonl(rows_of(40)))),
    "jsonl.bz2": (ReadJsonl(**KNOBS), bz2.compress(as_jsonl(rows_of(40)))),
    "text": (ReadText(paths=("a",), split="paragraphs"), BOOK.encode() * 9),
    "text.gz": (ReadText(paths=("a",), separator="<|eot|>"), gzip.compress(BOOK.encode() * 9)),
}


@pytest.mark.parametrize("name", PACKED)
def test_no_fault_of_a_file_is_a_crash_or_passes_in_silence(name: str) -> None:
    source, data = PACKED[name]
    rng = random.Random(name)
    texts = [row["text"] for row in Reading(source, data).rows]
    for _ in range(150):
        broken = mutated(data, rng)
        reading = read_or_none(source, broken)
        if reading is None:
            continue
        lost = Counter(texts) - Counter(row["text"] for row in reading.rows)
        if name.endswith((".gz", ".bz2")) and lost and broken[:4] == data[:4]:  # checksums
            assert reading.damage
        if name == "parquet" and broken:
            assert len(reading.rows) + len(reading.refused) >= len(texts) or reading.damage
        if name in ("jsonl", "csv", "tsv") and not data.startswith(broken):
            # A fault of under 64 bytes touches few rows; what it makes unreadable is refused.
            assert lost.total() <= 12 + len(reading.refused)


def read_or_none(source: Source, data: bytes) -> Reading | None:
    """None where the fault hit the name of a column."""
    try:
        return Reading(source, data)
    except InputError:
        return None


def test_a_truncated_zstd_stream_gives_whole_rows_and_one_damage() -> None:
    rng = random.Random(1)
    rows = [{"id": str(n), "text": str(rng.getrandbits(400))} for n in range(3000)]
    for pack in (zstd, gzip.compress, bz2.compress):
        data = pack(as_csv(rows))
        reading = Reading(ReadCsv(paths=("a",), id="id"), data[: len(data) * 3 // 4])
        assert [row["text"] for row in reading.rows] == [r["text"] for r in rows][
            : len(reading.rows)
        ]
        assert len(reading.damage) == 1
        assert reading.refused == []
        assert len(reading.rows) >= (0 if data.startswith(b"BZh") else 300)  # one block
