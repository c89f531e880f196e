"""Resume runs whose files or settings have changed."""

import json
import shutil

import numpy as np
import pytest
import torch

from reid_gen.body.table import save_table
from reid_gen.cli.main import main
from reid_gen.data.datasets import load_dataset
from reid_gen.errors import UserError
from reid_gen.files import previous_path
from reid_gen.models.checkpoint import _checksums, find_checkpoint, read_card
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.resume import MAY_CHANGE, load_resume, refuse_other_run, restore_last
from reid_gen.training.run import resume_run
from reid_gen.training.run_folder import CONFIG
from tests.data.real_format import make_market
from tests.generators.scenes import make_body_table
from tests.training.joint import write_joint_config
from tests.training.small import experiment, write_config

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tiny_run, tmp_path):
    """Copy of ``tiny_run``."""
    return shutil.copytree(tiny_run, tmp_path / "tiny")


@pytest.fixture
def card_file(tiny_run, tmp_path):
    """Copy of the checkpoint card of ``tiny_run``, alone in its folder."""
    return shutil.copy(tiny_run / "last" / "card.json", tmp_path / "card.json")


def resume(run):
    resume_run(experiment(run / CONFIG)[0], run)


def update_checksums(folder):
    """Write the checksums of modified files to the card."""
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"files": _checksums(folder)}))


def truncate(file):
    file.write_bytes(file.read_bytes()[:-20])


DAMAGE = {
    "empty": lambda last: (last / "resume.pt").write_bytes(b""),
    "truncated": lambda last: truncate(last / "resume.pt"),
    "weights": lambda last: truncate(last / "encoder.safetensors"),
    "bank missing": lambda last: (last / "bank.safetensors").unlink(),
    "card missing": lambda last: (last / "card.json").unlink(),
    "card": lambda last: truncate(last / "card.json"),
    "folder missing": lambda last: shutil.rmtree(last),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_restore_last_falls_back_to_the_previous_checkpoint(run, damage):
    assert load_resume(previous_path(run / "last"))["epoch"] == 1
    DAMAGE[damage](run / "last")
    lines = []
    assert restore_last(run, lines.append)["epoch"] == 1
    assert load_resume(run / "last")["epoch"] == 1
    assert not previous_path(run / "last").exists()
    assert (run / "last.damaged").exists() == (damage != "folder missing")
    assert lines[0].endswith("\nresuming from the previous checkpoint, after epoch 1")


def test_restore_last_names_both_checkpoints_if_both_are_damaged(run):
    for folder in (run / "last", previous_path(run / "last")):
        DAMAGE["empty"](folder)
    with pytest.raises(UserError) as error:
        restore_last(run, print)
    assert str(error.value) == (
        f"{run / 'last'} is damaged: resume.pt missing or different from the checksum on the card; "
        "restore it, or start a new run\n"
        f"the previous checkpoint is damaged too: {run / '.last.old'} is damaged: resume.pt "
        "missing or different from the checksum on the card; restore it, or start a new run"
    )
    assert (run / "last" / "resume.pt").exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04", "no optimizers", [1], {}])
def test_load_resume_refuses_files_without_a_state(run, content):
    file = run / "last" / "resume.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
        expected = "is damaged; restore it"
    else:
        state = torch.load(file, weights_only=True)
        del state["optimizers"]
        torch.save(state if isinstance(content, str) else content, file)
        expected = "holds no .*optimizers.*, so this run cannot be resumed"
    update_checksums(run / "last")
    with pytest.raises(UserError, match=expected):
        load_resume(run / "last")


@pytest.mark.parametrize("states", [{}, {"identity_adam": 5}, {"identity_adam": {"state": {}}}])
def test_load_optimizers_refuses_states_that_do_not_fit(run, states):
    file = run / "last" / "resume.pt"
    torch.save(torch.load(file, weights_only=True) | {"optimizers": states}, file)
    update_checksums(run / "last")
    with pytest.raises(UserError, match="no state that fits optimiser identity_adam"):
        resume(run)


def test_load_resume_refuses_a_card_without_checksums(run):
    card = json.loads((run / "last" / "card.json").read_text())
    del card["files"]
    (run / "last" / "card.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="an earlier version of reid-gen wrote it"):
        load_resume(run / "last")


def test_resume_survives_a_kill_between_two_renames(run, capsys):
    records = read_metrics(run)
    shutil.rmtree(previous_path(run / "last"))
    (run / "last").rename(previous_path(run / "last"))
    assert find_checkpoint(run) == previous_path(run / "last")
    main(["train", "--resume", str(run)])
    assert "resuming from the previous checkpoint, after epoch 2" in capsys.readouterr().err
    assert read_metrics(run) == records
    assert find_checkpoint(run) == run / "last"


def test_resume_repeats_the_epoch_of_a_damaged_checkpoint(run):
    DAMAGE["truncated"](run / "last")
    expected = read_metrics(run)[-1]
    resume(run)
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1, 2]
    assert read_metrics(run)[-1]["loss_prototype"] == expected["loss_prototype"]
    assert load_resume(run / "last")["epoch"] == 2


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00", b"{}\n", b"garbage\n"])
def test_resume_rewrites_a_damaged_metrics_log(run, content, capsys):
    file = run / "metrics.jsonl"
    text = file.read_bytes()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content + text[10:])
    with pytest.raises(UserError, match=r"metrics.jsonl.*--resume .* rewrites it"):
        read_metrics(run)
    main(["train", "--resume", str(run)])
    assert "metrics.jsonl was missing or damaged" in capsys.readouterr().err
    assert file.read_bytes() == text


