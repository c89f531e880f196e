import io
import json

import numpy as np
import pytest
from PIL import Image

from reid_gen.body.table import load_table
from reid_gen.cli.main import main
from reid_gen.data.datasets import load_dataset
from reid_gen.errors import UserError
from reid_gen.pedestrians.compositing import as_jpeg
from reid_gen.pedestrians.crop_list import Size
from reid_gen.pedestrians.dataset import ABOUT, Album, render_album

SIZE = Size(2, 2, 2, 6, 4, 6, 2)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered") / "pedestrians"
    render_album(folder, SIZE, seed=3, height=64, width=32)
    return folder


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_it_reads_as_a_data_set_with_the_planned_counts(album):
    dataset = load_dataset("pedestrians", album)
    assert len(dataset.train) == 6
    assert len(dataset.query.images) == 4
    assert len(dataset.gallery.images) == 8
    assert (dataset.gallery.pids == 0).sum() == 2


def test_market1501s_reader_takes_it_too(album):
    assert len(load_dataset("market1501", album).train) == 6


def test_the_same_seed_gives_the_same_bytes_in_one_process_and_in_two(album, tmp_path):
    again = tmp_path / "again"
    render_album(again, SIZE, seed=3, height=64, width=32, workers=2)
    first, second = content(album), content(again)
    assert first.keys() == second.keys()
    assert all(first[name] == second[name] for name in first if name.suffix == ".jpg")


def test_every_crop_has_its_true_body(album):
    dataset = load_dataset("pedestrians", album)
    table = load_table(album / "bodies" / "train.npz")
    bodies = table.select([image.key for image in dataset.train])
    assert bodies.keys == tuple(image.key for image in dataset.train)
    assert (bodies.score == 1).all()
    assert (bodies.size == [64, 32]).all()
    assert (bodies.camera[:, 0] > 0).all()


def test_any_crop_can_be_rendered_again_and_turned(album):
    key = load_dataset("pedestrians", album).query.images[0].key
    known = Album(album)
    again = known.view(key)
    written = np.asarray(Image.open(album / key))
    quality = known.studio.camera(int(key.split("_c")[1][0]) - 1).response.jpeg
    np.testing.assert_array_equal(
        written, np.asarray(Image.open(io.BytesIO(as_jpeg(again, quality))))
    )
    around = known.view(key, 180)
    assert around.shape == again.shape
    assert np.abs(around.astype(int) - again).mean() > 1
    np.testing.assert_allclose(known.view(key, 360).astype(int), again, atol=2)


def test_a_true_body_lies_where_the_person_is_seen(album):
    """The weak camera puts the joints inside the person's silhouette, nearly all of them."""
    known = Album(album)
    studio = known.studio
    take = studio.take(0, 0, 0)
    picture = studio._picture(0, take.pose, take.shot.framing, studio.camera(0))
    truth = studio.truth(take)
    posed, view = studio._stand(0, take.pose, take.shot.framing)
    joints = posed.joints[0].numpy()
    flat = (joints - joints[0]) @ view.rotation.T
    high, wide = picture.mask.shape
    x = wide / 2 + high / 2 * (truth.camera[0] * flat[:, 0] + truth.camera[1])
    y = high / 2 + high / 2 * (-truth.camera[0] * flat[:, 1] + truth.camera[2])
    inside = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
    hit = picture.mask[y[inside].astype(int), x[inside].astype(int)]
    assert hit.mean() > 0.85


def test_an_existing_folder_is_never_overwritten(album):
    before = content(album)
    with pytest.raises(UserError, match=f"{album} exists"):
        render_album(album, SIZE, seed=4)
    assert content(album) == before


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    from reid_gen.pedestrians import dataset as module

    def full(table, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_table", full)
    with pytest.raises(UserError, match=r"cannot write .*No space left"):
        render_album(tmp_path / "made", SIZE, seed=3, height=32, width=16)
    assert list(tmp_path.iterdir()) == []


def test_true_views_need_a_rendered_data_set(tmp_path):
    with pytest.raises(UserError, match=f"holds no {ABOUT}: true turned views exist only for"):
        Album(tmp_path)


def test_another_versions_data_set_is_not_turned(tmp_path):
    (tmp_path / ABOUT).write_text(json.dumps({"format": 0}))
    with pytest.raises(UserError, match="has format 0, this version renders 1; render the data"):
        Album(tmp_path)


def test_a_crop_that_is_not_there_is_named(album):
    with pytest.raises(UserError, match=r"query/none\.jpg is no crop of this rendered data set"):
        Album(album).view("query/none.jpg")


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        ("cats --preset tiny", "'cats' cannot be rendered; known: pedestrians", 1),
        ("pedestrians", "give either --preset (tiny, small, market) or --identities", 2),
        ("pedestrians --preset huge", "unknown preset 'huge'; known: tiny, small, market", 2),
        ("pedestrians --preset tiny --cameras 3", "--cameras 3 has no effect with --preset", 2),
    ],
)
def test_the_command_names_what_is_wrong(words, message, code, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["data", "render", *words.split(), "--out", str(tmp_path / "made")])
    assert end.value.code == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_the_command_renders(tmp_path, capsys):
    out = tmp_path / "made"
    words = ["--identities", "4", "--cameras", "2", "--height", "32", "--width", "16"]
    main(["data", "render", "pedestrians", *words, "--workers", "1", "--out", str(out)])
    assert "rendered" in capsys.readouterr().out
    assert len(load_dataset("pedestrians", out).train) == 34


@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, '{"format": 1}', '{"format": 1, "size": 3}']
)
def test_album_refuses_a_damaged_description(tmp_path, text):
    (tmp_path / ABOUT).write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        Album(tmp_path)
