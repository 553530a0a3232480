"""Markup: an article in the dress of its site, from tidy HTML5 to the tables of 1999.

`render(...)` gives the page as text; bytes and charset are the caller's. Five layouts: `html5`,
`xhtml`, `tables` (upper-case tags, `<FONT>`, paragraphs parted by `<BR>`), `blog` (div upon div,
scripts) and `bare` (no doctype, nothing closed that need not be).
"""

from html import escape

from samples.article import Article, Block
from samples.chrome import CHROME, Chrome
from samples.grammar import Dice
from samples.markup import FOOTER, HEAD, SCRIPT, STYLE
from samples.sites import Encoding, Site


def render(article: Article, site: Site, encoding: Encoding, url: str, dice: Dice) -> str:
    chrome = CHROME[site.language]
    title = escape(article.title, quote=False)
    blocks = [_block(block, site.layout, dice) for block in article.blocks]
    body = "\n".join(blocks)
    head = _head(article, title, site, encoding, url, dice)
    comments = _comments(article, chrome, dice)
    year = 2015 + site.number % 9
    by = f"{chrome.by} {site.host.split('.')[1]}, {dice.number(1, 28)}.{dice.number(1, 12)}.{year}"
    return _LAYOUTS[site.layout](head, title, by, body, comments, site, chrome, dice)


def _head(
    article: Article, title: str, site: Site, encoding: Encoding, url: str, dice: Dice
) -> str:
    meta = ""
    if encoding.where in ("meta", "both"):
        meta = (
            f'<meta charset="{encoding.declared}">'
            if site.layout in ("html5", "blog")
            else '<meta http-equiv="Content-Type" '
            f'content="text/html; charset={encoding.declared}">'
        )
    summary = escape(article.blocks[0][1][0][:120] if article.blocks else "")
    extra = ""
    if site.layout in ("html5", "blog"):
        extra = HEAD["json_ld"] % (escape(article.title), 2015 + site.number % 9, site.host)
        extra += HEAD["social"] % (escape(article.title), escape(url))
    return f"{meta}\n<title>{title} | {site.host}</title>\n" + (
        f'<meta name="description" content="{summary}">\n{extra}' if dice.chance(0.8) else extra
    )


def _block(block: Block, layout: str, dice: Dice) -> str:
    kind, rows = block
    text = [escape(row, quote=False) for row in rows]
    upper = layout == "tables"
    if kind == "p":
        return _paragraph(text[0], layout, dice)
    if kind == "h2":
        return f"<P><FONT SIZE=4><B>{text[0]}</B></FONT><BR>" if upper else f"<h2>{text[0]}</h2>"
    if kind == "links":
        host = dice.number(100, 999)
        hrefs = (f"http://{row.replace(' ', '-')}{host}.example/" for row in text)
        rows = tuple(
            f'<li><a href="{href}">{row}</a>' for href, row in zip(hrefs, text, strict=True)
        )
        return "<ul>\n" + "\n".join(rows) + "\n</ul>"
    if kind == "ul":
        close = "" if layout in ("tables", "bare") else "</li>"
        return "<ul>\n" + "\n".join(f"<li>{row}{close}" for row in text) + "\n</ul>"
    if kind == "table":
        cells = ["</td><td>".join(row.split("\t")) for row in text]
        return "<table>" + "\n".join(f"<tr><td>{row}</td></tr>" for row in cells) + "</table>"
    if kind == "pre":
        return "<pre><code>" + "\n".join(text) + "</code></pre>"
    return f"<blockquote><p>{text[0]}</p></blockquote>"


def _paragraph(text: str, layout: str, dice: Dice) -> str:
    """One paragraph as the layout writes it; now and then a link, an image or an entity in it."""
    if dice.chance(0.25):
        text = text.replace("“", "&ldquo;").replace("”", "&rdquo;").replace("é", "&eacute;")
    if dice.chance(0.25):
        head, space, tail = text.partition(" ")
        linked, space2, rest = tail.partition(" ")
        if rest:
            text = f'{head}{space}<a href="/tag/{dice.number(1, 99)}">{linked}</a>{space2}{rest}'
    image = ""
    if dice.chance(0.12):
        n = dice.number(100, 999)
        image = f'<img src="/img/{n}.jpg" width={n} alt="">\n'
    if layout == "tables":
        return f"{image}{text}<BR><BR>"
    if layout == "bare":
        return f"{image}<p>{text}"
    if layout == "blog":
        return f'{image}<p class="wp-block" data-n="{dice.number(1, 999)}">{text}</p>'
    return f"{image}<p>{text}</p>"


def _comments(article: Article, chrome: Chrome, dice: Dice) -> str:
    if not article.comments:
        return ""
    rows = "\n".join(
        f'<li class="comment"><b>user{dice.number(10, 999)}</b> <p>{escape(text, quote=False)}</p>'
        for text in article.comments
    )
    return f'<div id="comments"><h3>{chrome.comments}</h3>\n<ol>\n{rows}\n</ol></div>'


def _links(site: Site, count: int, dice: Dice, start: str = "<li>", end: str = "</li>") -> str:
    first = dice.number(0, len(site.teasers) - 1)
    rows = []
    for n in range(first, first + count):
        text = escape(site.teasers[n % len(site.teasers)], quote=False)
        rows.append(f'{start}<a href="/p/{n * 37 + site.number}">{text}</a>{end}')
    return "\n".join(rows)