REFUSED = {
    "seed: 3": "seed: 4",
    "epochs: 2": "epochs: 3",
    "value: 0.6": "value: 0.5",
    "height: 64": "height: 96",
    "width: 32": "width: 64",
    "learning_rate: 0.00035": "learning_rate: 0.0003",
}
ALLOWED = {"workers: 2": "workers: 1", "name: tiny": "name: other", "every: null": "every: 1"}


@pytest.mark.parametrize("old", REFUSED)
def test_resume_names_a_changed_setting(run, old):
    file, new = run / CONFIG, REFUSED[old]
    text = file.read_text()
    assert text.count(old) >= 1
    file.write_text(text.replace(old, new, 1))
    records = read_metrics(run)
    key, value = new.split(": ")
    with pytest.raises(UserError) as error:
        resume(run)
    assert f"{key}: {value} instead of {old.split(': ')[1]}" in str(error.value)
    assert str(error.value).startswith(f"{run} was started with other settings or data: ")
    assert read_metrics(run) == records


def test_resume_reports_harmless_changes_of_settings(run, capsys):
    text = (run / CONFIG).read_text()
    for old, new in ALLOWED.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (run / CONFIG).write_text(text)
    main(["train", "--resume", str(run)])
    errors = capsys.readouterr().err
    assert "data.workers: 1 instead of 2 (changes how it is computed" in errors
    assert "name: other instead of tiny" in errors
    assert "evaluation.every: 1 instead of None" in errors


@pytest.mark.parametrize(
    ("folder", "split"), [("query", "queries"), ("bounding_box_test", "gallery")]
)
def test_resume_refuses_a_changed_query_or_gallery(run, tiny_run, tmp_path, folder, split):
    old_root = tiny_run.parents[1] / "data"
    data = shutil.copytree(old_root, tmp_path / "data")
    text = (run / CONFIG).read_text()
    (run / CONFIG).write_text(text.replace(f"root: {old_root}", f"root: {data}"))
    resume(run)
    sorted((data / "Market-1501-v15.09.15" / folder).glob("*.jpg"))[-1].unlink()
    with pytest.raises(UserError, match=rf"{split} of data: \d+ images .* instead of"):
        resume(run)


