"""Tests of the local web page: its functions, its server and, if installed, a browser session."""

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
from reid_gen.report import app as module
from reid_gen.runtime.progress import Silent
from tests.cli.conftest import failure, gan_run  # noqa: F401

pytestmark = pytest.mark.slow

gradio = pytest.importorskip("gradio")
CLUSTERS_ARE_LISTED = """
() => [...document.querySelectorAll('textarea')].some(box => /^[0-9]+ clusters/.test(box.value))
"""


@pytest.fixture(scope="module")
def gallery(gan_run):  # noqa: F811
    images = find_images([str(gan_run.parents[1] / "people" / "bounding_box_test")])
    return Gallery(gan_run, images, Silent())


@pytest.fixture(scope="module")
def generate_views(gan_run):  # noqa: F811
    return partial(module.rotated_views, open_run(gan_run).renderer, RegressorEstimator())


def test_search_matches_leaves_out_the_query_itself(gallery):
    query = gallery.images[3]
    matches, files = module.search_matches(gallery, str(query.path), 4)
    assert [text.split(":")[0] for _, text in matches] == ["1", "2", "3", "4"]
    *others, same = files.splitlines()
    assert len(others) == 4
    assert not [line for line in others if line.endswith(query.key)]
    assert same == f"left out because it is the query image: {query.key}"
    assert module.search_matches(gallery, None, 4) == ([], "")


def test_cluster_people_shows_largest_clusters_first(gallery):
    features = np.eye(4, dtype=np.float32)[np.repeat([0, 1], [4, 8])]
    small = Gallery.__new__(Gallery)
    small.images, small.features = gallery.images[:12], features
    captioned, files = module.cluster_people(small, 0.5)
    assert [text for _, text in captioned] == ["1"] * 8 + ["2"] * 4
    count, first, *others = files.splitlines()
    assert (count, first) == ("2 clusters", f"1  {gallery.images[4].key}")
    assert len(others) == 11


def test_captions_have_at_most_8_characters(gallery):
    matches, _ = module.search_matches(gallery, str(gallery.images[0].path), 12)
    clusters, _ = module.cluster_people(gallery, 0.5)
    assert matches
    assert clusters
    assert all(len(text) <= 8 for _, text in [*matches, *clusters])


def test_rotated_views_show_all_sides(gallery, generate_views):
    views = generate_views(str(gallery.images[0].path))
    assert [text for _, text in views][:2] == ["0 degrees", "45 degrees"]
    assert all(view.shape == (64, 32, 3) for view, _ in views)
    assert generate_views(None) == []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_launch_names_a_port_in_use(gallery):
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = occupied.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen at 127.0.0.1:{port}"):
            module.launch(module.build_app(gallery, None), "127.0.0.1", port, blocking=False)


@pytest.fixture
def address(gallery):
    """Serve the page and yield its URL."""
    with module.private_uploads():
        app = module.build_app(gallery, None)
        yield module.launch(app, "127.0.0.1", free_port(), blocking=False).rstrip("/")
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


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (module.MAX_UPLOAD_BYTES + 1, 413)])
def test_launch_limits_the_size_of_uploads(address, size, status):
    upload = {"files": ("a.png", b"0" * size)}
    assert httpx.post(f"{address}/gradio_api/upload", files=upload).status_code == status


def test_private_uploads_are_unreadable_by_others_and_removed(gallery, monkeypatch):
    monkeypatch.delenv(module.UPLOAD_FOLDER, raising=False)
    with module.private_uploads() as folder:
        app = module.build_app(gallery, None)
        served = module.launch(app, "127.0.0.1", free_port(), blocking=False).rstrip("/")
        try:
            upload = {"files": ("a.png", gallery.images[0].path.read_bytes())}
            response = httpx.post(f"{served}/gradio_api/upload", files=upload)
        finally:
            app.close()
        assert Path(response.json()[0]).is_relative_to(folder)
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    assert module.UPLOAD_FOLDER not in os.environ


def test_allowed_hosts_of_an_open_address_name_this_computer():
    assert module.allowed_hosts("127.0.0.1", ["reid.example"]) == [
        "127.0.0.1", "[::1]", "localhost", "reid.example",
    ]  # fmt: skip
    assert socket.gethostname() in module.allowed_hosts("0.0.0.0")
    with pytest.raises(UserError, match=r"--allow-host \*.example is a pattern; name each host"):
        module.allowed_hosts("127.0.0.1", ["*.example"])


@pytest.fixture
def browser():
    """Start the system's Chromium or the one that playwright installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as play:
        program = shutil.which("chromium") or play.chromium.executable_path
        if not Path(program).is_file():
            pytest.skip("needs chromium")
        running = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


def test_page_searches_clusters_and_generates_in_a_browser(gallery, generate_views, browser):
    app = module.build_app(gallery, generate_views)
    address = module.launch(app, "127.0.0.1", free_port(), blocking=False)
    requested = []
    try:
        page = browser.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.goto(address)
        page.locator("input[type=file]").first.set_input_files(str(gallery.images[0].path))
        page.get_by_role("button", name="Search").click()
        page.get_by_text("1: 0.00").first.wait_for(timeout=60_000)
        page.get_by_role("tab", name="People").click()
        page.get_by_role("button", name="Find people").click()
        page.wait_for_function(CLUSTERS_ARE_LISTED, timeout=60_000)
        page.get_by_role("tab", name="Views").click()
        page.locator("input[type=file]").last.set_input_files(str(gallery.images[1].path))
        page.get_by_role("button", name="Generate views").click()
        page.get_by_text("315 degrees").first.wait_for(timeout=60_000)
    finally:
        app.close()
    foreign = [url for url in requested if not url.startswith((address, "data:", "blob:"))]
    assert not foreign
