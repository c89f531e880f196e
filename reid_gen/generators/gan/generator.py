"""GCL's generator: renders the person of an image in a rotated body pose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid_gen.data.loaders import ConditionInputs
from reid_gen.generators.gan.discriminator import MultiScaleDiscriminator
from reid_gen.generators.gan.mixup import Mixup, mix_parts
from reid_gen.generators.gan.painter import MeshPainter
from reid_gen.generators.protocol import EncodeFn, MixupImages, Terms, ViewInputs, ViewOutput, Views
from reid_gen.generators.turned_maps import TURNED, UNTURNED, VIEW_ANGLES, TurnedMaps
from reid_gen.losses.adversarial import fake_loss, gradient_penalty, real_loss
from reid_gen.losses.reconstruction import mean_absolute, weighted_absolute
from reid_gen.models.encoder import EncoderOutput
from reid_gen.types import Image, Uint8Array

RECONSTRUCTION, CYCLE, MIXUP, VIEW = "reconstruction", "cycle", "mixup", "view"
"""Kinds of generated images."""


class MeshGan:
    """The GAN and its losses.

    With x an image, m its body map, m' the turned body map and F its part features (GCL, section
    3)::

        x_rec = G(E_str(m), F)    x' = G(E_str(m'), F)    F' = E_id(x')    x_cyc = G(E_str(m), F')

    Args:
        painter: Structure encoder E_str and decoder G.
        discriminator: Discriminator D.
        map_renderer: Renderer of body maps.
        feature_of_view: Whether the feature loss includes the view (the paper; not the release).
        penalty_every: Steps between gradient penalties, whose weight is multiplied by this number.
        mixup: GCL+'s D-Mixup; None disables it.
        body_weight: Weight of a pixel on the body in the image and cycle losses, relative to the
            background (GCL: 1).
        train_batch: Number of source images per step, the first ones, that enter the losses of
            generator and discriminator; None takes all. Generating a view is much cheaper than
            training on it.
    """

    def __init__(
        self,
        painter: MeshPainter,
        discriminator: MultiScaleDiscriminator,
        map_renderer: TurnedMaps,
        *,
        feature_of_view: bool = True,
        penalty_every: int = 16,
        mixup: Mixup | None = None,
        body_weight: float = 1.0,
        train_batch: int | None = None,
    ) -> None:
        self.painter = painter
        self.discriminator: nn.Module = discriminator
        self.networks: nn.Module = painter
        self.map_renderer = map_renderer
        self.feature_of_view = feature_of_view
        self.penalty_every = penalty_every
        self.mixup = mixup
        self.body_weight = body_weight
        self.train_batch = train_batch

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Mark the images with a confident body, [N]."""
        return self.map_renderer.usable(images)

    def make_conditions(
        self, images: Sequence[Image], pixels: Uint8Array, rng: np.random.Generator
    ) -> ConditionInputs:
        """Render unturned and turned body maps."""
        return self.map_renderer(images, pixels, rng)

    def views(
        self,
        sources: ViewInputs,
        encoded: EncoderOutput,
        encode: EncodeFn,
        requires_grad: bool,
        output: ViewOutput,
    ) -> Views:
        """Generate one view per image; in training also reconstructions, cycles and mixup.

        Arguments and result are those of :meth:`ViewGenerator.views`.
        """
        turned_maps = sources.conditions[TURNED]
        if not requires_grad:
            view = self._decode_constant(turned_maps, encoded.parts)
            view_encoded = encode(view)[0] if output is ViewOutput.FEATURES else None
            return Views(view.unsqueeze(1), view_encoded)
        trained, rest = self._trained(len(turned_maps)), slice(self.train_batch, None)
        parts = encoded.parts[trained]  # F, [b, C, 4]
        maps = torch.cat([sources.conditions[UNTURNED][trained], turned_maps[trained]])
        structure = self.painter.encode_maps(maps)
        rec, view = self.painter.decode(structure, torch.cat([parts, parts])).chunk(2)
        if self.train_batch is not None and self.train_batch < len(turned_maps):
            constant = self._decode_constant(turned_maps[rest], encoded.parts[rest])
            view = torch.cat([view, constant])
        encode_all = output is ViewOutput.FEATURES
        rec_encoded, view_encoded = encode(rec, view if encode_all else view[trained])
        unturned, _ = structure.chunk(2)
        # Whether all views were encoded or only the trained ones, the trained ones come first.
        cycle = self.painter.decode(unturned, view_encoded.parts[trained])
        (cycle_encoded,) = encode(cycle)
        auxiliary, mixup = {RECONSTRUCTION: rec, CYCLE: cycle}, None
        if self.mixup is not None:
            partners, share = self.mixup(len(unturned), unturned.device)
            images = self.painter.decode(unturned, mix_parts(parts, partners, share))
            auxiliary[MIXUP] = images
            mixup = MixupImages(images, partners, share)
        return Views(
            images=view.unsqueeze(1),
            encoded=view_encoded if encode_all else None,
            auxiliary=auxiliary,
            auxiliary_encoded={
                RECONSTRUCTION: rec_encoded,
                CYCLE: cycle_encoded,
                VIEW: view_encoded.select(trained),
            },
            mixup=mixup,
        )

    @torch.no_grad()
    def _decode_constant(self, maps: Tensor, parts: Tensor) -> Tensor:
        return self.painter.decode(self.painter.encode_maps(maps), parts)

    def _trained(self, count: int) -> slice:
        """Return the slice of ``count`` source images that the networks are trained on."""
        return slice(count if self.train_batch is None else min(self.train_batch, count))

    @torch.no_grad()
    def preview(self, images: Tensor, keys: Sequence[str], encode: EncodeFn) -> Tensor:
        """Show the reconstruction, seven views, and the half-turned view turned back."""
        maps = self.map_renderer.around(images, keys)
        (encoded,) = encode(images)
        views = self.painter.render(encoded, maps)
        (back_encoded,) = encode(views[:, len(VIEW_ANGLES) // 2])
        return torch.cat([views, self.painter.render(back_encoded, maps[:, :1])], dim=1)

    def save(self, folder: Path) -> None:
        """Save nothing besides the network checkpoints."""

    def discriminator_terms(self, sources: ViewInputs, views: Views, step: int) -> Terms:
        """Least-squares losses of real and generated images, and a lazy gradient penalty.

        Real images are passed once and weighted by the number of kinds of generated images.
        """
        kinds = self._generated_kinds(views)
        fakes = self.painter.normalise(torch.cat(kinds).detach())
        real = self.painter.normalise(sources.images[self._trained(len(sources.images))])
        penalised = step % self.penalty_every == 0
        real_scores = self.discriminator(real.requires_grad_(penalised))
        terms = {"fake": fake_loss(self.discriminator(fakes)), "real": real_loss(real_scores)}
        if penalised:
            terms["penalty"] = self.penalty_every * gradient_penalty(real_scores, real)
        return {name: len(kinds) * value for name, value in terms.items()}

    def generator_terms(self, sources: ViewInputs, views: Views, encoded: EncoderOutput) -> Terms:
        """Image, cycle, feature and adversarial losses (GCL, section 3.2)."""
        kinds = self._generated_kinds(views)
        trained = self._trained(len(sources.images))
        fake_scores = self.discriminator(self.painter.normalise(torch.cat(kinds)))
        real = self.painter.normalise(sources.images[trained])
        body = self.map_renderer.body_mask(sources.conditions[UNTURNED][trained])
        weight = 1 + (self.body_weight - 1) * body  # [b, 1, H, W]
        image, cycle = (
            weighted_absolute(self.painter.normalise(views.auxiliary[name]), real, weight)
            for name in (RECONSTRUCTION, CYCLE)
        )
        names = [RECONSTRUCTION, CYCLE, VIEW] if self.feature_of_view else [RECONSTRUCTION, CYCLE]
        feature = [
            mean_absolute(views.auxiliary_encoded[name].parts, encoded.parts[trained])
            for name in names
        ]
        return {
            "image": image,
            "cycle": cycle,
            "feature": torch.stack(feature).sum(),
            "adversarial": 2 * len(kinds) * real_loss(fake_scores),
        }

    def _generated_kinds(self, views: Views) -> list[Tensor]:
        """All generated images that the discriminator sees, [b, 3, H, W] per kind."""
        view = views.images[:, 0]
        return [view[self._trained(len(view))], *views.auxiliary.values()]
