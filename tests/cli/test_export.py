"""Exported encoders, the model for other programs, and searching with either."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from reid_gen.cli.main import main
from reid_gen.data.images import decode
from reid_gen.engine import export as module
from reid_gen.engine.checkpoint import load_encoder
from reid_gen.engine.reid_model import GREY, ReidModel
from reid_gen.errors import UserError
from tests.cli.conftest import failure


@pytest.fixture(scope="module")
def exported(gan_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    for name in ("encoder.onnx", "encoder.pt2"):
        main(["export", str(gan_run), "--out", str(folder / name)])
    return folder


def crops(gan_run, count=5):
    paths = sorted((gan_run.parents[1] / "people" / "query").glob("*.jpg"))[:count]
    return [decode(path) for path in paths]


@pytest.mark.parametrize("name", ["encoder.onnx", "encoder.pt2"])
def test_exported_features_equal_torchs_for_any_batch(gan_run, exported, name):
    own, theirs = ReidModel(gan_run), ReidModel(exported / name)
    assert own.card == theirs.card
    some = crops(gan_run)
    for count in (1, 2, 5):
        wanted = own(some[:count])
        np.testing.assert_allclose(theirs(some[:count]), wanted, atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(wanted, axis=1), 1, atol=1e-5)
    assert theirs([]).shape == own([]).shape == (0, wanted.shape[1])


def test_the_onnx_file_needs_nothing_of_ours(gan_run, exported):
    session = onnxruntime.InferenceSession(str(exported / "encoder.onnx"))
    encoder, card = load_encoder(gan_run)
    images = np.random.default_rng(0).random((4, 3, card.height, card.width), np.float32)
    found = session.run(["feature"], {"images": images})[0]
    with torch.no_grad():
        np.testing.assert_allclose(found, encoder(torch.from_numpy(images)), atol=1e-4)
    card = json.loads(session.get_modelmeta().custom_metadata_map["reid_gen"])
    assert card["backbone"] == "resnet18"
    onnx.checker.check_model(str(exported / "encoder.onnx"))


def test_extract_takes_exported_files(gan_run, exported, tmp_path):
    crops = gan_run.parents[1] / "people" / "query"
    found = []
    for number, model in enumerate((gan_run, exported / "encoder.onnx", exported / "encoder.pt2")):
        out = tmp_path / f"{number}.npz"
        main(["extract", str(crops), "--model", str(model), "--out", str(out), "--flip"])
        found.append(np.load(out)["feature"])
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)
    np.testing.assert_allclose(found[2], found[0], atol=1e-4)


def test_int8_ranks_alike_and_is_smaller(gan_run, exported, tmp_path):
    people = gan_run.parents[1] / "people"
    out = tmp_path / "int8.onnx"
    splits = [people / name for name in ("bounding_box_train", "bounding_box_test", "query")]
    words = [word for split in splits for word in ("--int8", str(split))]
    main(["export", str(gan_run), "--out", str(out), *words])
    assert out.stat().st_size < 0.35 * (exported / "encoder.onnx").stat().st_size
    some = crops(gan_run)
    cosine = (ReidModel(out)(some) * ReidModel(gan_run)(some)).sum(1)
    assert cosine.min() > 0.95


def test_crops_of_any_size_are_stretched_or_boxed(gan_run):
    model, boxed = ReidModel(gan_run), ReidModel(gan_run, letterbox=True)
    wide = np.zeros((20, 80, 3), np.uint8)
    assert (model._prepared(wide, 0) == 0).all()
    inside = boxed._prepared(wide, 0)
    assert inside.shape == (64, 32, 3)
    assert (inside[0] == GREY).all()
    assert (inside[32] == 0).all()
    assert (inside == GREY).all(2).sum() == (64 - 8) * 32


def test_a_file_that_differs_from_torch_is_not_kept(gan_run, tmp_path, monkeypatch, capsys):
    run = module._run
    monkeypatch.setattr(module, "_run", lambda *given: run(*given) + 0.01)
    out = tmp_path / "bad.pt2"
    message = failure(capsys, "export", gan_run, "--out", out)
    assert "differs from torch by 1.0e-02, and 1e-04 is allowed; nothing was written" in message
    assert not out.exists()


def test_search_finds_the_person_and_frames_it(gan_run, exported, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people = gan_run.parents[1] / "people"
    query = sorted((people / "query").glob("*.jpg"))[0]
    words = ["--query", str(query), "--gallery", str(people / "query"), "--top", "3"]
    sheet, output = tmp_path / "ranks.png", tmp_path / "ranks.json"
    model = ["--model", str(exported / "encoder.onnx")]
    main(["search", *words, *model, "--sheet", str(sheet), "--json", str(output)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(query)
    assert lines[1].split() == ["1", "0.0000", str(query)]
    (ranked,) = json.loads(output.read_text())
    assert len(ranked["matches"]) == 3
    picture = np.asarray(Image.open(sheet))
    assert picture.shape == (134, 4 * 70, 3)
    assert picture[0, 0].tolist() == [40, 80, 200]
    assert picture[0, 71].tolist() == [40, 160, 60]
    main(["search", *words, "--model", str(gan_run), "--rerank"])
    assert str(query) in capsys.readouterr().out


def test_faults_are_named(gan_run, exported, tmp_path, capsys):
    message = failure(capsys, "export", gan_run, "--out", tmp_path / "x.bin")
    assert "must end in .onnx or .pt2" in message
    message = failure(capsys, "export", gan_run, "--out", exported / "encoder.onnx")
    assert "exists; give --force" in message
    message = failure(capsys, "export", gan_run, "--out", tmp_path / "x.pt2", "--int8", "a")
    assert "--int8 writes .onnx" in message
    few = gan_run.parents[1] / "people" / "query"
    message = failure(capsys, "export", gan_run, "--out", tmp_path / "x.onnx", "--int8", few)
    assert "calibrated with 16 crops at least, got" in message
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="no exported encoder at"):
        ReidModel(tmp_path / "none.onnx")
