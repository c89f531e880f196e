"""Commands without an optional package: they stop before any work and name the extra."""

import re

import pytest

from reid_gen import extras
from reid_gen.body.model import built_in_body
from reid_gen.cli.main import main
from tests.cli.conftest import failure
from tests.data.real_format import make_market
from tests.documents.pages import ROOT, text_of
from tests.training.small import write_config

pytestmark = pytest.mark.slow

MESSAGES = {
    "diffusers": (
        "generate pipeline.yaml --out groups --members 2",
        "Stable Diffusion needs diffusers",
        "",
    ),
    "gradio": ("serve resnet10t.rendered --gallery crops", "a page needs gradio", ""),
    "imageio_ffmpeg": (
        "views run crops --out turn.mp4",
        "writing .mp4 needs imageio-ffmpeg",
        "; or write .gif",
    ),
    "matplotlib": ("report run --out a.html", "a report needs matplotlib", ""),
    "onnx": ("export resnet10t.rendered --out b.onnx", "ONNX needs onnx", ""),
    "onnxruntime": ("extract crops --model a.onnx --out a.npz", "a.onnx needs onnxruntime", ""),
    "onnxscript": ("export resnet10t.rendered --out b.onnx", "ONNX needs onnxscript", ""),
    "peft": ("tune pipeline.yaml crops --prompt man --out lora", "tuning needs peft", ""),
    "pyarrow": (
        "extract crops --model resnet10t.rendered --out a.parquet",
        "writing .parquet needs pyarrow",
        "; or take .npz",
    ),
    "ray": ("extract crops --out a.npz --engine ray", "--engine ray needs ray", ""),
    "smplx": ("views run crops --out turn.gif", "a body model needs smplx", ""),
    "torchmetrics": (
        "evaluate-views run",
        "comparing views with true images needs torchmetrics",
        "",
    ),
    "transformers": (
        "generate pipeline.yaml --out groups --members 2",
        "Stable Diffusion needs transformers",
        "",
    ),
}


@pytest.mark.parametrize("package", MESSAGES)
def test_command_without_a_package_names_its_extra(package, tmp_path, monkeypatch, capsys, gan_run):
    command, requirement, alternative = MESSAGES[package]
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
    built_in_body.cache_clear()
    extra = extras.EXTRA[package]
    assert failure(capsys, *command.split()) == (
        f"error: {requirement}, which is not installed; in the source folder: "
        f"pip install -e '.[{extra}]'{alternative}"
    )
    assert sorted(tmp_path.iterdir()) == before


def test_train_without_tensorboard_writes_metrics_and_a_note(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "tensorboard" else True)
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    main(["train", "--config", str(config), "--set", "stages.0.epochs=1"])
    assert "pip install -e '.[tensorboard]'" in capsys.readouterr().err
    run = tmp_path / "runs" / "tiny"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    assert not (run / "tensorboard").exists()


@pytest.mark.parametrize(
    "command",
    [
        "extract crops --out a.npz --shard 1/2",
        "meshes pedestrians --root crops --out bodies --shard 1/2",
        "generate run --out groups --shard 1/2",
        "merge crops --out a.npz",
    ],
)
def test_shards_without_pyarrow_name_its_extra(command, gan_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crops").mkdir()
    (tmp_path / "run").symlink_to(gan_run)
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "pyarrow" else True)
    what = "reid-gen merge" if command.startswith("merge") else "--shard"
    assert failure(capsys, *command.split()) == (
        f"error: {what} needs pyarrow, which is not installed; in the source folder: "
        "pip install -e '.[parquet]'"
    )
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "command",
    [
        "data render pedestrians --preset tiny --out people",
        "data groups --share pose --count 2 --out groups",
    ],
)
def test_data_without_smplx_names_its_extra(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "smplx" else True)
    assert failure(capsys, *command.split()) == (
        "error: rendering people needs smplx, which is not installed; in the source folder: "
        "pip install -e '.[bodies]'"
    )
    assert not list(tmp_path.iterdir())


def test_train_without_diffusers_names_its_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "diffusers" else True)
    (tmp_path / "bodies").mkdir()
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    generator = f"{{kind: pixel_diffusion, bodies: {tmp_path / 'bodies'}}}"
    words = ["train", "--config", str(config), "--set", f"generator={generator}"]
    words += ["--set", "stages.0.trains=[generator]"]
    assert "generator pixel_diffusion needs diffusers, which is not installed" in failure(
        capsys, *words
    )
    assert not (tmp_path / "runs").exists()


def test_extra_packages_are_all_tested():
    assert set(extras.EXTRA) == {*MESSAGES, "tensorboard"}


def test_extra_packages_are_listed_in_pyproject():
    project = text_of(ROOT / "pyproject.toml")
    for package, extra in extras.EXTRA.items():
        (listed,) = re.findall(rf"^{extra} = \[(.*)\]$", project, re.MULTILINE)
        assert re.search(rf'"{package.replace("_", "-")}(\[\w+\])?>=', listed)


def test_install_hints_need_no_package_index():
    """The program is on no package index, so that its name installs nothing, or another's."""
    files = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "reid_gen").rglob("*.py")]
    hint = re.compile(r"pip install[^\n`]*(?<![\w/.-])reid-gen\b")
    assert not [str(path) for path in files if hint.search(text_of(path))]
