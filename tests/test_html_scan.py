"""The HTML scanner: its rules by example, and lexbor's reading of all real pages at hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from html_oracle import (
    agreement,
    check_scan,
    crawled_pages,
    gold_pages,
    lexbor_words,
    scan_exactly,
    scanned_words,
)

from stages.extract.page import ScannedPage, Scanner
from stages.kernels import html_tags as tags
from stages.kernels import html_text as h


def scan(html: str | bytes) -> ScannedPage:
    page = scan_exactly(html if isinstance(html, bytes) else html.encode())
    check_scan(page)
    return page


def blocks(html: str | bytes) -> list[str]:
    page = scan(html)
    return [page.block_text(row) for row in range(len(page.blocks))]


def ancestors(html: str) -> list[tuple[str, ...]]:
    """For each block the names of the open elements around it, outermost first."""
    page = scan(html)
    paths: list[tuple[str, ...]] = []
    for parent, kind in page.nodes[:, [h.PARENT, h.KIND]].tolist():
        paths.append((*paths[parent], tags.TAG_NAMES[kind]) if parent >= 0 else ())
    return [paths[node] for node in page.blocks[:, h.NODE]]


def flags(html: str) -> list[set[str]]:
    """For each block what it stands in (`ANCESTOR_NAMES`)."""
    page = scan(html)
    found = page.nodes[page.blocks[:, h.NODE], h.ANCESTORS].tolist()
    return [
        {name for bit, name in enumerate(tags.ANCESTOR_NAMES) if value >> bit & 1}
        for value in found
    ]


# --- Blocks and optional end tags -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>a<p>b", ["a", "b"]),
        ("<p>a<div>b</div>c</p>d", ["a", "b", "c", "d"]),
        ("a</p>b", ["a", "b"]),
        ("<p>a <b>b</b>c</p>", ["a bc"]),
        ("<div>a<p>b</p>c</div>d", ["a", "b", "c", "d"]),
        ("<ul><li>a<li>b</ul>c", ["a", "b", "c"]),
        ("<dl><dt>a<dd>b<dt>c</dl>", ["a", "b", "c"]),
        ("<table><tr><td>a<td>b<tr><th>c</table>d", ["a", "b", "c", "d"]),
        ("<h1>a<h2>b</h2>c", ["a", "b", "c"]),
        ("a<hr>b", ["a", "b"]),
        ("a<br>b", ["a\nb"]),
        ("a<br> <br>b", ["a", "b"]),
        ("a</br>b", ["a\nb"]),
        ("<b><p>a</b>b</p>c", ["ab", "c"]),
        ("<x-card>a</x-card><x-card>b</x-card>", ["ab"]),
        ("<td>a<td>b", ["a", "b"]),
    ],
)
def test_text_falls_into_the_blocks_that_browsers_show(html: str, expected: list[str]) -> None:
    assert blocks(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>a<p>b", [("p",), ("p",)]),
        ("<p>a<div>b", [("p",), ("div",)]),
        ("<ul><li>a<ul><li>b</ul>c<li>d", [("ul", "li"), ("ul", "li", "ul", "li"), ("ul", "li"),
                                           ("ul", "li")]),
        # The end of an entry does not reach beyond an inner list that is open.
        ("<ul><li><ul></li>a", [("ul", "li", "ul")]),
        ("<li><div><li>a", [("li",)]),
        ("<dl><dd><dl><dt>a", [("dl", "dd", "dl", "dt")]),
        ("<table><tr><td><table><tr><td>a</table>b<td>c", [
            ("table", "tr", "td", "table", "tr", "td"), ("table", "tr", "td"),
            ("table", "tr", "td")]),
        ("<table><caption>a<tr><td>b", [("table", "caption"), ("table", "tr", "td")]),
        ("<table><tr><td>a<tbody><tr><td>b", [("table", "tr", "td"), ("table", "tbody", "tr",
                                                                      "td")]),
        # Parts of a table without one open nothing.
        ("<div><td>a</td></div>b", [("div",), ()]),
        ("<div><caption>a</div>b", [("div",), ()]),
        # End tags do not reach out of a cell.
        ("<div><table><tr><td></div>a", [("div", "table", "tr", "td")]),
        ("<h2>a</h3>b", [("h2",), ()]),
        ("<button>a<button>b", [("button",), ("button",)]),
        # A form ends alone, what stands open inside it stays.
        ("<form><div></form>a</div>b", [("form", "div"), ()]),
        # After the end of the body its content goes on in what is open.
        ("<body><div>a</body></html>b</div>", [("body", "div"), ("body", "div")]),
        ("<body class=a>a<body class=b>b", [("body",), ("body",)]),
        ("<html><div><html></div>a", [("html",)]),
        # Scripting browsers read noscript as raw: what is wrong in it harms nothing outside.
        ("<div><noscript></div></noscript>a", [("div",)]),
        ("<noscript><div></noscript>a", [()]),
    ],
)  # fmt: skip
def test_elements_end_where_the_standard_ends_them(
    html: str, expected: list[tuple[str, ...]]
) -> None:
    assert ancestors(html) == expected


def test_a_link_or_bold_that_ends_inside_a_block_counts_no_further() -> None:
    page = scan("<a href=x><div>four</a>no link</div>no link <b><p>bold</b>not</p><p>no</p>")
    link, bold = page.blocks[:, h.LINK_BYTES].tolist(), page.blocks[:, h.BOLD_BYTES].tolist()
    assert [page.block_text(row) for row in range(4)] == ["fourno link", "no link", "boldnot", "no"]
    assert (link, bold) == ([4, 0, 0, 0], [0, 0, 4, 0])
    inside = flags("<a href=x><div>four</a><p>no link</div><p>no")
    assert ["link" in found for found in inside] == [True, False, False]


def test_an_anchor_that_is_no_link_is_never_one() -> None:
    assert scan("<a name=top>a<p>b").blocks[:, h.LINK_BYTES].tolist() == [0, 0]
    assert scan("<a href=x>a<a href=y>b</a>c").blocks[:, h.LINKS].tolist() == [2]


def test_what_is_hidden_or_an_alternative_is_kept_and_flagged() -> None:
    assert flags("<noscript>a</noscript><template>b</template>c") == [
        {"noscript"}, {"template"}, set(),
    ]  # fmt: skip
    hides = ("hidden", 'style="display : none"', "style='VISIBILITY:hidden'", "aria-hidden=TRUE")
    for attribute in hides:
        assert flags(f"<div {attribute}>a<p>b</div>c") == [{"hidden"}, {"hidden"}, set()]
    assert flags("<div aria-hidden=false style='display:block'>a") == [set()]
    assert flags("<frameset><noframes>a</noframes></frameset>") == [{"noscript"}]


# --- Raw text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<script>a</scriptx>b</script >c", ["c"]),
        ("<script><!-- <script>a</script> --></script>b", ["b"]),
        ("<script><!-- a --> <script></script>b", ["b"]),
        ("<script><!--></script>a", ["a"]),
        ("<script>a</scr", []),
        ("a<style>b", ["a"]),
        ("a<textarea>b", ["ab"]),
        ("<textarea><p>a</textarea>b", ["b"]),
        ("<title>a<b>c</title>d", ["d"]),
        ("<iframe>a</iframe>b<iframe>c", ["bc"]),
        ("<select><option>a</select>b", ["b"]),
        ("<svg><title>a</title><svg></svg>b</svg>c", ["c"]),
        ("<svg/>a<svg><svg/></svg>b", ["ab"]),
        ("<svg><path><p>a", ["a"]),
        ("<div><svg><path></div>a<svg></svg>", ["a"]),
        ("<svg><foreignObject><p>a</p></foreignObject></svg>b", ["b"]),
        ("<svg><!-- </svg> -->a</svg>b", ["b"]),
        ("<math><mi>x</mi><annotation>a</annotation></math>y", ["xy"]),
        ("<math><ms><![CDATA[x<y]]></ms></math>", ["x<y"]),
        ("<xmp><b>&amp;</xmp>a", ["<b>&amp;", "a"]),
        ("a<plaintext></plaintext><b>", ["a", "</plaintext><b>"]),
        ("<title/>a<svg><title>b</title></svg>c", ["ac"]),
        ("<script/>a</script>b", ["b"]),
        ("<?xml version='1.0'?><script/>a<br/>b", ["a\nb"]),
        ("<?xml version='1.0'?><p><![CDATA[a <i> &amp; b]]>c", ["a <i> &amp; bc"]),
        ("<p><![CDATA[a]]>b", ["b"]),
        ("<p><![CDATA[a>b", ["b"]),
    ],
)
def test_raw_text_ends_where_the_standard_ends_it(html: str, expected: list[str]) -> None:
    assert blocks(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("a<!-- b > -- -->c", ["ac"]),
        ("a<!-->b<!--->c<!-- d --!>e", ["abce"]),
        ("a<!-- b > c", ["a c"]),
        ("a<!doctype x>b<?php c ?>d</ e>f</>g", ["abdfg"]),
        ("a < b <3 <", ["a < b <3 <"]),
        ("<p title='>'>a<p title=\">'\">b<p title=>c", ["a", "b", "c"]),
        ("<p title='x>a", ["a"]),
        ("<p", []),
        ("<", ["<"]),
        ("", []),
    ],
)
def test_markup_ends_where_the_standard_ends_it_and_unclosed_markup_costs_no_text(
    html: str, expected: list[str]
) -> None:
    assert blocks(html) == expected


# --- Characters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("&amp;&AMP &lt&copy;&hellip;", "&& <©…"),
        ("&notit; &notin; &nosuch; & &; &a=b", "¬it; ∉ &nosuch; & &; &a=b"),
        ("&nLt;&CounterClockwiseContourIntegral;", "≪⃒∳"),
        ("&#65;&#x41;&#X41&#65a&#x;&#;", "AAAAa&#x;&#;"),
        ("&#128;&#146;&#133;", "€’…"),
        ("a&#129;&#1;&#127;b", "ab"),
        ("&#0;&#xD800;&#x110000;&#99999999999;", "\ufffd" * 4),
        ("a&nbsp;&#160;\u00a0b", "a b"),
        ("so&shy;ft\u00ad zero&ZeroWidthSpace;\u200bwidth\ufeff", "soft zerowidth"),
        ("\ufeffa", "a"),
        ("a\x00b\x01c\x7fd", "abcd"),
        ("a\x0bb\x0cc\u2028d\r\ne", "a b c d e"),
        # Windows-1252 that was decoded as latin-1.
        ("\u0093don\u0092t\u0094 \u0081\u0085", "“don’t” …"),
        ("  a \t\n b  ", "a b"),
        (b"a\xffb\xc3", "a\ufffdb\ufffd"),
        (b"\xc2\x80" * 50, "€" * 50),
    ],
)
def test_characters_come_out_as_browsers_show_them(html: str | bytes, expected: str) -> None:
    assert blocks(html) == [expected]


def test_preformatted_text_keeps_its_lines_and_indents() -> None:
    assert blocks("<pre>\n  a\n\tb  c\n</pre>d") == ["  a\n\tb  c", "d"]
    assert blocks("<pre>\r\n  a\r\n\r\n  b\r c\f</pre>") == ["  a\n\n  b\n c"]
    assert blocks("<pre>a<br>b&#13;&#9;c</pre>") == ["a\nb\n\tc"]


# --- Facts ----------------------------------------------------------------------------------------


def test_facts_are_ranges_of_the_page() -> None:
    page = scan(
        "<html lang='en'><title>T &amp; t</title><meta property=og:title content='O'>"
        "<link rel='x canonical' href=/c><script type=application/ld+json>{}</script>"
        "<a rel=license href=/l>l</a><a rel=author href=/a>Änä</a><time datetime=2020>y</time>"
    )
    found = {name: page.facts_of(name) for name in tags.FACTS if page.facts_of(name)}
    assert found == {
        "lang": ["en"], "title": ["T &amp; t"], "meta_title": ["O"], "canonical": ["/c"],
        "json_ld": ["{}"], "license": ["/l"], "author": ["Änä"], "date": ["2020"],
    }  # fmt: skip


def test_hundreds_of_times_do_not_push_out_what_the_page_says_last() -> None:
    page = scan("<time datetime=1></time>" * 500 + "<script type=ld+json>{}</script>")
    assert page.facts_of("json_ld") == ["{}"]


def test_a_fact_ends_at_a_character() -> None:
    page = scan("<a rel=author href=/>" + "x" + "ä" * 200)
    assert page.facts_of("author") == ["x" + "ä" * 99]


# --- Bounds ---------------------------------------------------------------------------------------


def test_text_is_never_lost_where_a_table_is_full() -> None:
    many = h.MAX_BLOCKS + 500
    page = scan("".join(f"<p>{n}" for n in range(many)))
    assert page.cut
    assert len(page.blocks) == h.MAX_BLOCKS
    text = "\n".join(page.block_text(row) for row in range(len(page.blocks)))
    assert text.split("\n") == [str(n) for n in range(many)]
    nodes = scan("<i></i>" * (h.MAX_NODES + 10) + "<p>end")
    assert nodes.cut
    assert [nodes.block_text(row) for row in range(len(nodes.blocks))] == ["end"]


def test_elements_deeper_than_the_bound_still_divide_the_text() -> None:
    depth = h.MAX_DEPTH + 50
    page = scan("<div>" * depth + "<p>a<p>b" + "</div>" * depth + "<p>c")
    assert page.cut
    assert [page.block_text(row) for row in range(3)] == ["a", "b", "c"]
    assert page.nodes[page.blocks[2, h.NODE], h.PARENT] == 0


def test_classes_of_any_number_have_room() -> None:
    names = " ".join(f"{a}{b}" for a in "abcdefghij" for b in "abcdefghij")
    once = scan(f"<p class='{names}'>")
    page = scan(f"<p class='{names}'>" * 300)
    assert len(page.tokens) == 300 * len(once.tokens)
    assert len(once.tokens) == 200


# --- lexbor on all real pages ---------------------------------------------------------------------


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_real_pages_show_the_words_that_lexbor_shows_in_the_same_blocks(
    shared_data: Path, every: int
) -> None:
    """docs/notes/scanner.md tells the pages that differ, and why."""
    scanner = Scanner()
    other_words, other_places, num_words, misplaced = [], [], 0, 0.0
    for name, html in itertools.chain(
        gold_pages(shared_data, every), itertools.islice(crawled_pages(shared_data), 0, None, every)
    ):
        ours, theirs = scanned_words(scanner.scan(html)), lexbor_words(html)
        if min(agreement(ours, theirs, placed=False)) < 1:
            other_words.append(name)
        recall = agreement(ours, theirs, placed=True)[0]
        if recall < 1:
            other_places.append(name)
        misplaced += (1 - recall) * len(theirs)
        num_words += len(theirs)
    assert num_words > 3_500_000 / every * 0.8
    assert len(other_words) <= 1, other_words
    assert len(other_places) <= 10, other_places
    if every == 1:
        assert misplaced / num_words < 0.001
