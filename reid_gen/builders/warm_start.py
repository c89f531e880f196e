"""The run whose weights a new run starts from (``start_from``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from reid_gen.models.checkpoint import (
    EMA_ENCODER,
    WEIGHTS_SUFFIX,
    find_checkpoint,
    load_encoder_for,
    load_networks,
    read_card,
)
from reid_gen.models.ema_encoder import EmaEncoder
from reid_gen.models.encoder import EncoderCard, IdentityEncoder
from reid_gen.training.step import GENERATOR


@dataclass(frozen=True)
class WarmStart:
    """Copies the weights of another run into new networks.

    Weights are copied while the networks are built, not afterwards: creating the encoder that is
    read consumes random numbers between the initialisations of the new encoder and the new
    generator, and a seed must always give the same run.

    Attributes:
        run: Run or checkpoint folder; None leaves all networks as they are.
    """

    run: Path | None

    def load_encoder(self, encoder: IdentityEncoder, card: EncoderCard) -> None:
        """Copy the identity encoder.

        Raises:
            UserError: If the run's encoder has another architecture or input size.
        """
        if self.run is not None:
            way_out = "give data and encoder those values, or start from another run"
            encoder.load_state_dict(load_encoder_for(card, self.run, way_out).state_dict())

    def load_generator(self, networks: Mapping[str, nn.Module], kind: str) -> bool:
        """Copy generator and discriminator if the run trained a generator of this kind.

        Args:
            networks: New networks by name.
            kind: Kind of the new generator, such as ``mesh_gan``.

        Returns:
            Whether the run has one.

        Raises:
            UserError: If the weights do not fit.
        """
        if self.run is None:
            return False
        checkpoint = find_checkpoint(self.run)
        same_kind = read_card(checkpoint).get("generator") in (kind, None)
        if not same_kind or not (checkpoint / f"{GENERATOR}{WEIGHTS_SUFFIX}").is_file():
            return False
        load_networks(checkpoint, networks, allow_missing=True)
        return True

    def load_ema_encoder(self, ema_encoder: EmaEncoder) -> None:
        """Copy the EMA of the encoder if the run has one."""
        if self.run is not None:
            load_networks(self.run, {EMA_ENCODER: ema_encoder}, allow_missing=True)
