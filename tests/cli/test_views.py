import hashlib
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from reid_gen.cli.main import main
from reid_gen.data.datasets import load_dataset
from reid_gen.data.images import resize
from reid_gen.evaluation import inception
from reid_gen.pedestrians.crop_list import DatasetSize
from reid_gen.pedestrians.dataset import RenderedDataset, render_dataset
from tests.cli.conftest import GAN_CONFIG as CONFIG
from tests.cli.conftest import failure

pytestmark = pytest.mark.slow


@pytest.fixture
def run(gan_run):
    return gan_run


@pytest.fixture
def crops(run):
    return sorted((run.parents[1] / "people" / "query").glob("*.jpg"))[:3]


def test_views_sheet_has_a_row_per_image(run, crops, tmp_path):
    out = tmp_path / "sheet.png"
    main(["views", str(run), *map(str, crops), "--out", str(out), "--degrees", "90,180"])
    sheet = np.asarray(Image.open(out))
    assert sheet.shape == (3 * 64, 3 * 32, 3)
    first = np.asarray(Image.open(crops[0]))
    np.testing.assert_array_equal(sheet[:64, :32], first)


def test_views_uses_given_bodies_instead_of_estimates(run, crops, tmp_path):
    table = run.parents[1] / "people" / "bodies" / "query.npz"
    for name, words in (("given.png", ["--bodies", str(table)]), ("estimated.png", [])):
        main(["views", str(run), str(crops[0]), "--out", str(tmp_path / name), *words])
    given, estimated = (
        np.asarray(Image.open(tmp_path / name)) for name in ("given.png", "estimated.png")
    )
    assert not np.array_equal(given, estimated)


def test_views_gif_is_a_full_rotation(run, crops, tmp_path):
    out = tmp_path / "turn.gif"
    main(["views", str(run), *map(str, crops), "--out", str(out)])
    with Image.open(out) as turn:
        assert turn.n_frames == 36
        assert turn.size == (3 * 32, 64)


def test_views_writes_mp4_if_its_encoder_is_installed(run, crops, tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="the video extra is not installed")
    out = tmp_path / "turn.mp4"
    main(["views", str(run), str(crops[0]), "--out", str(out)])
    assert out.read_bytes()[4:8] == b"ftyp"


def test_evaluate_views_compares_with_truth_and_baselines(run, tmp_path, capsys):
    out, sheet = tmp_path / "scores.json", tmp_path / "sheet.png"
    words = ["--queries", "4", "--json", str(out), "--sheet", str(sheet)]
    main(["evaluate-views", str(run), *words])
    printed = capsys.readouterr().out
    result = json.loads(out.read_text())
    assert list(result["scores"]) == ["true", "generated", "input", "mean_of_others"]
    assert all(name in printed for name in result["scores"])
    true, generated = result["scores"]["true"], result["scores"]["generated"]
    assert true["ssim"] == pytest.approx(1)
    assert -1 <= generated["ssim"] < 1
    assert generated["frechet"] > 0
    assert result["queries"] == 4
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape == (4 * 64, (1 + 3 + 3) * 32, 3)
    people = run.parents[1] / "people"
    first = load_dataset("pedestrians", people).query.images[0]
    np.testing.assert_array_equal(pixels[:64, 128:160], RenderedDataset(people).view(first.key, 90))


def test_evaluate_views_resizes_the_true_view(run, tmp_path):
    people = run.parents[1] / "people"
    other = tmp_path / "people"
    render_dataset(other, DatasetSize(3, 3, 2, 9, 5, 12, 2), seed=3, height=128, width=64)
    text = (run / "config.yaml").read_text()
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "config.yaml").write_text(text.replace(str(people), str(other)))
    out, sheet = tmp_path / "scores.json", tmp_path / "sheet.png"
    words = ["--queries", "2", "--degrees", "90", "--json", str(out), "--sheet", str(sheet)]
    main(["evaluate-views", str(copy), *words])
    assert json.loads(out.read_text())["scores"]["true"]["ssim"] == pytest.approx(1)
    first = load_dataset("pedestrians", other).query.images[0]
    true = resize(RenderedDataset(other).view(first.key, 90), 64, 32)
    np.testing.assert_array_equal(np.asarray(Image.open(sheet))[:64, 64:], true)


