"""The embedded sample is what its generator makes, and its truth is true."""

import gzip
import html
import json
import re
import zlib
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import pycld2
import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from samples import plants
from samples.crawl import crawl, original_article
from samples.generate import SEED, generate, main
from samples.plan import QUOTA, plan_page

SAMPLES = Path(__file__).parent.parent / "samples"
PAGES = 300
# Other deflate libraries than zlib itself pack the same records into other bytes.
CLASSIC_ZLIB = "ng" not in zlib.ZLIB_RUNTIME_VERSION


def truth_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "truth.jsonl").open(encoding="utf-8")]


def responses(folder: Path) -> dict[str, bytes]:
    """Address -> HTTP headers and body, over all parts."""
    found: dict[str, bytes] = {}
    for part in sorted((folder / "web").glob("*.warc.gz")):
        for record in FastIterator(
            BytesIO(part.read_bytes()), record_types=WarcRecordType.response, parse_http=False
        ):
            url = record.headers["WARC-Target-URI"]
            assert url not in found
            found[url] = record.reader.read()
    return found


def files_of(folder: Path) -> list[Path]:
    made = [*sorted((folder / "web").glob("*.warc.gz")), *sorted(folder.glob("*.jsonl*"))]
    return [path.relative_to(folder) for path in made]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed sample made anew."""
    out = tmp_path_factory.mktemp("fresh")
    assert main([str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def truth() -> list[dict[str, Any]]:
    return truth_of(SAMPLES)


def test_the_committed_files_equal_what_the_generator_makes(fresh: Path) -> None:
    assert files_of(fresh) == files_of(SAMPLES)
    for path in files_of(fresh):
        made, committed = (fresh / path).read_bytes(), (SAMPLES / path).read_bytes()
        if path.suffix == ".gz":
            assert gzip.decompress(made) == gzip.decompress(committed), path
        if path.suffix != ".gz" or CLASSIC_ZLIB:
            assert made == committed, path


def test_another_number_of_files_holds_the_same_pages(fresh: Path, tmp_path: Path) -> None:
    generate(PAGES, tmp_path, files=3)
    assert len(list((tmp_path / "web").iterdir())) == 3
    assert responses(tmp_path) == responses(fresh)

    def by_url(row: dict[str, Any]) -> str:
        return str(row["url"])

    assert sorted(truth_of(tmp_path), key=by_url) == sorted(truth_of(fresh), key=by_url)


def test_fewer_pages_are_a_prefix_and_another_seed_is_another_web(
    fresh: Path, tmp_path: Path
) -> None:
    generate(40, tmp_path / "few", files=1)
    assert responses(tmp_path / "few").items() <= responses(fresh).items()
    generate(40, tmp_path / "other", seed=SEED + 1, files=1)
    assert not set(responses(tmp_path / "other").values()) & set(responses(fresh).values())


def test_fastwarc_and_warcio_read_the_same_records() -> None:
    for part in sorted((SAMPLES / "web").glob("*.warc.gz")):
        fast = []
        for record in FastIterator(BytesIO(part.read_bytes()), parse_http=False):
            assert record.verify_block_digest()
            fast.append(record.headers["WARC-Record-ID"])
        with part.open("rb") as stream:
            slow = [r.rec_headers.get_header("WARC-Record-ID") for r in WarcioIterator(stream)]
        assert slow == fast
        assert len(set(fast)) == len(fast)


def test_each_record_is_a_gzip_member_of_its_own() -> None:
    part = SAMPLES / "web" / "part-00000.warc.gz"
    rest, members = part.read_bytes(), 0
    while rest:
        unpack = zlib.decompressobj(wbits=31)
        text = unpack.decompress(rest)
        assert text.startswith(b"WARC/1.1\r\n")
        assert text.endswith(b"\r\n\r\n")
        rest, members = unpack.unused_data, members + 1
    assert members == sum(1 for _ in FastIterator(BytesIO(part.read_bytes())))


def test_every_response_has_one_line_of_truth(truth: list[dict[str, Any]]) -> None:
    assert Counter(row["url"] for row in truth) == Counter(responses(SAMPLES).keys())
    assert len(truth) == PAGES


def test_each_kind_has_its_quota(truth: list[dict[str, Any]]) -> None:
    kinds = Counter(row["kind"] for row in truth)
    assert {kind: 3 * count for kind, count in QUOTA.items()} == {
        kind: count for kind, count in kinds.items() if kind != "unique"
    }
    assert min(kinds.values()) >= 3
    assert set(kinds) == set(plants.VERDICTS)


def test_english_leads_and_eight_other_languages_follow(truth: list[dict[str, Any]]) -> None:
    uniques = Counter(row["language"] for row in truth if row["kind"] == "unique")
    assert set(uniques) == {"en", "de", "fr", "es", "it", "pt", "ru", "zh", "ja"}
    good = [r for r in truth if r["expect"] == "keep" and r["language"] == "en"]
    assert len(good) >= 120


def test_pages_are_in_the_language_that_the_truth_names() -> None:
    wrong, pages = [], 0
    for page in range(PAGES):
        plan = plan_page(SEED, page)
        if plan.kind == "unique":
            pages += 1
            _, _, guesses = pycld2.detect(original_article(SEED, page).text, bestEffort=True)
            if guesses[0][1] != plan.language:
                wrong.append((page, plan.language, guesses[0][1]))
    assert len(wrong) <= 0.05 * pages, wrong


def test_the_bytes_of_every_page_decode_in_its_true_charset(truth: list[dict[str, Any]]) -> None:
    found = responses(SAMPLES)
    for row in truth:
        if row["true_charset"] and row["kind"] != "truncated_html":
            found[row["url"]].split(b"\r\n\r\n", 1)[1].decode(row["true_charset"])
    charsets = {row["true_charset"] for row in truth}
    assert {"utf-8", "windows-1251", "iso-8859-1", "windows-1252", "gb18030"} <= charsets
    assert {"shift_jis", "euc-jp", "koi8-r"} & charsets
    assert any(b"\xef\xbb\xbf" in body for body in found.values())
    assert any(row["declared_charset"] is None for row in truth if row["language"] == "ru")


def without_tags(body: bytes, charset: str) -> str:
    """The page's text without markup and without any space."""
    return re.sub(r"\s", "", html.unescape(re.sub(r"<[^>]*>", "", body.decode(charset))))


