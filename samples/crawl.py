"""One crawled page: `crawl(seed, page)` gives the exchange and its line of truth."""

from dataclasses import dataclass, replace
from typing import Any

from samples import plants
from samples.article import Article, write_article
from samples.grammar import Dice
from samples.page import render
from samples.plan import USUAL, PagePlan, Planting, plan_page
from samples.sites import Encoding, Site, encoding_of, site_of

# 1 x 1 pixel, transparent.
_GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)

_NO_LANGUAGE = ("empty", "not_html", "http_error")


@dataclass(frozen=True, slots=True)
class Crawled:
    url: str
    http: bytes
    """Status line and headers, without the blank line after them."""
    body: bytes
    truth: dict[str, Any]
    """The line of truth.jsonl; see README.md."""
    question: dict[str, str] | None
    """What the page adds to benchmark.jsonl."""


def original_article(seed: int, page: int, planting: Planting = USUAL) -> Article:
    """The article of a page before anything is planted in it."""
    plan = plan_page(seed, page, planting)
    return write_article(f"{seed}/{page}", plan.language)


def crawl(seed: int, page: int, planting: Planting = USUAL) -> Crawled:
    plan = plan_page(seed, page, planting)
    dice = Dice(seed, "page", page)
    site = site_of(seed, plan.site)
    if plan.kind in ("not_html", "http_error"):
        return _no_article(seed, plan, site, dice)
    article, extra, asked = _article(seed, plan, dice, planting)
    encoding = encoding_of(plan.language, plan.kind, dice)
    url = _url_of(seed, plan, planting)
    if plan.kind == "mirror":
        # Another host dresses the page as its own: other layout, menu, teasers and encoding.
        layout = "bare" if site.layout != "bare" else "blog"
        shown = replace(site, host=_host(url), layout=layout, teasers=site.teasers[::-1])
    else:
        shown = site
    body = _body(plan, article, shown, encoding, url, dice)
    content_type = "text/html"
    if encoding.where in ("header", "both"):
        content_type += f"; charset={encoding.declared}"
    truth = _truth(seed, plan, url, encoding, planting) | extra
    return Crawled(url, _http("200 OK", content_type, body, dice), body, truth, asked)


def _article(
    seed: int, plan: PagePlan, dice: Dice, planting: Planting
) -> tuple[Article, dict[str, Any], dict[str, str] | None]:
    """The article shown, what it adds to the truth, and its benchmark question."""
    if plan.kind in plants.FROM_NOTHING:
        return plants.FROM_NOTHING[plan.kind](dice), {}, None
    if plan.of is not None:
        article = original_article(seed, plan.of, planting)
        if plan.kind != "near_duplicate":
            return replace(article, comments=()), {}, None
        article, similarity = plants.near_duplicate(
            article, dice, planting.lowest, planting.highest
        )
        return article, {"jaccard": round(similarity, 4)}, None
    article = original_article(seed, plan.page, planting)
    if plan.kind == "benchmark_question":
        article, asked = plants.benchmark_question(article, dice)
        return article, {}, asked
    if plan.kind in plants.CHANGED:
        article = plants.CHANGED[plan.kind](article, dice)
    return article, {}, None


def _body(
    plan: PagePlan, article: Article, site: Site, encoding: Encoding, url: str, dice: Dice
) -> bytes:
    if plan.kind == "empty" and plan.page % 2:
        return b""
    if plan.kind == "empty":
        return b"<!DOCTYPE html><html><head></head><body>\n<div id=root></div></body></html>"
    html = render(article, site, encoding, url, dice)
    # What the charset lacks becomes a character reference, as editors of old did it.
    body = html.encode(encoding.true, errors="xmlcharrefreplace")
    if encoding.bom:
        body = b"\xef\xbb\xbf" + body
    if plan.kind == "truncated_html":
        # Two thirds in, then to just after the `<` of the next tag and its first letters.
        return body[: body.index(b"<", len(body) * 2 // 3) + 2]
    return body


def _url_of(seed: int, plan: PagePlan, planting: Planting) -> str:
    """A mirror keeps the path of its original on another host."""
    if plan.kind == "mirror" and plan.of is not None:
        original = _url_of(seed, plan_page(seed, plan.of, planting), planting)
        return original.replace("://www.", "://mirror.", 1)
    site, page = site_of(seed, plan.site), plan.page
    place = Dice(seed, "url", page)
    if site.links == "query":
        path = f"?p={page}"
    elif site.links == "dated":
        path = f"{place.number(2015, 2023)}/{place.number(1, 12):02}/post-{page}.html"
    else:
        path = f"{place.pick(('articles', 'stories', 'guide', 'notes'))}/{page}"
    return f"{site.scheme}://{site.host}/{path}"


def _host(url: str) -> str:
    return url.split("/")[2]


def _truth(
    seed: int, plan: PagePlan, url: str, encoding: Encoding | None, planting: Planting
) -> dict[str, Any]:
    expect, note = plants.VERDICTS[plan.kind]
    if plan.copied:
        expect, note = "either", plants.COPIED_NOTE
    of = None
    if plan.of is not None:
        of = _url_of(seed, plan_page(seed, plan.of, planting), planting)
    return {
        "url": url,
        "kind": plan.kind,
        "of": of,
        "site": _host(url),
        "language": None if plan.kind in _NO_LANGUAGE else plan.language,
        "declared_charset": encoding.declared if encoding else None,
        "true_charset": encoding.true if encoding else None,
        "expect": expect,
        "note": note,
    }


def _no_article(seed: int, plan: PagePlan, site: Site, dice: Dice) -> Crawled:
    """Images, data, redirects and error pages."""
    url = f"{site.scheme}://{site.host}/"
    if plan.kind == "not_html":
        status = "200 OK"
        name, content_type, body = (
            (f"img/{plan.page}.gif", "image/gif", _GIF),
            (f"api/{plan.page}.json", "application/json", b'{"page": %d}' % plan.page),
            (f"css/{plan.page}.css", "text/css", b"body { margin: %dpx }" % (plan.page % 40)),
        )[plan.page // 7 % 3]
    else:
        name, content_type = f"old/{plan.page}", "text/html"
        status = ("404 Not Found", "301 Moved Permanently", "500 Internal Server Error")[
            plan.page // 100 % 3
        ]
        body = f"<html><head><title>{status}</title></head><body><h1>{status}</h1>".encode()
    url += name
    http = _http(status, content_type, body, dice)
    if status.startswith("301"):
        http += f"\r\nLocation: {site.scheme}://{site.host}/".encode()
    truth = _truth(seed, plan, url, None, USUAL)
    return Crawled(url, http, body, truth, None)


def _http(status: str, content_type: str, body: bytes, dice: Dice) -> bytes:
    server = dice.pick(("nginx", "Apache", "openresty", "Caddy"))
    headers = (
        f"HTTP/1.1 {status}\r\nServer: {server}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close"
    )
    return headers.encode()
