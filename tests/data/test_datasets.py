import pytest

from reid_gen.data.datasets import load_dataset
from reid_gen.errors import UserError
from tests.data.real_format import make_duke, make_folder, make_market, make_msmt17


def fault(name, root):
    with pytest.raises(UserError) as error:
        load_dataset(name, root)
    return str(error.value)


def test_market_drops_junk_keeps_distractors_and_counts_cameras_from_zero(tmp_path):
    found = load_dataset("market1501", make_market(tmp_path))
    assert len(found.train) == 48
    assert sorted(set(found.train_pids.tolist())) == list(range(2, 18, 2))
    assert (len(found.query.images), len(found.gallery.images)) == (16, 51)
    assert (found.gallery.pids == 0).sum() == 3
    assert found.gallery.pids.min() == 0
    assert set(found.gallery.camids.tolist()) == {0, 1, 2}
    assert found.train[0].key == "bounding_box_train/0002_c1s1_000001_01.jpg"
    assert found.train[0].frame == 1


@pytest.mark.parametrize("layout", ["market1501/Market-1501-v15.09.15", "market1501", "."])
def test_every_layout_of_market_is_recognised(tmp_path, layout):
    make_market(tmp_path / "made", people=1, each=2)
    target = tmp_path / "root" / layout
    target.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "made" / "Market-1501-v15.09.15").rename(target)
    assert len(load_dataset("market1501", tmp_path / "root").train) == 2


def test_names_are_matched_on_the_basename_only(tmp_path):
    root = make_market(tmp_path / "exp-2_c1_run", people=1, each=2)
    assert set(load_dataset("market1501", root).train_pids.tolist()) == {2}


def test_duke_is_read_with_a_note_that_it_was_withdrawn(tmp_path):
    found = load_dataset("dukemtmcreid", make_duke(tmp_path))
    assert [len(s) for s in (found.train, found.query.images, found.gallery.images)] == [9, 9, 9]
    assert found.train[0].frame == 46182
    assert found.train[1].camid == 1
    assert "withdrawn by its authors in 2019" in found.notes[0]


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_msmt17_joins_train_and_val_and_names_its_version(tmp_path, version):
    found = load_dataset("msmt17", make_msmt17(tmp_path, version))
    assert (len(found.train), len(found.query.images), len(found.gallery.images)) == (8, 4, 4)
    assert found.notes == (f"MSMT17 {version}", "training split: train and val together")
    assert {image.camid for image in found.train} == {13, 14}


def test_a_folder_of_crops_has_no_labels(tmp_path):
    found = load_dataset("folder", make_folder(tmp_path))
    assert len(found.train) == 12
    assert found.train_pids is None
    assert found.query is None
    assert [image.key for image in found.train] == sorted(image.key for image in found.train)


def test_a_manifest_gives_splits_and_cameras(tmp_path):
    make_folder(tmp_path, people=2, each=2)
    (tmp_path / "list.csv").write_text(
        "path,pid,camid,split\n"
        "day0/crop_0_0.png,,2,\n"
        "day1/crop_0_1.png,4,0,query\n"
        "day0/crop_1_0.png,4,1,gallery\n"
    )
    found = load_dataset("folder", tmp_path / "list.csv")
    assert [image.camid for image in found.train] == [2]
    assert found.query.pids.tolist() == found.gallery.pids.tolist() == [4]


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
def test_a_faulty_manifest_is_one_clear_error(tmp_path, text, message):
    make_folder(tmp_path, people=1, each=1)
    manifest = tmp_path / "list.csv"
    manifest.write_text(text)
    assert fault("folder", manifest).startswith(f"{manifest}{message}")


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    assert fault("market", tmp_path) == (
        "unknown data set 'market'; known: market1501, dukemtmcreid, msmt17, pedestrians, folder; "
        "did you mean market1501?"
    )


def test_a_root_that_does_not_exist_is_named(tmp_path):
    assert fault("market1501", tmp_path / "no") == (
        f"the root {tmp_path / 'no'} of market1501 does not exist; check data.root or --root"
    )


def test_a_root_without_the_data_set_lists_where_it_looked(tmp_path):
    message = fault("market1501", tmp_path)
    assert message.startswith(f"no Market-1501 under {tmp_path}: none of these holds")
    assert str(tmp_path / "Market-1501-v15.09.15") in message


def test_a_missing_split_is_named(tmp_path):
    base = make_market(tmp_path, people=1, each=2) / "Market-1501-v15.09.15"
    (base / "query").rename(base / "queries")
    assert fault("market1501", tmp_path) == (
        f"Market-1501: {base / 'query'} is missing or holds no images; "
        "unpack the whole archive again"
    )


def test_a_bad_file_name_is_named_with_the_form_wanted(tmp_path):
    base = make_market(tmp_path, people=1, each=2) / "Market-1501-v15.09.15"
    bad = base / "query" / "person7.jpg"
    bad.write_bytes(b"")
    assert fault("market1501", tmp_path) == (
        f"1 file name(s) do not look like 0002_c1s1_000451_03.jpg: {bad}; rename or remove them, "
        "or list the images in a CSV manifest (data set folder)"
    )


def test_an_msmt17_list_that_names_a_missing_image_is_a_fault(tmp_path):
    base = make_msmt17(tmp_path) / "MSMT17_V1"
    (base / "list_val.txt").write_text("0000/0000_009_01_0303morning_0015_0.jpg 0\n")
    assert fault("msmt17", tmp_path).startswith("MSMT17: 1 listed image(s) are missing: ")


def test_a_folder_without_images_is_a_fault(tmp_path):
    assert fault("folder", tmp_path) == (
        f"{tmp_path} holds no images (.jpg, .jpeg, .jfif, .png, .bmp, .webp, .tif, .tiff, .gif, "
        ".ppm, .pgm, .avif); check data.root or --root"
    )