def test_pages_hold_every_line_of_their_article() -> None:
    for page in range(PAGES):
        plan = plan_page(SEED, page)
        if plan.kind in ("unique", "exact_duplicate", "mirror", "wrong_charset", "pii"):
            crawled = crawl(SEED, page)
            text = without_tags(crawled.body, crawled.truth["true_charset"])
            original = original_article(SEED, page if plan.of is None else plan.of)
            for line in original.text.split("\n"):
                assert re.sub(r"\s", "", line) in text, (page, line)


def test_near_duplicates_are_as_near_as_the_truth_says(truth: list[dict[str, Any]]) -> None:
    stated = {row["url"]: row["jaccard"] for row in truth if row["kind"] == "near_duplicate"}
    pages = [page for page in range(PAGES) if plan_page(SEED, page).kind == "near_duplicate"]
    assert len(pages) == len(stated)
    for page in pages:
        crawled = crawl(SEED, page)
        assert crawled.truth["jaccard"] == stated[crawled.url]
        assert 0.8 < stated[crawled.url] < 0.98


def test_no_two_articles_are_near_duplicates_by_accident() -> None:
    sets = {
        page: plants.shingles(original_article(SEED, page).text)
        for page in range(PAGES)
        if plan_page(SEED, page).kind == "unique"
    }
    pages_of: dict[tuple[str, ...], list[int]] = {}
    for page, shingles in sets.items():
        for shingle in shingles:
            pages_of.setdefault(shingle, []).append(page)
    shared: Counter[tuple[int, int]] = Counter()
    for pages in pages_of.values():
        shared.update((a, b) for n, a in enumerate(pages) for b in pages[n + 1 :])
    worst = max(both / (len(sets[a]) + len(sets[b]) - both) for (a, b), both in shared.items())
    assert worst < 0.3


def test_benchmark_questions_stand_in_their_pages(truth: list[dict[str, Any]]) -> None:
    rows = [json.loads(line) for line in (SAMPLES / "benchmark.jsonl").open(encoding="utf-8")]
    found = responses(SAMPLES)
    pages = [found[r["url"]] for r in truth if r["kind"] == "benchmark_question"]
    assert len(rows) == len(pages)
    for row in rows:
        # The last words: links and entities come earlier in a paragraph.
        ending = row["question"][-40:].encode()
        assert any(ending in page for page in pages)
        assert row["answer"].isdigit()


def test_books_are_whole_documents() -> None:
    with gzip.open(SAMPLES / "books.jsonl.gz", "rt", encoding="utf-8") as lines:
        books = [json.loads(line) for line in lines]
    assert len({book["id"] for book in books}) == len(books) == 40
    assert all(set(book) == {"id", "title", "content"} for book in books)
    assert all(len(book["content"].split()) > 400 for book in books)


def test_the_sample_stays_small() -> None:
    assert sum((SAMPLES / path).stat().st_size for path in files_of(SAMPLES)) < 3_000_000


def test_bad_arguments_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--pages", "0", str(tmp_path)])
    assert stop.value.code == 2
    assert "got 0" in capsys.readouterr().err
