"""Exported encoders, ``ReidModel``, and search with an exported encoder."""

import hashlib
import io
import json
import shutil
import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from reid_gen.cli.main import main
from reid_gen.data.images import decode
from reid_gen.errors import UserError
from reid_gen.inference import export as module
from reid_gen.inference.reid_model import GREY, ReidModel
from reid_gen.models.checkpoint import load_encoder
from tests.cli.conftest import failure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(gan_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    for name in ("encoder.onnx", "encoder.pt2"):
        main(["export", str(gan_run), "--out", str(folder / name)])
    return folder


def crops(gan_run, count=5):
    paths = sorted((gan_run.parents[1] / "people" / "query").glob("*.jpg"))[:count]
    return [decode(path) for path in paths]


def test_exported_features_equal_torch_for_any_batch(gan_run, exported):
    torch_model, onnx_model = ReidModel(gan_run), ReidModel(exported / "encoder.onnx")
    assert torch_model.card == onnx_model.card
    images = crops(gan_run)
    for count in (1, 2, 5):
        expected = torch_model(images[:count])
        np.testing.assert_allclose(onnx_model(images[:count]), expected, atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)
    assert onnx_model([]).shape == torch_model([]).shape == (0, expected.shape[1])


def test_onnx_file_runs_with_onnxruntime_alone(gan_run, exported):
    session = onnxruntime.InferenceSession(str(exported / "encoder.onnx"))
    encoder, card = load_encoder(gan_run)
    images = np.random.default_rng(0).random((4, 3, card.height, card.width), np.float32)
    features = session.run(["feature"], {"images": images})[0]
    with torch.no_grad():
        np.testing.assert_allclose(features, encoder(torch.from_numpy(images)), atol=1e-4)
    card = json.loads(session.get_modelmeta().custom_metadata_map["reid_gen"])
    assert card["backbone"] == "resnet18"
    onnx.checker.check_model(str(exported / "encoder.onnx"))


def test_extract_takes_exported_files(gan_run, exported, tmp_path):
    crops = gan_run.parents[1] / "people" / "query"
    features = []
    for number, model in enumerate((gan_run, exported / "encoder.onnx")):
        out = tmp_path / f"{number}.npz"
        main(["extract", str(crops), "--model", str(model), "--out", str(out), "--flip"])
        features.append(np.load(out)["feature"])
    np.testing.assert_allclose(features[1], features[0], atol=1e-4)


class Malicious:
    """Object that creates a file when it is unpickled."""

    def __init__(self, folder):
        self.file = str(folder / "it_ran")

    def __reduce__(self):
        return (open, (self.file, "w"))


@pytest.mark.parametrize("suffix", [".pt2", ".PT2"])
def test_extract_never_opens_a_pt2(gan_run, exported, tmp_path, capsys, suffix):
    """torch.export pickles sample inputs, and torch.export.load unpickles them."""
    malicious = tmp_path / f"malicious{suffix}"
    payload = io.BytesIO()
    torch.save(Malicious(tmp_path), payload)
    with (
        zipfile.ZipFile(exported / "encoder.pt2") as source,
        zipfile.ZipFile(malicious, "w") as target,
    ):
        for member in source.namelist():
            is_input = "sample_inputs" in member
            target.writestr(member, payload.getvalue() if is_input else source.read(member))
    crops = gan_run.parents[1] / "people" / "query"
    words = ["extract", crops, "--model", malicious, "--out", tmp_path / "f.npz"]
    message = failure(capsys, *words)
    assert "because its Python pickles could run any code; give the run" in message
    with pytest.raises(UserError, match="its Python pickles could run any code"):
        ReidModel(malicious)
    assert not (tmp_path / "it_ran").exists()


def changed(exported, change):
    model = onnx.load(exported / "encoder.onnx")
    change(model)
    return model.SerializeToString()


def nan_weights(model):
    weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    values = np.full(tuple(weights.dims), np.nan, np.float32)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))


def external_weights(model):
    weights = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(weights, "/etc/passwd")
    weights.ClearField("raw_data")


def changed_card(**changes):
    def change(model):
        card = json.loads(model.metadata_props[0].value)
        onnx.helper.set_model_props(model, {"reid_gen": json.dumps(card | changes)})

    return change


def damaged_card(model):
    onnx.helper.set_model_props(model, {"reid_gen": "[1"})


