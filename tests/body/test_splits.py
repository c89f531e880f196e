import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file

from reid_gen.body.estimate import splits
from reid_gen.body.estimate.estimator import RegressorEstimator
from reid_gen.body.estimate.regressor import MeshRegressor
from reid_gen.body.table import load_table
from reid_gen.cli.main import main
from reid_gen.data.datasets import load_dataset
from tests.body.test_smpl_file import smpl_content
from tests.data.real_format import make_market

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    regressor = MeshRegressor()
    t_pose = torch.eye(3).expand(24, 3, 3)
    regressor.set_mean_body(t_pose, torch.zeros(10), torch.tensor([0.9, 0.0, -0.1]))
    path = tmp_path_factory.mktemp("weights") / "regressor.safetensors"
    save_file(
        {name: value.half().contiguous() for name, value in regressor.state_dict().items()}, path
    )
    return path


@pytest.fixture
def root(tmp_path):
    return make_market(tmp_path / "data")


def run_meshes(root, weights, out, *options):
    paths = ["--root", str(root), "--weights", str(weights), "--out", str(out)]
    main(["meshes", "market1501", *paths, *options])


def images_of(root):
    dataset = load_dataset("market1501", root)
    return [image for images in splits.images_by_split(dataset).values() for image in images]


def error_of(capsys, *arguments, code=1):
    with pytest.raises(SystemExit) as exit_info:
        run_meshes(*arguments)
    assert exit_info.value.code == code
    return capsys.readouterr().err


