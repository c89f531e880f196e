"""Data sets that suffice for evaluation only, and variants of file names."""

import shutil

import pytest

from reid_gen.data.check import check_dataset
from reid_gen.data.datasets import load_dataset, training_images
from reid_gen.errors import UserError
from tests.data.real_format import draw_person, make_duke, make_market

MARKET = "Market-1501-v15.09.15"


def read_single_query(root, name):
    """Pid and image of a Market-1501 whose only query image has this file name."""
    query = make_market(root, people=1, shots=2) / MARKET / "query"
    for file in query.iterdir():
        file.unlink()
    draw_person(query / name, 1, 0, 0)
    split = load_dataset("market1501", root).query
    return split.pids[0], split.images[0]


@pytest.mark.parametrize("keep_folder", [True, False])
@pytest.mark.parametrize("make", [make_market, make_duke])
def test_load_dataset_works_without_training_images(tmp_path, make, keep_folder):
    root = make(tmp_path)
    name = "market1501" if make is make_market else "dukemtmcreid"
    complete = load_dataset(name, root)
    shutil.rmtree(complete.root / "bounding_box_train")
    if keep_folder:
        (complete.root / "bounding_box_train").mkdir()
    dataset = load_dataset(name, root)
    assert (dataset.train, dataset.root) == ((), complete.root)
    assert dataset.query.images == complete.query.images
    assert dataset.gallery.images == complete.gallery.images
    assert any("no training images" in note for note in dataset.notes)
    assert check_dataset(name, root).splits[0].actual.images == 0
    with pytest.raises(UserError, match=f"{complete.root} has no training images"):
        training_images(dataset)


def test_load_dataset_requires_query_and_gallery(tmp_path):
    root = make_market(tmp_path) / MARKET
    shutil.rmtree(root / "bounding_box_test")
    with pytest.raises(UserError, match="bounding_box_test is missing or holds no images"):
        load_dataset("market1501", tmp_path)


def test_manifest_works_without_training_rows(tmp_path):
    for name in "ab":
        draw_person(tmp_path / f"{name}.jpg", 1, 0, 0)
    rows = "path,pid,split\na.jpg,1,query\nb.jpg,1,gallery\n"
    (tmp_path / "own.csv").write_text(rows)
    dataset = load_dataset("folder", tmp_path / "own.csv")
    assert (dataset.train, dataset.train_pids) == ((), None)
    assert dataset.query.images[0].key == "a.jpg"
    with pytest.raises(UserError, match="rows of split train"):
        training_images(dataset)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0002_c1s1_000451_03.jpg", (2, 0, 451, 1)),
        ("0002_c3s2_000451_03.JPG", (2, 2, 451, 2)),
        ("0002_c1s1_000451_03.jpg.jpg", (2, 0, 451, 1)),
        ("2_c12s1_000451_03.png", (2, 11, 451, 1)),
        ("000123456_c007s03_451_0.jpeg", (123456, 6, 451, 3)),
        ("0002_c1s1_000451_03_flipped.jpg", (2, 0, 451, 1)),
        ("0002_C1S1_000451_03.jpg", (2, 0, 451, 1)),
        ("0002_c1s1_000451.jpg", (2, 0, None, 1)),
        ("0002_c001_00016450_0.jpg", (2, 0, None, 1)),
        ("0000_c1s1_000451_03.jpg", (0, 0, 451, 1)),
    ],
)
def test_market1501_read_parses_variants_of_file_names(tmp_path, name, expected):
    pid, image = read_single_query(tmp_path, name)
    assert (pid, image.camid, image.frame, image.recording) == expected


@pytest.mark.parametrize(
    "name",
    ["0002_c0s1_000451_03.jpg", "x2_c1s1_0_0.jpg", "0002_1.jpg", "-2_c1s1_0_0.jpg", "²_c1.jpg"],
)
def test_market1501_read_suggests_a_manifest_for_other_names(tmp_path, name):
    with pytest.raises(UserError, match="or list the images in a CSV manifest"):
        read_single_query(tmp_path, name)


def test_dukemtmc_read_parses_numbers_of_any_length(tmp_path):
    query = make_duke(tmp_path) / "DukeMTMC-reID" / "query"
    draw_person(query / "12345_c10_f46182_x.PNG", 1, 0, 0)
    split = load_dataset("dukemtmcreid", tmp_path).query
    (position,) = [n for n, image in enumerate(split.images) if image.path.suffix == ".PNG"]
    image = split.images[position]
    assert (split.pids[position], image.camid, image.frame) == (12345, 9, 46182)
