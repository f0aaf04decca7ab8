"""The site of make docs: its navigation has every page once, and links of the repository become those of the site."""

from ruamel.yaml import YAML
from tests.docs.commands import ROOT
from tools import site

CONFIG = YAML(typ="safe", pure=True).load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def pages_of(nav):
    for entry in nav:
        yield from [entry] if isinstance(entry, str) else (page for part in entry.values() for page in pages_of(part))


def test_the_navigation_has_every_page_once(tmp_path):
    assert site.main([str(tmp_path / "site")]) == 0
    laid_out = {path.name for path in (tmp_path / "site").glob("*.md")}
    assert sorted(pages_of(CONFIG["nav"])) == sorted(laid_out)
    assert {f"library-{room}.md" for room in site.rooms()} < laid_out


def test_links_lead_to_what_is_there(tmp_path):
    out = tmp_path / "site"
    site.main([str(out)])
    for page in sorted(out.glob("*.md")):
        for link in site.LINK.findall(page.read_text(encoding="utf-8")):
            assert (out / link).is_file(), (page.name, link)
    assert "](night.md" in (out / "index.md").read_text(encoding="utf-8")


def test_nothing_is_asked_of_the_network():
    assert CONFIG["theme"]["font"] is False
    assert CONFIG["extra"]["polyfills"] == [site.WORKER.name]
