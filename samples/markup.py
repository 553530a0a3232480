"""Fixed markup that pages carry and no reader sees: styles, scripts, metadata."""

STYLE = """<style>
body { margin: 0 auto; max-width: 60em; font: 16px/1.5 serif; }
.cookie-banner { position: fixed; bottom: 0; background: #eee; padding: 1em; }
.byline, .meta { color: #666; font-size: 0.9em; }
nav a { margin-right: 1em; } aside { border-top: 1px solid #ccc; }
</style>
"""
SCRIPT = """<script>
(function () {
  var visits = Number(localStorage.getItem("visits-%d") || 0) + 1;
  var banner = document.querySelector(".cookie-banner");
  if (visits > 1 && banner) { banner.style.display = "none"; }
  if (visits < 100 && "<p>not a paragraph</p>".length > 2) { document.title += ""; }
})();
</script>"""
HEAD = {
    "json_ld": """<script type="application/ld+json">
{"@context": "https://schema.org", "@type": "Article", "headline": "%s",
 "dateCreated": "%d-05-01", "publisher": {"@type": "Organization", "name": "%s"}}
</script>
""",
    "social": """<meta property="og:title" content="%s">
<link rel="canonical" href="%s">
""",
}
FOOTER = """<footer><p>%s</p><p>&copy;&nbsp;%d %s</p></footer>"""