DAMAGE = {
    "garbage": (lambda exported: b"garbage", "is not a readable ONNX file"),
    "empty": (lambda exported: b"", "is not a readable ONNX file|has no reid-gen metadata"),
    "page": (lambda exported: b"<!DOCTYPE html><html></html>", "is not a readable ONNX file"),
    "cut": (
        lambda exported: (exported / "encoder.onnx").read_bytes()[:5000],
        "is not a readable ONNX file",
    ),
    "NaN": (lambda exported: changed(exported, nan_weights), "are not finite"),
    "external": (lambda exported: changed(exported, external_weights), "are stored in other files"),
    "card": (
        lambda exported: changed(exported, damaged_card),
        "the reid-gen metadata of .* is damaged",
    ),
    "text": (lambda exported: changed(exported, changed_card(height="x")), "is damaged: height: "),
    "size": (
        lambda exported: changed(exported, changed_card(height=77)),
        "does not accept images of 77 x",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_onnx_file_error_is_one_line(kind, exported, tmp_path, capfd):
    make, message = DAMAGE[kind]
    (tmp_path / "bad.onnx").write_bytes(make(exported))
    with pytest.raises(UserError, match=message) as error:
        ReidModel(tmp_path / "bad.onnx")
    assert str(tmp_path / "bad.onnx") in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_export_writes_the_requested_opset(gan_run, tmp_path, capsys):
    words = ["export", gan_run, "--out", tmp_path / "x.onnx", "--opset"]
    main([str(word) for word in (*words, 20)])
    assert onnx.load(tmp_path / "x.onnx").opset_import[0].version == 20
    words = ["export", gan_run, "--out", tmp_path / "x.pt2", "--opset", 20]
    message = failure(capsys, *words, code=2)
    assert "--opset 20 has no effect on .pt2; give --out FILE.onnx, or leave it out" in message


def test_export_refuses_an_encoder_that_gives_nan(gan_run, tmp_path):
    encoder, card = load_encoder(gan_run)
    encoder.neck.weight.data[0] = torch.nan
    for name in ("x.onnx", "x.pt2"):
        with pytest.raises(UserError, match=r"features that are not finite \(NaN or infinite\)"):
            module.export_encoder(encoder, card, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_load_encoder_refuses_nan_weights_with_a_valid_checksum(gan_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(gan_run / "last", run)
    weights = load_file(run / "encoder.safetensors")
    weights["backbone.conv1.weight"][0] = torch.nan
    save_file(weights, run / "encoder.safetensors")
    card = json.loads((run / "card.json").read_text())
    digest = hashlib.sha256((run / "encoder.safetensors").read_bytes()).hexdigest()
    card["sha256"] = digest
    (run / "card.json").write_text(json.dumps(card))
    crops = gan_run.parents[1] / "people" / "query"
    extract = ["extract", crops, "--model", run, "--out", tmp_path / "x.npz"]
    for words in (["export", run, "--out", tmp_path / "x.onnx"], extract):
        message = failure(capsys, *words)
        assert "1 not finite (NaN or infinite): backbone.conv1.weight" in message


def test_export_int8_is_smaller_with_similar_features(gan_run, exported, tmp_path):
    people = gan_run.parents[1] / "people"
    out = tmp_path / "int8.onnx"
    splits = [people / name for name in ("bounding_box_train", "bounding_box_test", "query")]
    words = [word for split in splits for word in ("--int8", str(split))]
    main(["export", str(gan_run), "--out", str(out), *words])
    assert out.stat().st_size < 0.35 * (exported / "encoder.onnx").stat().st_size
    images = crops(gan_run)
    cosine = (ReidModel(out)(images) * ReidModel(gan_run)(images)).sum(1)
    assert cosine.min() > 0.95


def test_reid_model_stretches_or_letterboxes_crops(gan_run):
    model, letterboxed = ReidModel(gan_run), ReidModel(gan_run, letterbox=True)
    wide = np.zeros((20, 80, 3), np.uint8)
    assert (model._prepare(wide, 0) == 0).all()
    image = letterboxed._prepare(wide, 0)
    assert image.shape == (64, 32, 3)
    assert (image[0] == GREY).all()
    assert (image[32] == 0).all()
    assert (image == GREY).all(2).sum() == (64 - 8) * 32


def test_export_removes_a_file_that_differs_from_torch(gan_run, tmp_path, monkeypatch, capsys):
    compute = module._compute_features
    monkeypatch.setattr(module, "_compute_features", lambda *args: compute(*args) + 0.01)
    out = tmp_path / "bad.pt2"
    message = failure(capsys, "export", gan_run, "--out", out)
    assert (
        "differs from torch by 1.0e-02, and at most 1e-04 is allowed; nothing was written"
        in message
    )
    assert not out.exists()


def test_search_frames_matches_in_the_sheet(gan_run, exported, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people = gan_run.parents[1] / "people"
    query = sorted((people / "query").glob("*.jpg"))[0]
    words = ["--query", str(query), "--gallery", str(people / "query"), "--top", "3"]
    words.append("--keep-same-image")
    sheet, output = tmp_path / "ranks.png", tmp_path / "ranks.json"
    model = ["--model", str(exported / "encoder.onnx")]
    main(["search", *words, *model, "--sheet", str(sheet), "--json", str(output)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(query)
    assert lines[1].split() == ["1", "0.0000", str(query)]
    (ranked,) = json.loads(output.read_text())
    assert len(ranked["matches"]) == 3
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape == (134, 4 * 70, 3)
    assert pixels[0, 0].tolist() == [40, 80, 200]
    assert pixels[0, 71].tolist() == [40, 160, 60]
    main(["search", *words, "--model", str(gan_run), "--rerank", "--force"])
    assert str(query) in capsys.readouterr().out


def test_export_names_errors(gan_run, exported, tmp_path, capsys):
    message = failure(capsys, "export", gan_run, "--out", tmp_path / "x.bin")
    assert "must end in .onnx or .pt2" in message
    message = failure(capsys, "export", gan_run, "--out", exported / "encoder.onnx")
    assert "exists; give --force" in message
    message = failure(capsys, "export", gan_run, "--out", tmp_path / "x.pt2", "--int8", "a", code=2)
    assert "--int8 writes .onnx" in message
    few = gan_run.parents[1] / "people" / "query"
    message = failure(capsys, "export", gan_run, "--out", tmp_path / "x.onnx", "--int8", few)
    assert "int8 calibration needs at least 16 crops, got" in message
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="no exported encoder at"):
        ReidModel(tmp_path / "none.onnx")
