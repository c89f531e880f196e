from __future__ import annotations

from pathlib import Path

import pytest

from reid_gen.data.datasets import load_dataset
from tests.data.real_format import make_duke

LAYOUTS = [
    "dukemtmcreid/DukeMTMC-reID",
    "dukemtmc/DukeMTMC-reID",
    "dukemtmc-reid/DukeMTMC-reID",
    "DukeMTMC-reID",
    ".",
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_usual_layout_is_read(tmp_path: Path, layout: str) -> None:
    made = make_duke(tmp_path / "made") / "DukeMTMC-reID"
    place = tmp_path / "root" / layout
    place.parent.mkdir(parents=True, exist_ok=True)
    made.rename(place)
    dataset = load_dataset("dukemtmcreid", tmp_path / "root")
    assert dataset.root == place
    assert len(dataset.train) == 9


def test_a_name_gives_pid_camera_from_zero_and_frame(tmp_path: Path) -> None:
    dataset = load_dataset("dukemtmcreid", make_duke(tmp_path))
    assert dataset.query is not None
    image = dataset.query.images[0]
    assert image.key == "query/0001_c4_f0046185.jpg"
    assert (image.camid, image.frame) == (3, 46_185)
    assert dataset.query.pids.tolist() == [1, 1, 1, 3, 3, 3, 5, 5, 5]


def test_the_notes_say_that_the_authors_withdrew_it(tmp_path: Path) -> None:
    (note,) = load_dataset("dukemtmcreid", make_duke(tmp_path)).notes
    assert "withdrawn by its authors in 2019" in note
