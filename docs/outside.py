"""MkDocs hook that adds files outside docs/ to the site, under project/, if pages link to them.

Such links work in the repository, but MkDocs includes docs/ only. Documents become pages; any other
file becomes a page that shows its source. ``hooks`` in mkdocs.yml names this file.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
DOCS, OUTSIDE = "docs/", "project/"
LINK = re.compile(r"(?<=\]\()[^)#:\s]+")
SHOWN = """\
---
search: {{exclude: true}}
---
# {name}

~~~~~~{language}
{text}~~~~~~
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that pages link to, and the files that those link to."""
    queue = [DOCS + file.src_uri for file in files if file.src_uri.endswith(".md")]
    while queue:
        source = queue.pop()
        for link in LINK.findall((ROOT / source).read_text(encoding="utf-8")):
            name = _target(source, link)
            uri = _site_path(name)
            if name.startswith(DOCS) or not (ROOT / name).is_file() or uri in files.src_uris:
                continue
            files.append(File.generated(config, uri, content=_content(ROOT / name, name)))
            if name.endswith(".md"):
                queue.append(name)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links to the locations of their targets on the site."""
    page_uri = page.file.src_uri
    source = page_uri.removeprefix(OUTSIDE) if page_uri.startswith(OUTSIDE) else DOCS + page_uri

    def rewrite(link: re.Match[str]) -> str:
        uri = _site_path(_target(source, link[0]))
        return (
            posixpath.relpath(uri, posixpath.dirname(page_uri))
            if uri in files.src_uris
            else link[0]
        )

    is_document = (ROOT / source).is_file()  # a page that shows a source file is not
    return LINK.sub(rewrite, markdown) if is_document else markdown


def _target(source: str, link: str) -> str:
    """Return the path in the project that a document links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _site_path(name: str) -> str:
    """Return the path on the site, before it is built, of a file of the project."""
    if name.startswith(DOCS):
        return name.removeprefix(DOCS)
    return OUTSIDE + name if name.endswith(".md") else f"{OUTSIDE}{name}.md"


def _content(file: Path, name: str) -> str:
    text = file.read_text(encoding="utf-8")
    if name.endswith(".md"):
        return text
    language = {".py": "python", ".yaml": "yaml"}.get(file.suffix, "")
    return SHOWN.format(name=name, language=language, text=text)
