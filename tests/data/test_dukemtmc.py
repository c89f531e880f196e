from __future__ import annotations

from pathlib import Path

import pytest

from reid_gen.data.datasets import load_dataset
from tests.data.real_format import make_duke

DATASET_FOLDERS = [
    "dukemtmcreid/DukeMTMC-reID",
    "dukemtmc/DukeMTMC-reID",
    "dukemtmc-reid/DukeMTMC-reID",
    "DukeMTMC-reID",
    ".",
]


@pytest.mark.parametrize("folder", DATASET_FOLDERS)
def test_dukemtmc_read_finds_every_layout(tmp_path: Path, folder: str) -> None:
    source = make_duke(tmp_path / "source") / "DukeMTMC-reID"
    target = tmp_path / "root" / folder
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    dataset = load_dataset("dukemtmcreid", tmp_path / "root")
    assert dataset.root == target
    assert len(dataset.train) == 9


def test_dukemtmc_read_parses_pid_camera_and_frame(tmp_path: Path) -> None:
    dataset = load_dataset("dukemtmcreid", make_duke(tmp_path))
    assert dataset.query is not None
    image = dataset.query.images[0]
    assert image.key == "query/0001_c4_f0046185.jpg"
    assert (image.camid, image.frame) == (3, 46_185)
    assert dataset.query.pids.tolist() == [1, 1, 1, 3, 3, 3, 5, 5, 5]


def test_dukemtmc_read_notes_the_withdrawal(tmp_path: Path) -> None:
    (note,) = load_dataset("dukemtmcreid", make_duke(tmp_path)).notes
    assert "withdrawn by its authors in 2019" in note
