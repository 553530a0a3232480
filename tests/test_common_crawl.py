"""A mock Common Crawl on 127.0.0.1: what is chosen, what is fetched, what comes out."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from mock_crawl import CRAWL, INDEX, Crawl, make_crawl
from web_server import WebServer, serving

from pipeline.errors import ConfigError, InputError
from pipeline.execution.runner import Options, RunResult, run
from pipeline.files.uris import open_storage
from pipeline.network import settings as network_settings
from pipeline.network.settings import Network
from pipeline.planning.config import load_config
from pipeline.planning.plan import make_plan
from pipeline.stage import Partition, Side, SourceBatch
from stages.common_crawl.columnar import places_in
from stages.common_crawl.files import in_sample
from stages.common_crawl.stage import ReadCommonCrawl
from stages.common_crawl.wanted import wanted_of
from stages.read_warc import ReadWarc

Documents = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def crawl(shared_data: Path) -> Crawl:
    """Some 200 real pages of many hosts and languages in six WARC files."""
    rows: list[dict[str, Any]] = []
    for name in ("trafilatura-eval", "wcxb", "zh-wced", "scrapinghub-aeb"):
        with gzip.open(shared_data / "extraction_gold" / f"{name}.jsonl.gz", "rt") as lines:
            found = [json.loads(line) for line in lines]
        mine = [row for row in found if str(row["url"] or "").startswith("http")]
        rows += [row for row in mine if len(row["html"]) < 60_000][:55]
    seen = {row["url"]: row for row in rows}
    return make_crawl(list(seen.values()))


@pytest.fixture
def web(crawl: Crawl) -> Iterator[WebServer]:
    network_settings.use(Network(requests_per_second=0, first_wait_seconds=0.01))
    with serving(WebServer({f"/{name}": data for name, data in crawl.files.items()})) as server:
        yield server
    network_settings.use(Network())


def parts(stage: ReadCommonCrawl, kept: Path) -> list[Partition]:
    found = stage.listing(open_storage(str(kept)))
    assert found is not None
    return [Partition("web", f.path, f.file, f.size, f.token, spans=f.spans) for f in found]


def read(stage: ReadCommonCrawl, kept: Path) -> tuple[Documents, list[SourceBatch]]:
    """Documents by URL, and all batches."""
    batches = []
    for part in parts(stage, kept):
        with stage.open(part) as stream:
            batches += list(stage.read(part, stream, Side("web", 1)))
    tables = [batch.documents for batch in batches if batch.documents is not None]
    rows = [row for table in tables for row in table.to_pylist()]
    assert len({row["url"] for row in rows}) == len(rows)
    return {row["url"]: row for row in rows}, batches


@pytest.fixture(scope="module")
def whole(crawl: Crawl, tmp_path_factory: pytest.TempPathFactory) -> Documents:
    """All documents of the crawl, as read_warc reads them from whole files on disk."""
    folder = tmp_path_factory.mktemp("whole")
    crawl.write(folder)
    reader, found = ReadWarc(paths=()), {}
    for name in crawl.warcs:
        part = Partition("web", "", name, len(crawl.files[name]), "")
        with (folder / name).open("rb") as stream:
            for batch in reader.read(part, stream, Side("web", 1)):
                if batch.documents is not None:
                    found |= {row["url"]: row for row in batch.documents.to_pylist()}
    return found


def common_crawl(base: str, **knobs: Any) -> ReadCommonCrawl:
    stage = ReadCommonCrawl(crawl=CRAWL, base=base, **knobs)
    stage.check()
    return stage


def test_whole_files_give_what_read_warc_gives_from_anywhere(
    web: WebServer, crawl: Crawl, whole: Documents, tmp_path: Path
) -> None:
    crawl.write(tmp_path / "mirror")
    near, _ = read(common_crawl(str(tmp_path / "mirror")), tmp_path)
    far, batches = read(common_crawl(web.url), tmp_path)
    assert near == far == whole
    assert len(whole) > 100
    reasons = {row["reason"] for batch in batches for row in batch.refused}
    assert reasons == {"http_status", "not_html"}


WISHES: dict[str, Mapping[str, Any]] = {
    "languages": {"languages": ["de", "fra"]},
    "domains": {"domains": []},  # the five of most pages
    "mime and status": {"mime": ["text/html"], "status": [404]},
    "all": {},
}


@pytest.mark.parametrize("table", ["parquet", "cdx"])
@pytest.mark.parametrize("wish", list(WISHES))
def test_the_index_gives_the_wanted_pages_as_the_whole_files_have_them(
    web: WebServer, crawl: Crawl, whole: Documents, tmp_path: Path, wish: str, table: str
) -> None:
    index = dict(WISHES[wish])
    if wish == "domains":
        counts = Counter(page.domain for page in crawl.pages)
        index["domains"] = [domain for domain, _ in counts.most_common(5)]
    wanted = [
        page
        for page in crawl.pages
        if page.status in index.get("status", [200])
        and (wish != "languages" or page.language in ("deu", "fra"))
        and (wish != "domains" or page.domain in index["domains"])
        and (wish != "mime and status" or page.mime == "text/html")
    ]
    assert len(wanted) >= 4
    stage = common_crawl(web.url, index={**index, "table": table}, gap=0)
    found, batches = read(stage, tmp_path)
    places = {page.url: page for page in wanted}
    assert found == {url: row for url, row in whole.items() if url in places}
    refused = {row["url"] for batch in batches for row in batch.refused}
    assert set(found) | refused == set(places)
    assert not [lost for batch in batches for lost in batch.damage]
    for url, row in found.items():
        assert (row["file"], row["offset"]) == (places[url].file, places[url].offset)
    # Of the WARC files exactly the wanted records came over the line.
    for name in crawl.warcs:
        sent = [r.span for r in web.bodies(f"/{name}") if r.span not in (None, (0, 1))]
        records = sorted((p.offset, p.offset + p.length) for p in wanted if p.file == name)
        assert sorted(span for span in sent if span) == records
    assert not [r for r in web.log if "/warc/CC-MAIN" in r.path and r.span is None]


def test_neighbours_share_a_request_up_to_the_gap(
    web: WebServer, crawl: Crawl, tmp_path: Path
) -> None:
    found = {}
    for gap in (0, 2000, 10**9):
        web.log.clear()
        stage = common_crawl(web.url, index={"languages": ["en"]}, gap=gap)
        documents, _ = read(stage, tmp_path)
        sent = [r for r in web.log if "/warc/CC-MAIN" in r.path and r.span != (0, 1)]
        found[gap] = (documents, len(sent), sum(r.sent for r in sent))
    assert found[0][0] == found[2000][0] == found[10**9][0]
    assert found[0][1] > found[2000][1] > found[10**9][1] == len(crawl.warcs)
    assert found[0][2] < found[2000][2] < found[10**9][2]
    assert found[0][2] == sum(
        p.length for p in crawl.pages if p.language == "eng" and p.status == 200
    )


def test_few_domains_read_few_blocks_and_row_groups(
    web: WebServer, crawl: Crawl, tmp_path: Path
) -> None:
    domain = crawl.pages[0].domain
    stage = common_crawl(web.url, index={"domains": [domain], "table": "cdx"})
    assert parts(stage, tmp_path)
    blocks = [r for r in web.log if "/cdx-" in r.path and r.span != (0, 1)]
    size = sum(len(data) for name, data in crawl.files.items() if "/cdx-" in name)
    assert sum(r.sent for r in blocks) < size / 4
    read_groups: list[int] = []
    path = tmp_path / "index.parquet"
    table = pa.table(
        {
            "url_host_registered_domain": [f"{n:03d}.example" for n in range(100)],
            "fetch_status": [200] * 100,
            "warc_filename": ["w"] * 100,
            "warc_record_offset": list(range(100)),
            "warc_record_length": [1] * 100,
        }
    )
    pq.write_table(table, path, row_group_size=10)
    original = pq.ParquetFile.read_row_group

    def counted(self: Any, group: int, **how: Any) -> Any:
        read_groups.append(group)
        return original(self, group, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pq.ParquetFile, "read_row_group", counted)
        wanted = wanted_of({"domains": ["033.example", "037.example", "081.example"]})
        assert places_in(str(path), wanted, None)["offset"].to_pylist() == [33, 37, 81]
    assert read_groups == [3, 8]


def test_samples_are_nested_and_a_wet_file_is_in_that_of_its_warc_file(
    web: WebServer, crawl: Crawl, tmp_path: Path
) -> None:
    before: set[str] = set()
    for sample in (0.2, 0.5, 0.8, 1.0):
        now = {p.file for p in parts(common_crawl(web.url, sample=sample), tmp_path)}
        assert before <= now
        before = now
        wet = {
            name.replace("/wet/", "/warc/").replace(".warc.wet.gz", ".warc.gz")
            for name in crawl.files
            if "/wet/CC" in name and in_sample(name, sample)
        }
        assert wet == now
    assert before == set(crawl.warcs)
    many = [f"crawl-data/{CRAWL}/segments/{n % 90}/warc/f-{n:05d}.warc.gz" for n in range(20_000)]
    assert 150 < sum(in_sample(name, 0.01) for name in many) < 250
    one = common_crawl(web.url, segments=("1707947473347.1",))
    assert {p.file for p in parts(one, tmp_path)} == set(crawl.warcs[3:])
    some = common_crawl(web.url, paths=("*-00002.warc.gz", "*-00005.warc.gz"))
    found = [p.file.rpartition("-")[2] for p in parts(some, tmp_path)]
    assert found == ["00002.warc.gz", "00005.warc.gz"]


def test_an_index_that_names_a_wrong_place_is_damage_and_not_silence(
    web: WebServer, crawl: Crawl, tmp_path: Path
) -> None:
    name = f"{INDEX}/subset=warc/part-00000.c000.gz.parquet"
    table = pq.read_table(pa.BufferReader(crawl.files[name]), partitioning=None)
    at = table.schema.get_field_index("warc_record_offset")
    offsets = table["warc_record_offset"].to_pylist()
    first = next(n for n, s in enumerate(table["fetch_status"].to_pylist()) if s == 200)
    offsets[first] += 7
    wrong = table.set_column(at, "warc_record_offset", pa.array(offsets, pa.int32()))
    sink = pa.BufferOutputStream()
    pq.write_table(wrong.slice(first, 1), sink)
    web.files[f"/{name}"] = sink.getvalue().to_pybytes()
    file = table["warc_filename"][first].as_py()
    stage = common_crawl(web.url, index={}, paths=(file,))
    index = [n for n in crawl.files if n.endswith("part-00001.c000.gz.parquet")]
    web.files[f"/{index[0]}"] = web.files[f"/{name}"]
    documents, batches = read(stage, tmp_path)
    assert not documents
    [lost] = [lost for batch in batches for lost in batch.damage]
    assert lost.file == file
    assert lost.offset == offsets[first]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ("index: {language: [en]}", "unknown key 'index.language'. Did you mean 'languages'"),
        ("index: {languages: [xx]}", "'xx' is no language"),
        ("index: {domains: ['http://a.example/']}", "is no domain"),
        ("index: {status: ['200']}", "expected a list of numbers"),
        ("index: {table: csv}", "expected one of parquet, cdx"),
        ("index: {}, format: wet", "no `index` with `wet`"),
        ("sample: 0", "expected a share above 0"),
        ("sample: 2", "expected 0.0..1.0"),
    ],
)
def test_a_wrong_knob_is_found_before_any_request(knobs: str, message: str, tmp_path: Path) -> None:
    from pipeline.planning.config import parse_config

    text = f"steps:\n  - read_common_crawl: {{crawl: {CRAWL}, {knobs}}}\n  - write_documents: {{}}"
    with pytest.raises(ConfigError, match=message):
        make_plan(parse_config(text, "t.yaml"))


def test_what_is_not_there_is_said(web: WebServer, crawl: Crawl, tmp_path: Path) -> None:
    for stage, message in (
        (ReadCommonCrawl(crawl="CC-MAIN-2030-01", base=web.url), "is not there. Check `crawl`"),
        (common_crawl(web.url, segments=("1707947473347.2",)), "no segment '1707947473347.2'. Did"),
        (common_crawl(web.url, paths=("*-99999.*",)), "no file matches"),
        (common_crawl(web.url, index={"domains": ["nobody.example"]}), "names no page"),
        (common_crawl(web.url, sample=1e-9), "of 6 files is none. Raise `sample`"),
    ):
        with pytest.raises(InputError, match=message):
            stage.listing(open_storage(str(tmp_path)))


@pytest.mark.skipif(
    "records" not in {f.name for f in dataclasses.fields(ReadWarc)}, reason="read_warc reads no WET"
)
def test_wet_files_are_texts(web: WebServer, crawl: Crawl, tmp_path: Path) -> None:
    documents, _ = read(common_crawl(web.url, format="wet"), tmp_path)
    assert {url: row["text"] for url, row in documents.items()} == {
        page.url: f"text of {page.url}\n" for page in crawl.pages
    }


# --- end to end ----------------------------------------------------------------------------------


def commoncrawl(base: str, workdir: Path, **knobs: Any) -> RunResult:
    """configs/commoncrawl.yaml on the mock crawl."""
    values = {"base": base, "sample": 1.0, **knobs}
    overrides = [f"steps.web.{name}={json.dumps(value)}" for name, value in values.items()]
    overrides += [f"workdir={workdir}", "network.requests_per_second=0"]
    overrides += ["steps.extract.engine=resiliparse", "steps.train_tokenizer.vocab_size=2000"]
    config = load_config(ROOT / "configs/commoncrawl.yaml", overrides)
    return run(make_plan(config), Options())


def test_the_preset_runs_end_to_end_and_fetches_only_what_the_index_names(
    web: WebServer, crawl: Crawl, tmp_path: Path
) -> None:
    index = {"languages": ["en"], "mime": ["text/html"]}
    first = commoncrawl(web.url, tmp_path / "work", index=index, gap=0, sample=0.8)
    wanted = [
        page
        for page in crawl.pages
        if (page.language, page.mime, page.status) == ("eng", "text/html", 200)
        and in_sample(page.file, 0.8)
    ]
    funnel = {row.step: row for row in first.funnel.rows}
    assert funnel["web"].documents_in == len(wanted) > 40
    assert first.funnel.input_bytes == sum(page.length for page in wanted)
    assert first.funnel.damage == []
    sent = [r for r in web.log if "/warc/CC-MAIN" in r.path and r.span != (0, 1)]
    assert sorted((r.path[1:], *(r.span or ())) for r in sent) == sorted(
        (page.file, page.offset, page.offset + page.length) for page in wanted
    )
    assert first.dataset["totals"][0]["tokens"] > 1000
    shards = first.dataset["shards"]
    table = pq.read_table(tmp_path / "work/dataset" / shards[0]["file"])
    assert set(table["url"].to_pylist()) <= {page.url for page in wanted}
    # The index is read once: a rerun asks for the two lists of paths alone, and does nothing.
    web.log.clear()
    again = commoncrawl(web.url, tmp_path / "work", index=index, gap=0, sample=0.8)
    assert again.executed == 0
    assert {r.path.rpartition("/")[2] for r in web.log} == {
        "warc.paths.gz", "cc-index-table.paths.gz",
    }  # fmt: skip
    # A larger sample reads the new files only.
    web.log.clear()
    commoncrawl(web.url, tmp_path / "work", index=index, gap=0)
    fetched = {r.path[1:] for r in web.log if "/warc/CC-MAIN" in r.path}
    assert fetched == {name for name in crawl.warcs if not in_sample(name, 0.8)}