def test_meshes_estimates_every_image_of_every_split(root, weights, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    run_meshes(root, weights, tmp_path / "out", "--sheet", str(sheet))
    dataset = load_dataset("market1501", root)
    for split, images in splits.images_by_split(dataset).items():
        table = load_table(tmp_path / "out" / f"{split}.npz")
        assert table.keys == tuple(image.key for image in images)
        assert ((table.score > 0) & (table.score < 1)).all()
    assert "mean score" in capsys.readouterr().out
    assert Pillow.open(sheet).width == 10 * 64


def test_meshes_resumes_an_interrupted_run(root, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "PART_SIZE", 4)
    uninterrupted, resumed = tmp_path / "uninterrupted", tmp_path / "resumed"
    run_meshes(root, weights, uninterrupted)
    calls = []
    estimate = RegressorEstimator.__call__

    def interrupted(self, keys, pixels):
        calls.append(keys)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return estimate(self, keys, pixels)

    monkeypatch.setattr(RegressorEstimator, "__call__", interrupted)
    with pytest.raises(SystemExit):
        run_meshes(root, weights, resumed)
    before = {key for keys in calls[:2] for key in keys}
    calls.clear()
    calls.extend([()] * 3)
    run_meshes(root, weights, resumed)
    after = {key for keys in calls for key in keys}
    assert not before & after
    for name in ("train", "query", "gallery"):
        expected = load_table(uninterrupted / f"{name}.npz")
        actual = load_table(resumed / f"{name}.npz")
        assert actual.keys == expected.keys
        np.testing.assert_array_equal(actual.pose, expected.pose)
    assert not [path for path in resumed.iterdir() if path.name.startswith(".")]


def test_meshes_lists_low_scores_lowest_first(root, weights, tmp_path):
    run_meshes(root, weights, tmp_path / "out")
    lines = (tmp_path / "out" / splits.LOW_SCORES_FILE).read_text().splitlines()
    scores = [float(line.split()[0]) for line in lines]
    assert scores == sorted(scores)
    tables = [load_table(tmp_path / "out" / f"{n}.npz") for n in ("train", "query", "gallery")]
    assert len(lines) == sum(int((table.score < splits.LOW_SCORE).sum()) for table in tables)


def test_meshes_names_unreadable_images_and_writes_no_table(root, weights, tmp_path, capsys):
    truncated = sorted((root / "Market-1501-v15.09.15" / "query").glob("*.jpg"))[0]
    truncated.write_bytes(truncated.read_bytes()[:200])
    message = error_of(capsys, root, weights, tmp_path / "out")
    assert f"1 image(s) do not decode: {truncated.name}" in message
    assert not (tmp_path / "out" / "query.npz").exists()


def test_meshes_never_mixes_tables_of_two_regressors(root, weights, tmp_path, capsys):
    run_meshes(root, weights, tmp_path / "out")
    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    save_file(MeshRegressor().state_dict(), other)
    message = error_of(capsys, root, other, tmp_path / "out")
    assert "train.npz holds bodies of another source (mesh regressor " in message
    assert "remove it, or give another --out" in message


def test_meshes_names_a_missing_weight_file(root, tmp_path, capsys):
    message = error_of(capsys, root, tmp_path / "none.safetensors", tmp_path / "out")
    assert f"{tmp_path / 'none.safetensors'} does not exist; check --weights" in message


def test_meshes_names_weights_of_another_network(root, tmp_path, capsys):
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    message = error_of(capsys, root, other, tmp_path / "out")
    assert f"{other} does not fit this architecture" in message


def test_meshes_uses_the_bundled_weights_by_default(root, tmp_path):
    main(["meshes", "market1501", "--root", str(root), "--out", str(tmp_path / "out")])
    assert load_table(tmp_path / "out" / "query.npz").source.startswith("mesh regressor")


def test_meshes_imports_bodies_of_another_program(root, tmp_path):
    files, smpl = tmp_path / "files", tmp_path / "smpl.pkl"
    files.mkdir()
    for image in images_of(root):
        name = image.path.with_suffix(".npz").name
        np.savez(files / name, pose=np.zeros(72), betas=np.zeros(10), cam=[0.9, 0, 0], score=0.3)
    smpl.write_bytes(pickle.dumps(smpl_content(300)))
    command = ["meshes", "market1501", "--root", str(root), "--out", str(tmp_path / "out")]
    main([*command, "--from", str(files), "--body", str(smpl), "--sheet", str(tmp_path / "s.png")])
    table = load_table(tmp_path / "out" / "train.npz")
    assert (table.score == np.float32(0.3)).all()
    assert table.source == f"files in {files}"
    assert Pillow.open(tmp_path / "s.png").width == 10 * 64


def test_meshes_fits_bodies_to_keypoints(root, weights, tmp_path):
    image = images_of(root)[0]
    file = tmp_path / "keypoints.json"
    entry = {"image_id": image.path.name, "keypoints": [20.0, 40.0, 1.0] * 17}
    file.write_text(json.dumps([entry]))
    run_meshes(root, weights, tmp_path / "plain")
    run_meshes(root, weights, tmp_path / "fitted", "--keypoints", str(file))
    plain, fitted = (load_table(tmp_path / name / "train.npz") for name in ("plain", "fitted"))
    changed = np.abs(plain.pose - fitted.pose).max((1, 2)) > 0
    assert [plain.keys[row] for row in np.flatnonzero(changed)] == [image.key]
    assert fitted.source == f"{plain.source}, refined by {file}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "a", "--weights", "b"], "give one of the two"),
        (["--from", "a"], "--body, an SMPL model, is required with --from"),
        (["--weights", "a.pt"], "--body, an SMPL model, is required with"),
        (["--body", "a"], "must be left out otherwise"),
    ],
)
def test_meshes_rejects_contradictory_options(
    root, tmp_path, capsys, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    for name in options[1::2]:
        (tmp_path / name).write_text("")
    with pytest.raises(SystemExit):
        main(["meshes", "market1501", "--root", str(root), "--out", str(tmp_path / "o"), *options])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_meshes_draws_sheets_with_the_chosen_rasteriser(root, weights, tmp_path, torch_calls):
    sheets = [tmp_path / "numba.png", tmp_path / "torch.png"]
    for sheet, options in zip(sheets, ([], ["--rasteriser", "torch"]), strict=True):
        assert not torch_calls
        run_meshes(root, weights, tmp_path / "out", "--sheet", str(sheet), *options)
    assert torch_calls
    by_numba, by_torch = (np.asarray(Pillow.open(sheet)).astype(int) for sheet in sheets)
    assert np.abs(by_numba - by_torch).mean() < 1


def test_meshes_scores_masks_with_the_chosen_rasteriser(root, weights, tmp_path, torch_calls):
    masks = tmp_path / "masks"
    masks.mkdir()
    key = images_of(root)[0].key
    Pillow.new("L", (64, 128), 255).save(masks / Path(key).with_suffix(".png").name)
    run_meshes(root, weights, tmp_path / "out", "--masks", str(masks), "--rasteriser", "torch")
    assert torch_calls


def test_meshes_rejects_a_rasteriser_that_has_no_effect(root, weights, tmp_path, capsys):
    message = error_of(capsys, root, weights, tmp_path / "out", "--rasteriser", "torch", code=2)
    assert "--rasteriser torch has no effect without --sheet" in message
