"""The project speaks the language of its field: phrases and variable names that may not come back.

Each entry says what to write instead. CONTRIBUTING.md has the glossary.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("reid_gen", "configs", "docs", "benchmarks", "tools", "tests")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "MODEL_ZOO.md")
SUFFIXES = {".py", ".yaml", ".md", ".txt"}
PHRASES: Mapping[str, str] = {
    # Words for which papers, torch or timm have a term.
    r"\b[Ss]low mean\b": "write EMA",
    r"\b[Mm]ean encoder\b": "write EMA encoder",
    r"says? the (picture|noise)\b": "write that the model predicts x0, or the noise",
    r"\b[Ss]mall diffusion model\b": "write pixel diffusion model",
    r"\b[Ww]ay back\b": "write backward pass",
    r"\b[Ww]ho (judges|draws|learns?)\b": "name the network: discriminator, generator, encoder",
    r"\b[Ww]hat (judges|draws)\b": "name the network: discriminator, generator, painter",
    r"\b([Tt]he|a|its|each|whose) judge\b|\bjudge's\b": "write reference encoder",
    r"\b([Tt]he|a|every|each|real|generated) pictures?\b": "write image, the one word for it",
    r"\blearn(s|t)? to draw\b": "write that the generator is trained",
    r"\b[Dd]rawn (views?|pictures?|images?)\b": "write generated views or images",
    r"\bchanged views\b": "write augmented views",
    r"\b[Ss]tructure maps?\b": "write body map, the one word for it",
    r"\b[Dd]ense way\b": "write dense implementation",
    r"\b[Pp]rocessor (time|seconds)\b": "write CPU time or CPU seconds",
    r"\b(by|their|the) looks\b": "write appearance",
    r"\b[Ff]ile(-| )name endings?\b": "write file extension",
    r"\b(body|bodies|none|one) to trust\b": "write reliable",
    # Riddles and archaic phrases.
    r"\b[Gg]oes again\b": "say what is repeated",
    r"\b[Gg]o(es)? on where\b": "write resumes",
    r"\bof before\b": "write earlier or older",
    r"\b[Oo]nce and for all\b": "write once",
    r"\b[Mm]end(s|ed)?\b": "write fix",
    r"\b[Ww]ithout a word\b": "write silently",
    r"\b[Ll]ies? there\b": "write exists",
    r"\bbears? (the|a|an|another|no)\b": "write has",
    r"\bmade sure\b": "write verified",
    r"\b[Ss]aid of\b": "name the information",
    r"\bfast it goes\b": "write speed or ETA",
    # Descriptions that lean on another line, so that nobody understands them alone.
    r"\bLikewise\b": "repeat the noun phrase",
    r"\bAs (there|above)\b": "repeat the noun phrase",
    r"\bOf images\.": "write a noun phrase: Image height in pixels",
    r'"""Of ': "begin with the noun: Weight of ..., not Of ...",
    r"(?m)^ +\*{0,2}\w+: (Of\b|The same[.,;])": "begin with the noun: Size of the batch",
    # Names that changed.
    r"\bMeanEncoder\b|\bfollow\(encoder": "EmaEncoder, update",
    r"\b(Sitting|Artist|Brought|StructureJudge)\b": "RenderInputs, ViewRenderer, ConditionInputs",
    r"\brefuse_lone\b|\bfast_bf16\b": "check_group_size, has_native_bf16",
    r"\breid_gen[./]engine\b": "runtime, training, inference, positives or builders",
}
"""Pattern -> what to write instead."""
NAMES: Mapping[str, str] = {
    "found": "features, labels, neighbours, files: what was found",
    "made": "what was made: views, encoder, groups",
    "told": "requested, or the thing itself",
    "asked": "requested, query",
    "kept": "what was kept: images, rows, mask",
    "wanted": "expected, target, requested",
    "place": "position, index, path",
    "some": "a noun: images, names, sample",
}
"""Name of a variable or argument -> how to name it instead: a participle is not a thing."""
ALLOWED: Mapping[str, str] = {}
"""File -> why it may use one of ``NAMES``."""
ROOMS = sorted(
    f"{path.name}/" if path.is_dir() else path.name
    for path in (ROOT / "reid_gen").iterdir()
    if path.suffix == ".py" or (path / "__init__.py").exists()
)
"""Packages and modules of reid_gen."""


@cache
def texts() -> dict[str, str]:
    """Return the text of every file of the project but this one, by path."""
    files = [ROOT / name for name in DOCUMENTS]
    for folder in FOLDERS:
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in files
        if path != Path(__file__) and path.is_file()
    }


def variables(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of every variable that is assigned, and of every argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def matches(phrase: str, text: str) -> Iterator[re.Match[str]]:
    """Yield the occurrences of a phrase, which may be broken over lines."""
    return re.finditer(phrase if phrase.startswith("(?m)") else phrase.replace(" ", r"\s+"), text)


@pytest.mark.parametrize("phrase", PHRASES)
def test_phrase_does_not_come_back(phrase):
    hits = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for name, text in texts().items()
        for match in matches(phrase, text)
    ]
    assert not hits, f"{PHRASES[phrase]}: " + ", ".join(hits)


@pytest.mark.parametrize("room", ROOMS)
def test_variables_are_named_after_things(room):
    hits = [
        f"{name}:{line}: {variable} ({NAMES[variable]})"
        for name, text in texts().items()
        if name.startswith(f"reid_gen/{room}") and name.endswith(".py") and name not in ALLOWED
        for line, variable in variables(ast.parse(text))
        if variable in NAMES
    ]
    assert not hits, ", ".join(hits)


def test_allowed_files_still_need_their_entry():
    for name in ALLOWED:
        assert NAMES.keys() & {variable for _, variable in variables(ast.parse(texts()[name]))}


def test_phrases_match_what_they_guard():
    text = (
        "It says the noise; checkpoints of\nbefore.\n    height: Of images.\n    width: The same.\n"
    )
    assert [phrase for phrase in PHRASES if list(matches(phrase, text))] == [
        r"says? the (picture|noise)\b",
        r"\bof before\b",
        r"\bOf images\.",
        r"(?m)^ +\*{0,2}\w+: (Of\b|The same[.,;])",
    ]


def test_variables_yields_assignments_and_arguments():
    tree = ast.parse("def f(kept):\n    found = [some for some in kept]\n    return found\n")
    assert sorted(variables(tree)) == [(1, "kept"), (2, "found"), (2, "some")]
