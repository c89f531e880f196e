import numpy as np
import torch

from reid_gen.models.ema_encoder import EmaEncoder
from tests.generators.scenes import make_encoder


def perturb(encoder, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for value in encoder.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.randn_like(value))


def test_ema_encoder_averages_weights_and_buffers():
    encoder = make_encoder()
    ema = EmaEncoder(encoder, 0.9)
    expected = {name: value.double().numpy() for name, value in encoder.state_dict().items()}
    for step in range(3):
        perturb(encoder, step)
        ema.update(encoder)
        for name, value in encoder.state_dict().items():
            if value.is_floating_point():
                expected[name] = 0.9 * expected[name] + 0.1 * value.double().numpy()
    for name, value in ema.encoder.state_dict().items():
        if value.is_floating_point():
            np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=name)


def test_ema_encoder_reset_copies_the_encoder():
    encoder = make_encoder()
    ema = EmaEncoder(encoder, 0.9)
    perturb(encoder, 0)
    ema.reset(encoder)
    state = encoder.state_dict()
    for name, value in ema.encoder.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_ema_encoder_passes_gradients_only_to_images():
    encoder = make_encoder().train()
    ema = EmaEncoder(encoder, 0.9)
    images = torch.rand(2, 3, 64, 32, requires_grad=True)
    before = {name: value.clone() for name, value in ema.state_dict().items()}
    ema.encoder.encode(images).parts.sum().backward()
    assert images.grad is not None
    assert all(parameter.grad is None for parameter in ema.parameters())
    assert all(torch.equal(before[name], value) for name, value in ema.state_dict().items())
