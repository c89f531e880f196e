"""User errors: one line, exit code 1, no traceback, no files left."""

import pytest

from reid_gen.cli.main import main
from tests.cli.conftest import failure
from tests.data.real_format import make_folder, make_market
from tests.training.small import write_config

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path, make_market(tmp_path / "data"))


def error_of(capsys, *words):
    capsys.readouterr()
    message = failure(capsys, *words)
    assert "Traceback" not in message
    assert message.startswith("error: ")
    return message.removeprefix("error: ")


def train_one_epoch(config):
    main(["train", "--config", str(config), "--set", "stages.0.epochs=1"])
    return config.parent / "runs" / "tiny"


def is_without_runs(config):
    return not (config.parent / "runs").exists()


def test_train_names_a_missing_data_root(capsys, config):
    message = error_of(capsys, "train", "--config", config, "--set", "data.root=/no/such/place")
    assert message == "/no/such/place does not exist; check data.root"
    assert is_without_runs(config)


def test_train_names_file_and_line_of_an_unknown_key(capsys, config):
    config.write_text(config.read_text().replace("flip:", "flipp:"))
    message = error_of(capsys, "train", "--config", config)
    assert message.startswith(f"{config}:6: augment.flipp: unknown key; allowed here: flip, pad, ")
    assert message.endswith("did you mean flip?")
    assert is_without_runs(config)


def test_train_names_a_value_of_wrong_type(capsys, config):
    config.write_text(config.read_text().replace("{batch: 16,", "{batch: true,"))
    message = error_of(capsys, "train", "--config", config)
    assert message == f"{config}:7: sampler.batch: must be an integer, got true"


def test_train_names_a_duplicate_key(capsys, config):
    config.write_text(config.read_text() + "seed: 4\n")
    message = error_of(capsys, "train", "--config", config)
    assert message == f"{config}:12: seed: this key is given twice; keep one"


def test_train_refuses_weights_of_another_architecture(capsys, config, tmp_path):
    run = train_one_epoch(config)
    weights = run / "last" / "encoder.safetensors"
    message = error_of(
        capsys,
        *("train", "--config", config, "--set", "name=other", "--set", "encoder.backbone=resnet50"),
        *("--set", f"encoder.weights={weights}"),
    )
    assert f"{weights} does not fit this architecture: " in message
    assert not (tmp_path / "runs" / "other").exists()


def test_evaluate_refuses_a_checkpoint_of_another_encoder(capsys, config):
    run = train_one_epoch(config)
    message = error_of(
        capsys,
        *("evaluate", "--config", config, "--checkpoint", run),
        *("--set", "encoder.pooling=max"),
    )
    assert message == (
        f"{run} holds another encoder than the configured one: "
        "pooling avg instead of max; use its own configuration (leave --config out)"
    )


def test_train_refuses_an_existing_run(capsys, config):
    run = train_one_epoch(config)
    message = error_of(capsys, "train", "--config", config)
    assert message == (
        f"{run} exists; choose another name, resume it with --resume {run}, or remove it"
    )


