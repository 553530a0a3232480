"""Blocks that offer other pages as a class of their own: related stories, most read, teasers.

A group is announced by the name of its container or by a phrase at its head, and must then look
like one: lines of several words that are mostly links (`stages.kernels.html_related`). Structure
alone does not tell such groups from menus (docs/notes/extraction-trials.md). On listings and
collections these groups are what the page is about: there they stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.extract.comments import Flags, part_hash
from stages.extract.page import ScannedPage
from stages.kernels.html_marks import sieve_of
from stages.kernels.html_related import RUNS, mark_related
from stages.kernels.html_tags import fnv
from stages.kernels.html_text import _FNV, _FNV_PRIME, A_CLASS, A_ID

NAME_PARTS = """
    related relatedposts relatedarticles relatedstories relatedcontent relatednews relatedlinks
    relateditems relatedproducts relatedarticle relatedpost relatedstory relatedtopics
    recommended recommendation recommendations recommends recommend recirc recirculation
    mostread mostpopular mostviewed mostshared mostcommented morestories morenews morefrom
    moreon readnext nextread readalso alsoread youmaylike youmightlike youmayalsolike alsolike
    similar suggested suggestions outbrain taboola trending popular popularposts latestnews
    latestposts recentposts toplists crosssell upsell upsells alsobought verwandt verwandte
    empfehlungen empfohlen meistgelesen similaires recommandations relacionados relacionadas
    recomendados recomendadas correlati correlate gerelateerd
"""
"""Parts of class names and ids, in eight languages, and the widgets that show such groups."""
WHOLE_NAMES = """
    most-read most-popular most-viewed more-stories more-news more-from read-next next-up
    up-next you-may-like you-might-like also-like post-navigation recent-posts latest-news
    latest-posts top-stories prev-next recent-articles latest-articles
"""
"""Names of which the parts alone say nothing."""
PHRASES = """
    related | just in | latest insights | our latest | other popular | recent insights |
    our top picks | hot network questions | see more articles | see more stories | newer story |
    older story | weiterführende links | aktuelle meldungen | más notas | últimas notas |
    więcej na ten temat | more from | more on | more in | more stories | more news |
    more articles | more posts | more like this | more to explore | more to read | more videos |
    more reading | more topics | you may also | you might also | you may like | you might like |
    you might be interested | you may be interested | you may enjoy | you ll also like |
    you will also like | you may have missed | you might enjoy | also read | also on | also in |
    also see | also today | see also | read next | read also | read more from | read this next |
    what to read next | up next | next up | next article | next post | next story |
    previous article | previous post | previous story | prev post | recommended |
    recommendations | suggested | similar | most read | most popular | most viewed |
    most shared | most commented | most recent | most e mailed | most emailed | popular posts |
    popular articles | popular stories | popular now | popular in | popular on | popular this |
    popular news | trending | top stories | top news | top articles | top posts | latest news |
    latest articles | latest posts | latest stories | latest from | latest in | latest on |
    latest headlines | latest videos | the latest | recent posts | recent articles |
    recent news | recent stories | recent entries | new posts | don t miss |
    in case you missed | what others are reading | what people are reading | keep reading |
    continue reading | other articles | other stories | other news | other posts | others also |
    further reading | on this topic | on this story | from the archive | from our archive |
    from the web | from around the web | from our partners | around the web | elsewhere on |
    explore more | discover more | featured articles | featured posts | featured stories |
    featured news | editor s pick | editor s choice | editors picks | editors choice |
    today s most | today s top | promoted | sponsored stories | sponsored content |
    customers also | customers who | people also | readers also | frequently bought |
    you recently viewed | recently viewed | stay informed | trending now | hot topics |
    hot stories | ähnliche | Ähnliche | verwandte | mehr zum thema | mehr zu | mehr von |
    mehr aus | mehr über | mehr artikel | weitere artikel | weitere beiträge |
    weitere nachrichten | weitere meldungen | weitere themen | weitere news | weitere videos |
    weitere links | das könnte | auch interessant | auch spannend | lesen sie auch | lies auch |
    meistgelesen | meist gelesen | die meistgelesenen | beliebte artikel | beliebte beiträge |
    beliebt | empfohlen | empfehlungen | unsere empfehlung | neueste artikel |
    neueste beiträge | neueste nachrichten | neuste | aktuelle beiträge | aktuelle artikel |
    aktuelle nachrichten | letzte beiträge | letzte artikel | passend dazu | passende |
    zum thema | themenverwandt | vorheriger | nächster | nächste | top artikel | à lire |
    À lire | a lire aussi | lire aussi | lire la suite | articles liés | articles similaires |
    articles connexes | sur le même | voir aussi | vous aimerez | vous pourriez | les plus lus |
    plus lus | les plus populaires | recommandé | dans la même | derniers articles | dernières |
    à découvrir | nos derniers | también te | te puede | te puede interesar | te recomendamos |
    noticias relacionadas | artículos relacionados | contenido relacionado | relacionado |
    relacionados | más noticias | más leídas | más leídos | más leído | lo más | las más |
    últimas noticias | lee también | ver también | más sobre | más de | lea também |
    leia também | leia mais | veja também | mais lidas | mais notícias | notícias relacionadas |
    últimas notícias | relacionadas | leggi anche | articoli correlati | potrebbe interessarti |
    ti potrebbe | i più letti | le più lette | più letti | altri articoli | ultime notizie |
    vedi anche | lees ook | gerelateerd | meer over | meer van | meer nieuws | meest gelezen |
    laatste nieuws | läs också | mer om | läs mer | les også | læs også | mest lest | lue myös |
    czytaj także | zobacz także | polecane | čtěte také | mohlo by | 相关 | 相關 | 推荐 | 推薦 |
    热门 | 熱門 | 延伸閱讀 | 延伸阅读 | 猜你喜欢 | 最新文章 | 最新新闻 | 更多 | 上一篇 |
    下一篇 | 為你推薦 | 为你推荐 | 大家都在看 | 你可能 | 排行 | 関連 | おすすめ | オススメ |
    人気 | ランキング | 新着 | あわせて読みたい | 合わせて読みたい | こちらもおすすめ |
    最新記事 | 前の記事 | 次の記事 | 관련 | 추천 | 인기 | 많이 본 | 최신 | 함께 본 | похожие |
    читайте также | по теме | материалы по теме | популярн | самое читаемое | ещё по теме |
    смотрите также | рекомендуем | последние новости | Похожие | Читайте также | По теме |
    Материалы по теме | Популярн | Самое читаемое | Смотрите также | Рекомендуем |
    Последние новости | مقالات ذات | اقرأ أيضا | اقرأ أيضًا | مواضيع ذات | الأكثر قراءة |
    ذات صلة | संबंधित | यह भी पढ़ें | ये भी पढ़ें | ข่าวที่เกี่ยวข้อง | บทความที่เกี่ยวข้อง |
    ที่เกี่ยวข้อง
