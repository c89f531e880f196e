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


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_networks_of_papers_size_have_its_numbers_of_parameters():
    decoder = Decoder()
    styles = parameters(decoder.scales) + parameters(decoder.shifts)
    assert parameters(StructureEncoder()) == 380_544  # 0.381 million
    assert parameters(decoder) - styles == 1_455_555  # 1.456 million
    assert styles == 11_544_576  # 11.54 million
    assert parameters(MultiScaleDiscriminator()) == 1_025_571  # 3 x 0.342 million
    card = EncoderCard("resnet50", "avg", 256, 128, embedding=512)
    assert parameters(create_encoder(card)) == 24_558_144  # 24.56 million


@pytest.mark.parametrize(("height", "width"), [(256, 128), (128, 64)])
def test_every_size_passes(height, width):
    structure, decoder = StructureEncoder(3, 4), Decoder(32, 8, hidden=8)
    found = structure(torch.randn(2, 3, height, width))
    assert found.shape == (2, 32, height // 4, width // 4)
    picture = decoder(found, torch.randn(2, 4, 8))
    assert picture.shape == (2, 3, height, width)
    maps = MultiScaleDiscriminator(4)(picture)
    quarter = [(height // 4 >> s, width // 4 >> s) for s in range(3)]
    assert [tuple(judged.shape[2:]) for judged in maps] == quarter


def test_adain_gives_every_channel_the_stated_spread_and_mean():
    rng = np.random.default_rng(0)
    x, scale, shift = (
        rng.normal(2, 3, (2, 3, 5, 4)),
        rng.normal(size=(2, 3)),
        rng.normal(size=(2, 3)),
    )
    wanted = np.empty_like(x)
    for image in range(2):
        for channel in range(3):
            plane = x[image, channel]
            spread = np.sqrt(((plane - plane.mean()) ** 2).mean() + 1e-5)
            wanted[image, channel] = (
                scale[image, channel] * (plane - plane.mean()) / spread + shift[image, channel]
            )
    found = adaptive_instance_norm(*(torch.from_numpy(array) for array in (x, scale, shift)))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


def test_layer_norm_is_over_channels_and_places_with_a_scale_per_channel():
    torch.manual_seed(0)
    block = conv_block(2, 3, norm="layer", activate=False)
    x = torch.randn(2, 2, 6, 5)
    plain = block[0](x)
    whole = plain.flatten(1)
    centred = plain - whole.mean(1)[:, None, None, None]
    wanted = centred / (whole.var(1, unbiased=False) + 1e-5).sqrt()[:, None, None, None]
    wanted = wanted * block[1].weight[:, None, None]
    torch.testing.assert_close(block(x), wanted)
    assert ((block[1].weight >= 0) & (block[1].weight <= 1)).all()


def test_borders_are_reflected_or_zero():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 7, 6)
    reflecting, plain = (conv_block(3, 4, 5, activate=False, padding=p) for p in PADDINGS)
    plain.load_state_dict(reflecting.state_dict())
    weight, bias = reflecting[0].weight, reflecting[0].bias
    for block, mode in ((reflecting, "reflect"), (plain, "constant")):
        wanted = F.conv2d(F.pad(x, (2, 2, 2, 2), mode=mode), weight, bias)
        torch.testing.assert_close(block(x), wanted)


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_padding_reaches_every_convolution(padding):
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


def test_stripe_j_drives_block_j():
    torch.manual_seed(0)
    decoder = Decoder(16, 8, hidden=8).eval()
    initialise_generator(decoder)
    seen = []
    for block in decoder.blocks:
        block.register_forward_hook(lambda module, given, made: seen.append(made.detach()))
    structure, parts = torch.randn(1, 16, 4, 4), torch.randn(1, 4, 8)
    decoder(structure, parts)
    parts[:, 2] += 1
    decoder(structure, parts)
    first, second = seen[:4], seen[4:]
    assert all(torch.equal(first[j], second[j]) for j in (0, 1))
    assert not any(torch.equal(first[j], second[j]) for j in (2, 3))


def test_part_features_are_the_means_of_the_maps_stripes():
    encoder = create_encoder(EncoderCard("resnet18", "avg", 128, 64)).eval()
    images = torch.rand(2, 3, 128, 64)
    found = encoder.encode(images)
    torch.testing.assert_close(found.feature, encoder(images))
    with torch.no_grad():
        whole = encoder.backbone((images - encoder.mean) / encoder.std)
    for stripe in range(4):
        rows = whole[:, :, 2 * stripe : 2 * stripe + 2]
        torch.testing.assert_close(found.parts[:, :, stripe].detach(), rows.mean((2, 3)))


@pytest.mark.parametrize("network", ["decoder", "discriminator"])
def test_what_is_computed_again_gives_the_same_gradients(network):
    found = []
    for gradient_checkpointing in (False, True):
        torch.manual_seed(0)
        if network == "decoder":
            made = Decoder(8, 6, hidden=8, gradient_checkpointing=gradient_checkpointing)
            inputs = (torch.randn(2, 8, 8, 4, requires_grad=True), torch.randn(2, 4, 6))
            out = made(*inputs)
        else:
            made = MultiScaleDiscriminator(4, 1, 2, gradient_checkpointing=gradient_checkpointing)
            inputs = (torch.randn(2, 3, 32, 16, requires_grad=True),)
            maps = made(*inputs)
            (slope,) = torch.autograd.grad(maps[0].sum(), inputs, create_graph=True)
            out = slope.square() + maps[1].mean()  # as the gradient penalty goes
        out.square().sum().backward()
        found.append([value.grad for value in (inputs[0], *made.parameters())])
    for kept, again in zip(*found, strict=True):
        torch.testing.assert_close(kept, again)
