"""Each fault: one clear line, exit code 1, no traceback, nothing left behind."""

import pytest

from reid_gen.cli.main import main
from tests.cli.conftest import failure
from tests.data.real_format import make_folder, make_market
from tests.training.small import write_config


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path, make_market(tmp_path / "data"))


def fault(capsys, *words):
    capsys.readouterr()
    message = failure(capsys, *words)
    assert "Traceback" not in message
    assert message.startswith("error: ")
    return message.removeprefix("error: ")


def trained(config):
    main(["train", "--config", str(config), "--set", "stages.0.epochs=1"])
    return config.parent / "runs" / "tiny"


def nothing_left(config):
    return not (config.parent / "runs").exists()


def test_a_wrong_root(capsys, config):
    message = fault(capsys, "train", "--config", config, "--set", "data.root=/no/such/place")
    assert message == "/no/such/place does not exist; check data.root"
    assert nothing_left(config)


def test_a_misspelt_key_names_file_and_line(capsys, config):
    config.write_text(config.read_text().replace("flip:", "flipp:"))
    message = fault(capsys, "train", "--config", config)
    assert message.startswith(f"{config}:6: augment.flipp: unknown key; allowed here: flip, pad, ")
    assert message.endswith("did you mean flip?")
    assert nothing_left(config)


def test_a_wrong_type(capsys, config):
    config.write_text(config.read_text().replace("{batch: 16,", "{batch: true,"))
    message = fault(capsys, "train", "--config", config)
    assert message == f"{config}:7: sampler.batch: must be an integer, got true"


def test_the_same_key_twice(capsys, config):
    config.write_text(config.read_text() + "seed: 4\n")
    message = fault(capsys, "train", "--config", config)
    assert message == f"{config}:12: seed: this key is given twice; keep one"


def test_a_weight_file_for_another_architecture(capsys, config, tmp_path):
    run = trained(config)
    weights = run / "last" / "encoder.safetensors"
    message = fault(
        capsys,
        *("train", "--config", config, "--set", "name=other", "--set", "encoder.backbone=resnet50"),
        *("--set", f"encoder.weights={weights}"),
    )
    assert f"{weights} does not fit this architecture: " in message
    assert not (tmp_path / "runs" / "other").exists()


def test_a_checkpoint_of_another_encoder_is_not_evaluated(capsys, config):
    run = trained(config)
    message = fault(
        capsys,
        *("evaluate", "--config", config, "--checkpoint", run),
        *("--set", "encoder.pooling=max"),
    )
    assert message == (
        f"{run} was made for another encoder than the configuration's: "
        "pooling avg instead of max; use its own configuration (leave --config out)"
    )


def test_a_run_that_exists(capsys, config):
    run = trained(config)
    message = fault(capsys, "train", "--config", config)
    assert message == (
        f"{run} exists; choose another name, resume it with --resume {run}, or remove it"
    )


def test_resuming_what_is_no_run(capsys, tmp_path):
    message = fault(capsys, "train", "--resume", tmp_path)
    assert message == f"{tmp_path} is no run folder (config.yaml is missing); give runs/NAME"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train", "give either --config FILE to start a run or --resume RUN to go on with one"),
        ("train --config . --resume .", "give either --config FILE to start a run or --resume RUN"),
        ("train --resume . --set seed=2", "--set cannot change a run that is resumed; start a new"),
        ("evaluate", "give --config FILE, --checkpoint RUN or both"),
        ("evaluate --config . --temporal", "--temporal learns times from the clusters of a run"),
        ("evaluate --config . --turned", "--turned draws views with the generator of a run"),
        ("export resnet10t.rendered --out e.pt2 --int8 .", "--int8 writes .onnx; give --out FILE"),
        (
            "data render pedestrians --preset tiny --out p --width 129",
            "--width 129 must be at most",
        ),
        ("data groups --share pose --out g --height 32", "--width 64 must be at most --height 32"),
        ("data render pedestrians --out p", "give either --preset (tiny, small, market) or --ide"),
        ("meshes folder --root . --out b --from . --weights .", "give one of the two"),
        ("meshes folder --root . --out b --from .", "--body, an SMPL model, goes with bodies that"),
        ("meshes folder --root . --out b --body .", "--body, an SMPL model, goes with bodies that"),
        ("generate --out g", "no SOURCE: give a run, or the YAML file of a public diffusion model"),
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
def test_command_calls_options_that_do_not_fit_wrong_usage(words, message, capsys, people):
    found = failure(capsys, *words.split(), code=2)
    assert found.startswith("Usage: reid-gen ")
    assert message in found


@pytest.fixture
def people(gan_run, tmp_path, monkeypatch):
    """A working folder with rendered people in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people").symlink_to(gan_run.parents[1] / "people")


def test_evaluating_what_is_no_checkpoint(capsys, config, tmp_path):
    message = fault(capsys, "evaluate", "--checkpoint", tmp_path)
    assert message == (
        f"{tmp_path} holds no checkpoint (card.json and encoder.safetensors); "
        "give a run folder such as runs/NAME, its last/ folder, or a name that `reid-gen zoo list` "
        "shows"
    )


def test_evaluating_an_unlabelled_folder(capsys, config, tmp_path):
    crops = make_folder(tmp_path / "crops")
    message = fault(
        capsys,
        *("evaluate", "--config", config, "--set", "data.name=folder"),
        *("--set", f"data.root={crops}"),
    )
    assert message.startswith(f"{crops} has no query and gallery, so nothing can be evaluated; ")


def test_extract_refuses_to_overwrite_and_keeps_the_file(capsys, tmp_path):
    out = tmp_path / "f.npz"
    out.write_bytes(b"precious")
    message = fault(capsys, "extract", tmp_path, "--model", tmp_path, "--out", out)
    assert message == f"{out} exists; give --force to overwrite it, or another name"
    assert out.read_bytes() == b"precious"


def test_extract_knows_its_formats(capsys, tmp_path):
    message = fault(capsys, "extract", tmp_path, "--out", tmp_path / "f.csv")
    assert message == f"{tmp_path / 'f.csv'} must end in .npz or .parquet"


def test_extract_names_a_source_without_images(capsys, tmp_path):
    message = fault(capsys, "extract", tmp_path / "no*", "--out", tmp_path / "f.npz")
    assert message.startswith(f"{tmp_path / 'no*'} matches no image; give a folder, a file, ")


def test_extract_stops_at_a_truncated_jpeg_and_leaves_nothing(capsys, config, tmp_path):
    run = trained(config)
    folder = tmp_path / "data" / "Market-1501-v15.09.15" / "query"
    broken = sorted(folder.glob("*.jpg"))[1]
    broken.write_bytes(broken.read_bytes()[:300])
    out = tmp_path / "out" / "f.npz"
    capsys.readouterr()
    message = fault(capsys, "extract", folder, "--model", run, "--out", out)
    assert message.startswith(f"1 image(s) do not decode: {broken.name}; replace or remove them")
    assert str(broken) in message
    assert not out.parent.exists()
