"""The site builds without a dead link, and includes the files outside docs/ that pages link to."""

import subprocess
import sys

import pytest

from tests.documents.pages import ROOT

pytestmark = pytest.mark.slow


def test_site_builds_with_linked_files_outside_docs(tmp_path):
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package)
    words = ["build", "--strict", "--site-dir", str(tmp_path / "site")]
    process = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    site = tmp_path / "site"
    assert "<title>Performance - reid-gen" in (site / "performance" / "index.html").read_text()
    index, zoo = ((site / name / "index.html").read_text() for name in (".", "project/MODEL_ZOO"))
    assert 'href="project/ARCHITECTURE/"' in index
    assert 'href="../../market/"' in zoo
    shown = (site / "project/tests/documents/test_site.py/index.html").read_text()
    assert "test_site_builds_with_linked_files_outside_docs" in shown
    assert not (site / "outside.py").exists()