def test_refuse_other_run_names_facts_missing_on_one_side():
    with pytest.raises(UserError, match=r"stages\.1\.name: new instead of nothing"):
        refuse_other_run("run", {"seed": 1}, {"seed": 1, "stages.1.name": "new"}, print)
    with pytest.raises(UserError, match="seed: nothing instead of None"):
        refuse_other_run("run", {"seed": None}, {}, print)


def test_refuse_other_run_compares_bodies_by_content(tmp_path):
    config = write_joint_config(tmp_path)
    before = experiment(config)[0].facts
    copied_bodies = shutil.copytree(tmp_path / "bodies", tmp_path / "copied")
    override = f"generator.bodies={copied_bodies}"
    lines = []
    refuse_other_run(tmp_path, before, experiment(config, override)[0].facts, lines.append)
    assert [line.split(":")[0] for line in lines] == ["generator.bodies"]
    images = load_dataset("market1501", tmp_path / "data").train
    save_table(make_body_table(images, np.full(len(images), 0.8)), copied_bodies / "train.npz")
    now = experiment(config, override)[0].facts
    with pytest.raises(UserError, match=r"data: content of generator\.bodies: \w+ instead of \w"):
        refuse_other_run(tmp_path, before, now, print)


def test_refuse_other_run_compares_the_source_images(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    source = make_market(tmp_path / "source", seed=9)
    text = config.read_text()
    config.write_text(f"{text}source: {{name: market1501, root: {source}}}\n")
    before = experiment(config, "stages.0.labels=source")[0].facts
    sorted((source / "Market-1501-v15.09.15" / "bounding_box_train").glob("*.jpg"))[0].unlink()
    now = experiment(config, "stages.0.labels=source")[0].facts
    with pytest.raises(UserError, match="training images of source: 47 images"):
        refuse_other_run(tmp_path, before, now, print)


def test_may_change_lists_existing_facts(tiny_run):
    built, _ = experiment(tiny_run / CONFIG)
    optional = ("generator", "pose", "source")
    assert {name for name in MAY_CHANGE if not name.startswith(optional)} <= built.facts.keys()


WRONG_VALUES = [
    ("sha256", None), ("sha256", 5), ("sha256", "abc"), ("encoder", None), ("encoder", []),
    ("encoder.height", "64"), ("encoder.height", 0), ("encoder.height", 10**8),
    ("encoder.height", 6.5), ("encoder.width", None), ("encoder.backbone", 3),
    ("encoder.unknown", 1), ("encoder.embedding", -1), ("encoder.pose_token", "no"), ("unknown", 1),
    ("epochs", "two"), ("epochs", -1), ("metrics", []), ("metrics", {"mAP": []}), ("protocol", 1),
    ("files", {"a": "b"}), ("files", 3), ("format", "1"), ("format", None),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG_VALUES)
def test_read_card_names_a_wrong_key(card_file, key, value):
    card = json.loads(card_file.read_text())
    *parents, name = key.split(".")
    section = card["encoder"] if parents else card
    if value is None:
        del section[name]
    else:
        section[name] = value
    card_file.write_text(json.dumps(card))
    with pytest.raises(UserError) as error:
        read_card(card_file.parent)
    assert str(error.value).startswith(f"{card_file} ")
    assert name in str(error.value) or str(error.value).endswith(
        "is damaged; use another checkpoint"
    )


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000, b"5"])
def test_read_card_refuses_text_that_is_no_card(card_file, text):
    card_file.write_bytes(text)
    with pytest.raises(UserError, match=r"card\.json is damaged"):
        read_card(card_file.parent)


def test_create_encoder_refuses_an_unknown_pooling(run, capsys):
    file = run / "last" / "card.json"
    file.write_text(file.read_text().replace('"avg"', '"median"'))
    with pytest.raises(SystemExit):
        main(["export", str(run), "--out", str(run / "a.onnx")])
    assert "unknown pooling 'median'; known: " in capsys.readouterr().err
