import re

import numpy as np
import pytest
import torch
from PIL import Image

from reid_gen.cli.main import main
from reid_gen.errors import UserError
from reid_gen.inference.reid_model import ReidModel

ZOO_MODEL = "resnet10t.rendered"


@pytest.fixture(scope="module")
def model():
    return ReidModel(ZOO_MODEL)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    file = tmp_path_factory.mktemp("export") / "encoder.onnx"
    main(["export", ZOO_MODEL, "--out", str(file)])
    return file


def crops(count=3):
    return list(np.random.default_rng(0).integers(0, 256, (count, 40, 20, 3), np.uint8))


def save_in_all_formats(folder):
    """Return three crops as arrays, one array, PIL images, paths, file names and an iterator."""
    arrays = crops()
    files = [folder / f"{index}.png" for index in range(len(arrays))]
    images = [Image.fromarray(array) for array in arrays]
    for image, file in zip(images, files, strict=True):
        image.save(file)
    return [arrays, np.stack(arrays), images, files, [str(file) for file in files], iter(arrays)]


def test_reid_model_accepts_arrays_images_and_files(model, tmp_path):
    expected, *results = (model(batch) for batch in save_in_all_formats(tmp_path))
    assert expected.shape == (3, 512)
    for actual in results:
        np.testing.assert_array_equal(actual, expected)


def test_reid_model_accepts_a_single_crop(model, tmp_path):
    expected = model(crops()[:1])
    for batch in save_in_all_formats(tmp_path)[:-1]:
        np.testing.assert_array_equal(model(batch[0]), expected)


def test_reid_model_equals_the_extract_command_on_files(model, tmp_path):
    save_in_all_formats(tmp_path)
    out = tmp_path / "features.npz"
    main(["extract", str(tmp_path), "--model", ZOO_MODEL, "--out", str(out)])
    files = sorted(tmp_path.glob("*.png"))
    np.testing.assert_allclose(model(files), np.load(out)["feature"], atol=1e-5)


def test_reid_model_returns_no_rows_for_no_crops(model):
    for empty in ([], np.empty((0, 8, 8, 3), np.uint8), iter(())):
        assert model(empty).shape == (0, 512)


def test_reid_model_prepares_one_batch_at_a_time(monkeypatch):
    model = ReidModel(ZOO_MODEL, batch=2)
    expected, sizes, batches_before = model(crops(5)), [], []
    compute, prepare = model._compute, model._prepare
    monkeypatch.setattr(
        model, "_compute", lambda images: sizes.append(len(images)) or compute(images)
    )
    monkeypatch.setattr(
        model,
        "_prepare",
        lambda crop, index: batches_before.append(len(sizes)) or prepare(crop, index),
    )
    np.testing.assert_array_equal(model(crops(5)), expected)
    assert sizes == [2, 2, 1]
    assert batches_before == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "crops cannot be None"),
        (7, "crops cannot be 7"),
        ([crops()[0], None], "crop 1 is NoneType None"),
        ([torch.zeros(3, 8, 8)], "crop 0 is Tensor"),
        (b"crop", "crop 0 is int 99"),
        (np.zeros((8, 8), np.uint8), "crop 0 is uint8 [8, 8]"),
        ([np.zeros((8, 8, 4), np.uint8)], "crop 0 is uint8 [8, 8, 4]"),
        (np.zeros((8, 8, 3)), "crop 0 is float64 [8, 8, 3]"),
        ([np.zeros((0, 8, 3), np.uint8)], "crop 0 is uint8 [0, 8, 3]"),
    ],
)
def test_reid_model_refuses_values_that_are_no_crops(model, value, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        model(value)
    assert "; give RGB pixels [h, w, 3] in uint8, PIL images or paths" in str(error.value)


def test_reid_model_names_files_that_do_not_decode(model, tmp_path):
    for path in (tmp_path, tmp_path / "none.jpg"):
        with pytest.raises(UserError, match=f"do not decode: {path.name}"):
            model([path])


def test_reid_model_names_truncated_images(model, tmp_path):
    file = tmp_path / "cut.png"
    Image.fromarray(crops()[0]).save(file)
    file.write_bytes(file.read_bytes()[:900])
    with Image.open(file) as image, pytest.raises(UserError, match="crop 0 cannot be read"):
        model(image)


@pytest.mark.parametrize("device", ["rubbish", "meta", "cuda:99", None])
@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_reid_model_refuses_unavailable_devices(exported, kind, device):
    path = ZOO_MODEL if kind == "torch" else exported
    with pytest.raises(UserError, match=f"device {device!r} is not available .*give auto, cpu"):
        ReidModel(path, device=device)


def test_reid_model_gives_equal_features_on_auto_and_cpu(exported):
    for path in (ZOO_MODEL, exported):
        features = [ReidModel(path, device=device)(crops()) for device in ("auto", "cpu")]
        np.testing.assert_allclose(*features, atol=1e-4)


def test_reid_model_prefers_an_available_accelerator(monkeypatch):
    from reid_gen.inference import reid_model

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert reid_model._resolve_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert reid_model._resolve_device("auto").type == "cpu"


def test_reid_model_refuses_a_path_of_none():
    with pytest.raises(UserError, match="a model must be the path of a run or a file, got None"):
        ReidModel(None)


def test_reid_model_refuses_a_batch_size_of_0():
    with pytest.raises(UserError, match="batch must be at least 1, got 0"):
        ReidModel(ZOO_MODEL, batch=0)
