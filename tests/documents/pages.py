"""Documents of the project, and the code in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "datasets/**/*.md") for path in ROOT.glob(pattern)
)


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def fences(text: str) -> list[str]:
    """What stands behind the opening of every block, indented ones too; mostly a language."""
    return re.findall(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)[::2]


def shell_lines(text: str) -> list[str]:
    """Lines of shell blocks, continued ones joined."""
    return "".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()


def commands(lines: list[str]) -> list[list[str]]:
    """Words of every line that is a command."""
    return [words for line in lines if (words := shlex.split(line, comments=True))]