def _menu(site: Site, chrome: Chrome) -> str:
    return " ".join(f'<a href="/{n}/">{name}</a>' for n, name in enumerate(chrome.menu))


def _foot(site: Site, chrome: Chrome) -> str:
    links = " | ".join(f'<a href="/legal/{n}">{t}</a>' for n, t in enumerate(_legal(chrome)))
    return FOOTER % (links, 2015 + site.number % 9, site.host)


def _legal(chrome: Chrome) -> list[str]:
    return chrome.footer.split("|")


def _cookies(chrome: Chrome) -> str:
    return (
        f'<div class="cookie-banner" role="dialog"><p>{chrome.cookies}</p>'
        f"<button>{chrome.accept}</button></div>"
    )


def _html5(
    head: str, title: str, by: str, body: str, comments: str,
    site: Site, chrome: Chrome, dice: Dice,
) -> str:  # fmt: skip
    return f"""<!DOCTYPE html>
<html lang="{site.language}">
<head>
{head}{STYLE}
</head>
<body>
{_cookies(chrome)}
<header><nav>{_menu(site, chrome)}</nav></header>
<main>
<article>
<h1>{title}</h1>
<p class="byline">{by}</p>
{body}
</article>
{comments}
<aside><h3>{chrome.related}</h3>
<ul>
{_links(site, 4, dice)}
</ul></aside>
</main>
{_foot(site, chrome)}
{SCRIPT % site.number}
</body>
</html>
"""


def _xhtml(
    head: str, title: str, by: str, body: str, comments: str,
    site: Site, chrome: Chrome, dice: Dice,
) -> str:  # fmt: skip
    return f"""<?xml version="1.0"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="{site.language}">
<head>{head}</head>
<body>
<div id="wrap"><div id="menu">{_menu(site, chrome)}</div>
<div id="sidebar"><h3>{chrome.related}</h3><ul>
{_links(site, 6, dice)}
</ul><p>{chrome.newsletter}</p></div>
<div id="content"><h1>{title}</h1>
<p><em>{by}</em></p>
{body}
</div>
{comments}
<div id="footer">{_foot(site, chrome)}</div>
</div>
</body></html>
"""


def _tables(
    head: str, title: str, by: str, body: str, comments: str,
    site: Site, chrome: Chrome, dice: Dice,
) -> str:  # fmt: skip
    return f"""<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">
<HTML><HEAD>{head}</HEAD>
<BODY BGCOLOR=#FFFFFF TEXT=#000000>
<TABLE WIDTH=100% BORDER=0><TR><TD COLSPAN=2 ALIGN=center>{_menu(site, chrome)}
<TR><TD WIDTH=160 VALIGN=top><FONT SIZE=2>
{_links(site, 5, dice, "", "<BR>")}
</FONT></TD><TD VALIGN=top>
<CENTER><FONT SIZE=5><B>{title}</B></FONT></CENTER>
<I>{by}</I><BR><BR>
{body}
{comments}
</TD></TR></TABLE>
<HR>{_foot(site, chrome)}
</BODY></HTML>
"""


def _blog(
    head: str, title: str, by: str, body: str, comments: str,
    site: Site, chrome: Chrome, dice: Dice,
) -> str:  # fmt: skip
    return f"""<!doctype html>
<html lang="{site.language}" class="no-js">
<head>{head}{STYLE}{SCRIPT % site.number}</head>
<body class="post-template single"><!-- header -->
<div class="site"><div class="site-header"><ul class="nav">
{"".join(f"<li>{name}</li>" for name in chrome.menu)}
</ul></div>
<div class="site-content"><div class="primary"><div class="entry">
<div class="entry-header"><h1 class="entry-title">{title}</h1>
<div class="meta"><span>{by}</span></div></div>
<div class="entry-content">
{body}
</div>
<div class="share"><span>{chrome.share}</span> <a href="#s1">A</a> <a href="#s2">B</a></div>
</div>
{comments}
</div>
<div class="secondary widget-area"><div class="widget"><h4>{chrome.related}</h4><ul>
{_links(site, 5, dice)}
</ul></div><div class="widget"><p>{chrome.newsletter}</p><form><input name=email></form></div></div>
</div>{_foot(site, chrome)}{_cookies(chrome)}</div>
<noscript><img src="/pixel.gif?{site.number}"></noscript>
</body></html>
"""


def _bare(
    head: str, title: str, by: str, body: str, comments: str,
    site: Site, chrome: Chrome, dice: Dice,
) -> str:  # fmt: skip
    return f"""<html>
<head>{head}
<body>
<p>{_menu(site, chrome)}
<hr>
<h1>{title}</h1>
<p><i>{by}</i>
{body}
{comments}
<hr>
<h4>{chrome.related}</h4>
<ul>
{_links(site, 3, dice, "<li>", "")}
</ul>
<p>{_foot(site, chrome)}
"""


_LAYOUTS = {"html5": _html5, "xhtml": _xhtml, "tables": _tables, "blog": _blog, "bare": _bare}
