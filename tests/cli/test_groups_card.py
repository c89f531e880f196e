"""What groups of a public diffusion model say of how they were made."""

import numpy as np
import pytest

from reid_gen.builders.stable_diffusion import build_groups
from reid_gen.cli.main import main
from reid_gen.config.load import load_settings
from reid_gen.config.pipelines import Groups
from reid_gen.data.images import decode
from reid_gen.data.positive_groups import load_groups
from reid_gen.files import content_digest
from reid_gen.positives import generate as module
from tests.cli.conftest import PIPELINE_CONFIG, failure


@pytest.fixture(scope="module")
def made(gan_run, weights, tmp_path_factory):
    """A settings file, and groups that were made by it."""
    folder = tmp_path_factory.mktemp("card")
    prompts = folder / "prompts.txt"
    prompts.write_text("a man in a red coat\na woman in a blue dress\n")
    file = folder / "small.yaml"
    people = gan_run.parents[1] / "people"
    file.write_text(PIPELINE_CONFIG.format(people=people, prompts=prompts, weights=weights))
    main(["generate", str(file), "--out", str(folder / "groups"), "--members", "2"])
    return file, load_groups(folder / "groups")


def test_the_header_holds_the_settings_and_digests_of_the_files_that_they_name(made):
    file, groups = made
    settings = load_settings(file, Groups)
    assert Groups.model_validate(groups.header["settings"]) == settings
    assert groups.header["settings"]["model"]["guidance"] == 5.0
    assert groups.header["contents_sha256"] == {
        "bodies": content_digest(settings.bodies / "train.npz"),
        "prompts": content_digest(settings.prompts),
    }


def test_each_member_can_be_drawn_again_from_its_own_seed(made):
    file, groups = made
    assert len({member.seed for member in groups.members}) == len(groups.members)
    maker, _, _ = build_groups(load_settings(file, Groups))
    for member in groups.members[1:3]:
        drawn = maker._draw(
            member.source, np.zeros(1), np.array([member.seed]), member.prompt, None
        )
        there = decode(groups.folder / member.file, 32, 16) / 255
        again = drawn[0].permute(1, 2, 0).numpy().clip(0, 1)
        other = decode(groups.folder / groups.members[5].file, 32, 16) / 255
        assert np.abs(there - again).mean() < 0.5 * np.abs(other - again).mean()


def test_the_setting_or_file_that_changed_is_named(made, capsys, monkeypatch):
    file, groups = made
    words = ("generate", file, "--out", groups.folder, "--members", "2")
    kept = file.read_text()
    file.write_text(kept.replace("steps: 2", "steps: 3"))
    assert "generated with other settings.model.steps; give another --out" in failure(
        capsys, *words
    )
    file.write_text(kept)
    prompts = load_settings(file, Groups).prompts
    text = prompts.read_text()
    prompts.write_text("a boy\n")
    assert "generated with other contents_sha256.prompts; give another" in failure(capsys, *words)
    prompts.write_bytes(b"\xff\xfe\xff")
    message = failure(capsys, *words)
    assert f"{prompts}:1: this is not UTF-8 text; save the file as UTF-8" in message
    prompts.unlink()
    assert f"{prompts} does not exist; check prompts" in failure(capsys, *words)
    prompts.write_text(text)
    monkeypatch.setattr(module, "generator", None)  # nothing is drawn again
    main([str(word) for word in words])
