import numpy as np
import pytest
import torch

from reid_gen.data.images import UnreadableImage, decode
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.sampling import evenly_spaced_indices, identity_batches
from reid_gen.data.transforms import Augmentation, to_images, to_pixels
from reid_gen.types import Image
from tests.data.real_format import draw_person, make_folder


def truncated(path):
    draw_person(path, 1, 0, 0)
    path.write_bytes(path.read_bytes()[:-400])
    return path


def test_decoding_gives_rgb_of_the_size_asked_for(tmp_path):
    draw_person(tmp_path / "a.jpg", 1, 0, 0)
    assert decode(tmp_path / "a.jpg").shape == (64, 32, 3)
    assert decode(tmp_path / "a.jpg", 48, 20).shape == (48, 20, 3)


def test_a_truncated_file_is_a_fault_and_not_a_grey_picture(tmp_path):
    with pytest.raises(UnreadableImage, match=r"cut\.jpg"):
        decode(truncated(tmp_path / "cut.jpg"))


def test_a_loader_keeps_the_order_asked_for_and_reports_what_does_not_decode(tmp_path):
    paths = sorted(make_folder(tmp_path / "good").rglob("*.*g"))
    paths.insert(2, truncated(tmp_path / "cut.jpg"))
    loader = ImageLoader([Image(p.name, p) for p in paths], 64, 32, workers=3)
    wanted = [np.array([5, 0, 3]), np.array([2, 1]), *[np.array([i]) for i in range(8)]]
    found = list(loader.read(iter(wanted)))
    for rows, batch in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(batch.index, rows)
        for row, pixels in zip(rows, batch.pixels, strict=True):
            if row != 2:
                np.testing.assert_array_equal(pixels, decode(paths[row]))
    assert [failure.path.name for failure in found[1].failures] == ["cut.jpg"]
    assert found[0].failures == ()


def test_every_batch_has_p_clusters_of_k_images_and_no_outlier():
    labels = np.array([0] * 5 + [1] * 3 + [2] * 9 + [-1] * 4 + [3] * 4)
    rng = np.random.default_rng(0)
    for rows in identity_batches(labels, batch=12, instances=4, iterations=20, rng=rng):
        drawn = labels[rows].reshape(3, 4)
        assert (drawn >= 0).all()
        assert (drawn == drawn[:, :1]).all()
        assert len(set(drawn[:, 0])) == 3


def test_a_large_cluster_gives_different_images_and_a_small_one_repeats_in_turns():
    labels = np.array([0] * 3 + [1] * 10)
    rng = np.random.default_rng(0)
    rows = next(identity_batches(labels, batch=16, instances=8, iterations=1, rng=rng))
    small, large = rows[labels[rows] == 0], rows[labels[rows] == 1]
    assert len(set(large)) == 8
    assert sorted(np.bincount(small)) == [2, 3, 3]


def test_all_clusters_are_drawn_before_any_again():
    labels = np.repeat(np.arange(6), 4)
    batches = identity_batches(
        labels, batch=8, instances=4, iterations=9, rng=np.random.default_rng(1)
    )
    order = [set(labels[rows]) for rows in batches]
    for start in range(0, 9, 3):
        assert set.union(*order[start : start + 3]) == set(range(6))


def test_the_camera_aware_variant_spreads_over_cameras():
    labels, camids = np.zeros(30, dtype=int), np.array([0] * 26 + [1, 2, 3, 4])
    rng = np.random.default_rng(0)
    rows = next(
        identity_batches(labels, batch=5, instances=5, iterations=1, rng=rng, camids=camids)
    )
    assert set(camids[rows]) == {0, 1, 2, 3, 4}


def test_fewer_clusters_than_p_make_a_smaller_batch():
    labels = np.array([0, 0, 1, 1])
    rng = np.random.default_rng(0)
    rows = next(identity_batches(labels, batch=32, instances=4, iterations=1, rng=rng))
    assert len(rows) == 8


def augment(pixels, seed=0, flip=0.0, pad=0, erase=0.0):
    change = Augmentation(flip=flip, pad=pad, erase=erase, fill=(0.5, 0.0, 1.0))
    changes = change.sample(*pixels.shape[:3], np.random.default_rng(seed))
    return to_images(changes.apply(pixels))


def pictures():
    return np.random.default_rng(5).integers(1, 256, (6, 20, 10, 3), dtype=np.uint8)


def test_without_any_change_augmenting_is_converting():
    assert torch.equal(augment(pictures()), to_images(pictures()))


def test_to_images_is_one_where_pixels_are_white_and_back():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    images = to_images(pixels)
    assert (images.min(), images.max()) == (0, 1)
    np.testing.assert_array_equal(to_pixels(images), pixels)
    for off in (-0.4, 0.4):
        np.testing.assert_array_equal(to_pixels(images + off / 255), pixels)
    assert to_pixels(2 * images).max() == 255


def test_flipping_mirrors_left_and_right():
    assert torch.equal(augment(pictures(), flip=1.0), to_images(pictures()).flip(3))


def test_padding_and_cropping_moves_the_image_and_fills_with_black():
    moved, original = augment(pictures(), pad=3), to_images(pictures())
    padded = torch.nn.functional.pad(original, (3, 3, 3, 3))
    places = [
        (top, left)
        for top in range(7)
        for left in range(7)
        if torch.equal(moved[0], padded[0, :, top : top + 20, left : left + 10])
    ]
    assert len(places) == 1


def test_erasing_fills_one_rectangle_of_a_stated_share():
    erased, original = augment(pictures(), erase=1.0), to_images(pictures())
    for image, before in zip(erased, original, strict=True):
        changed = (image != before).any(dim=0)
        rows, columns = changed.any(dim=1).nonzero(), changed.any(dim=0).nonzero()
        box = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        fill = torch.tensor([128 / 255, 0, 1]).view(3, 1, 1)
        torch.testing.assert_close(box, fill.expand_as(box))
        assert 0.01 <= box[0].numel() / 200 <= 0.5


def test_augmentation_depends_on_the_seed_alone():
    kinds = {"flip": 0.5, "pad": 3, "erase": 0.5}
    assert torch.equal(augment(pictures(), 1, **kinds), augment(pictures(), 1, **kinds))
    assert not torch.equal(augment(pictures(), 1, **kinds), augment(pictures(), 2, **kinds))


def test_some_are_picked_evenly_and_all_if_there_are_few():
    assert evenly_spaced_indices(100, 3).tolist() == [0, 50, 99]
    assert evenly_spaced_indices(4, 9).tolist() == [0, 1, 2, 3]
    assert evenly_spaced_indices(5, 1).tolist() == [0]
