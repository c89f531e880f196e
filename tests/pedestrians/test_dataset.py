import io
import json

import numpy as np
import pytest
from PIL import Image

from reid_gen.body.table import load_table
from reid_gen.cli.main import main
from reid_gen.data.datasets import load_dataset
from reid_gen.errors import UserError
from reid_gen.pedestrians.compositing import encode_jpeg
from reid_gen.pedestrians.crop_list import DatasetSize
from reid_gen.pedestrians.dataset import HEADER, RenderedDataset, render_dataset

pytestmark = pytest.mark.slow

SIZE = DatasetSize(2, 2, 2, 6, 4, 6, 2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered") / "pedestrians"
    render_dataset(folder, SIZE, seed=3, height=64, width=32)
    return folder


def read_files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_render_dataset_writes_the_planned_counts(root):
    dataset = load_dataset("pedestrians", root)
    assert len(dataset.train) == 6
    assert len(dataset.query.images) == 4
    assert len(dataset.gallery.images) == 8
    assert (dataset.gallery.pids == 0).sum() == 2


def test_render_dataset_writes_the_layout_of_market1501(root):
    assert len(load_dataset("market1501", root).train) == 6


def test_render_dataset_gives_the_same_bytes_with_two_workers(root, tmp_path):
    with_two_workers = tmp_path / "with_two_workers"
    render_dataset(with_two_workers, SIZE, seed=3, height=64, width=32, workers=2)
    expected, actual = read_files(root), read_files(with_two_workers)
    assert actual.keys() == expected.keys()
    assert all(actual[name] == expected[name] for name in expected if name.suffix == ".jpg")


def test_render_dataset_writes_the_body_of_every_crop(root):
    dataset = load_dataset("pedestrians", root)
    table = load_table(root / "bodies" / "train.npz")
    bodies = table.select([image.key for image in dataset.train])
    assert bodies.keys == tuple(image.key for image in dataset.train)
    assert (bodies.score == 1).all()
    assert (bodies.size == [64, 32]).all()
    assert (bodies.camera[:, 0] > 0).all()


def test_view_renders_a_crop_again_and_turned(root):
    key = load_dataset("pedestrians", root).query.images[0].key
    dataset = RenderedDataset(root)
    crop = dataset.view(key)
    expected = np.asarray(Image.open(root / key))
    quality = dataset.renderer.camera(int(key.split("_c")[1][0]) - 1).response.jpeg_quality
    decoded = np.asarray(Image.open(io.BytesIO(encode_jpeg(crop, quality))))
    np.testing.assert_array_equal(decoded, expected)
    back = dataset.view(key, 180)
    assert back.shape == crop.shape
    assert np.abs(back.astype(int) - crop).mean() > 1
    np.testing.assert_allclose(dataset.view(key, 360).astype(int), crop, atol=2)


def test_ground_truth_projects_joints_into_the_silhouette(root):
    renderer = RenderedDataset(root).renderer
    crop = renderer.sample_crop(0, 0, 0)
    mask = renderer._render_layer(0, crop.pose, crop.shot.framing, renderer.camera(0)).mask
    scale, shift_x, shift_y = renderer.ground_truth(crop).camera
    posed, projection = renderer._pose_body(0, crop.pose, crop.shot.framing)
    joints = posed.joints[0].numpy()
    in_camera = (joints - joints[0]) @ projection.rotation.T
    height, width = mask.shape
    x = width / 2 + height / 2 * (scale * in_camera[:, 0] + shift_x)
    y = height / 2 + height / 2 * (-scale * in_camera[:, 1] + shift_y)
    in_crop = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    in_silhouette = mask[y[in_crop].astype(int), x[in_crop].astype(int)]
    assert in_silhouette.mean() > 0.85


def test_render_dataset_never_overwrites_a_folder(root):
    before = read_files(root)
    with pytest.raises(UserError, match=f"{root} exists"):
        render_dataset(root, SIZE, seed=4)
    assert read_files(root) == before


def test_render_dataset_leaves_nothing_behind_after_a_failure(tmp_path, monkeypatch):
    def fail(table, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reid_gen.pedestrians.dataset.save_table", fail)
    with pytest.raises(UserError, match=r"cannot write .*No space left"):
        render_dataset(tmp_path / "out", SIZE, seed=3, height=32, width=16)
    assert list(tmp_path.iterdir()) == []


def test_rendered_dataset_refuses_another_folder(tmp_path):
    with pytest.raises(UserError, match=f"holds no {HEADER}: true turned views exist only for"):
        RenderedDataset(tmp_path)


def test_rendered_dataset_refuses_another_format(tmp_path):
    (tmp_path / HEADER).write_text(json.dumps({"format": 0}))
    with pytest.raises(UserError, match="has format 0, this version renders 1; render the data"):
        RenderedDataset(tmp_path)


def test_view_names_a_missing_crop(root):
    with pytest.raises(UserError, match=r"query/none\.jpg is no crop of this rendered data set"):
        RenderedDataset(root).view("query/none.jpg")


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        ("cats --preset tiny", "'cats' cannot be rendered; known: pedestrians", 1),
        ("pedestrians", "give either --preset (tiny, small, market) or --identities", 2),
        ("pedestrians --preset huge", "unknown preset 'huge'; known: tiny, small, market", 2),
        ("pedestrians --preset tiny --cameras 3", "--cameras 3 has no effect with --preset", 2),
    ],
)
def test_render_command_names_what_is_wrong(arguments, message, code, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["data", "render", *arguments.split(), "--out", str(tmp_path / "out")])
    assert end.value.code == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_render_command_renders(tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--identities", "4", "--cameras", "2", "--height", "32", "--width", "16"]
    main(["data", "render", "pedestrians", *options, "--workers", "1", "--out", str(out)])
    assert "rendered" in capsys.readouterr().out
    assert len(load_dataset("pedestrians", out).train) == 34


@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, '{"format": 1}', '{"format": 1, "size": 3}']
)
def test_rendered_dataset_refuses_a_damaged_header(tmp_path, text):
    (tmp_path / HEADER).write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        RenderedDataset(tmp_path)
