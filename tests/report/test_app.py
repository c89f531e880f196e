"""The local page, its functions and, where there is a browser, what one does on it."""

import os
import shutil
import socket
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest

from reid_gen.body.estimate.estimator import MeshRecovery
from reid_gen.cli.views import open_run
from reid_gen.data.find_images import find_images
from reid_gen.errors import UserError
from reid_gen.inference.search import Gallery
from reid_gen.report import app as module
from reid_gen.runtime.progress import Silent
from tests.cli.conftest import failure, gan_run  # noqa: F401

gradio = pytest.importorskip("gradio")
CLUSTERS_ARE_TOLD = """
() => [...document.querySelectorAll('textarea')].some(box => /^[0-9]+ clusters/.test(box.value))
"""


@pytest.fixture(scope="module")
def gallery(gan_run):  # noqa: F811
    images = find_images([str(gan_run.parents[1] / "people" / "bounding_box_test")])
    return Gallery(gan_run, images, Silent())


@pytest.fixture(scope="module")
def turn(gan_run):  # noqa: F811
    return partial(module.turns, open_run(gan_run)[-1], MeshRecovery())


def test_matches_leave_the_picture_itself_out(gallery):
    own = gallery.images[3]
    found, files = module.matches(gallery, str(own.path), 4)
    assert [text.split(":")[0] for _, text in found] == ["1", "2", "3", "4"]
    *others, same = files.splitlines()
    assert len(others) == 4
    assert not [line for line in others if line.endswith(own.key)]
    assert same == f"left out, because it is the query itself: {own.key}"
    assert module.matches(gallery, None, 4) == ([], "")


def test_people_are_the_clusters_the_largest_first(gallery):
    features = np.eye(4, dtype=np.float32)[np.repeat([0, 1], [4, 8])]
    few = Gallery.__new__(Gallery)
    few.images, few.features = gallery.images[:12], features
    found, files = module.people(few, 0.5)
    assert [text for _, text in found] == ["1"] * 8 + ["2"] * 4
    count, first, *others = files.splitlines()
    assert (count, first) == ("2 clusters", f"1  {gallery.images[4].key}")
    assert len(others) == 11


def test_what_stands_on_a_picture_is_short_enough_for_its_place(gallery):
    own = gallery.images[0]
    for pictures, _ in (module.matches(gallery, str(own.path), 12), module.people(gallery, 0.5)):
        assert all(len(text) <= 8 for _, text in pictures)


def test_a_person_is_turned_to_all_sides(gallery, turn):
    views = turn(str(gallery.images[0].path))
    assert [text for _, text in views][:2] == ["0 degrees", "45 degrees"]
    assert all(picture.shape == (64, 32, 3) for picture, _ in views)
    assert turn(None) == []


def free_port():
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


def test_a_taken_port_is_named(gallery):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen at 127.0.0.1:{port}"):
            module.launch(module.build_app(gallery, None), "127.0.0.1", port, blocking=False)


@pytest.fixture
def address(gallery):
    """The page, served."""
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
        answer = httpx.get(address + path, headers={"Host": f"{host}:{port}"})
        assert answer.status_code == status, path


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (module.MOST_UPLOADED + 1, 413)])
def test_launch_limits_the_size_of_uploads(address, size, status):
    upload = {"files": ("a.png", b"0" * size)}
    assert httpx.post(f"{address}/gradio_api/upload", files=upload).status_code == status


def test_private_uploads_are_unreadable_by_others_and_removed(gallery, monkeypatch):
    monkeypatch.delenv(module.UPLOADS, raising=False)
    with module.private_uploads() as folder:
        app = module.build_app(gallery, None)
        served = module.launch(app, "127.0.0.1", free_port(), blocking=False).rstrip("/")
        try:
            upload = {"files": ("a.png", gallery.images[0].path.read_bytes())}
            answer = httpx.post(f"{served}/gradio_api/upload", files=upload)
        finally:
            app.close()
        assert Path(answer.json()[0]).is_relative_to(folder)
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    assert module.UPLOADS not in os.environ


def test_allowed_hosts_of_an_open_address_name_this_computer():
    assert module.allowed_hosts("127.0.0.1", ["reid.example"]) == [
        "127.0.0.1", "[::1]", "localhost", "reid.example",
    ]  # fmt: skip
    assert socket.gethostname() in module.allowed_hosts("0.0.0.0")
    with pytest.raises(UserError, match=r"--allow-host \*.example is a pattern; name each host"):
        module.allowed_hosts("127.0.0.1", ["*.example"])


@pytest.fixture
def browser():
    """The system's Chromium, or the one that playwright installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as play:
        program = shutil.which("chromium") or play.chromium.executable_path
        if not Path(program).is_file():
            pytest.skip("needs chromium")
        opened = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


def test_somebody_searches_groups_and_turns_in_a_browser(gallery, turn, browser):
    app = module.build_app(gallery, turn)
    address = module.launch(app, "127.0.0.1", free_port(), blocking=False)
    outside = []
    try:
        page = browser.new_page()
        page.on("request", lambda asked: outside.append(asked.url))
        page.goto(address)
        page.locator("input[type=file]").first.set_input_files(str(gallery.images[0].path))
        page.get_by_role("button", name="Search").click()
        page.get_by_text("1: 0.00").first.wait_for(timeout=60_000)
        page.get_by_role("tab", name="People").click()
        page.get_by_role("button", name="Find people").click()
        page.wait_for_function(CLUSTERS_ARE_TOLD, timeout=60_000)
        page.get_by_role("tab", name="Turn").click()
        page.locator("input[type=file]").last.set_input_files(str(gallery.images[1].path))
        page.get_by_role("button", name="Turn around").click()
        page.get_by_text("315 degrees").first.wait_for(timeout=60_000)
    finally:
        app.close()
    strange = [url for url in outside if not url.startswith((address, "data:", "blob:"))]
    assert not strange
