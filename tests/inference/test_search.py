from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from reid_gen.inference import search
from reid_gen.runtime.progress import Silent
from reid_gen.types import Image
from tests.data.real_format import draw_person


@pytest.mark.parametrize("top", [1, 3])
def test_gallery_ranks_the_nearest_images_first(tmp_path, monkeypatch, top):
    for n in range(5):
        draw_person(tmp_path / f"{n}.png", n, 0, 0)
    images = [Image(f"{n}", tmp_path / f"{n}.png") for n in range(5)]

    def encode(pixels):
        return F.normalize(pixels.flatten(1) - 0.5, dim=1)

    card = SimpleNamespace(height=16, width=8)
    monkeypatch.setattr(search, "open_encoder", lambda *_: (encode, card))
    gallery = search.Gallery(tmp_path, images, Silent())
    similarity = torch.from_numpy(gallery.features @ gallery.features.T)
    query = [images[3], images[0]]
    ranked_lists = gallery.search(query, top, keep_same_image=True)
    for ranked, row in zip(ranked_lists, similarity[[3, 0]], strict=True):
        order = row.argsort(descending=True)[:top].tolist()
        assert [image.key for image, _ in ranked.matches] == [str(n) for n in order]
        assert ranked.matches[0] == (ranked.query, pytest.approx(0, abs=1e-3))
