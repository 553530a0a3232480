"""Text for a page that came out empty: JSON-LD, data of its scripts, then another extractor.

Some pages hold their article only as data for a script that shows it, others in markup that the
blocks engine reads as boilerplate throughout. Both ways are for empty pages alone: an article body
beside visible text brings teasers of paywalled text and text twice (docs of the extract stage).

Applications that draw the page in the browser carry its article as HTML in a JSON string of a
script (React Query, Next, Nuxt: the state that the server rendered). The longest such string is
read like an article body.

The article body is data by hand: plain text, HTML, or HTML escaped once or twice. It is resolved
until tags or no more references show; tags then go through the page scanner, so that paragraphs,
lists and scripts inside it are read as on a page.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable

import orjson

from pipeline.batch import split_words
from stages.extract.json_ld import MAX_BODY_CHARS, JsonLd, unescaped
from stages.extract.metadata import clean

MIN_BODY_WORDS = 100
"""An article body of fewer words is a standfirst: the nine of gold pages hold a tenth of the text
or less. From 100 words on nearly all are the text, or the first post of a thread."""
MIN_MAIN_WORDS = 30
"""Of 31 gold pages on which resiliparse finds fewer words, 27 yield only notices and menus (`Skip
to content`), which the engine was right to leave out."""
MAX_HTML_BYTES = 4 << 20
"""The rest of a longer page is not looked at; the longest of 1,647 real pages has 3,319,681."""
MAX_TAGS = 100_000
"""A page with more is not tried: hostile tags cost up to 8 microseconds each."""
MAX_STEPS = 3_000_000
"""Sum of the depths of a page's elements; a page with more is not tried. Resiliparse walks from
elements up to the root at 0.2 microseconds a step: 50,000 tags at depth 500 take 5 s. Of 1,647 real
pages one is over it, with large drawings: `<path/>` is taken for unclosed."""
MAX_OPTIONS = 5_000
"""A page with more `<option>` is not tried: their cost is quadratic, 0.6 s for 10,000."""
_MAX_STRINGS = 4
"""Strings that are tried until one is JSON: only those of program code are not."""
_MAX_UNESCAPES = 3
"""Two are seen; the third finds that nothing is left."""
_MARKUP = re.compile(
    r"</?(?:p|br|div|li|ul|ol|h[1-6]|blockquote|figure|figcaption|table|tr|td|section|article|pre"
    r"|a|b|i|u|em|strong|span|font|img|iframe|script|style|sup|sub|small)\b[^<>]*>",
    re.IGNORECASE,
)
_PARAGRAPHS = re.compile(
    r"<(?:p|br|div|li|h[1-6]|blockquote|tr|section|article|pre)\b[^<>]*>", re.IGNORECASE
)


def rescue(html: bytes, json_ld: JsonLd) -> tuple[str, str] | None:
    """(text, which way found it) of a page without extracted text; None if none did.

    The ways are `json_ld`, `script` and `resiliparse`, tried in this order.

    Lines of the text are blocks of the page. Never raises on a page's content.
    """
    if json_ld.article_body:
        text = body_text(json_ld.article_body)
        if len(split_words(text)) >= MIN_BODY_WORDS:
            return text, "json_ld"
    text = body_text(_html_of_scripts(html[:MAX_HTML_BYTES]))
    if len(split_words(text)) >= MIN_BODY_WORDS:
        return text, "script"
    text = _main_content(html[:MAX_HTML_BYTES])
    return (text, "resiliparse") if len(split_words(text)) >= MIN_MAIN_WORDS else None


_JSON_STRING = re.compile(rb'[:,\[]\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+[,}\]]', re.DOTALL)
_OPENS_PARAGRAPH = re.compile(rb"(?:<|\\u003c)p(?:[ >]|\\u003e)", re.IGNORECASE)
_MIN_PARAGRAPHS = 3
"""Strings with fewer are notices and menus; the state of a page holds many of them."""


def _html_of_scripts(html: bytes) -> str:
    """The longest JSON string of a page that holds paragraphs of HTML; empty if there is none."""
    found = [
        text
        for text in _JSON_STRING.findall(html)
        if len(text) <= MAX_BODY_CHARS and len(_OPENS_PARAGRAPH.findall(text)) >= _MIN_PARAGRAPHS
    ]
    for text in sorted(found, key=len, reverse=True)[:_MAX_STRINGS]:
        try:
            decoded = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        return str(decoded)
    return ""


def body_text(body: str) -> str:
    """An article body as plain text, one paragraph a line."""
    for _ in range(_MAX_UNESCAPES):
        if _MARKUP.search(body):
            body = _without_markup(body)
            break
        resolved = unescaped(body)
        if resolved == body:
            break
        body = resolved
    return "\n".join(line for each in body.splitlines() if (line := clean(each)))


def _without_markup(body: str) -> str:
    from stages.extract.page import Scanner  # compiles kernels, so only where a page needs it

    if not _PARAGRAPHS.search(body):  # line ends are then the only paragraphs there are
        body = body.replace("\n", "<br>")
    page = Scanner().scan(body.encode("utf-8", "replace"))
    return "\n".join(page.block_text(row) for row in range(len(page.blocks)))


@functools.cache
def _extractor() -> Callable[..., str]:
    from resiliparse.extract.html2text import extract_plain_text

    extract: Callable[..., str] = extract_plain_text
    return extract


def _main_content(html: bytes) -> str:
    """Main content by resiliparse; empty if it finds none, fails, or would take too long."""
    if not html.strip() or not is_affordable(html):
        return ""
    page = html.decode("utf-8", "ignore").replace("\0", "")
    try:
        text = _extractor()(page, main_content=True, preserve_formatting=True, alt_texts=False)
    except MemoryError:
        raise
    except Exception:
        # The page is empty already, so a page that breaks this library too stays what it was.
        return ""
    return text.strip()


_TAG_NAME = re.compile(rb"<(/?)([a-z][a-z0-9:-]{0,30})", re.IGNORECASE)
_NEVER_DEEP = frozenset(
    b"area base br col embed hr img input link meta source track wbr "  # void
    b"p li dt dd tr td th tbody thead tfoot option".split()  # ended by the next of their kind
)


def is_affordable(html: bytes) -> bool:
    """True if tags and options are few, and the depths of all elements sum up to few steps.

    Depth is counted by start tags without an end tag of their name: for broken pages an estimate.
    The k-th tag is at most k deep, so most pages have too few tags for any bound to be reached.
    """
    tags = html.count(b"<")
    if tags > MAX_TAGS:
        return False
    if tags <= MAX_OPTIONS and tags * (tags + 1) // 2 <= MAX_STEPS:
        return True
    opened: Counter[bytes] = Counter()
    depth = steps = options = 0
    for found in _TAG_NAME.finditer(html):
        name = found[2].lower()
        if name in _NEVER_DEEP:
            steps += depth
            options += name == b"option"
        elif not found[1]:
            opened[name] += 1
            depth += 1
            steps += depth
        elif opened[name]:
            opened[name] -= 1
            depth -= 1
        if steps > MAX_STEPS or options > MAX_OPTIONS:
            return False
    return True
