"""What pages say of their use: read as an HTML parser reads it, and acted on."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import RunConfig, write_jsonl
from selectolax.lexbor import LexborHTMLParser
from test_page_metadata import metadata, scanned

from pipeline.stage import Side, TextBatch
from stages.consent import SIGNALS, Consent
from stages.extract.rights import cc_links, licence_id, robots_meta, tdm_meta
from stages.kernels.html_tags import ROBOTS_AGENTS

_DEFAULT = Consent()


def measured(stage: Consent = _DEFAULT, **columns: str | None) -> dict[str, int]:
    """The metrics of one document with these columns."""
    names = ("robots_meta", "tdm_meta", "licence_id", "cc_links", "x_robots_tag", "tdm_headers")
    table = pa.table({name: pa.array([columns.get(name)], pa.string()) for name in names})
    found = stage.process(TextBatch(table), Side("consent", 0)).metrics
    return {name: values[0] for name, values in found.items()}


def signals(**columns: str | None) -> set[str]:
    return {name for name, value in measured(**columns).items() if value}


# --- Columns -------------------------------------------------------------------------------------


def test_robots_tags_come_out_as_a_header_would_say_them() -> None:
    head = (
        '<META NAME="Robots" CONTENT="NoIndex,  max-snippet: -1 noarchive">'
        "<meta content=noai name=robots><meta name='googlebot' content='noimageai, nosnippet'>"
        '<meta name="viewport" content="noindex">'
    )
    assert metadata(head).robots_meta == (
        "noindex, max-snippet:-1, noarchive, noai, googlebot: noimageai, googlebot: nosnippet"
    )
    assert metadata('<meta name="robots" content="">').robots_meta is None
    assert metadata("<!-- <meta name=robots content=noai> -->").robots_meta is None


def test_a_reservation_comes_out_as_the_headers_would_say_it() -> None:
    head = (
        '<meta name="tdm-reservation" content=" 1 ">'
        '<meta name="tdm-policy" content="https://paper.example/p?a=1&amp;b=2">'
    )
    assert metadata(head).tdm_meta == (
        "tdm-reservation: 1; tdm-policy: https://paper.example/p?a=1&b=2"
    )
    assert metadata("").tdm_meta is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://creativecommons.org/licenses/by/4.0/", "cc-by-4.0"),
        ("http://www.creativecommons.org/licenses/by-nc-sa/3.0/de/deed.en", "cc-by-nc-sa-3.0-de"),
        ("https://creativecommons.org/licenses/by-sa/2.0/deed.de", "cc-by-sa-2.0"),
        ("https://creativecommons.org/licenses/by/4.0/legalcode.de", "cc-by-4.0"),
        ("https://creativecommons.org/licenses/by-nd/3.0/rdf", "cc-by-nd-3.0"),
        ("//creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "cc-pdm-1.0"),
        ("https://creativecommons.org/licenses/by-sa/", "cc-by-sa"),
        ("https://www.gnu.org/copyleft/fdl.html", "gfdl"),
        ("https://www.gnu.org/licenses/fdl-1.3.html", "gfdl-1.3"),
        ("https://www.apache.org/licenses/LICENSE-2.0", "apache-2.0"),
        ("https://creativecommons.org/", None),
        ("https://paper.example/imprint", None),
        (None, None),
    ],
)
def test_a_licence_url_has_its_spdx_name(url: str | None, name: str | None) -> None:
    assert licence_id(url) == name


def test_links_to_creative_commons_are_named_apart_from_the_stated_licence() -> None:
    body = (
        '<a href="//creativecommons.org/licenses/by/2.0/">photo</a>'
        '<a href="https://creativecommons.org/licenses/by-sa/4.0/deed.fr">text</a>'
        "<p>see creativecommons.org/licenses/by-nd/4.0 for more"
    )
    found = metadata("", body)
    assert (found.licence_id, found.cc_links) == (None, "cc-by-2.0, cc-by-sa-4.0")
    stated = metadata("", body.replace('">text', '" rel="nofollow license">text'))
    assert stated.licence_id == "cc-by-sa-4.0"


def oracle(html: bytes) -> tuple[str | None, str | None, set[str]]:
    """Robots tags, mining reservation and linked licences by a parser that builds the DOM."""
    page = LexborHTMLParser(html.decode("utf-8", "replace"))
    directive = r"[a-z_-]+(?:\s*:\s*[^\s,]+)?"
    robots: list[str] = []
    addressed: list[str] = []
    mining: dict[str, str] = {}
    for tag in page.css("meta"):
        said_by = tag.attributes
        name, content = (said_by.get("name") or "").lower().strip(), said_by.get("content")
        words = [re.sub(r"\s", "", w) for w in re.findall(directive, (content or "").lower())]
        if name == "robots":
            robots += words
        elif name in ROBOTS_AGENTS:
            addressed += [f"{name}: {word}" for word in words]
        elif name.startswith("tdm-") and content:
            mining.setdefault(name, content.strip())
    links = {licence_id(tag.attributes.get("href")) for tag in page.css("a")}
    said = ", ".join(dict.fromkeys([*robots, *addressed])) or None
    reserved = "; ".join(f"{name}: {mining[name]}" for name in sorted(mining, reverse=True)) or None
    return said, reserved, {link for link in links if link and link.startswith("cc")}


def compared(pages: list[tuple[str, bytes]]) -> tuple[list[str], int]:
    """URLs of pages of which lxml says something that we do not, and how many say anything."""
    wrong, saying = [], 0
    for url, html in pages:
        page = scanned(html)
        robots, mining, links = oracle(html)
        saying += robots is not None
        same = robots in (None, robots_meta(page)) and mining == tdm_meta(page)
        ours = set((cc_links(page.html) or "").split(", "))
        if not same or not (links <= ours or len(html) > 128 << 10):
            wrong.append(url)
    return wrong, saying


def gold_pages(folder: Path, *names: str) -> list[tuple[str, bytes]]:
    found = []
    for name in names or sorted(path.name for path in folder.glob("*.jsonl.gz")):
        with gzip.open(folder / name, "rt") as lines:
            rows = map(json.loads, lines)
            found += [(row["url"], row["html"].encode("utf-8", "replace")) for row in rows]
    return found


def test_real_pages_say_what_an_html_parser_hears(shared_data: Path) -> None:
    pages = gold_pages(shared_data / "extraction_gold", "scrapinghub-aeb.jsonl.gz")[:120]
    wrong, saying = compared(pages)
    assert not wrong
    assert saying > 30


@pytest.mark.slow
def test_all_gold_pages_say_what_an_html_parser_hears(shared_data: Path) -> None:
    wrong, saying = compared(gold_pages(shared_data / "extraction_gold"))
    assert not wrong
    assert saying > 800


# --- The filter ----------------------------------------------------------------------------------


def test_one_place_that_says_no_is_enough() -> None:
    assert signals(robots_meta="index, noai") == {"noai"}
    assert signals(x_robots_tag="NOAI, noimageai") == {"noai", "noimageai"}
    assert signals(tdm_headers="tdm-reservation: 1; tdm-policy: https://x.example") == {
        "tdm_reserved"
    }
    assert signals(tdm_meta="tdm-reservation: 1", tdm_headers="tdm-reservation: 0") == {
        "tdm_reserved"
    }
    assert signals(tdm_headers="tdm-reservation: 0; tdm-policy: https://x.example/1") == set()
    assert signals(robots_meta="none") == {"noindex"}
    assert (
        signals(robots_meta="index, follow, max-snippet:-1, unavailable_after:2030-01-01") == set()
    )
    assert signals() == set()


def test_a_header_to_one_crawler_is_not_said_to_all() -> None:
    header = "googlebot: noindex, noai, *: noarchive, max-image-preview: none"
    assert signals(x_robots_tag=header) == {"noarchive"}
    ours = measured(Consent(agents=("GoogleBot",)), x_robots_tag=header)
    assert {name for name in SIGNALS if ours[name]} == {"noindex", "noai", "noarchive"}
    assert signals(robots_meta="noindex, googlebot: noai") == {"noindex"}


def test_licences_are_wanted_or_refused_by_pattern() -> None:
    stage = Consent(licences=("cc0-*", "cc-by-[0-9]*"), refused_licences=("cc-*-nc*",))
    cases = {"cc-by-4.0": (0, 0), "cc0-1.0": (0, 0), "cc-by-nc-3.0-de": (1, 1), "gfdl": (1, 0)}
    for name, (unfit, refused) in cases.items():
        found = measured(stage, licence_id=name)
        assert (found["licence_unfit"], found["licence_refused"]) == (unfit, refused), name
    assert measured(stage)["licence_unfit"] == 1
    assert measured(stage, cc_links="cc-by-4.0")["licence_unfit"] == 1
    linked = Consent(licences=("cc-by-4.0",), licence_from="linked")
    assert measured(linked, cc_links="cc-by-2.0, cc-by-4.0")["licence_unfit"] == 0
    assert measured(linked, cc_links="cc-by-4.0", licence_id="gfdl")["licence_unfit"] == 1


def pages_file(folder: Path) -> Path:
    head = '<html><head><meta name="robots" content="{}"><title>T</title></head><body><p>'
    bodies = {"a": "index", "b": "noai", "c": "noindex", "d": "noai, noindex"}
    rows: list[dict[str, Any]] = [
        {"id": name, "url": f"https://h.example/{name}", "page": head.format(said) + "Some words."}
        for name, said in bodies.items()
    ]
    return write_jsonl(folder / "pages.jsonl", rows)


def test_a_run_counts_what_pages_said_and_a_knob_turns_each_off(
    tmp_path: Path, run_yaml: RunConfig
) -> None:
    text = f"""
steps:
  - id: web
    read_jsonl: {{paths: ["{pages_file(tmp_path)}"], html: page, id: id, url: url}}
  - extract: {{engine: resiliparse}}
  - consent: KNOBS
  - write_documents: {{}}
"""
    for knobs, dropped in {
        "{}": {"consent.noai": 2},
        "{noindex: true}": {"consent.noai": 2, "consent.noindex": 1},
        "{noai: false}": {},
    }.items():
        row = run_yaml(text.replace("KNOBS", knobs)).funnel.rows[-1]
        assert (row.step, row.documents_in, row.dropped) == ("consent", 4, dropped)