def test_train_refuses_to_resume_another_folder(capsys, tmp_path):
    message = error_of(capsys, "train", "--resume", tmp_path)
    assert message == f"{tmp_path} is not a run folder (config.yaml is missing); give runs/NAME"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train", "give either --config FILE to start a run or --resume RUN to resume one"),
        ("train --config . --resume .", "give either --config FILE to start a run or --resume RUN"),
        ("train --resume . --set seed=2", "--set cannot change a run that is resumed; start a new"),
        ("evaluate", "give --config FILE, --checkpoint RUN or both"),
        ("evaluate --config . --temporal", "--temporal learns travel times from the clusters"),
        ("evaluate --config . --turned", "--turned generates views with the generator of a run"),
        ("export resnet10t.rendered --out e.pt2 --int8 .", "--int8 writes .onnx; give --out FILE"),
        (
            "data render pedestrians --preset tiny --out p --width 129",
            "--width 129 must be at most",
        ),
        ("data groups --share pose --out g --height 32", "--width 64 must be at most --height 32"),
        ("data render pedestrians --out p", "give either --preset (tiny, small, market) or --ide"),
        ("meshes folder --root . --out b --from . --weights .", "give one of the two"),
        (
            "meshes folder --root . --out b --from .",
            "--body, an SMPL model, is required with --from",
        ),
        (
            "meshes folder --root . --out b --body .",
            "--body, an SMPL model, is required with --from",
        ),
        ("generate --out g", "SOURCE is missing; give a run or a pipeline file (YAML)"),
        (
            "generate resnet10t.rendered --out g --share 0.5",
            "--share 0.5 has no effect without --maker anchored",
        ),
        (
            "cluster . --out l.npz --algorithm hdbscan --eps 0.5",
            "--eps 0.5 has no effect with --algorithm",
        ),
        ("tune . . --out l", "give either --prompt or --identity"),
        (
            "tune . . --out l --prompt x --identity resnet10t.rendered",
            "give either --prompt or --identity",
        ),
        (
            "tune . . --out l --identity resnet10t.rendered --rank 4",
            "--rank 4 has no effect with --identity",
        ),
        (
            "zoo evaluate resnet10t.rendered --dataset pedestrians --root people --width 64",
            "--height, --width and --colours are for checkpoints of other toolboxes",
        ),
    ],
)
def test_command_reports_conflicting_options_as_wrong_usage(words, message, capsys, people):
    output = failure(capsys, *words.split(), code=2)
    assert output.startswith("Usage: reid-gen ")
    assert message in output


@pytest.fixture
def people(gan_run, tmp_path, monkeypatch):
    """Change to a working folder that contains rendered people."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people").symlink_to(gan_run.parents[1] / "people")


def test_evaluate_refuses_a_folder_without_checkpoint(capsys, config, tmp_path):
    message = error_of(capsys, "evaluate", "--checkpoint", tmp_path)
    assert message == (
        f"{tmp_path} holds no checkpoint (card.json and encoder.safetensors); "
        "give a run folder such as runs/NAME, its last/ folder, or a name that `reid-gen zoo list` "
        "shows"
    )


def test_evaluate_refuses_an_unlabelled_data_set(capsys, config, tmp_path):
    crops = make_folder(tmp_path / "crops")
    message = error_of(
        capsys,
        *("evaluate", "--config", config, "--set", "data.name=folder"),
        *("--set", f"data.root={crops}"),
    )
    assert message.startswith(f"{crops} has no query and gallery, so nothing can be evaluated; ")


def test_extract_refuses_to_overwrite_a_file(capsys, tmp_path):
    out = tmp_path / "f.npz"
    out.write_bytes(b"existing")
    message = error_of(capsys, "extract", tmp_path, "--model", tmp_path, "--out", out)
    assert message == f"{out} exists; give --force to overwrite it, or another name"
    assert out.read_bytes() == b"existing"


def test_extract_names_its_output_formats(capsys, tmp_path):
    message = error_of(capsys, "extract", tmp_path, "--out", tmp_path / "f.csv")
    assert message == f"{tmp_path / 'f.csv'} must end in .npz or .parquet"


def test_extract_names_a_source_without_images(capsys, tmp_path):
    message = error_of(capsys, "extract", tmp_path / "no*", "--out", tmp_path / "f.npz")
    assert message.startswith(f"{tmp_path / 'no*'} matches no image; give a folder, a file, ")


def test_extract_stops_at_a_truncated_jpeg_without_output(capsys, config, tmp_path):
    run = train_one_epoch(config)
    folder = tmp_path / "data" / "Market-1501-v15.09.15" / "query"
    broken = sorted(folder.glob("*.jpg"))[1]
    broken.write_bytes(broken.read_bytes()[:300])
    out = tmp_path / "out" / "f.npz"
    capsys.readouterr()
    message = error_of(capsys, "extract", folder, "--model", run, "--out", out)
    assert message.startswith(f"1 image(s) do not decode: {broken.name}; replace or remove them")
    assert str(broken) in message
    assert not out.parent.exists()
