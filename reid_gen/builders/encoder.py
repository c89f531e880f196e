"""From settings to the identity encoder, its EMA and its optimisers."""

from __future__ import annotations

import torch

from reid_gen.builders.warm_start import WarmStart
from reid_gen.config import generators, schema
from reid_gen.models.ema_encoder import EmaEncoder
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.training.step import TrainableNetwork


def encoder_card(config: schema.Config) -> EncoderCard:
    """Architecture and input size of the configured encoder."""
    return EncoderCard(
        backbone=config.encoder.backbone,
        pooling=config.encoder.pooling,
        height=config.data.height,
        width=config.data.width,
        last_stride=config.encoder.last_stride,
        embedding=config.encoder.embedding,
        pose_token=config.encoder.pose_token,
    )


def build_encoder(config: schema.Config, start: WarmStart) -> IdentityEncoder:
    """Build the identity encoder with its start weights.

    Raises:
        UserError: If the backbone is unknown, or weights cannot be read or do not fit.
    """
    card = encoder_card(config)
    encoder = create_encoder(card, config.encoder.weights, config.encoder.ghost_batch)
    start.load_encoder(encoder, card)
    return encoder


def build_ema_encoder(
    config: schema.Config, encoder: IdentityEncoder, start: WarmStart
) -> EmaEncoder | None:
    """Build the EMA encoder whose features condition the generator; None if not configured."""
    settings = config.generator
    if not isinstance(settings, generators.BodyConditioned) or settings.ema_momentum is None:
        return None
    ema_encoder = EmaEncoder(encoder, settings.ema_momentum)
    start.load_ema_encoder(ema_encoder)
    return ema_encoder


def build_optimizers(
    config: schema.Config, encoder: IdentityEncoder
) -> dict[str, TrainableNetwork]:
    """Build every optimiser of the encoder that a stage uses, by its name."""
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    rate = config.stages[0].learning_rate
    networks: dict[str, TrainableNetwork] = {}
    for name in sorted({stage.optimizer for stage in config.stages}):
        optimizer: torch.optim.Optimizer
        if name == "adam":
            optimizer = torch.optim.Adam(parameters, lr=rate, fused=True)
        else:
            optimizer = torch.optim.SGD(parameters, rate, momentum=0.9, nesterov=True, fused=True)
        networks[name] = TrainableNetwork(encoder, optimizer)
    return networks