"""
"""How a heading of such a group begins, a `|` between two: letters of ASCII in lower case, other
characters as they are, anything else a blank."""

Hashes = npt.NDArray[np.uint32]


def _folded(value: int) -> int:
    return (value ^ value >> 32) & 0xFFFFFFFF


def name_hash(name: str, attribute: int) -> int:
    """The token that the scanner writes for a whole name of `html_text.A_CLASS` or `A_ID`."""
    value = int(_FNV) ^ int(attribute)
    for byte in name.encode():
        value = (value ^ byte) * int(_FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return _folded(value)


@lru_cache(maxsize=1)
def related_names() -> tuple[Hashes, Flags, Hashes, Flags]:
    """The names' tokens in order and their sieve, the phrases' hashes in order and theirs."""
    listed = (NAME_PARTS + WHOLE_NAMES).split()  # a part may be a whole name of two: `mostRead`
    whole = [name_hash(name, attribute) for name in listed for attribute in (A_CLASS, A_ID)]
    names = np.unique(np.array([*map(part_hash, NAME_PARTS.split()), *whole], dtype=np.uint32))
    phrases = [" ".join(phrase.split()) for phrase in PHRASES.split("|")]
    starts = {start for phrase in phrases for start in beginnings(phrase)}
    return names, sieve_of(names), _hashes(phrases), sieve_of(_hashes(starts))


def _hashes(texts: Iterable[str]) -> Hashes:
    return np.unique(np.array([_folded(fnv(each.encode())) for each in texts], dtype=np.uint32))


def beginnings(phrase: str) -> Iterator[str]:
    """The phrase up to each place where the kernel looks: where a word ends, and before each
    character beyond ASCII inside one."""
    for at in range(1, len(phrase) + 1):
        ends = at == len(phrase) or phrase[at] == " " or not phrase[at].isascii()
        if ends and phrase[at - 1] != " ":
            yield phrase[:at]


def related_blocks(
    page: ScannedPage, words: Any, places: Any, first: int = 0, last: int | None = None
) -> Flags:
    """For each block whether it is part of a group that offers other pages.

    `words` and `places` are those of `features.PageFeatures`. Groups without a block from `first`
    to `last` are not looked for.
    """
    found = np.empty(len(page.blocks), dtype=np.bool_)
    mark_related(
        page.text, page.nodes, page.blocks, page.tokens, words, places, *related_names(),
        np.empty((len(found) + 1, RUNS), dtype=np.float32),
        np.empty((len(page.nodes), 2), dtype=np.int32), found,
        first, len(found) - 1 if last is None else last,
    )  # fmt: skip
    return found
