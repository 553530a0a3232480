"""JSON-LD as publishers write it: found, mended, and never dangerous."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from cpu_time import assert_time_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.extract.json_ld import JsonLd, read_json_ld
from stages.extract.metadata import metadata_of
from stages.extract.page import ScannedPage, Scanner

URL = "https://www.paper.example/2020/bridge"


@cache
def scanner() -> Scanner:
    return Scanner()


def scanned(*scripts: str) -> ScannedPage:
    tags = "".join(f'<script type="application/ld+json">{each}</script>' for each in scripts)
    return scanner().scan(f"<html><head>{tags}</head><body>text</body></html>".encode())


def json_ld(*scripts: str) -> JsonLd:
    return read_json_ld(scanned(*scripts))


ARTICLE = {
    "@type": "NewsArticle",
    "headline": "A bridge for the river",
    "author": [{"@type": "Person", "name": "Ann Author"}, {"name": "Bob Writer"}],
    "datePublished": "2020-03-04T05:06:07+01:00",
    "articleBody": "The council met.",
    "inLanguage": "en-GB",
    "license": "https://creativecommons.org/licenses/by/4.0/",
}
READ = JsonLd(
    ("NewsArticle", "Person"),
    "A bridge for the river",
    ("Ann Author", "Bob Writer"),
    "2020-03-04T05:06:07+01:00",
    "The council met.",
    "en-GB",
    "https://creativecommons.org/licenses/by/4.0/",
)
SITE = {"@type": "WebSite", "name": "The Paper", "headline": "Site line", "inLanguage": "fr"}


@pytest.mark.parametrize(
    "document",
    [
        ARTICLE,
        [ARTICLE],
        [[ARTICLE]],
        {"@context": "https://schema.org", "@graph": [ARTICLE]},
        {"@type": [], "mainEntity": ARTICLE},
    ],
)
def test_an_article_is_found_wherever_publishers_put_it(document: Any) -> None:
    assert json_ld(json.dumps(document)) == READ


def test_an_article_speaks_before_the_page_and_the_site_not_at_all() -> None:
    page = {"@type": "WebPage", "datePublished": "2001-01-01", "headline": "Page", "license": "x:y"}
    found = json_ld(json.dumps({"@graph": [SITE, page, {**ARTICLE, "license": None}]}))
    assert (found.headline, found.language) == (READ.headline, "en-GB")
    assert (found.date_published, found.licence) == (READ.date_published, "x:y")
    assert found.types == ("NewsArticle", "Person", "WebPage", "WebSite")
    assert json_ld(json.dumps(SITE)) == JsonLd(types=("WebSite",))


def test_teasers_pictures_and_reviews_do_not_speak_for_the_page() -> None:
    teaser = {"@type": "Article", "headline": "Another story", "author": "Someone Else"}
    picture = {"@type": "ImageObject", "license": "https://l.example/", "author": "A Photographer"}
    review = {"@type": "Review", "author": {"name": "A Buyer"}, "datePublished": "2020-01-01"}
    found = json_ld(
        json.dumps({"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "x": teaser}]}),
        json.dumps({"@type": "WebPage", "image": picture, "hasPart": [teaser]}),
        json.dumps({"@type": "Product", "review": [review]}),
        json.dumps(picture),
    )
    assert found == JsonLd(types=found.types)
    assert {"ItemList", "ListItem", "Article", "ImageObject", "Product"} <= set(found.types)


@pytest.mark.parametrize(
    ("author", "names"),
    [
        ("Ann Author", ("Ann Author",)),
        (["Ann", "Bob", "Ann"], ("Ann", "Bob")),
        ({"@type": "Person", "name": ["Ann", "Bob"]}, ("Ann", "Bob")),
        ({"@id": "https://paper.example/#ann"}, ("Ann by reference",)),
        ([{"name": ""}, {"name": None}, {}, None, 7, True, "Ann"], ("7", "Ann")),
        ({"name": {"name": {"name": "deep"}}}, ()),
    ],
)
def test_authors_are_named_in_many_ways(author: Any, names: tuple[str, ...]) -> None:
    person = {"@type": "Person", "@id": "https://paper.example/#ann", "name": "Ann by reference"}
    document = {"@graph": [{"@type": "Article", "author": author}, person]}
    assert json_ld(json.dumps(document)).authors == names


GOOD = json.dumps(ARTICLE)


@pytest.mark.parametrize(
    "script",
    [
        f"\n  {GOOD}\n ;",
        f"<!-- {GOOD} -->",
        f"//<![CDATA[\n{GOOD}\n//]]>",
        f"/* <![CDATA[ */ {GOOD} /* ]]> */",
        "\ufeff" + GOOD,
        GOOD.replace("}]", "},\n ]").replace('/4.0/"}', '/4.0/" , }'),
        GOOD.replace('"', "&quot;"),
    ],
)
def test_json_in_the_usual_wrappings_and_with_the_usual_slips_is_read(script: str) -> None:
    assert json_ld(script) == READ


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("one\ntwo\tthree", "one\ntwo\tthree"),
        ("a\x00b\x1fc", "a b c"),
        (r"it\'s", "it's"),
        (r"a\u00e9\\\"b", 'aé\\"b'),
        (r"cut \ud83d", "cut \ufffd"),
        (r"\ud83d\ude00 \ud83d", "😀 \ufffd"),
        ("kept ,] and ,} \n", "kept ,] and ,}"),
        (r"\uzz", "uzz"),
    ],
)
def test_strings_that_are_not_json_are_mended_without_loss(raw: str, text: str) -> None:
    assert json_ld(f'{{"@type": "Article", "articleBody": "{raw}",}}').article_body == text


def test_a_broken_script_does_not_hide_the_next_one() -> None:
    assert json_ld("{", "not json", '{"a": }', GOOD, "") == READ


def test_the_longest_article_body_counts() -> None:
    bodies = [{"@type": "Article", "articleBody": text} for text in ("short", "much longer", "x")]
    assert json_ld(json.dumps(bodies)).article_body == "much longer"


KEYS = st.sampled_from(
    ["@type", "@graph", "@id", "mainEntity", "author", "name", "headline", "articleBody", "license",
     "datePublished", "inLanguage", "url", "x"]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["Article", "WebPage", "https://schema.org/NewsArticle", "2020-01-02", "&#9"])
)
HOSTILE = st.recursive(
    LEAVES,
    lambda inside: st.lists(inside, max_size=5) | st.dictionaries(KEYS, inside, max_size=6),
    max_leaves=40,
)


@settings(deadline=None)
@given(st.lists(HOSTILE, max_size=3), st.randoms(use_true_random=False), st.booleans())
def test_no_json_however_odd_breaks_the_reading(values: Any, random: Any, cut: bool) -> None:
    scripts = [json.dumps(value).replace("<", " ") for value in values]
    if cut and scripts and scripts[0]:
        at = random.randrange(len(scripts[0]))
        scripts[0] = (
            scripts[0][:at] + random.choice(['"', "\\", ",", "}", "\n", "&"]) + scripts[0][at:]
        )
    found = json_ld(*scripts)
    assert list(found.types) == sorted(set(found.types))
    for value in (found.headline, found.date_published, found.language, found.licence):
        assert value is None or (isinstance(value, str) and value == value.strip() != "")
    assert all(isinstance(name, str) and name for name in found.authors)
    metadata_of(scanned(*scripts), found, URL)


@pytest.mark.parametrize(
    "script",
    [
        "[" * 500_000,
        '{"@graph":' * 900 + "1" + "}" * 900,
        '{"mainEntity":[' * 100_000,
        "[" + ",".join(['{"@type":"Article"}'] * 40_000) + "]",
        '{"@type":"Article","author":[' + '"a",' * 100_000 + '"b"]}',
        '"' + '\\"' * 400_000,
        ("," + " " * 1000) * 900,
        "{" + "//" * 400_000 + " " * 100_000,
        "&quot;" + "&#" + "9" * 500_000,
        '{"@type":"Article","headline":"' + "&" * 500_000 + '"}',
        "{" + ",".join(f'"k{n}":[]' for n in range(60_000)) + "}",
    ],
    ids=range(11),
)
def test_hostile_scripts_take_time_by_their_length_alone(script: str) -> None:
    def read(part: str) -> None:
        page = scanned(part)
        metadata_of(page, read_json_ld(page), URL)

    assert_time_in_proportion(read, script)
