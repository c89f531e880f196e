import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file

from reid_gen.body.estimate import splits as meshes
from reid_gen.body.estimate.estimator import MeshRecovery
from reid_gen.body.estimate.regressor import MeshRegressor
from reid_gen.body.table import load_table
from reid_gen.cli.main import main
from reid_gen.data.datasets import load_dataset
from tests.body.test_smpl_file import smpl_content
from tests.data.real_format import make_market


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    regressor = MeshRegressor()
    at_rest = torch.eye(3).expand(24, 3, 3)
    regressor.begin_at(at_rest, torch.zeros(10), torch.tensor([0.9, 0.0, -0.1]))
    path = tmp_path_factory.mktemp("weights") / "regressor.safetensors"
    save_file(
        {name: value.half().contiguous() for name, value in regressor.state_dict().items()}, path
    )
    return path


@pytest.fixture
def root(tmp_path):
    return make_market(tmp_path / "data")


def call(root, weights, out, *words):
    main(
        [
            "meshes",
            "market1501",
            "--root",
            str(root),
            "--weights",
            str(weights),
            "--out",
            str(out),
            *words,
        ]
    )


def images_of(root):
    return [
        i for split in meshes.splits_of(load_dataset("market1501", root)).values() for i in split
    ]


def fault(capsys, *words, code=1):
    with pytest.raises(SystemExit) as end:
        call(*words)
    assert end.value.code == code
    return capsys.readouterr().err


