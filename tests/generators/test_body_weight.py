from dataclasses import replace

import numpy as np
import pytest
import torch

from reid_gen.generators.protocol import Wanted
from tests.generators.scenes import blank, each_by, make_batch, make_encoder, make_gan, people
from tests.reference.losses import weighted_absolute


def test_pixels_on_the_body_count_more_in_what_is_rebuilt_and_cycled():
    images = people(3)
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images, body_weight=4.0)
    batch = make_batch(images)
    here = gan.maps(images, blank(images), np.random.default_rng(0)).pictures["here"]
    maps = torch.from_numpy(np.moveaxis(here, -1, 1).copy())
    sources = replace(batch.sources, pictures={"here": maps, "turned": maps})
    seen = encoder.encode(batch.images)
    views = gan.views(sources, seen, each_by(encoder), True, Wanted.FEATURES)
    found = gan.generator_terms(sources, views, seen)
    body = (maps != -1).any(1, keepdim=True)
    assert 0 < body.float().mean() < 0.5
    weight = torch.where(body, 4.0, 1.0)
    for term, drawn in (("image", "rebuilt"), ("cycle", "cycled")):
        both = (gan.painter.normalised(some) for some in (views.others[drawn], batch.images))
        assert found[term].item() == pytest.approx(weighted_absolute(*both, weight), rel=1e-4)
