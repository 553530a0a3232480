"""What a page's JSON-LD says of the page itself: one tolerant reading for every user of it.

In: a scanned page. Out: `JsonLd`, raw strings as the page's author wrote them (entities and markup
stand), bounded in number and length.

Publishers describe more than the page: teasers of other stories, the site, pictures with their own
authors and licences. Values are taken only from nodes that describe the page or its main entity:
top-level nodes, members of `@graph`, and what hangs on them by `mainEntity` or `mainEntityOfPage`;
of those an article speaks before a page. Types are collected from every node, as they tell what
kind of page it is.

JSON that the strict parser refuses is mended once (`_mended`): control characters in strings,
commas before a closing bracket, invalid escapes, lone surrogates. Nothing is evaluated, and every
walk is a loop with a bound, so hostile input costs at most its own length.
"""

from __future__ import annotations

import html as entities
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from stages.kernels.html_tags import FACT

if TYPE_CHECKING:
    from stages.extract.page import ScannedPage

MAX_SCRIPT_BYTES = 1 << 20
"""A larger script is left out: the longest one of 1,647 real pages has 60,582 bytes."""
MAX_TOTAL_BYTES = 2 << 20
"""Of all scripts of one page that are read; 74,139 at most on real pages."""
MAX_NODES = 4_000
"""Objects and lists visited on one page; the richest of 1,647 real pages has 400."""
MAX_DEPTH = 24
"""Nesting that is followed; real pages nest to 8."""
MAX_TYPES = 32
MAX_TYPE_CHARS = 100
"""A longer one is no type of schema.org."""
MAX_AUTHORS = 20
"""Papers have more; beyond this a list of names says nothing that a reader would look for."""
MAX_VALUE_CHARS = 4_096
"""Of every value but the article body: no headline, name, date or URL is longer."""
MAX_BODY_CHARS = 1 << 18
"""Some 45,000 words; the longest body on a real page has 6,277."""


@dataclass(frozen=True)
class JsonLd:
    """What JSON-LD says of the page. Strings as they stand in it, white space at the ends cut."""

    types: tuple[str, ...] = ()
    """Names of all schema.org types on the page, sorted, without their namespace."""
    headline: str | None = None
    authors: tuple[str, ...] = ()
    date_published: str | None = None
    article_body: str | None = None
    """The longest `articleBody`; may hold markup and doubly escaped entities."""
    language: str | None = None
    licence: str | None = None


_NOTHING = JsonLd()


def read_json_ld(page: ScannedPage) -> JsonLd:
    """What all JSON-LD scripts of a page say, in page order; never raises, whatever they hold."""
    total, documents = 0, []
    for start, end in page.spans.get(FACT["json_ld"], ()):
        if end - start > MAX_SCRIPT_BYTES:
            continue
        total += end - start
        if total > MAX_TOTAL_BYTES:
            break
        document = _parsed(page.html[start:end])
        if document is not None:
            documents.append(document)
    return _read(documents) if documents else _NOTHING


# --- Parsing -------------------------------------------------------------------------------------

_BEFORE = (b"\xef\xbb\xbf", b"<!--", b"//", b"<![CDATA[", b"/*", b"*/")
_BEHIND = (b"-->", b"//", b"]]>", b"/*", b"*/", b";")
"""What stands around JSON in scripts that were written to hide from HTML or XML parsers."""
_STRING_OR_COMMA = re.compile(rb'"(?:[^"\\]|\\.)*+"?|,(?=\s*+[}\]])', re.DOTALL)
_IN_STRING = re.compile(
    rb"""(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}
         |\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}
         |\\["\\/bfnrt])
        |(\\u[dD][0-9a-fA-F]{3})
        |(\\)
        |([\x00-\x1f])""",
    re.VERBOSE,
)
_IN_NEED = re.compile(rb"[\\\x00-\x1f]")
_CONTROL = {b"\n": rb"\n", b"\r": rb"\n", b"\t": rb"\t"}


def _parsed(script: bytes) -> Any:
    """The value that a script holds; None if it is no JSON that can be mended."""
    try:
        return orjson.loads(script)
    except orjson.JSONDecodeError:
        script = _unwrapped(script)
    if b'"' not in script and b"&quot;" in script:
        script = unescaped(script.decode("utf-8", "replace")).encode()
    try:
        return orjson.loads(_STRING_OR_COMMA.sub(_mended, script))
    except orjson.JSONDecodeError:
        return None


def _unwrapped(script: bytes) -> bytes:
    script = script.strip()
    for _ in range(4):  # `//<![CDATA[` and `/* <![CDATA[ */` are the longest that are in use
        for mark in _BEFORE:
            script = script.removeprefix(mark).lstrip()
        for mark in _BEHIND:
            script = script.removesuffix(mark).rstrip()
    return script


def unescaped(text: str) -> str:
    """The text with its character references resolved; as it stands if one is no number at all."""
    if "&" not in text:
        return text
    try:
        return entities.unescape(text)
    except ValueError:  # `&#` with more digits than Python turns into a number
        return text


def _mended(found: re.Match[bytes]) -> bytes:
    """A string that is valid JSON, or nothing for a comma before a closing bracket."""
    text = found.group()
    if text == b",":
        return b""
    return _IN_STRING.sub(_mended_escape, text) if _IN_NEED.search(text) else text


