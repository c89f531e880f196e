"""Tests of the local web page: its functions, its server and, where Chromium is, a browser."""

import os
import shutil
import socket
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest

from reid_gen.body.estimate.estimator import RegressorEstimator
from reid_gen.builders.saved_run import open_run
from reid_gen.data.find_images import find_images
from reid_gen.errors import UserError
from reid_gen.inference.search import Gallery
from reid_gen.report import app as app_module
from reid_gen.runtime.progress import Silent
from tests.cli.conftest import gan_run  # noqa: F401

pytestmark = pytest.mark.slow

gradio = pytest.importorskip("gradio")
CLUSTERS_LISTED = """
() => [...document.querySelectorAll('textarea')].some(box => /^[0-9]+ clusters/.test(box.value))
"""


@pytest.fixture(scope="module")
def gallery(gan_run):  # noqa: F811
    images = find_images([str(gan_run.parents[1] / "people" / "bounding_box_test")])
    return Gallery(gan_run, images, Silent())


@pytest.fixture(scope="module")
def generate_views(gan_run):  # noqa: F811
    return partial(app_module.rotated_views, open_run(gan_run).renderer, RegressorEstimator())


def test_search_matches_excludes_the_query_image(gallery):
    query = gallery.images[3]
    matches, files = app_module.search_matches(gallery, str(query.path), 4)
    assert [caption.split(":")[0] for _, caption in matches] == ["1", "2", "3", "4"]
    *match_lines, excluded = files.splitlines()
    assert len(match_lines) == 4
    assert not [line for line in match_lines if line.endswith(query.key)]
    assert excluded == f"left out because it is the query image: {query.key}"
    assert app_module.search_matches(gallery, None, 4) == ([], "")


def test_cluster_people_shows_largest_clusters_first(gallery):
    features = np.eye(4, dtype=np.float32)[np.repeat([0, 1], [4, 8])]
    two_people = Gallery.__new__(Gallery)
    two_people.images, two_people.features = gallery.images[:12], features
    captioned, files = app_module.cluster_people(two_people, 0.5)
    assert [caption for _, caption in captioned] == ["1"] * 8 + ["2"] * 4
    count, first_line, *other_lines = files.splitlines()
    assert (count, first_line) == ("2 clusters", f"1  {gallery.images[4].key}")
    assert len(other_lines) == 11


def test_search_and_cluster_captions_fit_8_characters(gallery):
    matches, _ = app_module.search_matches(gallery, str(gallery.images[0].path), 12)
    clusters, _ = app_module.cluster_people(gallery, 0.5)
    assert matches
    assert clusters
    assert all(len(caption) <= 8 for _, caption in [*matches, *clusters])


def test_rotated_views_cover_all_angles(gallery, generate_views):
    views = generate_views(str(gallery.images[0].path))
    assert [caption for _, caption in views][:2] == ["0 degrees", "45 degrees"]
    assert all(view.shape == (64, 32, 3) for view, _ in views)
    assert generate_views(None) == []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_launch_reports_a_port_in_use(gallery):
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = occupied.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen at 127.0.0.1:{port}"):
            app_module.launch(
                app_module.build_app(gallery, None), "127.0.0.1", port, blocking=False
            )


@pytest.fixture
def address(gallery):
    """Serve the page and yield its URL."""
    with app_module.private_uploads():
        app = app_module.build_app(gallery, None)
        yield app_module.launch(app, "127.0.0.1", free_port(), blocking=False).rstrip("/")
        app.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
    ],
)
def test_launch_refuses_foreign_host_headers(address, host, status):
    port = address.rsplit(":", 1)[1]
    for path in ("/", "/config", "/gradio_api/info"):
        response = httpx.get(address + path, headers={"Host": f"{host}:{port}"})
        assert response.status_code == status, path


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (app_module.MAX_UPLOAD_BYTES + 1, 413)])
def test_launch_limits_the_size_of_uploads(address, size, status):
    upload = {"files": ("a.png", b"0" * size)}
    assert httpx.post(f"{address}/gradio_api/upload", files=upload).status_code == status


def test_private_uploads_are_hidden_from_others_and_deleted(gallery, monkeypatch):
    monkeypatch.delenv(app_module.UPLOAD_FOLDER, raising=False)
    with app_module.private_uploads() as folder:
        app = app_module.build_app(gallery, None)
        address = app_module.launch(app, "127.0.0.1", free_port(), blocking=False).rstrip("/")
        try:
            upload = {"files": ("a.png", gallery.images[0].path.read_bytes())}
            response = httpx.post(f"{address}/gradio_api/upload", files=upload)
        finally:
            app.close()
        assert Path(response.json()[0]).is_relative_to(folder)
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    assert app_module.UPLOAD_FOLDER not in os.environ


def test_allowed_hosts_include_this_computer_on_all_addresses():
    assert app_module.allowed_hosts("127.0.0.1", ["reid.example"]) == [
        "127.0.0.1", "[::1]", "localhost", "reid.example",
    ]  # fmt: skip
    assert socket.gethostname() in app_module.allowed_hosts("0.0.0.0")
    with pytest.raises(UserError, match=r"--allow-host \*.example is a pattern; name each host"):
        app_module.allowed_hosts("127.0.0.1", ["*.example"])


@pytest.fixture
def browser():
    """Start Chromium, of the system or from playwright; skip the test without it."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as play:
        executable = shutil.which("chromium") or play.chromium.executable_path
        if not Path(executable).is_file():
            pytest.skip("needs chromium")
        chromium = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_build_app_serves_all_tabs_to_a_browser(gallery, generate_views, browser):
    app = app_module.build_app(gallery, generate_views)
    address = app_module.launch(app, "127.0.0.1", free_port(), blocking=False)
    requested_urls = []
    try:
        page = browser.new_page()
        page.on("request", lambda request: requested_urls.append(request.url))
        page.goto(address)
        page.locator("input[type=file]").first.set_input_files(str(gallery.images[0].path))
        page.get_by_role("button", name="Search").click()
        page.get_by_text("1: 0.00").first.wait_for(timeout=60_000)
        page.get_by_role("tab", name="People").click()
        page.get_by_role("button", name="Find people").click()
        page.wait_for_function(CLUSTERS_LISTED, timeout=60_000)
        page.get_by_role("tab", name="Views").click()
        page.locator("input[type=file]").last.set_input_files(str(gallery.images[1].path))
        page.get_by_role("button", name="Generate views").click()
        page.get_by_text("315 degrees").first.wait_for(timeout=60_000)
    finally:
        app.close()
    external = [url for url in requested_urls if not url.startswith((address, "data:", "blob:"))]
    assert not external
