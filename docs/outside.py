"""Files outside docs/ that pages link to come with the site, under project/.

In the repository such links work as they are; the site would have docs/ alone. Documents become
pages, other files pages that show them. Called by MkDocs (``hooks`` in mkdocs.yml).
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
    """Add what pages link to, and what that links to in turn."""
    waiting = [DOCS + file.src_uri for file in files if file.src_uri.endswith(".md")]
    while waiting:
        source = waiting.pop()
        for link in LINK.findall((ROOT / source).read_text(encoding="utf-8")):
            name = _target(source, link)
            uri = _place(name)
            if name.startswith(DOCS) or not (ROOT / name).is_file() or uri in files.src_uris:
                continue
            files.append(File.generated(config, uri, content=_content(ROOT / name, name)))
            if name.endswith(".md"):
                waiting.append(name)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where their targets are on the site."""
    here = page.file.src_uri
    source = here.removeprefix(OUTSIDE) if here.startswith(OUTSIDE) else DOCS + here

    def led(link: re.Match[str]) -> str:
        uri = _place(_target(source, link[0]))
        return posixpath.relpath(uri, posixpath.dirname(here)) if uri in files.src_uris else link[0]

    is_document = (ROOT / source).is_file()  # and no page that shows a file
    return LINK.sub(led, markdown) if is_document else markdown


def _target(source: str, link: str) -> str:
    """Path in the project of what a document links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _place(name: str) -> str:
    """Path on the site, before it is built, of a file of the project."""
    if name.startswith(DOCS):
        return name.removeprefix(DOCS)
    return OUTSIDE + name if name.endswith(".md") else f"{OUTSIDE}{name}.md"


def _content(file: Path, name: str) -> str:
    text = file.read_text(encoding="utf-8")
    if name.endswith(".md"):
        return text
    language = {".py": "python", ".yaml": "yaml"}.get(file.suffix, "")
    return SHOWN.format(name=name, language=language, text=text)
