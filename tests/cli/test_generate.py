import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from reid_gen.body.table import load_table, save_table
from reid_gen.cli.main import main
from reid_gen.data.positive_groups import load_groups
from reid_gen.errors import UserError
from reid_gen.models.weights import read_weights
from reid_gen.positives import generate as module
from reid_gen.positives.sources import Mosaics
from reid_gen.runtime.progress import Silent
from reid_gen.training.metrics_log import read_metrics
from tests.cli.conftest import GAN_CONFIG, failure

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "PART", 4)


def generate(run, out, *words):
    main(["generate", str(run), "--out", str(out), "--members", "3", *words])


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_generate_writes_a_group_per_training_image(gan_run, tmp_path, capsys):
    generate(gan_run, tmp_path / "groups", "--sheet", str(tmp_path / "sheet.png"))
    groups = load_groups(tmp_path / "groups")
    assert len(groups.members) == 9 * 3
    assert {member.group for member in groups.members} == {m.source for m in groups.members}
    first = groups.members[0]
    assert first.source.startswith("bounding_box_train/")
    assert 20 <= first.degrees <= 340
    assert -1 <= first.identity <= 1
    with Image.open(groups.folder / first.file) as view:
        assert view.size == (32, 64)
    assert Image.open(tmp_path / "sheet.png").size == (3 * 64, 9 * 128)
    printed = capsys.readouterr().out
    assert "27 images in 9 groups" in printed
    for name in ("identity", "structure", "difference"):
        assert f"{name} scores:" in printed
    assert 0 <= first.structure <= 1


def test_generate_resumed_after_interrupts_writes_the_same_files(gan_run, tmp_path, monkeypatch):
    generate(gan_run, tmp_path / "uninterrupted")
    write = module.write_part
    calls = []

    def write_or_interrupt(*args):
        calls.append(args)
        if len(calls) % 2:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(module, "write_part", write_or_interrupt)
    for _ in range(3):
        with pytest.raises(SystemExit):
            generate(gan_run, tmp_path / "resumed")
    monkeypatch.undo()
    monkeypatch.setattr(module, "PART", 4)
    generate(gan_run, tmp_path / "resumed")
    assert content(tmp_path / "resumed") == content(tmp_path / "uninterrupted")


def test_generate_refuses_options_without_effect(gan_run, tmp_path, capsys):
    def fails(*words):
        return failure(capsys, "generate", *words, "--out", tmp_path / "x", code=2)

    (tmp_path / "sd.yaml").write_text("")
    message = "--share 0.2 has no effect without --maker anchored; leave it out"
    assert message in fails(gan_run, "--share", "0.2")
    assert message in fails(gan_run, "--share", "0.2", "--maker", "mosaic")
    message = fails(gan_run, "--steps", "5", "--maker", "mosaic")
    assert "--steps 5 has no effect with --maker mosaic" in message
    assert "--steps 5 has no effect with" in fails(tmp_path / "sd.yaml", "--steps", "5")
    message = failure(capsys, "generate", gan_run, "--steps", "5", "--out", tmp_path / "x")
    assert "generator.steps: this key belongs to another kind" in message
    message = fails(tmp_path / "sd.yaml", "--share", "0.2", "--maker", "anchored")
    assert (
        f"--maker anchored --share 0.2 has no effect with {tmp_path / 'sd.yaml'}, which sets "
        "how positives are generated; leave it out, or give a run"
    ) in message
    message = fails()
    assert "SOURCE is missing; give a run or a pipeline file (YAML)" in message
    assert not (tmp_path / "x").exists()


def test_generate_groups_refuses_an_empty_list_of_images(tmp_path):
    with pytest.raises(UserError, match="there are no source images"):
        module.generate_groups(
            Mosaics(64, 32), None, [], tmp_path, members=2, seed=1, provenance={}, progress=Silent()
        )


def test_generate_refuses_to_resume_with_other_weights_or_bodies(gan_run, tmp_path, capsys):
    run = tmp_path / "runs" / "tiny"
    shutil.copytree(gan_run, run)
    generate(run, tmp_path / "groups")
    file = run / "last" / "generator.safetensors"
    weights = read_weights(file)
    save_file({name: value + 1 for name, value in weights.items()}, file)
    words = ("generate", run, "--out", tmp_path / "groups", "--members", "3")
    assert "generated with other contents_sha256.generator;" in failure(capsys, *words)
    shutil.copy(gan_run / "last" / "generator.safetensors", file)
    bodies = gan_run.parents[1] / "people" / "bodies" / "train.npz"
    original = bodies.read_bytes()
    table = load_table(bodies)
    try:
        save_table(replace(table, shape=table.shape + 1), bodies)
        assert "generated with other contents_sha256.bodies;" in failure(capsys, *words)
    finally:
        bodies.write_bytes(original)
    main([str(word) for word in words])


