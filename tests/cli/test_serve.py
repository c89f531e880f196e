"""``reid-gen serve`` but for the page itself, which tests/report/test_app.py opens."""

import pytest

from reid_gen.cli.main import main
from reid_gen.cli.serve import serve
from reid_gen.report import app as module


def test_only_this_computer_can_open_the_page_by_default():
    given = serve.make_context("serve", ["model", "--gallery", "crops"]).params
    assert (given["host"], given["port"]) == ("127.0.0.1", 7860)


@pytest.mark.parametrize("views", [False, True])
def test_the_command_builds_the_page_of_a_gallery_and_launches_it(
    views, gan_run, monkeypatch, capsys
):
    pytest.importorskip("gradio")
    built, launched = [], []
    monkeypatch.setattr(module, "build_app", lambda *given: built.append(given) or "page")
    monkeypatch.setattr(module, "launch", lambda *given: launched.append(given))
    crops = gan_run.parents[1] / "people" / "query"
    words = ["--views", str(gan_run)] if views else []
    main(["serve", str(gan_run), "--gallery", str(crops), *words])
    assert launched == [("page", "127.0.0.1", 7860, ())]
    assert "http://127.0.0.1:7860 (Ctrl-C stops it)" in capsys.readouterr().out
    ((gallery, turn),) = built
    assert len(gallery.images) == len(list(crops.glob("*.jpg")))
    assert (turn is not None) == views
    if views:
        assert [text for _, text in turn(str(gallery.images[0].path))][:1] == ["0 degrees"]
