"""Paths of checkpoints of other toolboxes, and folders that an import may replace."""

import pytest
import torch

from reid_gen.cli.main import main
from reid_gen.errors import UserError
from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.encoder import EncoderCard, create_encoder
from reid_gen.models.foreign import import_encoder
from reid_gen.models.weight_files import ENCODER_FILE, is_foreign, weight_file
from tests.cli.conftest import failure
from tests.models.test_foreign import cluster_contrast

pytestmark = pytest.mark.slow


def test_zoo_import_replaces_only_its_own_folder(tmp_path, capsys, monkeypatch):
    torch.save(cluster_contrast(False), tmp_path / "best.pth.tar")
    words = ["zoo", "import", str(tmp_path / "best.pth.tar"), "--out"]
    main([*words, str(tmp_path / "model")])
    main([*words, str(tmp_path / "model"), "--force"])
    assert load_encoder(tmp_path / "model")[1].backbone == "resnet18"
    (tmp_path / "model" / "thesis.tex").write_text("mine")
    message = failure(capsys, *words, tmp_path / "model", "--force")
    assert "contains files that `reid-gen zoo import` did not write: thesis.tex" in message
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    message = failure(capsys, *words, ".", "--force")
    assert message.startswith("error: . is the current folder or contains it")
    message = failure(capsys, *words, tmp_path, "--force", code=2)
    assert f"--out {tmp_path} would overwrite FILE {tmp_path / 'best.pth.tar'}" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pth.tar", "here", "model"]
    assert (tmp_path / "model" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".PT"])
def test_import_and_encoder_weights_accept_the_same_suffixes(suffix, tmp_path):
    path = tmp_path / f"best{suffix}"
    torch.save(cluster_contrast(False), path)
    assert is_foreign(path)
    assert weight_file(str(path)) == path
    assert import_encoder(path).card.backbone == "resnet18"


def test_create_encoder_points_foreign_weights_to_zoo_import(tmp_path):
    path = tmp_path / "best.pth.tar"
    torch.save(cluster_contrast(False), path)
    card = EncoderCard("resnet18", "avg", 64, 32)
    with pytest.raises(UserError, match=rf"import it with: reid-gen zoo import {path} --out"):
        create_encoder(card, str(path))
    main(["zoo", "import", str(path), "--out", str(tmp_path / "model")])
    encoder, imported = (
        create_encoder(card, str(tmp_path / "model" / ENCODER_FILE)),
        import_encoder(path),
    )
    assert torch.equal(encoder.backbone.conv1.weight, imported.encoder.backbone.conv1.weight)
