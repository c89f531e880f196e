"""Documents of the project, and the code blocks in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "datasets/**/*.md") for path in ROOT.glob(pattern)
)


def name_of(document: Path) -> str:
    """Return the path relative to the project."""
    return document.relative_to(ROOT).as_posix()


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the content of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def fences(text: str) -> list[str]:
    """Return the info string of every fenced block, indented ones too: a language or empty."""
    return re.findall(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)[::2]


def shell_lines(text: str) -> list[str]:
    """Return the lines of the shell blocks, continuation lines joined."""
    return "".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()


def commands(lines: list[str]) -> list[list[str]]:
    """Split every line that holds a command into its words."""
    return [words for line in lines if (words := shlex.split(line, comments=True))]
