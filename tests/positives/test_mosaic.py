import numpy as np
import pytest

from reid_gen.positives.mosaic import SCALES, mosaic


def test_a_mosaic_has_the_images_size_and_only_its_colours():
    pixels = np.zeros((60, 30, 3), np.uint8)
    pixels[..., 0] = 200
    for seed in range(5):
        made = mosaic(pixels, np.random.default_rng(seed))
        assert made.shape == pixels.shape
        np.testing.assert_array_equal(made, pixels)


@pytest.mark.parametrize("seed", range(4))
def test_its_pieces_are_two_crops_and_their_mirror_images(seed):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (48, 24, 3), dtype=np.uint8)
    made = mosaic(pixels, np.random.default_rng(seed))
    pieces = [made[r : r + 24, c : c + 12] for r in (0, 24) for c in (0, 12)]
    mirrored = {
        (i, j)
        for i in range(4)
        for j in range(4)
        if i != j and np.abs(pieces[i].astype(int) - pieces[j][:, ::-1]).max() <= 1
    }
    assert len(mirrored) == 4
    assert max(SCALES) == 12
