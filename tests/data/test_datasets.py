import pytest

from reid_gen.data.datasets import load_dataset
from reid_gen.errors import UserError
from tests.data.real_format import make_duke, make_folder, make_market, make_msmt17


def error_message(name, root):
    with pytest.raises(UserError) as error:
        load_dataset(name, root)
    return str(error.value)


def test_load_dataset_reads_market_without_junk(tmp_path):
    dataset = load_dataset("market1501", make_market(tmp_path))
    assert len(dataset.train) == 48
    assert sorted(set(dataset.train_pids.tolist())) == list(range(2, 18, 2))
    assert (len(dataset.query.images), len(dataset.gallery.images)) == (16, 51)
    assert (dataset.gallery.pids == 0).sum() == 3
    assert dataset.gallery.pids.min() == 0
    assert set(dataset.gallery.camids.tolist()) == {0, 1, 2}
    assert dataset.train[0].key == "bounding_box_train/0002_c1s1_000001_01.jpg"
    assert dataset.train[0].frame == 1


@pytest.mark.parametrize("layout", ["market1501/Market-1501-v15.09.15", "market1501", "."])
def test_load_dataset_finds_market_in_every_layout(tmp_path, layout):
    make_market(tmp_path / "source", people=1, shots=2)
    target = tmp_path / "root" / layout
    target.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "source" / "Market-1501-v15.09.15").rename(target)
    assert len(load_dataset("market1501", tmp_path / "root").train) == 2


def test_load_dataset_parses_file_names_without_folders(tmp_path):
    root = make_market(tmp_path / "exp-2_c1_run", people=1, shots=2)
    assert set(load_dataset("market1501", root).train_pids.tolist()) == {2}


def test_load_dataset_notes_that_duke_was_withdrawn(tmp_path):
    dataset = load_dataset("dukemtmcreid", make_duke(tmp_path))
    assert [len(s) for s in (dataset.train, dataset.query.images, dataset.gallery.images)] == [
        9,
        9,
        9,
    ]
    assert dataset.train[0].frame == 46182
    assert dataset.train[1].camid == 1
    assert "withdrawn by its authors in 2019" in dataset.notes[0]


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_load_dataset_joins_train_and_val_of_msmt17(tmp_path, version):
    dataset = load_dataset("msmt17", make_msmt17(tmp_path, version))
    assert (len(dataset.train), len(dataset.query.images), len(dataset.gallery.images)) == (8, 4, 4)
    assert dataset.notes == (f"MSMT17 {version}", "training split: train and val together")
    assert {image.camid for image in dataset.train} == {13, 14}


def test_load_dataset_reads_a_folder_without_labels(tmp_path):
    dataset = load_dataset("folder", make_folder(tmp_path))
    assert len(dataset.train) == 12
    assert dataset.train_pids is None
    assert dataset.query is None
    assert [image.key for image in dataset.train] == sorted(image.key for image in dataset.train)


def test_load_dataset_reads_splits_and_cameras_of_a_manifest(tmp_path):
    make_folder(tmp_path, people=2, shots=2)
    (tmp_path / "list.csv").write_text(
        "path,pid,camid,split\n"
        "day0/crop_0_0.png,,2,\n"
        "day1/crop_0_1.png,4,0,query\n"
        "day0/crop_1_0.png,4,1,gallery\n"
    )
    dataset = load_dataset("folder", tmp_path / "list.csv")
    assert [image.camid for image in dataset.train] == [2]
    assert dataset.query.pids.tolist() == dataset.gallery.pids.tolist() == [4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,pid\n", ": columns are file, pid; path is needed, and only path, pid, camid, "),
        ("path\nno.png\n", " names 1 file(s) that do not exist: no.png; paths are relative to"),
        ("path,split\na.png,val\n", ":2: split 'val' is none of train, query, gallery"),
        ("path,camid\nday0/crop_0_0.png,x\n", ":2: camid 'x' is not an integer"),
        (
            "path,split\nday0/crop_0_0.png,\nday0/crop_0_0.png,query\n",
            ":3: a query image needs a pid",
        ),
    ],
)
def test_load_dataset_explains_faults_of_a_manifest(tmp_path, text, message):
    make_folder(tmp_path, people=1, shots=1)
    manifest = tmp_path / "list.csv"
    manifest.write_text(text)
    assert error_message("folder", manifest).startswith(f"{manifest}{message}")


def test_load_dataset_lists_known_names(tmp_path):
    assert error_message("market", tmp_path) == (
        "unknown data set 'market'; known: market1501, dukemtmcreid, msmt17, pedestrians, folder; "
        "did you mean market1501?"
    )


def test_load_dataset_names_a_missing_root(tmp_path):
    assert error_message("market1501", tmp_path / "no") == (
        f"the root {tmp_path / 'no'} of market1501 does not exist; check data.root or --root"
    )


def test_load_dataset_lists_the_folders_it_searched(tmp_path):
    message = error_message("market1501", tmp_path)
    assert message.startswith(f"no Market-1501 under {tmp_path}: none of these holds")
    assert str(tmp_path / "Market-1501-v15.09.15") in message


def test_load_dataset_names_a_missing_split(tmp_path):
    folder = make_market(tmp_path, people=1, shots=2) / "Market-1501-v15.09.15"
    (folder / "query").rename(folder / "queries")
    assert error_message("market1501", tmp_path) == (
        f"Market-1501: {folder / 'query'} is missing or holds no images; "
        "unpack the whole archive again"
    )


def test_load_dataset_names_an_invalid_file_name(tmp_path):
    folder = make_market(tmp_path, people=1, shots=2) / "Market-1501-v15.09.15"
    invalid = folder / "query" / "person7.jpg"
    invalid.write_bytes(b"")
    assert error_message("market1501", tmp_path) == (
        f"1 file name(s) do not look like 0002_c1s1_000451_03.jpg: {invalid}; rename or remove "
        "them, or list the images in a CSV manifest (data set folder)"
    )


def test_load_dataset_rejects_msmt17_with_missing_images(tmp_path):
    folder = make_msmt17(tmp_path) / "MSMT17_V1"
    (folder / "list_val.txt").write_text("0000/0000_009_01_0303morning_0015_0.jpg 0\n")
    assert error_message("msmt17", tmp_path).startswith("MSMT17: 1 listed image(s) are missing: ")


def test_load_dataset_rejects_a_folder_without_images(tmp_path):
    assert error_message("folder", tmp_path) == (
        f"{tmp_path} holds no images (.jpg, .jpeg, .jfif, .png, .bmp, .webp, .tif, .tiff, .gif, "
        ".ppm, .pgm, .avif); check data.root or --root"
    )
