"""The canonical form of a URL: what names the same page, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.erasure.url_form import canonical_url, domain_entries, domain_entry, url_entry

PAGE = "https://paper.example/News/2020?id=3&b=1"


@pytest.mark.parametrize(
    "url",
    [
        "http://paper.example/News/2020?id=3&b=1",
        "HTTPS://WWW.Paper.Example/News/2020?id=3&b=1",
        "https://paper.example:443/News/2020?id=3&b=1#top",
        "https://user:secret@paper.example./News/2020/?id=3&b=1",
        "  https://paper.example/News/old/../2020?id=3&b=1\n",
        "https://paper.example/%4Eews/%32020?id=3&b=1",
        "https://paper.example/./News/2020?id=3&b=1#",
    ],
)
def test_spellings_of_one_address_are_one_page(url: str) -> None:
    assert canonical_url(url) == canonical_url(PAGE) == "paper.example/News/2020?id=3&b=1"
    assert url_entry(url) == url_entry(PAGE)


@pytest.mark.parametrize(
    "url",
    [
        "https://paper.example/news/2020?id=3&b=1",
        "https://paper.example/News/2020?b=1&id=3",
        "https://paper.example/News/2020",
        "https://paper.example:8080/News/2020?id=3&b=1",
        "https://blog.paper.example/News/2020?id=3&b=1",
        "ftp://paper.example/News/2020?id=3&b=1",
        "https://paper.example/News/2020/x?id=3&b=1",
        "https://paper.example/News%2F2020?id=3&b=1",
    ],
)
def test_other_pages_are_other_pages(url: str) -> None:
    assert url_entry(url) != url_entry(PAGE)


def test_hosts_and_paths_of_other_scripts_have_one_form() -> None:
    forms = {
        "https://bücher.example/straße",
        "https://BÜCHER.example/stra%C3%9Fe/",
        "http://xn--bcher-kva.example/stra%c3%9fe",
        "https://b%C3%BCcher.example/straße#x",
    }
    assert {canonical_url(url) for url in forms} == {"xn--bcher-kva.example/stra%C3%9Fe"}


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://h.example/", "https://["]))
@example(text="0 ", head="")  # blanks before a fragment, and none behind it
@example(text="a ", head="https://h.example/")
def test_any_text_has_a_form_and_the_form_is_its_own(text: str, head: str) -> None:
    form = canonical_url(head + text)
    assert url_entry(head + text) == url_entry(head + text + "#")  # never raises
    if head == "https://h.example/" and not set(text) & set("\\@:"):
        assert canonical_url("https://" + form) == form


def test_a_domain_stands_for_all_hosts_below_it() -> None:
    entry = domain_entry("Shop.Example")
    for url in (
        "http://shop.example/",
        "https://a.b.shop.example:8443/x",
        "https://www.shop.example",
    ):
        assert entry in domain_entries(url)
    for url in ("http://ashop.example/", "https://shop.example.org/", "mailto:a@b", "nothing"):
        assert entry not in domain_entries(url)
    assert domain_entry("*.shop.example") == domain_entry("www.shop.example.") == entry
    for wrong in ("http://shop.example", "shop.example/a", " ", "a b"):
        with pytest.raises(ValueError, match="is no domain"):
            domain_entry(wrong)
