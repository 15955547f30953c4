"""The documents as pages: built strictly, whole, and without a network."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
import re
import socket
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(['README.md', *(f'docs/{file.name}' for file in (ROOT / 'docs').glob('*.md'))])


class Page(HTMLParser):
    """What a page has: names that can be linked to, links, and what a browser loads for it."""

    def __init__(self, file: Path):
        super().__init__()
        self.names, self.links, self.loaded = set(), set(), set()
        self.feed(file.read_text(encoding='utf-8'))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        """Collect them."""
        found = dict(attrs)
        self.names |= {found.get('id'), found.get('name')} - {None}
        if tag == 'a' and 'href' in found:
            self.links.add(found['href'])
        elif tag in ('script', 'img', 'link') and found.get('rel') != 'canonical':
            self.loaded |= {found.get('src'), found.get('href')} - {None}


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    """Build the pages as `make docs` does, and let nothing be fetched."""
    pytest.importorskip('mkdocs')
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp('site')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, 'connect', None)
        build(load_config(str(ROOT / 'mkdocs.yml'), strict=True, site_dir=str(folder)))
    return folder


def html(name: str) -> str:
    return 'index.html' if name == 'README.md' else name.replace('.md', '.html')


def test_every_document_is_a_page(site):
    missing = [name for name in PAGES if not (site / html(name)).is_file()]
    assert not missing


def test_every_document_is_in_the_menu(site):
    menu = {link.partition('#')[0] for link in Page(site / 'index.html').links}
    assert {html(name) for name in PAGES} - {'index.html'} <= menu


@pytest.mark.parametrize('name', [*PAGES, 'SECURITY.md', 'CHANGELOG.md'])
def test_every_link_of_a_page_leads_somewhere(site, name):
    file = site / html(name)
    for link in Page(file).links:
        target, _, place = unquote(link).partition('#')
        if ':' in target:
            continue
        found = (file.parent / target).resolve() if target else file
        found = found / 'index.html' if found.is_dir() else found
        assert found.is_file(), link
        assert not place or found.suffix != '.html' or place in Page(found).names, link


def test_a_page_loads_nothing_from_the_network(site):
    loaded = {link for file in site.rglob('*.html') for link in Page(file).loaded}
    assert loaded and not [link for link in loaded if link.startswith(('http', '//'))]


@pytest.mark.parametrize('name', PAGES)
def test_no_list_or_table_became_a_paragraph(site, name):
    paragraphs = re.findall(r'<p>(.*?)</p>', (site / html(name)).read_text(), re.DOTALL)
    assert not [text for text in paragraphs if re.search(r'^([*-]|\d+\.|\|) ', text, re.MULTILINE)]
