"""The site is built without a dead link; links out of docs/ lead to pages of it."""

import subprocess
import sys

import pytest

from tests.documents.pages import ROOT


@pytest.mark.slow
def test_the_site_is_built_with_what_its_pages_link_to(tmp_path):
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package)
    words = ["build", "--strict", "--site-dir", str(tmp_path / "site")]
    made = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    site = tmp_path / "site"
    assert "How fast" in (site / "performance" / "index.html").read_text()
    index, zoo = ((site / name / "index.html").read_text() for name in (".", "project/MODEL_ZOO"))
    assert 'href="project/ARCHITECTURE/"' in index
    assert 'href="../../market/"' in zoo
    shown = (site / "project/tests/documents/test_site.py/index.html").read_text()
    assert "test_the_site_is_built_with_what_its_pages_link_to" in shown
    assert not (site / "outside.py").exists()
