"""Without an optional package a command stops before any work, and says how to get it."""

import re

import pytest

from reid_gen import extras
from tests.cli.conftest import failure
from tests.documents.pages import ROOT, text_of

MESSAGES = {
    "gradio": (
        "serve resnet10t.rendered --gallery .",
        "a page needs gradio, which is not installed: pip install 'reid-gen[serve]'",
    ),
    "imageio_ffmpeg": (
        "views x.yaml a.jpg --out turn.mp4",
        "writing .mp4 needs imageio-ffmpeg, which is not installed: "
        "pip install 'reid-gen[video]', or write .gif",
    ),
    "matplotlib": (
        "report run --out a.html",
        "a report needs matplotlib, which is not installed: pip install 'reid-gen[report]'",
    ),
    "onnx": (
        "export resnet10t.rendered --out b.onnx",
        "ONNX needs onnx, which is not installed: pip install 'reid-gen[onnx]'",
    ),
    "onnxruntime": (
        "extract crops --model a.onnx --out a.npz",
        "a.onnx needs onnxruntime, which is not installed: pip install 'reid-gen[onnx]'",
    ),
    "onnxscript": (
        "export resnet10t.rendered --out b.onnx",
        "ONNX needs onnxscript, which is not installed: pip install 'reid-gen[onnx]'",
    ),
    "peft": (
        "tune pipeline.yaml crops --prompt man --out lora",
        "tuning needs peft, which is not installed: pip install 'reid-gen[stable-diffusion]'",
    ),
    "pyarrow": (
        "extract crops --model resnet10t.rendered --out a.parquet",
        "writing .parquet needs pyarrow, which is not installed: "
        "pip install 'reid-gen[parquet]', or take .npz",
    ),
    "transformers": (
        "generate pipeline.yaml --out groups --members 2",
        "Stable Diffusion needs transformers, which is not installed: "
        "pip install 'reid-gen[stable-diffusion]'",
    ),
}


@pytest.mark.parametrize("package", extras.EXTRA)
def test_the_message_names_the_extra(package, tmp_path, monkeypatch, capsys, gan_run):
    command, expected = MESSAGES[package]
    monkeypatch.chdir(tmp_path)
    people = gan_run.parents[1] / "people"
    (tmp_path / "crops").symlink_to(people / "query")
    (tmp_path / "run").symlink_to(gan_run)
    (tmp_path / "a.onnx").write_bytes(b"")
    (tmp_path / "prompts.txt").write_text("a man\n")
    (tmp_path / "pipeline.yaml").write_text(
        f"data: {{name: pedestrians, root: {people}, height: 64, width: 32}}\n"
        f"bodies: {people}/bodies\nprompts: prompts.txt\n"
        "model: {base: sd, controls: [{weights: c, condition: openpose}]}\n"
    )
    before = sorted(tmp_path.iterdir())
    missing = {package: None}
    monkeypatch.setattr(extras, "find_spec", lambda name: missing.get(name, True))
    assert failure(capsys, *command.split()) == f"error: {expected}"
    assert sorted(tmp_path.iterdir()) == before


def test_every_package_stands_under_its_extra():
    project = text_of(ROOT / "pyproject.toml")
    for package, extra in extras.EXTRA.items():
        (listed,) = re.findall(rf"^{extra} = \[(.*?)\]", project, re.MULTILINE)
        assert f'"{package.replace("_", "-")}>=' in listed
