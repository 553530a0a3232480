"""Text of pages that the engine left empty: the article body in JSON-LD, then resiliparse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cpu_time import assert_time_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.extract import rescue as rescue_module
from stages.extract.json_ld import MAX_BODY_CHARS, JsonLd, read_json_ld
from stages.extract.page import Scanner
from stages.extract.rescue import (
    MAX_HTML_BYTES,
    MAX_OPTIONS,
    MAX_STEPS,
    MAX_TAGS,
    MIN_BODY_WORDS,
    body_text,
    is_affordable,
    rescue,
)

SENTENCE = "The council met on Tuesday and agreed on a plan for the new bridge over the river."
LONG = " ".join([SENTENCE] * (MIN_BODY_WORDS // 16 + 1))
VISIBLE = f"<html><body><main><h1>Bridge</h1><p>{LONG}</p><p>{LONG}</p></main></body></html>"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("one\n\ntwo\n three ", "one\ntwo\nthree"),
        ("<p>one</p>\n<p>two\nlines</p>", "one\ntwo lines"),
        ("&lt;p&gt;one&lt;/p&gt;&lt;p&gt;two &amp;amp; more&lt;/p&gt;", "one\ntwo & more"),
        ("&amp;lt;p&amp;gt;one&amp;lt;/p&amp;gt;two", "one\ntwo"),
        ("it&amp;#8217;s&amp;nbsp;late", "it’s late"),
        ("a <b>bold</b> word\nand a line", "a bold word\nand a line"),
        ("one<br>two<br/><br/>three", "one\ntwo\nthree"),
        ("<ul><li>one</li><li>two</li></ul>", "one\ntwo"),
        ("before<script>alert(1)</script> after<style>p{}</style>", "before after"),
        ("if a < b and c > d", "if a < b and c > d"),
        ("AT&T, R&amp;D", "AT&T, R&D"),
        ("zero\u200bwidth\u00a0and\u00adsoft", "zerowidth andsoft"),
        ("", ""),
    ],
)
def test_an_article_body_becomes_plain_text_with_a_paragraph_a_line(body: str, text: str) -> None:
    assert body_text(body) == text


def test_the_article_body_comes_first() -> None:
    assert rescue(VISIBLE.encode(), JsonLd(article_body=f"<p>{LONG}</p>")) == (LONG, "json_ld")


def state(**fields: Any) -> bytes:
    """A page that a script draws, with its data as a server renders them."""
    data = json.dumps({"queries": [{"data": fields}]}).replace("<", "\\u003c")
    return f"<html><body><div id=app></div><script>push({data});</script></body></html>".encode()


def test_the_longest_html_among_the_data_of_scripts_is_the_text() -> None:
    article = f'<p>{LONG}</p><p>It <b>costs</b> "nothing".</p><p>{SENTENCE}</p>'
    page = state(notice="<p>a</p><p>b</p><p>c</p>", body=article, title="Bridge", number=3)
    assert rescue(page, JsonLd()) == (f'{LONG}\nIt costs "nothing".\n{SENTENCE}', "script")
    assert rescue(page, JsonLd(article_body=LONG)) == (LONG, "json_ld")


def test_strings_of_program_code_are_no_text() -> None:
    code = (
        b'<script>f(a, \'<p>x<p>y<p>z\', "<p>\\x<p><p>", ["' + b"<p>word " * 200 + b'"+1]</script>'
    )
    assert rescue(code, JsonLd()) is None
    few = state(body=f"<p>{LONG}</p><p>{LONG}</p>")
    assert rescue(few, JsonLd()) is None


def test_a_teaser_is_no_article_body() -> None:
    teaser = " ".join(["word"] * (MIN_BODY_WORDS - 1))
    found = rescue(VISIBLE.encode(), JsonLd(article_body=teaser))
    assert found is not None
    assert found[1] == "resiliparse"
    assert LONG in found[0]
    enough = teaser + " word"
    assert rescue(VISIBLE.encode(), JsonLd(article_body=enough)) == (enough, "json_ld")


def test_words_of_scripts_without_spaces_count_by_character() -> None:
    body = "橋" * MIN_BODY_WORDS
    assert rescue(b"", JsonLd(article_body=body)) == (body, "json_ld")


@pytest.mark.parametrize(
    "html", [b"", b" \n", b"\0", b"<html></html>", b"<script>var x = 1</script>"]
)
def test_a_page_without_text_is_not_rescued(html: bytes) -> None:
    assert rescue(html, JsonLd()) is None


def test_a_page_that_breaks_the_library_is_not_rescued(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(page: str, **options: Any) -> str:
        raise RuntimeError("no tree")

    monkeypatch.setattr(rescue_module, "_extractor", lambda: broken)
    assert rescue(VISIBLE.encode(), JsonLd()) is None


@pytest.mark.parametrize("nested", [1, 2_447, 2_448, 2_449, 2_450, 6_000])
def test_nested_elements_are_affordable_while_their_depths_sum_up_to_the_bound(nested: int) -> None:
    assert is_affordable(b"<div>" * nested) == (nested * (nested + 1) // 2 <= MAX_STEPS)
    assert is_affordable(b"<div></div>" * nested), "elements side by side are not deep"


def test_options_and_tags_are_affordable_up_to_their_bounds() -> None:
    for tag, most in ((b"<option>", MAX_OPTIONS), (b"<p>", MAX_TAGS)):
        assert is_affordable(tag * most)
        assert not is_affordable(tag * (most + 1))


def test_the_way_from_a_page_whose_text_is_only_data_to_its_text() -> None:
    document = {"@type": "NewsArticle", "articleBody": f"<p>{LONG}</p><p>Second.</p>"}
    html = (
        f'<html><head><script type="application/ld+json">{json.dumps(document)}</script></head>'
        '<body><div id="root"></div></body></html>'
    ).encode()
    page = Scanner().scan(html)
    assert len(page.blocks) == 0
    assert rescue(html, read_json_ld(page)) == (f"{LONG}\nSecond.", "json_ld")


@pytest.mark.parametrize(
    "html",
    [
        b"<div>" * 300_000,
        b"<p>" * 300_000,
        b"<b><a><i><p>" * 80_000,
        b"<table><tr><td>" * 70_000,
        b"<a href='x'>" * 100_000,
        b"x" * (20 << 20),
        b"<p>" + b"&" * (2 << 20),
        b"\xff\xfe\x00" * 700_000,
        b"<" * (2 << 20),
        b"<!--" * 500_000,
        b"<script>" * 200_000,
        b"<svg><math>" * 100_000,
        b"<select>" + b"<option>x" * 90_000,
        b"<select>" + b"<option>x" * 4_900,
        (b"<div>" * 29 + b"<p>x</p>" * 49_000),
        b':"' * 1_000_000,
        b':"' + b'\\"' * 1_000_000,
        b"," + b" " * 2_000_000 + b'"',
        b',"<p' * 500_000,
    ],
    ids=range(19),
)
def test_a_hostile_page_takes_time_by_its_length_alone(html: bytes) -> None:
    assert_time_in_proportion(lambda page: rescue(page, JsonLd()), html)


@pytest.mark.parametrize(
    "body",
    ["<p>" * 80_000, "&amp;" * 50_000, "<" * MAX_BODY_CHARS, "<p " * 80_000, "\n" * MAX_BODY_CHARS],
)
def test_a_hostile_article_body_takes_time_by_its_length_alone(body: str) -> None:
    assert_time_in_proportion(body_text, body)


@settings(deadline=None)
@given(st.text("<>/pbra &;amplt#\n9é橋", max_size=200))
def test_no_article_body_breaks_the_reading(body: str) -> None:
    lines = body_text(body).split("\n")
    assert all(line == " ".join(line.split()) for line in lines)
    assert lines == [""] or all(lines)


def test_a_page_is_cut_at_the_bound_and_not_inside_a_character() -> None:
    html = b"<p>" + "ä".encode() * MAX_HTML_BYTES
    found = rescue(html, JsonLd())
    assert found is None or set(found[0]) == {"ä"}
