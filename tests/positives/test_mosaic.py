import numpy as np
import pytest

from reid_gen.positives.mosaic import SCALES, mosaic


def test_mosaic_keeps_the_image_size_and_colours():
    pixels = np.zeros((60, 30, 3), np.uint8)
    pixels[..., 0] = 200
    for seed in range(5):
        np.testing.assert_array_equal(mosaic(pixels, np.random.default_rng(seed)), pixels)


@pytest.mark.parametrize("seed", range(4))
def test_mosaic_holds_two_crops_and_their_flipped_copies(seed):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (48, 24, 3), dtype=np.uint8)
    result = mosaic(pixels, np.random.default_rng(seed))
    tiles = [result[r : r + 24, c : c + 12] for r in (0, 24) for c in (0, 12)]
    flipped_pairs = {
        (i, j)
        for i in range(4)
        for j in range(4)
        if i != j and np.abs(tiles[i].astype(int) - tiles[j][:, ::-1]).max() <= 1
    }
    assert len(flipped_pairs) == 4
    assert max(SCALES) == 12
