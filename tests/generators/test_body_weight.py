import pytest
import torch

from reid_gen.generators.protocol import Views
from reid_gen.models.encoder import EncoderOutput
from tests.generators.scenes import make_batch, make_encoder, make_gan, make_images
from tests.reference.losses import weighted_absolute


@pytest.mark.parametrize(("body_weight", "wanted"), [(1.0, 0.25), (4.0, 4 / 7)])
def test_pixels_on_the_body_count_more_in_what_is_rebuilt_and_cycled(body_weight, wanted):
    """A quarter of each map is body; the rebuilt picture is wrong there, the cycled elsewhere."""
    torch.manual_seed(0)
    encoder = make_encoder()
    gan = make_gan(encoder, make_images(3), body_weight=body_weight)
    batch = make_batch(make_images(3))
    here, turned = batch.sources.conditions["unturned"], batch.sources.conditions["turned"]
    here[:, :, 16:] = turned[:, :, :16] = -1
    body = (here != -1).any(1, keepdim=True).float()
    assert body.mean() == 0.25
    pictures = {
        "reconstruction": batch.images + body * encoder.std,
        "cycle": batch.images - (1 - body) * encoder.std,
    }
    nobody = EncoderOutput(torch.zeros(3, 1), torch.zeros(3, encoder.channels, 4))
    said = dict.fromkeys(("reconstruction", "cycle", "view"), nobody)
    views = Views(batch.images.unsqueeze(1), auxiliary=pictures, auxiliary_encoded=said)
    found = gan.generator_terms(batch.sources, views, nobody)
    assert found["image"].item() == pytest.approx(wanted, rel=1e-4)
    assert found["cycle"].item() == pytest.approx(1 - wanted, rel=1e-4)
    weight = 1 + (body_weight - 1) * body
    for term, name in (("image", "reconstruction"), ("cycle", "cycle")):
        both = (gan.painter.normalise(some) for some in (pictures[name], batch.images))
        assert found[term].item() == pytest.approx(weighted_absolute(*both, weight), rel=1e-4)