def test_every_image_of_every_split_gets_a_body(root, weights, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    call(root, weights, tmp_path / "out", "--sheet", str(sheet))
    dataset = load_dataset("market1501", root)
    for split, images in meshes.splits_of(dataset).items():
        table = load_table(tmp_path / "out" / f"{split}.npz")
        assert table.keys == tuple(image.key for image in images)
        assert ((table.score > 0) & (table.score < 1)).all()
    assert "mean score" in capsys.readouterr().out
    assert Pillow.open(sheet).width == 10 * 64


def test_a_killed_run_does_only_what_is_left(root, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(meshes, "PART", 4)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    call(root, weights, whole)
    calls = []
    real = MeshRecovery.__call__

    def dies(self, keys, pixels):
        calls.append(keys)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, keys, pixels)

    monkeypatch.setattr(MeshRecovery, "__call__", dies)
    with pytest.raises(SystemExit):
        call(root, weights, cut)
    first = {key for keys in calls[:2] for key in keys}
    calls.clear()
    calls.extend([()] * 3)
    call(root, weights, cut)
    again = {key for keys in calls for key in keys}
    assert not first & again
    for name in ("train", "query", "gallery"):
        one, two = load_table(whole / f"{name}.npz"), load_table(cut / f"{name}.npz")
        assert one.keys == two.keys
        np.testing.assert_array_equal(one.pose, two.pose)
    assert not [path for path in cut.iterdir() if path.name.startswith(".")]


def test_shares_make_the_same_as_one_run(root, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(meshes, "PART", 4)
    call(root, weights, tmp_path / "whole")
    call(root, weights, tmp_path / "shared", "--shard", "2/2")
    assert not (tmp_path / "shared" / "train.npz").exists()
    assert "share 2/2 is done; the tables follow when all shares are" in capsys.readouterr().out
    call(root, weights, tmp_path / "shared", "--shard", "1/2")
    one = load_table(tmp_path / "whole" / "train.npz")
    two = load_table(tmp_path / "shared" / "train.npz")
    assert one.keys == two.keys
    np.testing.assert_array_equal(one.camera, two.camera)


def test_low_scores_are_listed_worst_first(root, weights, tmp_path):
    call(root, weights, tmp_path / "out")
    lines = (tmp_path / "out" / meshes.LISTED).read_text().splitlines()
    scores = [float(line.split()[0]) for line in lines]
    assert scores == sorted(scores)
    splits = [load_table(tmp_path / "out" / f"{n}.npz") for n in ("train", "query", "gallery")]
    assert len(lines) == sum(int((table.score < meshes.LOW).sum()) for table in splits)


def test_an_image_that_does_not_decode_is_named_and_no_table_is_made(
    root, weights, tmp_path, capsys
):
    bad = sorted((root / "Market-1501-v15.09.15" / "query").glob("*.jpg"))[0]
    bad.write_bytes(bad.read_bytes()[:200])
    message = fault(capsys, root, weights, tmp_path / "out")
    assert f"1 image(s) do not decode: {bad.name}" in message
    assert not (tmp_path / "out" / "query.npz").exists()


def test_tables_of_another_regressor_are_never_mixed(root, weights, tmp_path, capsys):
    call(root, weights, tmp_path / "out")
    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    save_file(MeshRegressor().state_dict(), other)
    message = fault(capsys, root, other, tmp_path / "out")
    assert "was made by something else; remove it, or give another --out" in message


@pytest.mark.parametrize("shard", ["0/2", "3/2", "half"])
def test_an_impossible_share_is_refused(root, weights, tmp_path, capsys, shard):
    message = fault(capsys, root, weights, tmp_path / "out", "--shard", shard, code=2)
    assert f"{shard}: give i/n with i from 1 to n, such as 2/4" in message


def test_missing_weights_are_named(root, tmp_path, capsys):
    message = fault(capsys, root, tmp_path / "none.safetensors", tmp_path / "out")
    assert f"{tmp_path / 'none.safetensors'} does not exist; check --weights" in message


def test_weights_of_something_else_are_named(root, tmp_path, capsys):
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    message = fault(capsys, root, other, tmp_path / "out")
    assert f"{other} does not fit this architecture" in message


def test_weights_are_built_in(root, tmp_path, capsys):
    main(["meshes", "market1501", "--root", str(root), "--out", str(tmp_path / "out")])
    assert load_table(tmp_path / "out" / "query.npz").source.startswith("mesh regressor")


def test_bodies_of_another_program_are_taken_over(root, tmp_path, capsys):
    files, smpl = tmp_path / "files", tmp_path / "smpl.pkl"
    files.mkdir()
    for image in images_of(root):
        name = image.path.with_suffix(".npz").name
        np.savez(files / name, pose=np.zeros(72), betas=np.zeros(10), cam=[0.9, 0, 0], score=0.3)
    smpl.write_bytes(pickle.dumps(smpl_content(300)))
    words = ["meshes", "market1501", "--root", str(root), "--out", str(tmp_path / "out")]
    main([*words, "--from", str(files), "--body", str(smpl), "--sheet", str(tmp_path / "s.png")])
    table = load_table(tmp_path / "out" / "train.npz")
    assert (table.score == np.float32(0.3)).all()
    assert table.source == f"files in {files}"
    assert Pillow.open(tmp_path / "s.png").width == 10 * 64


def test_estimates_are_fitted_to_key_points(root, weights, tmp_path):
    points = [20.0, 40.0, 1.0] * 17
    known = images_of(root)[0]
    file = tmp_path / "points.json"
    file.write_text(json.dumps([{"image_id": known.path.name, "keypoints": points}]))
    call(root, weights, tmp_path / "plain")
    call(root, weights, tmp_path / "fitted", "--keypoints", str(file))
    plain, fitted = (load_table(tmp_path / name / "train.npz") for name in ("plain", "fitted"))
    changed = np.abs(plain.pose - fitted.pose).max((1, 2)) > 0
    assert [key for key, is_so in zip(plain.keys, changed, strict=True) if is_so] == [known.key]
    assert fitted.source == f"{plain.source}, refined by {file}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "a", "--weights", "b"], "give one of the two"),
        (["--from", "a"], "--body, an SMPL model, goes with bodies that others' programs estimate"),
        (["--weights", "a.pt"], "--body, an SMPL model, goes with"),
        (["--body", "a"], "and else leave it out"),
    ],
)
def test_contradictions_are_refused(root, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    for word in words[1::2]:
        (tmp_path / word).write_text("")
    with pytest.raises(SystemExit):
        main(["meshes", "market1501", "--root", str(root), "--out", str(tmp_path / "o"), *words])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_meshes_draw_by_the_rasteriser_of_the_option(root, weights, tmp_path, torch_calls):
    sheets = [tmp_path / "numba.png", tmp_path / "torch.png"]
    for sheet, words in zip(sheets, ([], ["--rasteriser", "torch"]), strict=True):
        assert not torch_calls
        call(root, weights, tmp_path / "out", "--sheet", str(sheet), *words)
    assert torch_calls
    one, two = (np.asarray(Pillow.open(sheet)).astype(int) for sheet in sheets)
    assert np.abs(one - two).mean() < 1


def test_meshes_score_masks_by_the_rasteriser(root, weights, tmp_path, torch_calls):
    masks = tmp_path / "masks"
    masks.mkdir()
    key = images_of(root)[0].key
    Pillow.new("L", (64, 128), 255).save(masks / Path(key).with_suffix(".png").name)
    call(root, weights, tmp_path / "out", "--masks", str(masks), "--rasteriser", "torch")
    assert torch_calls


def test_meshes_refuse_a_rasteriser_without_use(root, weights, tmp_path, capsys):
    message = fault(capsys, root, weights, tmp_path / "out", "--rasteriser", "torch", code=2)
    assert "--rasteriser torch has no effect where no body is drawn: give --sheet" in message
