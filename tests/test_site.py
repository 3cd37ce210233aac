"""Do the pages hang together, and is the site complete without any other host?"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pages
import pytest

import inner_distance_gpu
from inner_distance_gpu import blockwise

mkdocs_config = pytest.importorskip("mkdocs.config", reason="mkdocs is not installed (extra 'docs')")
from mkdocs.commands.build import build  # noqa: E402

DOCS = pages.ROOT / "docs"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
# By docs/site_links.py, from elsewhere, and by docs/tutorial/cells.py.
BROUGHT = {"benchmarks.md", "benchmarks-gpu.md", "changelog.md", "nuclei.md"}
FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}


def links(page):
    """(file, anchor) of the links of a page that stay in the repository."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for found in LINK.finditer(text):
        target = found[1] or found[2]
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def headings(page):
    """The anchors of a page, as forges and the site make them of plain titles."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for file, anchor in links(page):
        assert file.exists(), file
        assert file.is_relative_to(pages.ROOT)
        assert not anchor or anchor in headings(file), f"{file.name}#{anchor}"


def pages_of(entries):
    """The files that a navigation of pages and groups names."""
    for entry in entries:
        (value,) = entry.values()
        yield from [value] if isinstance(value, str) else pages_of(value)


def test_every_page_is_in_the_navigation_and_linked_from_another():
    config = mkdocs_config.load_config(str(pages.ROOT / "mkdocs.yml"))
    named = list(pages_of(config["nav"]))
    assert sorted(named) == sorted([*(page.name for page in DOCS.glob("*.md")), *BROUGHT])
    linked = {file for page in pages.PAGES for file, _ in links(page) if file != page}
    assert {page for page in DOCS.glob("*.md") if page not in linked} <= {DOCS / "index.md"}


class Fetched(HTMLParser):
    """What a browser loads for a page without being asked."""

    def __init__(self):
        super().__init__()
        self.urls = []

    def handle_starttag(self, tag, attrs):
        url = dict(attrs).get(FETCHED.get(tag, ""))
        self.urls += [url] if url else []


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    build(mkdocs_config.load_config(str(pages.ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_nothing_comes_from_another_host(site):
    loaded = 0
    for page in site.rglob("*.html"):
        parser = Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.urls
        for url in parser.urls:
            assert not re.match(r"(https?:)?//", url), f"{page.name}: {url}"
            assert url.startswith("data:") or (page.parent / url.partition("?")[0]).is_file() or page.name == "404.html"
            loaded += 1
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", text), sheet
    assert loaded > 20


def text_of(page):
    return page.read_text(encoding="utf-8")


def article_of(page):
    """Without the navigation."""
    return re.search(r"<article.*?</article>", text_of(page), re.DOTALL)[0]


def test_pages_from_elsewhere_hold_their_text_and_pictures(site):
    assert "Keep a Changelog" in text_of(site / "changelog.html")
    benchmarks = article_of(site / "benchmarks.html")
    assert 'href="benchmarks-gpu.html"' in benchmarks
    assert 'href="benchmarks.html"' in article_of(site / "index.html")
    assert "in the repository)" in benchmarks  # schema.json, which is no page
    pictures = re.findall(r'<img[^>]* src="(results/[^"]*)"', benchmarks)
    assert len(pictures) == text_of(pages.ROOT / "benchmarks" / "README.md").count("![")


def test_the_tutorial_shows_pictures_and_can_be_downloaded(site):
    tutorial = article_of(site / "nuclei.html")
    assert re.search(r'<img[^>]* src="tutorial/nuclei-\d+-0.png"', tutorial)
    assert 'href="tutorial/nuclei.ipynb"' in tutorial
    assert 'href="objects.html#measured"' in tutorial
    assert 'href="nuclei.html"' in article_of(site / "objects.html")
    assert json.loads(text_of(site / "tutorial" / "nuclei.ipynb"))["nbformat"] == 4


def test_formulas_are_drawn_without_a_script(site):
    page = text_of(site / "how-it-works.html")
    assert page.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">') >= 1
    assert page.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">') >= 5
    assert "arithmatex" not in page


def test_a_reader_finds_a_word_copies_code_and_reads_at_night(site):
    index = json.loads(text_of(site / "search" / "search_index.json"))
    assert any("troubleshooting.html" in entry["location"] for entry in index["docs"] if "fork" in entry["text"])
    page = text_of(site / "index.html")
    (told,) = re.findall(r'<script id="__config" type="application/json">(.*?)</script>', page)
    assert "content.code.copy" in json.loads(told)["features"]
    assert 'data-md-color-scheme="slate"' in page


def test_links_leave_for_the_repository_where_it_has_an_address(tmp_path):
    there = "https://example.org/us/ours"
    changed = {"site_dir": str(tmp_path), "extra": {"repository": there}, "strict": True}
    build(mkdocs_config.load_config(str(pages.ROOT / "mkdocs.yml"), **changed))
    assert f'href="{there}/blob/main/inner_distance_gpu/api.py"' in text_of(tmp_path / "api.html")
    assert f'href="{there}/blob/main/benchmarks/schema.json"' in text_of(tmp_path / "benchmarks.html")


def test_the_reference_holds_everything_public(site):
    text = (site / "api.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'id="(inner_distance_gpu[\w.]*)"', text))
    names = {*inner_distance_gpu.__all__, "engines.available", "InnerDistanceTransform.keyed"}
    assert {f"inner_distance_gpu.{name}" for name in names - {"__version__", "engines"}} <= shown
    volumes = {name.rpartition(".")[2] for name in shown if name.startswith("inner_distance_gpu.blockwise.")}
    assert set(blockwise.__all__) <= volumes
    adapters = {file.stem for file in (Path(inner_distance_gpu.__file__).parent / "compat").glob("*.py")} - {"__init__"}
    assert {name.split(".")[2] for name in shown if name.startswith("inner_distance_gpu.compat.")} == adapters


@pytest.mark.parametrize("name", ["half_grid", "scale", "suggested_scale"])
def test_figures_are_drawn_from_the_code(name, tmp_path):
    import importlib.util

    import matplotlib

    if f"matplotlib=={matplotlib.__version__}\n" not in (pages.ROOT / "constraints.txt").read_text():
        pytest.skip(f"the figure was drawn with another matplotlib than {matplotlib.__version__}")
    spec = importlib.util.spec_from_file_location(name, DOCS / "figures" / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    if name == "suggested_scale" and importlib.util.find_spec("stardist") is None:
        pytest.skip("stardist, which has the demo's nuclei, is not installed")
    script.save(tmp_path / f"{name}.svg")
    assert (tmp_path / f"{name}.svg").read_bytes() == (DOCS / "figures" / f"{name}.svg").read_bytes()
