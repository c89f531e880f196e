import re

import numpy as np
import pytest
import torch
from PIL import Image

from reid_gen.cli.main import main
from reid_gen.errors import UserError
from reid_gen.inference.reid_model import ReidModel

OURS = "resnet10t.rendered"


@pytest.fixture(scope="module")
def model():
    return ReidModel(OURS)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    file = tmp_path_factory.mktemp("export") / "encoder.onnx"
    main(["export", OURS, "--out", str(file)])
    return file


def crops(count=3):
    return list(np.random.default_rng(0).integers(0, 256, (count, 40, 20, 3), np.uint8))


def in_all_ways(folder):
    """The same crops as arrays, as one array, as PIL images, as files and as file names."""
    arrays = crops()
    files = [folder / f"{number}.png" for number in range(len(arrays))]
    pictures = [Image.fromarray(array) for array in arrays]
    for picture, file in zip(pictures, files, strict=True):
        picture.save(file)
    return [arrays, np.stack(arrays), pictures, files, [str(file) for file in files], iter(arrays)]


def test_reid_model_takes_arrays_pictures_and_files(model, tmp_path):
    wanted, *others = (model(some) for some in in_all_ways(tmp_path))
    assert wanted.shape == (3, 512)
    for features in others:
        np.testing.assert_array_equal(features, wanted)


def test_reid_model_takes_one_crop_alone(model, tmp_path):
    wanted = model(crops()[:1])
    for some in in_all_ways(tmp_path)[:-1]:
        np.testing.assert_array_equal(model(some[0]), wanted)


def test_reid_model_reads_files_as_extract_does(model, tmp_path):
    in_all_ways(tmp_path)
    out = tmp_path / "features.npz"
    main(["extract", str(tmp_path), "--model", OURS, "--out", str(out)])
    files = sorted(tmp_path.glob("*.png"))
    np.testing.assert_allclose(model(files), np.load(out)["feature"], atol=1e-5)


def test_reid_model_of_no_crops_gives_no_rows(model):
    for nothing in ([], np.empty((0, 8, 8, 3), np.uint8), iter(())):
        assert model(nothing).shape == (0, 512)


def test_reid_model_prepares_one_batch_at_a_time(monkeypatch):
    model = ReidModel(OURS, batch=2)
    wanted, sizes, prepared = model(crops(5)), [], []
    compute, prepare = model._compute, model._prepared
    monkeypatch.setattr(
        model, "_compute", lambda images: sizes.append(len(images)) or compute(images)
    )
    monkeypatch.setattr(
        model,
        "_prepared",
        lambda crop, number: prepared.append(len(sizes)) or prepare(crop, number),
    )
    np.testing.assert_array_equal(model(crops(5)), wanted)
    assert sizes == [2, 2, 1]
    assert prepared == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("rubbish", "message"),
    [
        (None, "crops are None"),
        (7, "crops are 7"),
        ([crops()[0], None], "crop 1 is NoneType None"),
        ([torch.zeros(3, 8, 8)], "crop 0 is Tensor"),
        (b"crop", "crop 0 is int 99"),
        (np.zeros((8, 8), np.uint8), "crop 0 is uint8 [8, 8]"),
        ([np.zeros((8, 8, 4), np.uint8)], "crop 0 is uint8 [8, 8, 4]"),
        (np.zeros((8, 8, 3)), "crop 0 is float64 [8, 8, 3]"),
        ([np.zeros((0, 8, 3), np.uint8)], "crop 0 is uint8 [0, 8, 3]"),
    ],
)
def test_reid_model_names_what_is_no_crop(model, rubbish, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        model(rubbish)
    assert "; give RGB pixels [h, w, 3] in uint8, PIL images or paths" in str(error.value)


def test_reid_model_names_a_file_that_does_not_decode(model, tmp_path):
    for path in (tmp_path, tmp_path / "none.jpg"):
        with pytest.raises(UserError, match=f"do not decode: {path.name}"):
            model([path])


def test_reid_model_names_a_picture_that_is_cut_off(model, tmp_path):
    file = tmp_path / "cut.png"
    Image.fromarray(crops()[0]).save(file)
    file.write_bytes(file.read_bytes()[:900])
    with Image.open(file) as picture, pytest.raises(UserError, match="crop 0 cannot be read"):
        model(picture)


@pytest.mark.parametrize("device", ["rubbish", "meta", "cuda:99", None])
@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_reid_model_names_a_device_that_is_not_there(exported, kind, device):
    path = OURS if kind == "torch" else exported
    with pytest.raises(UserError, match=f"device {device!r} cannot be had .*give auto, cpu"):
        ReidModel(path, device=device)


def test_reid_model_computes_on_the_device_of_its_argument(exported):
    for path in (OURS, exported):
        features = [ReidModel(path, device=device)(crops()) for device in ("auto", "cpu")]
        np.testing.assert_allclose(*features, atol=1e-4)


def test_reid_model_takes_the_accelerator_that_is_there(monkeypatch):
    from reid_gen.inference import reid_model

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert reid_model._place("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert reid_model._place("auto").type == "cpu"


def test_reid_model_refuses_a_model_that_is_no_path():
    with pytest.raises(UserError, match="a model is the path of a run or a file, got None"):
        ReidModel(None)


def test_reid_model_refuses_batches_of_nothing():
    with pytest.raises(UserError, match="batch must be at least 1, got 0"):
        ReidModel(OURS, batch=0)
