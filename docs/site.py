"""MkDocs hook: the site has the folders of the repository, so that one link works in both.

MkDocs sees docs/ alone. Here its pages move to docs/ of the site, README.md becomes the first one,
and whatever a page links to comes along: other pages, pictures, results, contracts.
"""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import re

from mkdocs.structure.files import File, Files

LINK = re.compile(r'\]\(([^)\s#]+)(?:#[^)]*)?\)')
FENCED = re.compile(r'^```.*?^```', re.MULTILINE | re.DOTALL)


def on_files(files: Files, *, config) -> Files:
    """Replace what MkDocs found in docs/; what the theme brings stays."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    root = Path(config.config_file_path).parent
    for name in sorted(linked(root)):
        files.append(File.generated(config, name, abs_src_path=str(root / name)))
    return files


def linked(root: Path) -> set[str]:
    """Return the pages of a repository and the files that they link to, as paths in it."""
    waiting = ['README.md', *(f'docs/{file.name}' for file in (root / 'docs').glob('*.md'))]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found and (root / name).is_file():
            found.add(name)
            waiting += links(root / name, name) if name.endswith('.md') else ()
    return found


def links(page: Path, name: str) -> Iterator[str]:
    """Yield the files that a page links to, as paths in the repository."""
    text = FENCED.sub('', page.read_text(encoding='utf-8'))
    for target in LINK.findall(text):
        path = os.path.normpath(os.path.join(os.path.dirname(name), target))
        if ':' not in target and not path.startswith('..'):
            yield path