def _mended_escape(found: re.Match[bytes]) -> bytes:
    good, lone_surrogate, backslash, control = found.groups()
    if good:
        return bytes(good)
    if lone_surrogate:
        return rb"\ufffd"
    # A backslash that escapes nothing, as JavaScript's \', means the character behind it.
    return b"" if backslash else _CONTROL.get(control, b" ")


# --- Reading -------------------------------------------------------------------------------------

_NESTED = frozenset({dict, list})
_OWN = frozenset({"@graph", "mainEntity", "mainEntityOfPage"})
"""Properties that lead from a node that describes the page to another one."""
_ARTICLE_ENDINGS = ("Article", "Posting")
_ARTICLES = frozenset({"Report", "Recipe", "HowTo"})
_PAGE_ENDING = "Page"
_FOR_PAGE, _FOR_ARTICLE = 1, 2
_PAGES = frozenset({"CreativeWork", "Question", "Book", "Dataset", "Course", "Chapter"})


def _read(documents: list[Any]) -> JsonLd:
    types: set[str] = set()
    names: dict[str, str] = {}
    articles: list[dict[str, Any]] = []
    pages: list[dict[str, Any]] = []
    body = ""
    for node, own in _nodes(documents):
        kinds = _types(node.get("@type"))
        types.update(kinds)
        identity, name, text = node.get("@id"), node.get("name"), node.get("articleBody")
        if isinstance(identity, str) and isinstance(name, str):
            names.setdefault(identity, name)
        if isinstance(text, str) and len(text) > len(body):
            body = text
        if own and kinds:
            spoken = max(map(_speaks, kinds))
            if spoken == _FOR_ARTICLE:
                articles.append(node)
            elif spoken == _FOR_PAGE:
                pages.append(node)
    speakers = articles + pages
    return JsonLd(
        tuple(sorted(types)[:MAX_TYPES]),
        _first(speakers, "headline"),
        _authors(speakers, names),
        _first(speakers, "datePublished"),
        body[:MAX_BODY_CHARS].strip() or None,
        _first(speakers, "inLanguage"),
        _first(speakers, "license"),
    )


@lru_cache(maxsize=1024)
def _speaks(kind: str) -> int:
    """Whether a node of this type describes an article, a page, or neither (0)."""
    if kind.endswith(_ARTICLE_ENDINGS) or kind in _ARTICLES:
        return _FOR_ARTICLE
    return _FOR_PAGE if kind.endswith(_PAGE_ENDING) or kind in _PAGES else 0


def _nodes(documents: list[Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every object in page order, with whether it describes the page or its main entity."""
    waiting: list[tuple[Any, bool, int]] = [(documents, True, 0)]
    for _ in range(MAX_NODES):
        if not waiting:
            return
        value, own, depth = waiting.pop()
        deeper = depth + 1
        if type(value) is dict:  # of the parser's own making, so never of a subclass
            yield value, own
            inside = [
                (each, own and key in _OWN, deeper)
                for key, each in value.items()
                if type(each) in _NESTED
            ]
        else:
            inside = [(each, own, deeper) for each in value if type(each) in _NESTED]
        if inside and depth < MAX_DEPTH:
            inside.reverse()
            waiting += inside


def _strings(value: Any) -> list[str]:
    """The strings in a value that may be a string, a number or a list of them."""
    found = value if isinstance(value, list) else [value]
    texts = []
    for each in found[: 4 * MAX_AUTHORS]:
        if isinstance(each, int) and not isinstance(each, bool):
            each = str(each)  # a date in seconds
        if isinstance(each, str) and (text := each[:MAX_VALUE_CHARS].strip()):
            texts.append(text)
    return texts


def _types(value: Any) -> list[str]:
    """Names of types without `http://schema.org/` or `schema:` before them."""
    if type(value) is str and len(value) < MAX_TYPE_CHARS:
        return [_type(value)]
    return [_type(name) for name in _strings(value) if len(name) < MAX_TYPE_CHARS]


@lru_cache(maxsize=1024)
def _type(name: str) -> str:
    return re.split(r"[/#:]", name)[-1].strip()


_NAMES_OF = ("alternateName", "url", "@id", "name")
"""Where an object says what it is: a language by its tag, a licence by its URL."""


def _first(nodes: list[dict[str, Any]], key: str) -> str | None:
    """The first usable string under this key."""
    for node in nodes:
        value = node.get(key)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                each = next((each[name] for name in _NAMES_OF if each.get(name)), None)
            if texts := _strings(each):
                return texts[0]
    return None


def _authors(nodes: list[dict[str, Any]], names: dict[str, str]) -> tuple[str, ...]:
    """Names of the first node that has an author, each once; references by `@id` are followed."""
    for node in nodes:
        for key in ("author", "creator"):
            found: dict[str, None] = {}
            value = node.get(key)
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    identity = each.get("@id")
                    known = names.get(identity) if isinstance(identity, str) else None
                    each = each.get("name") or known
                for name in _strings(each):
                    found[name] = None
            if found:
                return tuple(found)[:MAX_AUTHORS]
    return ()
