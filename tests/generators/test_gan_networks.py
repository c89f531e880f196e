import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from reid_gen.generators.gan.blocks import adaptive_instance_norm, conv_block
from reid_gen.generators.gan.decoder import Decoder, initialise_generator
from reid_gen.generators.gan.discriminator import MultiScaleDiscriminator
from reid_gen.generators.gan.structure_encoder import StructureEncoder
from reid_gen.models.encoder import EncoderCard, create_encoder

PADDINGS = ("reflect", "zeros")


def count_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_gan_networks_have_the_papers_parameter_counts():
    decoder = Decoder()
    mlps = count_parameters(decoder.scales) + count_parameters(decoder.shifts)
    assert count_parameters(StructureEncoder()) == 380_544  # 0.381 million
    assert count_parameters(decoder) - mlps == 1_455_555  # 1.456 million
    assert mlps == 11_544_576  # 11.54 million
    assert count_parameters(MultiScaleDiscriminator()) == 1_025_571  # 3 x 0.342 million
    card = EncoderCard("resnet50", "avg", 256, 128, embedding=512)
    assert count_parameters(create_encoder(card)) == 24_558_144  # 24.56 million


@pytest.mark.parametrize(("height", "width"), [(256, 128), (128, 64)])
def test_gan_networks_have_the_documented_shapes(height, width):
    structure_encoder, decoder = StructureEncoder(3, 4), Decoder(32, 8, hidden=8)
    structure = structure_encoder(torch.randn(2, 3, height, width))
    assert structure.shape == (2, 32, height // 4, width // 4)
    images = decoder(structure, torch.randn(2, 4, 8))
    assert images.shape == (2, 3, height, width)
    score_maps = MultiScaleDiscriminator(4)(images)
    quarters = [(height // 4 >> s, width // 4 >> s) for s in range(3)]
    assert [tuple(scores.shape[2:]) for scores in score_maps] == quarters


def test_adain_sets_mean_and_deviation_of_each_channel():
    rng = np.random.default_rng(0)
    x, scale, shift = (
        rng.normal(2, 3, (2, 3, 5, 4)),
        rng.normal(size=(2, 3)),
        rng.normal(size=(2, 3)),
    )
    expected = np.empty_like(x)
    for n in range(2):
        for channel in range(3):
            plane = x[n, channel]
            std = np.sqrt(((plane - plane.mean()) ** 2).mean() + 1e-5)
            expected[n, channel] = (
                scale[n, channel] * (plane - plane.mean()) / std + shift[n, channel]
            )
    actual = adaptive_instance_norm(*(torch.from_numpy(array) for array in (x, scale, shift)))
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-12)


def test_layer_norm_is_over_channels_and_positions():
    torch.manual_seed(0)
    block = conv_block(2, 3, norm="layer", activate=False)
    x = torch.randn(2, 2, 6, 5)
    output = block[0](x)
    flat = output.flatten(1)
    centred = output - flat.mean(1)[:, None, None, None]
    expected = centred / (flat.var(1, unbiased=False) + 1e-5).sqrt()[:, None, None, None]
    expected = expected * block[1].weight[:, None, None]
    torch.testing.assert_close(block(x), expected)
    assert ((block[1].weight >= 0) & (block[1].weight <= 1)).all()


def test_conv_block_pads_by_reflection_or_zeros():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 7, 6)
    reflect, zeros = (conv_block(3, 4, 5, activate=False, padding=p) for p in PADDINGS)
    zeros.load_state_dict(reflect.state_dict())
    weight, bias = reflect[0].weight, reflect[0].bias
    for block, mode in ((reflect, "reflect"), (zeros, "constant")):
        expected = F.conv2d(F.pad(x, (2, 2, 2, 2), mode=mode), weight, bias)
        torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("padding", PADDINGS)
def test_gan_networks_pass_padding_to_every_convolution(padding):
    networks = (
        StructureEncoder(3, 4, padding=padding), Decoder(32, 8, hidden=8, padding=padding),
        MultiScaleDiscriminator(4, padding=padding),
    )  # fmt: skip
    for network in networks:
        modes = {
            layer.padding_mode
            for layer in network.modules()
            if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
        }
        assert modes == {padding}


def test_decoder_modulates_block_j_by_stripe_j():
    torch.manual_seed(0)
    decoder = Decoder(16, 8, hidden=8).eval()
    initialise_generator(decoder)
    outputs = []
    for block in decoder.blocks:
        block.register_forward_hook(lambda module, inputs, output: outputs.append(output.detach()))
    structure, parts = torch.randn(1, 16, 4, 4), torch.randn(1, 4, 8)
    decoder(structure, parts)
    parts[:, 2] += 1
    decoder(structure, parts)
    before, after = outputs[:4], outputs[4:]
    assert all(torch.equal(before[j], after[j]) for j in (0, 1))
    assert not any(torch.equal(before[j], after[j]) for j in (2, 3))


def test_encoder_parts_are_means_of_horizontal_stripes():
    encoder = create_encoder(EncoderCard("resnet18", "avg", 128, 64)).eval()
    images = torch.rand(2, 3, 128, 64)
    encoded = encoder.encode(images)
    torch.testing.assert_close(encoded.feature, encoder(images))
    with torch.no_grad():
        feature_map = encoder.backbone((images - encoder.mean) / encoder.std)
    for stripe in range(4):
        rows = feature_map[:, :, 2 * stripe : 2 * stripe + 2]
        torch.testing.assert_close(encoded.parts[:, :, stripe].detach(), rows.mean((2, 3)))


@pytest.mark.parametrize("network", ["decoder", "discriminator"])
def test_gradient_checkpointing_gives_the_same_gradients(network):
    gradients = []
    for gradient_checkpointing in (False, True):
        torch.manual_seed(0)
        if network == "decoder":
            module = Decoder(8, 6, hidden=8, gradient_checkpointing=gradient_checkpointing)
            inputs = (torch.randn(2, 8, 8, 4, requires_grad=True), torch.randn(2, 4, 6))
            output = module(*inputs)
        else:
            module = MultiScaleDiscriminator(4, 1, 2, gradient_checkpointing=gradient_checkpointing)
            inputs = (torch.randn(2, 3, 32, 16, requires_grad=True),)
            score_maps = module(*inputs)
            (gradient,) = torch.autograd.grad(score_maps[0].sum(), inputs, create_graph=True)
            output = gradient.square() + score_maps[1].mean()  # as in the gradient penalty
        output.square().sum().backward()
        gradients.append([value.grad for value in (inputs[0], *module.parameters())])
    for expected, actual in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected)
