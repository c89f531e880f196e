import pytest
import torch

from reid_gen.generators.protocol import Views
from reid_gen.models.encoder import EncoderOutput
from tests.generators.scenes import make_batch, make_encoder, make_gan, make_images
from tests.reference.losses import weighted_absolute


@pytest.mark.parametrize(("body_weight", "expected"), [(1.0, 0.25), (4.0, 4 / 7)])
def test_gan_body_weight_applies_to_image_and_cycle_terms(body_weight, expected):
    """A quarter of each map is body; the reconstruction errs there, the cycle elsewhere."""
    torch.manual_seed(0)
    encoder = make_encoder()
    gan = make_gan(encoder, make_images(3), body_weight=body_weight)
    batch = make_batch(make_images(3))
    unturned, turned = batch.sources.conditions["unturned"], batch.sources.conditions["turned"]
    unturned[:, :, 16:] = turned[:, :, :16] = -1
    body = (unturned != -1).any(1, keepdim=True).float()
    assert body.mean() == 0.25
    generated = {
        "reconstruction": batch.images + body * encoder.std,
        "cycle": batch.images - (1 - body) * encoder.std,
    }
    encoded = EncoderOutput(torch.zeros(3, 1), torch.zeros(3, encoder.channels, 4))
    views = Views(
        batch.images.unsqueeze(1),
        auxiliary=generated,
        auxiliary_encoded=dict.fromkeys(("reconstruction", "cycle", "view"), encoded),
    )
    terms = gan.generator_terms(batch.sources, views, encoded)
    assert terms["image"].item() == pytest.approx(expected, rel=1e-4)
    assert terms["cycle"].item() == pytest.approx(1 - expected, rel=1e-4)
    weight = 1 + (body_weight - 1) * body
    for term, name in (("image", "reconstruction"), ("cycle", "cycle")):
        pair = (gan.painter.normalise(images) for images in (generated[name], batch.images))
        assert terms[term].item() == pytest.approx(weighted_absolute(*pair, weight), rel=1e-4)
