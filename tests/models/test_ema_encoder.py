import numpy as np
import torch

from reid_gen.models.ema_encoder import EmaEncoder
from tests.generators.scenes import make_encoder


def changed(encoder, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for value in encoder.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.randn_like(value))


def test_it_is_the_running_average_of_weights_and_statistics():
    encoder = make_encoder()
    mean = EmaEncoder(encoder, 0.9)
    wanted = {name: value.double().numpy() for name, value in encoder.state_dict().items()}
    for step in range(3):
        changed(encoder, step)
        mean.update(encoder)
        for name, value in encoder.state_dict().items():
            if value.is_floating_point():
                wanted[name] = 0.9 * wanted[name] + 0.1 * value.double().numpy()
    for name, value in mean.encoder.state_dict().items():
        if value.is_floating_point():
            np.testing.assert_allclose(value, wanted[name], atol=1e-5, err_msg=name)


def test_it_begins_again_with_the_encoder_as_it_is():
    encoder = make_encoder()
    mean = EmaEncoder(encoder, 0.9)
    changed(encoder, 0)
    mean.reset(encoder)
    own = encoder.state_dict()
    for name, value in mean.encoder.state_dict().items():
        assert torch.equal(value, own[name]), name


def test_it_stays_in_evaluation_mode_and_gradients_reach_images_alone():
    encoder = make_encoder().train()
    mean = EmaEncoder(encoder, 0.9)
    images = torch.rand(2, 3, 64, 32, requires_grad=True)
    before = {name: value.clone() for name, value in mean.state_dict().items()}
    mean.encoder.encode(images).parts.sum().backward()
    assert images.grad is not None
    assert all(parameter.grad is None for parameter in mean.parameters())
    assert all(torch.equal(before[name], value) for name, value in mean.state_dict().items())
