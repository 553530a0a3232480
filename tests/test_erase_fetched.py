"""Pages that were fetched and then erased, and pages that must not be fetched at all."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_site import Site
from test_fetch_urls import Crawled
from workdir_scan import holding

import stages.fetch.forget
from pipeline.erasure.erase import Erased, erase
from pipeline.erasure.url_form import url_entry
from pipeline.errors import InputError
from pipeline.files.local_storage import LocalStorage
from pipeline.files.uris import open_storage


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site()
    yield one
    one.close()


def words(name: str) -> str:
    return " ".join(f"{name}q{number}" for number in range(60))


def filled(site: Site, folder: Path) -> tuple[Crawled, list[str]]:
    """A finished crawl: five pages that link to each other, and a redirect to the third."""
    urls = [site.url(f"/p{n}") for n in range(5)]
    links = " ".join(f'<a href="{url}">next</a>' for url in urls)
    for n in range(5):
        site.page(f"/p{n}", words(f"page{n}") + links)
    site.serve("/old", lambda visit: visit.answer(301, location="/p2"))
    crawl = Crawled(folder)
    crawl([*urls, site.url("/old")])
    return crawl, [*urls, site.url("/old")]


def erased(crawl: Crawled, *urls: str) -> Erased:
    return erase(open_storage(str(crawl.workdir)), [url_entry(url) for url in urls])


def records(crawl: Crawled) -> dict[str, list[bytes]]:
    """Target of each kept record -> the bytes of its records, decompressed."""
    found: dict[str, list[bytes]] = {}
    for archive in crawl.archives:
        for part in gzip.decompress(archive.read_bytes()).split(b"\r\n\r\nWARC/1.1\r\n"):
            head = part.partition(b"\r\n\r\n")[0].decode()
            target = head.partition("WARC-Target-URI: ")[2].partition("\r\n")[0]
            found.setdefault(target, []).append(part.removesuffix(b"\r\n\r\n"))
    return found


def test_an_erased_page_leaves_the_archive_and_nobody_is_asked_again(
    site: Site, tmp_path: Path
) -> None:
    crawl, urls = filled(site, tmp_path)
    before, asked = records(crawl), len(site.log)
    assert len(crawl.pages) == 5
    report = erased(crawl, urls[1])
    assert report.proof.found == []
    assert report.pages == 1
    assert not holding(crawl.workdir, [words("page1")[:200], words("page1")[-200:]])
    after = records(crawl)
    assert urls[1] not in after
    assert {url: parts for url, parts in before.items() if url != urls[1]} == after
    crawl(urls)
    assert len(site.log) == asked
    assert sorted(crawl.pages) == sorted({*urls[:5]} - {urls[1]})
    assert not holding(crawl.workdir, [words("page1")[:200]])


def test_a_redirect_to_an_erased_page_is_not_followed_again(site: Site, tmp_path: Path) -> None:
    crawl, urls = filled(site, tmp_path)
    asked = len(site.log)
    assert erased(crawl, urls[2]).proof.found == []
    assert not holding(crawl.workdir, [words("page2")[:200]])
    assert urls[2] not in records(crawl)
    crawl(urls)
    assert len(site.log) == asked
    assert crawl.reasons == {"/old": "excluded"}
    assert len(crawl.pages) == 4


def test_a_redirect_alone_names_the_page_and_is_rewritten_in_place(
    site: Site, tmp_path: Path
) -> None:
    crawl, urls = filled(site, tmp_path)
    crawl([urls[0], urls[5]])  # of another list: the page is not on it
    assert erased(crawl, urls[2]).proof.found == []
    asked = len(site.log)
    crawl([urls[0], urls[5]])
    assert len(site.log) == asked
    assert (list(crawl.pages), crawl.reasons) == ([urls[0]], {"/old": "excluded"})
    for path in (crawl.workdir / "fetched").rglob("*.json"):
        told = json.loads(path.read_text())
        assert path.with_suffix(".warc.gz").stat().st_size == told["num_bytes"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("redirect", [False, True])
def test_killed_at_any_step_it_goes_on(
    site: Site, tmp_path: Path, redirect: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    crawl, urls = filled(site, tmp_path)
    wanted = urls
    if redirect:
        wanted = [urls[0], urls[5]]
        crawl(wanted)
    asked, step, limit = len(site.log), 0, 0

    def counting(name: str) -> Any:
        real = getattr(LocalStorage, name)

        def call(self: LocalStorage, path: str, *args: Any, **more: Any) -> Any:
            nonlocal step
            if "fetched/" in path:
                step += 1
                if step == limit:
                    raise Killed
            return real(self, path, *args, **more)

        return call

    monkeypatch.setattr(LocalStorage, "put", counting("put"))
    monkeypatch.setattr(LocalStorage, "delete", counting("delete"))
    storage = open_storage(str(crawl.workdir))
    for limit in range(1, 20):  # noqa: B007  # read by `counting`
        step = 0
        try:
            erase(storage, [url_entry(urls[2])])
        except Killed:
            continue
        break
    assert limit > 3
    report = json.loads((crawl.workdir / "exclusions" / "erased-1.report.json").read_text())
    assert report["proof"]["found"] == []
    assert not holding(crawl.workdir, [words("page2")[:200]])
    crawl(wanted)
    assert len(site.log) == asked


def test_pages_of_an_unfinished_crawl_go_too(site: Site, tmp_path: Path) -> None:
    crawl, urls = filled(site, tmp_path)
    data = crawl.archives[0].read_bytes()
    page = crawl.archives[0].parent / "pages" / "00" / "0123.warc.gz"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_bytes(data)
    made = stages.fetch.forget.forget(
        open_storage(str(crawl.workdir)), lambda url: url == urls[0], lambda: None
    )
    assert made[str(page.relative_to(crawl.workdir))] is None
    assert not page.exists()
    assert len(made) == 2


def test_excluded_urls_are_not_asked_for(site: Site, tmp_path: Path) -> None:
    kept, gone = site.page("/kept", words("kept")), site.page("/gone", words("gone"))
    site.serve("/to", lambda visit: visit.answer(302, location="/gone"))
    listed = tmp_path / "takedown.txt"
    listed.write_text(gone.replace("http://", "https://") + "\n")
    crawl = Crawled(tmp_path)
    crawl([kept, gone, site.url("/to")], overrides=[f"exclude_urls={listed}"])
    assert site.visits["/gone"] == 0
    assert site.visits["/to"] == 1
    assert list(crawl.pages) == [kept]
    assert crawl.reasons == {"/to": "excluded"}
    assert not holding(crawl.workdir, ["/gone"])


def test_pages_of_an_unknown_source_are_told(site: Site, tmp_path: Path) -> None:
    crawl, urls = filled(site, tmp_path)
    for path in (crawl.workdir / "runs").glob("*.json"):
        record = json.loads(path.read_text())
        record["config"]["steps"][0] = {"id": "web", "their:Source": {}}
        path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="no run of the workdir names a source"):
        erased(crawl, urls[0])