def test_generate_refuses_to_mix_groups(gan_run, tmp_path, capsys):
    out = tmp_path / "groups"
    generate(gan_run, out)
    before = content(out)
    message = failure(capsys, "generate", gan_run, "--out", out, "--seed", "2")
    assert "holds groups that were generated with other seed, members" in message
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    assert "is not empty and holds no groups.json" in failure(
        capsys, "generate", gan_run, "--out", other
    )
    assert content(out) == before


def stored_config(gan_run, tmp_path, groups, stage="views: true", **settings):
    root = gan_run.parents[1] / "people"
    head = GAN_CONFIG.format(runs=tmp_path / "runs", root=root).split("generator:")[0]
    generator = {"kind": "stored", "groups": str(groups), "members": 2, "batch": 4, **settings}
    text = (
        f"{head}generator: {json.dumps(generator)}\n"
        "sampler: {batch: 8, instances: 2}\n"
        f"source: {{name: pedestrians, root: {root}}}\n"
        "loss: {weights: {prototype: 1.0, view_prototype: 1.0}}\n"
        f"stages: [{{name: views, labels: source, {stage}, epochs: 1, iterations: 2}}]\n"
    )
    file = tmp_path / "stored.yaml"
    file.write_text(text)
    return file


def test_train_uses_stored_views_without_a_generator(gan_run, tmp_path):
    generate(gan_run, tmp_path / "groups")
    main(["train", "--config", str(stored_config(gan_run, tmp_path, tmp_path / "groups"))])
    run = tmp_path / "runs" / "tiny"
    record = read_metrics(run)[1]
    assert record["loss_view_prototype"] > 0
    assert record["without_views"] == 0
    assert not (run / "last" / "generator.safetensors").exists()
    assert np.asarray(Image.open(run / "views" / "epoch_0001.png")).shape[1] == 4 * 32
    assert len(read_weights(run / "last" / "bank.safetensors")["labels"]) == 9


def test_train_names_the_filter_that_leaves_no_views(gan_run, tmp_path, capsys):
    generate(gan_run, tmp_path / "groups")
    config = stored_config(gan_run, tmp_path, tmp_path / "groups", min_identity=1.0)
    message = failure(capsys, "train", "--config", config)
    assert "has no image with 2 view(s) above the minimum scores" in message
    assert "'identity': 27" in message


def test_train_counts_filtered_views(gan_run, tmp_path):
    groups = tmp_path / "groups"
    generate(gan_run, groups)
    members = load_groups(groups).members
    minimum = {
        name: sorted(getattr(member, name) for member in members)[9]
        for name in ("structure", "difference")
    }
    settings = {f"min_{name}": value for name, value in minimum.items()}
    words = {"members": 1, "weight_by_identity": True, **settings}
    main(["train", "--config", str(stored_config(gan_run, tmp_path, groups, **words))])
    run = tmp_path / "runs" / "tiny"
    counts = json.loads((run / "last" / "views.json").read_text())
    assert counts["structure"] == sum(m.structure < minimum["structure"] for m in members)
    assert sum(counts.values()) == 27
    assert counts["identity"] == 0 < counts["difference"]
    main(["generate", str(gan_run), "--out", str(tmp_path / "pieces"), "--maker", "mosaic"])
    members = load_groups(tmp_path / "pieces").members
    assert len(members) == 9 * 4
    assert {(m.degrees, m.structure) for m in members} == {(None, None)}
    assert all(m.difference > 0 for m in members)


def test_generate_anchored_needs_a_diffusion_run(gan_run, tmp_path, capsys):
    message = failure(capsys, "generate", gan_run, "--out", tmp_path / "x", "--maker", "anchored")
    assert "--maker anchored needs a run that trained a diffusion model" in message


def test_train_names_errors_in_stored_views(gan_run, tmp_path, capsys):
    config = stored_config(gan_run, tmp_path, tmp_path / "nowhere")
    message = failure(capsys, "train", "--config", config)
    assert f"{tmp_path / 'nowhere'} does not exist; check generator.groups" in message
    config = stored_config(gan_run, tmp_path, tmp_path / "x", stage="trains: [generator]")
    message = failure(capsys, "train", "--config", config)
    assert "stored views are not trained; give the stage views: true instead" in message
    generate(gan_run, tmp_path / "groups")
    header = tmp_path / "groups" / "groups.json"
    original = header.read_text()
    header.write_text(original.replace("same_identity", "same_pose"))
    config = stored_config(gan_run, tmp_path, tmp_path / "groups")
    assert (
        f"{tmp_path / 'groups'} holds groups of kind same_pose, whose members are different "
        "people; views must be of kind same_identity"
    ) in failure(capsys, "train", "--config", config)
    header.write_text(original)
    part = next((tmp_path / "groups").glob("part-*"))
    part.rename(tmp_path / "away")
    config = stored_config(gan_run, tmp_path, tmp_path / "groups")
    assert "lacks 1 of 3 parts" in failure(capsys, "train", "--config", config)
