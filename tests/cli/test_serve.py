"""``reid-gen serve`` without the web page, which tests/report/test_app.py covers."""

import pytest

from reid_gen.cli.main import main
from reid_gen.cli.serve import serve
from reid_gen.report import app as module

pytestmark = pytest.mark.slow


def test_serve_listens_on_localhost_by_default():
    params = serve.make_context("serve", ["model", "--gallery", "crops"]).params
    assert (params["host"], params["port"]) == ("127.0.0.1", 7860)


@pytest.mark.parametrize("views", [False, True])
def test_serve_builds_and_launches_the_page(views, gan_run, monkeypatch, capsys):
    pytest.importorskip("gradio")
    built, launched = [], []
    monkeypatch.setattr(module, "build_app", lambda *args: built.append(args) or "page")
    monkeypatch.setattr(module, "launch", lambda *args: launched.append(args))
    crops = gan_run.parents[1] / "people" / "query"
    words = ["--views", str(gan_run)] if views else []
    main(["serve", str(gan_run), "--gallery", str(crops), *words])
    assert launched == [("page", "127.0.0.1", 7860, ())]
    assert "http://127.0.0.1:7860 (press Ctrl-C to stop)" in capsys.readouterr().out
    ((gallery, turn),) = built
    assert len(gallery.images) == len(list(crops.glob("*.jpg")))
    assert (turn is not None) == views
    if views:
        assert [text for _, text in turn(str(gallery.images[0].path))][:1] == ["0 degrees"]
