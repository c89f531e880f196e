"""Small generators, encoders, batches and training steps for tests."""

import numpy as np
import torch
from torch import nn

from reid_gen.body.model import load_body
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.table import BodyTable
from reid_gen.generators.gan.decoder import Decoder
from reid_gen.generators.gan.discriminator import MultiScaleDiscriminator
from reid_gen.generators.gan.generator import MeshGan
from reid_gen.generators.gan.painter import MeshPainter
from reid_gen.generators.gan.structure_encoder import StructureEncoder
from reid_gen.generators.pixel_diffusion.generator import DiffusionPainter, PixelDiffusion
from reid_gen.generators.pixel_diffusion.sampler import Guidance
from reid_gen.generators.pixel_diffusion.unet import PersonUNet
from reid_gen.generators.protocol import ViewInputs
from reid_gen.generators.turned_maps import AnyAngle, TurnedMaps
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.encoder import EncoderCard, create_encoder
from reid_gen.runtime.devices import Runtime
from reid_gen.training.contrastive_terms import ContrastTerms, Pairs
from reid_gen.training.step import (
    DISCRIMINATOR,
    GENERATOR,
    IDENTITY,
    Batch,
    TrainableNetwork,
    TrainingStep,
)
from reid_gen.types import Image

HEIGHT, WIDTH = 64, 32
GAN_WEIGHTS = {
    "image": 5.0, "cycle": 5.0, "feature": 5.0, "adversarial": 1.0,
    "fake": 1.0, "real": 1.0, "penalty": 0.01,
}  # fmt: skip


def make_images(count):
    return [Image(f"train/{n:04d}.jpg", None) for n in range(count)]


def make_body_table(images, score=None):
    """Centred bodies in rest pose, each with another root rotation."""
    count = len(images)
    pose = np.zeros((count, 24, 3), np.float32)
    pose[:, 0, 1] = np.linspace(0, 5, count)
    camera = np.tile(np.array([0.9, 0, 0], np.float32), (count, 1))
    score = np.ones(count, np.float32) if score is None else np.asarray(score, np.float32)
    size = np.tile([HEIGHT, WIDTH], (count, 1))
    shape = np.zeros((count, 10), np.float32)
    return BodyTable(tuple(i.key for i in images), pose, shape, camera, score, size, "test")


def make_turned_maps(images, score=None, max_sources=None, kind="parts", angles=None):
    maps = BodyMapRenderer(make_body_table(images, score), load_body(None), HEIGHT, WIDTH)
    return TurnedMaps(maps, kind, angles or AnyAngle(), 0.3, max_sources)


def black_pixels(images):
    """Pixels for body maps that do not depend on them."""
    return np.zeros((len(images), HEIGHT, WIDTH, 3), np.uint8)


def encode_with(encoder):
    """Return an ``EncodeFn`` of an encoder."""
    return lambda *batches: [encoder.encode(images) for images in batches]


def make_encoder():
    return create_encoder(EncoderCard("resnet10t", "gem", HEIGHT, WIDTH))


def make_gan(encoder, images, **options):
    stripes = options.pop("stripes", "body")
    structure = StructureEncoder(3, 4, pyramid=False)
    decoder = Decoder(32, encoder.channels, hidden=8)
    painter = MeshPainter(structure, decoder, encoder.mean, encoder.std, stripes=stripes)
    maps = make_turned_maps(images)
    discriminator = MultiScaleDiscriminator(4, blocks=1, scales=2)
    return MeshGan(painter, discriminator, maps, **options)


def make_diffusion(encoder, images, guidance=None, painted=False):
    channels = 4 if painted else 3
    sizes = (HEIGHT, WIDTH, channels, encoder.channels, encoder.feature_size)
    unet = PersonUNet(
        *sizes, widths=(16, 32), patch_size=4, heads=2, cross_attention_dim=16, painted=painted
    )
    painter = DiffusionPainter(unet, 0.9, guidance or Guidance(), steps=2)
    return PixelDiffusion(painter, make_turned_maps(images), condition_dropout=0.1)


def make_batch(images, seed=0):
    """Batch of random images that all get views, with random unturned and turned maps."""
    generator = torch.Generator().manual_seed(seed)
    count = len(images)
    pixels = torch.rand(count, 3, HEIGHT, WIDTH, generator=generator)
    maps = torch.rand(2, count, 3, HEIGHT, WIDTH, generator=generator) * 2 - 1
    rows = torch.arange(count)
    conditions = {"unturned": maps[0], "turned": maps[1]}
    return Batch(pixels, rows, rows.numpy(), ViewInputs(rows, pixels, conditions))


def make_bank(encoder, labels):
    torch.manual_seed(5)
    features = nn.functional.normalize(torch.randn(len(labels), encoder.feature_size), dim=1)
    return MemoryBank(features, torch.tensor(labels), 0.2, 0.1)


def make_trainable(encoder, gan, rate=1e-3):
    networks = {IDENTITY: encoder, GENERATOR: gan.networks, DISCRIMINATOR: gan.discriminator}
    return {
        name: TrainableNetwork(
            network,
            torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=rate),
        )
        for name, network in networks.items()
    }


def make_step(encoder, gan, names, labels, weights, pairs=None, rate=1e-3):
    """Training step of the named networks."""
    weights = {
        **dict.fromkeys(("prototype", "instance", "view_prototype", "view_align"), 0.0),
        **dict.fromkeys(("view_instance", "view_cluster", "real_cluster", "mixup"), 0.0),
        **GAN_WEIGHTS,
        **weights,
    }
    trainable = make_trainable(encoder, gan, rate)
    for name, network in trainable.items():
        network.requires_grad_(name in names)
    encoder.train(IDENTITY in names)
    contrast = None
    if IDENTITY in names:
        contrast = ContrastTerms(make_bank(encoder, labels), 0.1, weights, pairs or Pairs())
    trained = {name: network for name, network in trainable.items() if name in names}
    return TrainingStep(encoder, trained, gan, contrast, weights, Runtime("fp32", "fp32"))
