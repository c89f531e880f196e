import numpy as np
import pytest
import torch

from reid_gen.data.images import UnreadableImage, decode
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.sampling import evenly_spaced_indices, identity_batches
from reid_gen.data.transforms import Augmentation, to_images, to_pixels
from reid_gen.types import Image
from tests.data.real_format import draw_person, make_folder


def write_truncated_image(path):
    draw_person(path, 1, 0, 0)
    path.write_bytes(path.read_bytes()[:-400])
    return path


def test_decode_resizes_to_the_requested_size(tmp_path):
    draw_person(tmp_path / "a.jpg", 1, 0, 0)
    assert decode(tmp_path / "a.jpg").shape == (64, 32, 3)
    assert decode(tmp_path / "a.jpg", 48, 20).shape == (48, 20, 3)


def test_decode_rejects_a_truncated_file(tmp_path):
    with pytest.raises(UnreadableImage, match=r"cut\.jpg"):
        decode(write_truncated_image(tmp_path / "cut.jpg"))


def test_image_loader_keeps_order_and_reports_failures(tmp_path):
    paths = sorted(make_folder(tmp_path / "good").rglob("*.*g"))
    paths.insert(2, write_truncated_image(tmp_path / "cut.jpg"))
    loader = ImageLoader([Image(p.name, p) for p in paths], 64, 32, workers=3)
    requested = [np.array([5, 0, 3]), np.array([2, 1]), *[np.array([i]) for i in range(8)]]
    batches = list(loader.read(iter(requested)))
    for rows, batch in zip(requested, batches, strict=True):
        np.testing.assert_array_equal(batch.index, rows)
        for row, pixels in zip(rows, batch.pixels, strict=True):
            if row != 2:
                np.testing.assert_array_equal(pixels, decode(paths[row]))
    assert [failure.path.name for failure in batches[1].failures] == ["cut.jpg"]
    assert batches[0].failures == ()


def test_identity_batches_have_p_clusters_of_k_images():
    labels = np.array([0] * 5 + [1] * 3 + [2] * 9 + [-1] * 4 + [3] * 4)
    rng = np.random.default_rng(0)
    for rows in identity_batches(labels, batch=12, instances=4, iterations=20, rng=rng):
        sampled = labels[rows].reshape(3, 4)
        assert (sampled >= 0).all()
        assert (sampled == sampled[:, :1]).all()
        assert len(set(sampled[:, 0])) == 3


def test_identity_batches_repeat_only_images_of_small_clusters():
    labels = np.array([0] * 3 + [1] * 10)
    rng = np.random.default_rng(0)
    rows = next(identity_batches(labels, batch=16, instances=8, iterations=1, rng=rng))
    small, large = rows[labels[rows] == 0], rows[labels[rows] == 1]
    assert len(set(large)) == 8
    assert sorted(np.bincount(small)) == [2, 3, 3]


def test_identity_batches_use_all_clusters_before_repeating():
    labels = np.repeat(np.arange(6), 4)
    batches = identity_batches(
        labels, batch=8, instances=4, iterations=9, rng=np.random.default_rng(1)
    )
    order = [set(labels[rows]) for rows in batches]
    for start in range(0, 9, 3):
        assert set.union(*order[start : start + 3]) == set(range(6))


def test_identity_batches_spread_a_cluster_over_cameras():
    labels, camids = np.zeros(30, dtype=int), np.array([0] * 26 + [1, 2, 3, 4])
    rng = np.random.default_rng(0)
    rows = next(
        identity_batches(labels, batch=5, instances=5, iterations=1, rng=rng, camids=camids)
    )
    assert set(camids[rows]) == {0, 1, 2, 3, 4}


def test_identity_batches_shrink_with_fewer_clusters_than_p():
    labels = np.array([0, 0, 1, 1])
    rng = np.random.default_rng(0)
    rows = next(identity_batches(labels, batch=32, instances=4, iterations=1, rng=rng))
    assert len(rows) == 8


def augment(pixels, seed=0, flip=0.0, pad=0, erase=0.0):
    augmentation = Augmentation(flip=flip, pad=pad, erase=erase, fill=(0.5, 0.0, 1.0))
    pixels = torch.from_numpy(pixels)
    params = augmentation.sample(pixels, np.random.default_rng(seed))
    return to_images(params.apply(pixels))


def random_pixels():
    return np.random.default_rng(5).integers(1, 256, (6, 20, 10, 3), dtype=np.uint8)


def test_augmentation_without_changes_keeps_images():
    assert torch.equal(augment(random_pixels()), to_images(random_pixels()))


def test_to_images_and_to_pixels_are_inverse():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    images = to_images(pixels)
    assert (images.min(), images.max()) == (0, 1)
    np.testing.assert_array_equal(to_pixels(images), pixels)
    for offset in (-0.4, 0.4):
        np.testing.assert_array_equal(to_pixels(images + offset / 255), pixels)
    assert to_pixels(2 * images).max() == 255


def test_augmentation_flips_left_to_right():
    assert torch.equal(augment(random_pixels(), flip=1.0), to_images(random_pixels()).flip(3))


def test_augmentation_crops_from_the_padded_image():
    cropped, original = augment(random_pixels(), pad=3), to_images(random_pixels())
    padded = torch.nn.functional.pad(original, (3, 3, 3, 3))
    offsets = [
        (top, left)
        for top in range(7)
        for left in range(7)
        if torch.equal(cropped[0], padded[0, :, top : top + 20, left : left + 10])
    ]
    assert len(offsets) == 1


def test_augmentation_erases_one_rectangle_with_fill():
    erased, original = augment(random_pixels(), erase=1.0), to_images(random_pixels())
    for image, original_image in zip(erased, original, strict=True):
        changed = (image != original_image).any(dim=0)
        rows, columns = changed.any(dim=1).nonzero(), changed.any(dim=0).nonzero()
        box = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        fill = torch.tensor([128 / 255, 0, 1]).view(3, 1, 1)
        torch.testing.assert_close(box, fill.expand_as(box))
        assert 0.01 <= box[0].numel() / 200 <= 0.5


def test_augmentation_is_reproducible_by_seed():
    settings = {"flip": 0.5, "pad": 3, "erase": 0.5}
    assert torch.equal(
        augment(random_pixels(), 1, **settings), augment(random_pixels(), 1, **settings)
    )
    assert not torch.equal(
        augment(random_pixels(), 1, **settings), augment(random_pixels(), 2, **settings)
    )


def test_evenly_spaced_indices_return_all_if_there_are_few():
    assert evenly_spaced_indices(100, 3).tolist() == [0, 50, 99]
    assert evenly_spaced_indices(4, 9).tolist() == [0, 1, 2, 3]
    assert evenly_spaced_indices(5, 1).tolist() == [0]