def test_evaluate_views_refuses_another_inception_file(run, tmp_path, monkeypatch, capsys):
    class Inception(torch.nn.Module):
        def forward(self, x: torch.Tensor, return_features: bool) -> torch.Tensor:
            assert return_features
            assert x.shape[2] == 299
            return x.float().mean((2, 3))

    file = tmp_path / "inception.pt"
    torch.jit.script(Inception()).save(str(file))
    message = failure(capsys, "evaluate-views", run, "--inception", file)
    assert "does not have the expected SHA-256 f58cb9b6" in message
    assert "inception-2015-12-05.pt" in message
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    main(["evaluate-views", str(run), "--queries", "3", "--inception", str(file)])
    assert "FID" in capsys.readouterr().out


def test_views_errors_are_one_line_each(run, crops, tmp_path, capsys):
    crop = crops[0]
    out = tmp_path / "a.png"
    assert "must end in .png or .jpg or .gif or .mp4" in failure(
        capsys, "views", run, crop, "--out", tmp_path / "a.webp"
    )
    assert "'90;180' is not a valid float range" in failure(
        capsys, "views", run, crop, "--out", out, "--degrees", "90;180", code=2
    )
    table = run.parents[1] / "people" / "bodies" / "train.npz"
    message = failure(capsys, "views", run, crop, "--out", out, "--bodies", table)
    assert message.startswith("error: the table has no body for 1 of 1 images")
    assert not out.exists()
    out.write_bytes(b"existing")
    assert "exists; give --force" in failure(capsys, "views", run, crop, "--out", out)
    assert out.read_bytes() == b"existing"


def test_views_refuses_a_run_without_generator(run, crops, tmp_path, capsys):
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "last").symlink_to(run / "last")
    head = CONFIG.format(runs=tmp_path, root=tmp_path).split("generator:")[0]
    (plain / "config.yaml").write_text(f"{head}stages: [{{name: identity, epochs: 1}}]\n")
    message = failure(capsys, "views", plain, crops[0], "--out", tmp_path / "a.png")
    assert "has no generator; give a run that trained one" in message


def test_evaluate_views_caches_the_gallery_statistics(run, tmp_path):
    outputs = [tmp_path / name for name in ("first.json", "second.json")]
    for out in outputs:
        main(["evaluate-views", str(run), "--queries", "3", "--json", str(out)])
        cached = {path: path.stat().st_mtime_ns for path in (run / "statistics").iterdir()}
        if out == outputs[0]:
            first_cached = cached
    assert cached == first_cached
    first, second = (json.loads(out.read_text())["scores"] for out in outputs)
    assert first == second


def test_evaluate_views_takes_a_reference_run_of_another_size(run, tmp_path):
    file = tmp_path / "judge.yaml"
    text = CONFIG.format(runs=tmp_path / "runs", root=run.parents[1] / "people")
    head = text.split("generator:")[0].replace("height: 64, width: 32", "height: 48, width: 32")
    stage = "{name: source, labels: source, epochs: 1, iterations: 1}"
    source = f"source: {{name: pedestrians, root: {run.parents[1] / 'people'}}}\n"
    file.write_text(f"{head}{source}stages: [{stage}]\n")
    main(["train", "--config", str(file), "--set", "name=judge", "--set", "sampler.instances=4"])
    words = ["--judge", str(tmp_path / "runs" / "judge"), "--json", str(tmp_path / "a.json")]
    main(["evaluate-views", str(run), "--queries", "3", *words])
    assert json.loads((tmp_path / "a.json").read_text())["judge"].endswith("runs/judge")


def test_views_uses_the_requested_rasteriser(run, crops, tmp_path, torch_calls):
    words = ["views", str(run), str(crops[0]), "--out", str(tmp_path / "a.png")]
    main([*words, "--rasteriser", "torch"])
    assert torch_calls


def test_evaluate_views_uses_the_requested_rasteriser(run, torch_calls):
    main(["evaluate-views", str(run), "--queries", "4", "--rasteriser", "torch"])
    assert torch_calls


def test_views_names_a_rasteriser_that_is_not_installed(run, crops, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh.rasterize_meshes", None)
    out = tmp_path / "a.png"
    words = ["views", run, crops[0], "--out", out, "--rasteriser", "pytorch3d"]
    assert "the rasteriser pytorch3d cannot be loaded" in failure(capsys, *words)
    assert not out.exists()
