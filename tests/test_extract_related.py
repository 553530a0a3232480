"""Related stories as a class of their own: which blocks are one, and their fate."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_extract import without_related

from pipeline.stage import Side, TextBatch
from stages.extract import Extract
from stages.extract.features import features_of
from stages.extract.model import load_model
from stages.extract.page import ScannedPage, Scanner
from stages.extract.related import PHRASES, name_hash, related_blocks
from stages.kernels.html_context import KINDS
from stages.kernels.html_text import A_CLASS, A_ID

STORIES = (
    "<li><a href=/a>The mayor opens a second bridge over the river</a>"
    "<li><a href=/b>Ferries will run on Sundays from next spring on</a>"
)
PROSE = (
    "<p>The council has decided to close the old bridge for repairs, which will take most of the "
    "coming year. Until then all traffic goes by the northern road, and buses stop at the mill.</p>"
    "<p>Shopkeepers in the old town fear for their trade. The mayor has promised them that half of "
    "the bridge will stay open to people on foot, whatever the weather.</p>"
)


def marked(html: str) -> list[str]:
    """The texts of the blocks that are marked."""
    page = Scanner().scan(html.encode())
    found = flags(page)
    return [page.block_text(at) for at in np.flatnonzero(found).tolist()]


def flags(page: ScannedPage) -> list[bool]:
    said = features_of(page, load_model().odds)
    return related_blocks(page, said.words, said.places).tolist()  # type: ignore[no-any-return]


def text_of(stage: Extract, html: str) -> str:
    table = pa.table(
        {"doc_id": pa.array([b"\0" * 16], pa.binary(16)), "html": pa.array([html.encode()])}
    )
    (text,) = stage.process(TextBatch(table), Side("extract", 1)).columns["text"].to_pylist()
    return str(text)


@pytest.mark.parametrize(
    "head",
    ["Related articles", "MORE FROM THE VALLEY", "You may also like:", "» Most read",
     "Lesen Sie auch", "Ähnliche Artikel", "À lire aussi", "関連記事", "相关阅读", "Читайте также"],
)  # fmt: skip
def test_a_list_of_links_under_such_a_heading_is_a_group(head: str) -> None:
    found = marked(f"{PROSE}<h3>{head}</h3><ul>{STORIES}</ul>{PROSE}")
    assert len(found) == 3
    assert found[0] == head


@pytest.mark.parametrize("name", ["related-posts", "mostRead", "recommended_list", "read-next"])
def test_a_list_of_links_under_such_a_name_is_a_group(name: str) -> None:
    assert len(marked(f"{PROSE}<div class='{name}'><ul>{STORIES}</ul></div>{PROSE}")) == 2


@pytest.mark.parametrize(
    "page",
    [
        f"{PROSE}<h3>How to get there</h3><ul>{STORIES}</ul>",  # announced by nothing
        f"{PROSE}<h3>Related work</h3>{PROSE}",  # no links
        "<h3>More from us</h3><ul><li><a href=/>Home</a><li><a href=/c>Contact</a></ul>" + PROSE,
        f"<nav><h3>Latest news</h3><ul>{STORIES}</ul></nav>{PROSE}",  # a menu
        f"<div class=related>{PROSE}</div>",  # the text itself
        f"<div class=related><p><a href=/>One line of many words in a link</a></p>{PROSE}</div>",
    ],
)
def test_what_is_not_announced_or_does_not_look_like_a_group_is_none(page: str) -> None:
    assert marked(page) == []


def test_a_group_ends_where_the_next_heading_or_prose_begins() -> None:
    found = marked(
        f"<h3>See also</h3><p><a href=/a>A story about the northern road</a></p>{PROSE}"
        "<h3>Read next</h3><p><a href=/b>A story about the ferries</a></p>"
        "<h3>How it is built</h3><p><a href=/c>The plans of the second bridge</a></p>"
    )
    assert found == [
        "See also", "A story about the northern road", "Read next", "A story about the ferries"
    ]  # fmt: skip


def test_a_link_that_announces_itself_is_a_group_alone() -> None:
    assert marked(f"{PROSE}<p><a href=/a>Related: the mayor opens a bridge</a></p>{PROSE}") == [
        "Related: the mayor opens a bridge"
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["related", "MORE", "from", "us", "7", "» ", "é", "関連"]), max_size=4)
)
def test_a_heading_announces_if_its_words_begin_with_a_phrase(words: list[str]) -> None:
    """The slow definition: the letters in lower case, all else a blank, begin with a phrase."""
    head = " ".join(words)
    phrases = {" ".join(each.split()) for each in PHRASES.split("|")}
    plain = re.sub(r"[^a-z\xc0-\u1fff\u3040-\U0010ffff]+", " ", head.lower()).strip()
    wanted = any(
        plain == each or (plain.startswith(each) and (plain[len(each)] == " " or
        ord(plain[len(each)]) > 127)) for each in phrases
    )  # fmt: skip
    found = marked(f"{PROSE}<h3>{head}</h3><ul>{STORIES}</ul>")
    assert bool(found) == (wanted)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["<div class=related>", "</div>", "<ul>", "</ul>", "<li>", "<h2>", "</h2>", "<p>",
             "<a href=/>a line of words</a>", "Related", "more from ", "<nav>", "</nav>", PROSE]
        ),
        max_size=60,
    )
)  # fmt: skip
def test_any_page_gives_flags_and_prose_is_never_one_of_them(parts: list[str]) -> None:
    page = Scanner().scan("".join(parts).encode())
    if not len(page.blocks):
        return
    found = flags(page)
    assert found == flags(page)
    for at in np.flatnonzero(found).tolist():
        words = page.block_text(at).split()
        linked = page.blocks[at, 3] / max(page.blocks[at, 1] - page.blocks[at, 0], 1)
        assert len(words) * (1 - linked) < 40


def test_names_are_hashed_as_the_scanner_hashes_them() -> None:
    tokens = Scanner().scan(b"<p class=most-read>x<p id=Most-Read>y").tokens.tolist()
    assert name_hash("most-read", A_CLASS) in tokens
    assert name_hash("most-read", A_ID) in tokens


def test_groups_stay_where_they_are_what_the_page_is_about() -> None:
    def left(html: str, **kinds: float) -> list[str]:
        page = Scanner().scan(html.encode())
        kind = np.array([kinds.get(name, 0) for name in KINDS], dtype=np.float32)
        said = features_of(page, load_model().odds)
        every = np.ones(len(page.blocks), dtype=np.bool_)
        kept = without_related(page, every, said.words, said.places, kind)
        return [page.block_text(at)[:13] for at in np.flatnonzero(kept).tolist()]

    html = f"{PROSE}<h3>See also</h3><ul>{STORIES}</ul>"
    assert left(html, article=1) == ["The council h", "Shopkeepers i"]
    assert len(left(html, listing=0.2, collection=0.2)) == 5
    assert len(left(html, documentation=0.4)) == 5
    assert len(left(f"<p>Two words</p><h3>See also</h3><ul>{STORIES}</ul>", article=1)) == 4


def test_groups_beside_what_is_kept_are_not_looked_for() -> None:
    group = f"<h3>See also</h3><ul>{STORIES}</ul>"
    page = Scanner().scan(f"{group}{PROSE}{PROSE}{group}".encode())
    said = features_of(page, load_model().odds)
    every = related_blocks(page, said.words, said.places)
    assert every.tolist() == [True] * 3 + [False] * 4 + [True] * 3
    some = related_blocks(page, said.words, said.places, 4, 8)
    assert some[4:].tolist() == every[4:].tolist()


def test_related_stories_are_dropped_or_kept_as_the_user_says() -> None:
    page = (
        f"<title>The old bridge</title><article><h1>The old bridge</h1>{PROSE}</article>"
        f"<div class=related><h3>Related stories</h3><ul>{STORIES}</ul></div>"
    )
    plain = text_of(Extract(), page)
    whole = text_of(Extract(related="keep"), page)
    assert "Shopkeepers in the old town" in plain
    assert "Ferries will run" not in plain
    assert "Related stories" in whole
    assert "Ferries will run" in whole


def test_the_switch_is_for_the_engine_that_knows_the_class() -> None:
    with pytest.raises(ValueError, match="needs engine blocks"):
        Extract(engine="trafilatura", related="keep").check()
