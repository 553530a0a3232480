"""URL lists: what an entry matches, layouts, words, and that no URL can make them hang."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import write_jsonl
from cpu_time import assert_time_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, InputError
from pipeline.planning.fingerprint import identity, path_digest
from pipeline.stage import Filter, Side, TextBatch, location
from stages.kernels.urls import normal_form
from stages.url_filter import UrlFilter
from stages.url_hosts import ascii_host
from stages.url_lists import load_index

LISTS = {
    "adult/domains": "casino.example\nXXX.Example.\nbücher.example\n# heading\n\n10.0.0.7\n"
    "www.only-this.example # a note\n",
    "adult/urls": "blog.example/~bob/\nwww.shop.example/lingerie?page=2\nhost.example/a%7eb\n",
    "adult/expressions": "(^|[-./])pillz([-./]|$)\n",
    "bank/domains": "bank.example\ncasino.example\nblog.example\n",
}


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    for name, text in LISTS.items():
        path = tmp_path / "lists" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "allow").write_text("good.casino.example\n")
    return tmp_path / "lists"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENMILL_CACHE", str(tmp_path / "cache"))
    load_index.cache_clear()
    return tmp_path / "cache"


def asked(stage: UrlFilter, urls: list[str | None]) -> tuple[list[str | None], dict[str, Any]]:
    """`url_match` and the metrics of these URLs."""
    table = pa.table({"url": pa.array(urls, pa.string())})
    answer = stage.process(TextBatch(table), Side("url_filter", 1))
    metrics = {name: pa.array(values).to_pylist() for name, values in answer.metrics.items()}
    assert set(metrics) == set(stage.metric_types())
    return answer.columns["url_match"].to_pylist(), metrics


def matched(stage: UrlFilter, *urls: str) -> list[str | None]:
    return asked(stage, list(urls))[0]


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://casino.example/", "domains: casino.example"),
        ("https://a.b.casino.example/x", "domains: casino.example"),
        ("HTTP://WWW.Casino.EXAMPLE:8080?x", "domains: casino.example"),
        ("http://user:p%40ss@casino.example./", "domains: casino.example"),
        ("casino.example/path", "domains: casino.example"),
        ("//casino.example/path", "domains: casino.example"),
        ("https:\\\\casino.example\\path", "domains: casino.example"),
        ("http://mycasino.example/", None),
        ("http://casino.example.org/", None),
        ("http://example/casino.example", None),
        ("http://a@other.example/@casino.example", None),
        ("http://xxx.example", "domains: xxx.example"),
        ("http://bücher.example/", "domains: xn--bcher-kva.example"),
        ("http://BÜCHER.example/", "domains: xn--bcher-kva.example"),
        ("http://b%C3%BCcher.example/", "domains: xn--bcher-kva.example"),
        ("http://www.XN--BCHER-KVA.example/", "domains: xn--bcher-kva.example"),
        ("http://bücher。example/", "domains: xn--bcher-kva.example"),
        ("http://10.0.0.7/", "domains: 10.0.0.7"),
        ("http://110.0.0.7/", None),
        ("http://www.only-this.example/", "domains: www.only-this.example"),
        ("http://only-this.example/", None),
        ("http://blog.example/~bob", "urls: blog.example/~bob"),
        ("http://www.blog.example/~Bob/2?x#y", "urls: blog.example/~bob"),
        ("http://blog.example/%7Ebob/", "urls: blog.example/~bob"),
        ("http://blog.example/~bobby", None),
        ("http://a.blog.example/~bob", None),
        ("http://shop.example/lingerie?page=2&a=b", "urls: shop.example/lingerie?page=2"),
        ("http://shop.example/lingerie?page=22", None),
        ("http://host.example/a~b", "urls: host.example/a~b"),
        ("http://x.example/buy-PILLZ-now", "expressions: (^|[-./])pillz([-./]|$)"),
        ("http://[::1]:80/", None),
        ("", None),
        ("mailto:someone", None),
        ("http://", None),
    ],
)
def test_a_host_or_url_meets_this_entry(lists: Path, url: str, entry: str | None) -> None:
    found = matched(UrlFilter(lists=str(lists)), url)
    assert found == [entry and f"adult/{entry}"]


def test_a_page_is_dropped_by_the_name_of_its_category(lists: Path) -> None:
    stage = UrlFilter(lists=str(lists), categories=("bank", "adult"))
    urls = ["http://casino.example", "http://xxx.example", "http://blog.example/~bob", None]
    matches, metrics = asked(stage, urls)
    assert metrics == {"list_bank": [1, 0, 1, None], "list_adult": [0, 1, 0, None]}
    assert matches[0] == "bank/domains: casino.example"
    assert [rule.name for rule in stage.rules()] == ["bank", "adult"]
    other = UrlFilter(lists=str(lists), categories=("adult", "bank"))
    assert asked(other, urls)[1]["list_adult"] == [1, 1, 2, None]


def test_what_is_allowed_stays_whatever_else_holds(lists: Path, tmp_path: Path) -> None:
    (tmp_path / "hard").write_text("casino\n")
    stage = UrlFilter(
        lists=str(lists), allow=str(tmp_path / "allow"), hard_words=str(tmp_path / "hard")
    )
    found = matched(
        stage, "http://good.casino.example/pillz", "http://x.good.casino.example", "http://casino.example"
    )  # fmt: skip
    assert found == [None, None, "adult/domains: casino.example"]


def test_in_a_file_of_its_own_a_line_with_a_path_is_a_url(lists: Path, tmp_path: Path) -> None:
    allow, mixed = tmp_path / "mine.txt", tmp_path / "mixed.txt"
    allow.write_text("casino.example/rules\n")
    stage = UrlFilter(lists=str(lists), allow=str(allow))
    rules, slots = matched(stage, "http://casino.example/rules", "http://casino.example/slots")
    assert (rules, slots) == (None, "adult/domains: casino.example")
    mixed.write_text("https://blog.example/~bob\nonly.example\n")
    found = matched(
        UrlFilter(lists=str(mixed)), "http://blog.example/recipes", "http://blog.example/~bob/1",
        "http://only.example/",
    )  # fmt: skip
    assert found == [None, "adult/urls: blog.example/~bob", "adult/domains: only.example"]


def test_a_note_behind_an_entry_is_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "noted.txt"
    path.write_text("b\u00fccher.example # books\nonly.example\tnote\nblog.example/~bob # his\n")
    stage = UrlFilter(lists=str(path))
    found = matched(
        stage, "https:\\\\b\u00fccher.example\\p", "http://only.example", "blog.example/~bob/x"
    )
    assert found == [
        "adult/domains: xn--bcher-kva.example", "adult/domains: only.example",
        "adult/urls: blog.example/~bob",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.gz", b"no gzip"),
        ("list.gz", gzip.compress(b"casino.example\n" * 999, mtime=0)[:-20]),
        ("list.tar.gz", b"no tar"),
    ],
)
def test_a_broken_list_is_an_error_with_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"the list .*{name} cannot be read"):
        load_index(str(path), ("adult",), None, None)


def test_annotating_drops_nothing(lists: Path) -> None:
    stage = UrlFilter(lists=str(lists), action="annotate")
    assert stage.rules() == ()
    assert matched(stage, "http://casino.example") == ["adult/domains: casino.example"]


def test_all_layouts_of_a_list_say_the_same(lists: Path, tmp_path: Path) -> None:
    urls = ["http://a.casino.example", "http://blog.example/~bob", "http://pillz.example/"]
    wanted = matched(UrlFilter(lists=str(lists)), *urls)
    assert None not in wanted
    for name, prefix in (("all.tar.gz", "blacklists/"), ("flat.tar.gz", "")):
        with tarfile.open(tmp_path / name, "w:gz") as tar:
            for member, text in LISTS.items():
                inside = prefix + member if prefix else member.partition("/")[2]
                if prefix or member.startswith("adult"):
                    info = tarfile.TarInfo(inside)
                    info.size = len(text.encode())
                    tar.addfile(info, io.BytesIO(text.encode()))
        assert matched(UrlFilter(lists=str(tmp_path / name)), *urls) == wanted
    plain = UrlFilter(lists=str(lists / "adult" / "domains"))
    assert matched(plain, *urls) == [wanted[0], None, None]


def test_an_unknown_category_or_list_is_named(lists: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no category 'adutl'.*adult"):
        matched(UrlFilter(lists=str(lists), categories=("adutl",)), "http://a.example")
    with pytest.raises(InputError, match="not found"):
        matched(UrlFilter(lists=str(tmp_path / "none")), "http://a.example")
    stage = UrlFilter(lists=str(lists / "adult"), categories=("adult", "bank"))
    with pytest.raises(InputError, match="has no categories"):
        matched(stage, "http://a.example")
    (lists / "adult" / "expressions").write_text("(unclosed\n")
    with pytest.raises(InputError, match="no RE2 pattern"):
        matched(UrlFilter(lists=str(lists)), "http://a.example")


def test_a_filter_that_looks_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to look for"):
        UrlFilter().check()


def test_the_index_is_built_once_and_follows_its_lists(lists: Path, own_cache: Path) -> None:
    stage = UrlFilter(lists=str(lists))
    assert matched(stage, "http://new.example") == [None]
    first = [path for path in own_cache.iterdir() if path.is_dir()]
    assert len(first) == 1
    before = (first[0] / "keys.npy").stat().st_mtime_ns
    load_index.cache_clear()
    matched(stage, "http://new.example")
    assert (first[0] / "keys.npy").stat().st_mtime_ns == before
    with (lists / "adult" / "domains").open("a") as stream:
        stream.write("new.example\n")
    load_index.cache_clear()
    assert matched(stage, "http://new.example") == ["adult/domains: new.example"]
    (first[0] / "keys.npy").write_bytes(b"torn")
    with (lists / "adult" / "domains").open("w") as stream:
        stream.write(LISTS["adult/domains"])
    load_index.cache_clear()
    with pytest.raises(InputError, match="Delete that folder"):
        matched(stage, "http://new.example")


def test_a_cache_that_cannot_be_written_is_an_error(lists: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="Set `cache:`"):
        matched(UrlFilter(lists=str(lists), cache=str(tmp_path / "file" / "x")), "http://a.example")


def test_the_names_of_categories_are_part_of_the_identity(lists: Path) -> None:
    before = path_digest(str(lists))
    (lists / "adult").rename(lists / "press")
    path_digest.cache_clear()
    assert path_digest(str(lists)) != before
    with pytest.raises(ConfigError):
        path_digest(str(lists / "nothing"))


def test_where_a_list_lies_is_not_part_of_the_identity_and_its_name_is(tmp_path: Path) -> None:
    made = []
    for folder, name in (("a", "en.txt"), ("b", "en.txt"), ("c", "fr.txt")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("word")
        made.append(
            [f"{tmp_path}/{folder}/{name}", f"{tmp_path}/{folder}", f"{tmp_path}/{folder}/*"]
        )
    for same, equal, other in zip(*made, strict=True):
        assert path_digest(same) == path_digest(equal) == path_digest(f"file://{same}")
        assert path_digest(same) != path_digest(other)


@dataclass(frozen=True)
class Reading(Filter):
    """A stage that reads two files."""

    folder: str = location()

    @property
    def files(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"{self.folder}/{name}/list.txt" for name in "ab")


def test_files_of_one_name_in_two_folders_are_both_in_the_identity(tmp_path: Path) -> None:
    keys = []
    for words in (("one", "same"), ("two", "same")):
        for folder, word in zip("ab", words, strict=True):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / "list.txt").write_text(word)
        path_digest.cache_clear()
        keys.append(identity(Reading(folder=str(tmp_path)), 1)["models"])
    assert keys[0] != keys[1]


# --- Words -------------------------------------------------------------------------------------


@pytest.fixture
def words(tmp_path: Path) -> dict[str, str]:
    texts = {"hard_words": "smut\n", "soft_words": "cam\nteen\ngirl\n", "substrings": "hot-xx\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return {name: str(tmp_path / name) for name in texts}


@pytest.mark.parametrize(
    ("url", "ignored", "match"),
    [
        ("http://a.example/SMUT/1", "all", "hard_words: smut"),
        ("http://smut-a.example/", "all", "hard_words: smut"),
        ("http://smuts.example/", "all", None),
        ("http://cam.example/cam/cam", "all", None),
        ("http://cam.example/Teen/", "all", "soft_words: cam, teen"),
        ("http://webcam.example/teen", "all", None),
        ("http://h_o.t/xx", "all", "substrings: hotxx"),
        ("http://h-o.txx/", "-.", "substrings: hotxx"),
        ("http://ho/txx", "-.", None),
        ("http://ho/txx", "all", "substrings: hotxx"),
    ],
)
def test_words_of_urls_count_like_this(
    words: dict[str, str], url: str, ignored: Any, match: str | None
) -> None:
    stage = UrlFilter(**words, ignored_in_substrings=ignored)
    found, metrics = asked(stage, [url])
    assert found == [match]
    broken = [rule.name for rule in stage.rules() if metrics[rule.metric][0] > (rule.maximum or 0)]
    assert broken == ([match.partition(":")[0]] if match else [])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.sampled_from([*"ab-._/Ax", "A" * 60, "abcdefgh", "é"]), max_size=12), max_size=6
    ),
    st.booleans(),
)
def test_words_are_those_of_a_plain_search(pieces_of: list[list[str]], table: bool) -> None:
    from stages.kernels import url_words as kernels

    urls = ["".join(pieces) for pieces in pieces_of]
    hard, soft, parts = {"ab", "x", "abcdefghab"}, {"a", "b", "ba"}, ["aab", "ba", "xx"]
    skipped = frozenset(b"-._")
    words = kernels.url_words(hard, soft, parts, skipped)
    assert len(words.moves) > 0
    if not table:  # as if the list were too long for it
        words = words._replace(moves=words.moves[:0])
    counts = kernels.count_url_words(pa.array(urls, pa.string()), words)
    for row, url in enumerate(urls):
        pieces = set(re.findall("[a-z0-9]+", url.lower()))
        assert counts.hard[row] == len(pieces & hard)
        assert counts.soft[row] == len(pieces & soft)
        text = re.sub("[-._]", "", url.lower())
        assert (counts.substring[row] >= 0) == any(part in text for part in parts)


def test_words_have_one_key_in_any_case_and_place() -> None:
    from stages.kernels.url_words import word_keys

    words = ["a", "A", "ab", "b", "abcdefgh", "ABCDEFGH", "abcdefghi", "abcdefghj", "0", "aa"]
    keys = word_keys(words).tolist()
    assert keys == word_keys(["x", *words])[1:].tolist()
    assert len(set(keys)) == len({word.lower() for word in words})


# --- The kernel is the slow obvious definition ---------------------------------------------------


def slow_match(url: str, domains: set[str], urls: set[str]) -> str | None:
    """The longest listed parent domain of a host; without one, the longest prefix of its path."""
    rest = (
        re.sub(r"^[a-z+.-]*://", "", url.strip(), flags=re.I).lstrip("/") if "://" in url else url
    )
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :].partition("#")[0].lower()
    host = authority.rpartition("@")[2].partition(":")[0].strip(".").lower()
    labels = host.split(".")
    for at in range(len(labels)):
        if host and ".".join(labels[at:]) in domains:
            return ".".join(labels[at:])
    whole = host + ("/" + path if path.startswith("?") else path)
    plain = whole.removeprefix("www.") if len(host) > 4 else whole
    ends = [at for at in range(len(plain) + 1) if at == len(plain) or plain[at] in "/?&"]
    for end in reversed(ends):
        if host and plain[:end] in urls:
            return plain[:end]
    return None


hosts = st.lists(st.sampled_from(["a", "b", "www", "co", "x-y", ""]), min_size=1, max_size=4)
urls_like = st.builds(
    lambda scheme, user, labels, port, path: f"{scheme}{user}{'.'.join(labels)}{port}{path}",
    st.sampled_from(["http://", "HTTPS://", "ftp://", "http://"]),
    st.sampled_from(["", "", "u@", "u:p@"]),
    hosts,
    st.sampled_from(["", ":80"]),
    st.text(alphabet="/?&#aBp", max_size=8).map(lambda text: "/" + text if text else ""),
)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(urls_like, min_size=1, max_size=20),
    st.sets(hosts.map(lambda labels: ".".join(filter(None, labels))), max_size=5),
    st.sets(st.sampled_from(["a.b/p", "a/b", "b.co/a?b", "co", "a.b/p/a&b", "b/a"]), max_size=4),
)
def test_lookups_are_those_of_the_plain_definition(
    urls: list[str], domains: set[str], paths: set[str]
) -> None:
    from stages.kernels.urls import UrlTable, entry_keys, match_urls
    from stages.url_lists import GATE_CODE, sorted_table

    domains.discard("")
    first = entry_keys(pa.array(sorted(domains), pa.string()), urls=False)
    second = entry_keys(pa.array(sorted(paths), pa.string()), urls=True)
    keys = np.concatenate([first.keys, second.keys, second.gates])
    codes = np.array([2] * (len(domains) + len(paths)) + [GATE_CODE] * len(paths), np.uint8)
    arrays = sorted_table(keys, codes)
    bits = (len(arrays["starts"]) - 1).bit_length() - 1
    longest = int(second.sizes.max(initial=0))
    table = UrlTable(**arrays, shift=np.uint64(64 - bits), longest_url=longest)
    hits = match_urls(pa.array(urls, pa.string()), table)
    for row, url in enumerate(urls):
        found = normal_form(url)[0][hits.starts[row] : hits.ends[row]] if hits.codes[row] else None
        wanted = slow_match(url, domains, paths)
        assert found == wanted, url


@settings(deadline=None, max_examples=150)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_bytes_of_any_kind_neither_fail_nor_match(raw: list[bytes]) -> None:
    from stages.kernels.urls import UrlTable, match_urls
    from stages.url_lists import sorted_table

    column = pa.array(raw, pa.large_binary())
    buffers = column.buffers()
    urls = pa.LargeStringArray.from_buffers(len(column), buffers[1], buffers[2], buffers[0])
    arrays = sorted_table(np.array([5], np.uint64), np.array([2], np.uint8))
    table = UrlTable(**arrays, shift=np.uint64(63), longest_url=4)
    assert not match_urls(urls, table).codes.any()


@given(st.text(max_size=30))
def test_a_host_of_any_characters_becomes_ascii(host: str) -> None:
    made = ascii_host(host)
    assert made.isascii()
    assert ascii_host(made) == made


@pytest.mark.parametrize(
    "url",
    [
        "http://" + "a." * 500_000 + "casino.example/",
        "http://casino.example/" + "/" * 1_000_000,
        "http://casino.example/" + "%" * 1_000_000,
        "http://" + "u@" * 500_000 + "casino.example",
        "http://blog.example/" + "a/" * 500_000,
        "http://" + "ü" * 500_000 + ".casino.example",
        "http://ü." + "ü." * 300 + "casino.example",
        "x" * 1_000_000,
        "pillz" * 200_000,
    ],
    ids=range(9),
)
def test_a_url_of_a_megabyte_takes_time_by_its_length_alone(
    lists: Path, words: dict[str, str], url: str
) -> None:
    stage = UrlFilter(lists=str(lists), **words)
    matched(stage, "http://bücher.example/")
    assert_time_in_proportion(lambda part: matched(stage, part), url)
    found = matched(stage, url)
    if "casino.example" in url and "ü" not in url:
        assert found == ["adult/domains: casino.example"]


# --- Real lists, and the pipeline -----------------------------------------------------------------


def test_every_entry_of_real_lists_is_found_and_no_page_of_the_press(
    shared_data: Path, tmp_path: Path
) -> None:
    import gzip

    folder = tmp_path / "ut1"
    entries: dict[tuple[str, str], list[str]] = {}
    with gzip.open(shared_data / "url_blocklist" / "ut1_categories_sample.jsonl.gz", "rt") as rows:
        for row in map(json.loads, rows):
            entries.setdefault((row["category"], row["kind"]), []).append(row["value"])
    for (category, kind), values in entries.items():
        path = folder / category / kind
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(values) + "\n")
    categories = ("adult", "gambling", "drogue", "malware", "phishing")
    stage = UrlFilter(lists=str(folder), categories=categories)
    blocked = [v for (category, _), values in entries.items() if category in categories
               for v in values]  # fmt: skip
    asked_for = [f"http://{value}" for value in blocked]
    assert matched(stage, *asked_for).count(None) == 0
    press = [f"https://www.{value}/2024/article.html" for value in entries["press", "domains"]]
    assert len(press) > 500
    own = {v for (c, k), values in entries.items() if c in categories and k == "domains"
           for v in values}  # fmt: skip
    for url, match in zip(press, matched(stage, *press), strict=True):
        assert match is None or any(url.partition("/article")[0].find(v) > 0 for v in own)


def test_a_run_drops_listed_pages_and_keeps_their_entry(
    lists: Path, tmp_path: Path, run_yaml: Any
) -> None:
    from pipeline.audit.lookup import open_run
    from pipeline.files.tables import read_dataset

    rows = [
        {"id": "1", "text": "some text", "url": "http://www.casino.example/"},
        {"id": "2", "text": "some text", "url": "http://fine.example/"},
    ]
    write_jsonl(tmp_path / "in.jsonl", rows)
    config = (
        f"name: t\nkeep_dropped: all\nsteps:\n"
        f"  - id: docs\n    read_jsonl: {{paths: ['{tmp_path}/in.jsonl'], id: id, url: url}}\n"
        f"  - url_filter: {{lists: '{lists}'}}\n  - write_documents: {{}}\n"
    )
    run_yaml(config)
    found = open_run(str(tmp_path / "work"))
    node = next(name for name, _ in found.segments_with("url_filter"))
    (dropped,) = [read_dataset(found.storage, data) for _, data in found.datasets(node, "dropped")]
    (metrics,) = [read_dataset(found.storage, data) for _, data in found.datasets(node, "metrics")]
    assert metrics["drop_reason"].to_pylist().count("url_filter.adult") == 1
    assert dropped["url_match"].to_pylist() == ["adult/domains: casino.example"]
