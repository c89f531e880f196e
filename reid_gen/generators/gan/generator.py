"""GCL's generator: the person of an image drawn on the body turned to another viewpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid_gen.data.sidecar import ConditionInputs
from reid_gen.generators.gan.discriminator import MultiScaleDiscriminator
from reid_gen.generators.gan.mixup import Mixup, mix_parts
from reid_gen.generators.gan.painter import MeshPainter
from reid_gen.generators.protocol import EncodeFn, MixupImages, Terms, ViewInputs, ViewOutput, Views
from reid_gen.generators.turned_maps import HERE, TURNED, TURNS, TurnedMaps
from reid_gen.losses.adversarial import fake_loss, gradient_penalty, real_loss
from reid_gen.losses.reconstruction import mean_absolute, weighted_absolute
from reid_gen.models.encoder import EncoderOutput
from reid_gen.types import Image, Uint8Array

REBUILT, CYCLED, MIXED, VIEW = "rebuilt", "cycled", "mixup", "view"


class MeshGan:
    """The losses that train painter and discriminator.

    With x an image, m its body map and m' the turned one, F its part features (GCL, section 3)::

        x_rebuilt = G(E_str(m), F)    x_view = G(E_str(m'), F)    x_cycled = G(E_str(m), F_view)

    Args:
        painter: E_str and G.
        discriminator: D.
        maps: What the loader brings.
        feature_of_view: Whether the view's part features must equal the image's too (the paper
            ties them; the release does not).
        penalty_every: Steps between gradient penalties, which then count as much more.
        mixing: GCL+'s identity-side augmentation; None has none.
        body_weight: How much a pixel on the body counts in the image and cycle terms beside one
            elsewhere (GCL: 1).
        learn: Images of a step that generator and discriminator learn from, the first of those that
            get views; None takes all. Views are cheap beside what is rebuilt, cycled and judged.
    """

    def __init__(
        self,
        painter: MeshPainter,
        discriminator: MultiScaleDiscriminator,
        maps: TurnedMaps,
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
        self.maps = maps
        self.feature_of_view = feature_of_view
        self.penalty_every = penalty_every
        self.mixup = mixup
        self.body_weight = body_weight
        self.train_batch = train_batch

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Which images have a body to trust, [N]."""
        return self.maps.usable(images)

    def make_conditions(
        self, images: Sequence[Image], pixels: Uint8Array, rng: np.random.Generator
    ) -> ConditionInputs:
        """Maps of bodies as they are and turned."""
        return self.maps(images, pixels, rng)

    def views(
        self,
        sources: ViewInputs,
        encoded: EncoderOutput,
        encode: EncodeFn,
        learning: bool,
        wanted: ViewOutput,
    ) -> Views:
        """One view per image, at a random angle; when learning, what is rebuilt and cycled too."""
        turned = sources.conditions[TURNED]
        if not learning:
            view = self._constant(turned, encoded.parts)
            of_view = encode(view)[0] if wanted is ViewOutput.FEATURES else None
            return Views(view.unsqueeze(1), of_view)
        first, rest = self._learnt(len(turned)), slice(self.train_batch, None)
        own = encoded.parts[first]
        sketch = self.painter.sketch(torch.cat([sources.conditions[HERE][first], turned[first]]))
        rebuilt, view = self.painter.draw(sketch, torch.cat([own, own])).chunk(2)
        if self.train_batch is not None and self.train_batch < len(turned):
            view = torch.cat([view, self._constant(turned[rest], encoded.parts[rest])])
        shared = wanted is ViewOutput.FEATURES
        of_rebuilt, of_view = encode(rebuilt, view if shared else view[first])
        here, _ = sketch.chunk(2)
        cycled = self.painter.draw(here, of_view.parts[first])
        (of_cycled,) = encode(cycled)
        others, mixed = {REBUILT: rebuilt, CYCLED: cycled}, None
        if self.mixup is not None:
            partners, share = self.mixup(len(here), here.device)
            others[MIXED] = self.painter.draw(here, mix_parts(own, partners, share))
            mixed = MixupImages(others[MIXED], partners, share)
        return Views(
            images=view.unsqueeze(1),
            encoded=of_view if shared else None,
            others=others,
            others_encoded={REBUILT: of_rebuilt, CYCLED: of_cycled, VIEW: of_view.at(first)},
            mixup=mixed,
        )

    @torch.no_grad()
    def _constant(self, maps: Tensor, parts: Tensor) -> Tensor:
        return self.painter.draw(self.painter.sketch(maps), parts)

    def _learnt(self, count: int) -> slice:
        """Which of so many images the networks learn from."""
        return slice(count if self.train_batch is None else min(self.train_batch, count))

    @torch.no_grad()
    def show(self, images: Tensor, keys: Sequence[str], encode: EncodeFn) -> Tensor:
        """What is rebuilt, seven turns by 45 degrees, and what comes back from half a turn."""
        maps = self.maps.around(images, keys)
        (seen,) = encode(images)
        turns = self.painter.turned(seen, maps)
        (of_back,) = encode(turns[:, len(TURNS) // 2])
        return torch.cat([turns, self.painter.turned(of_back, maps[:, :1])], dim=1)

    def save(self, folder: Path) -> None:
        """Nothing: the networks' own files say all."""

    def discriminator_terms(self, sources: ViewInputs, views: Views, step: int) -> Terms:
        """Least squares for real pictures and for every kind drawn; the penalty now and then.

        Real pictures are judged once and count as if once per kind.
        """
        kinds = self._kinds(views)
        fakes = self.painter.normalised(torch.cat(kinds).detach())
        real = self.painter.normalised(sources.images[self._learnt(len(sources.images))])
        penalised = step % self.penalty_every == 0
        judged = self.discriminator(real.requires_grad_(penalised))
        terms = {"fake": fake_loss(self.discriminator(fakes)), "real": real_loss(judged)}
        if penalised:
            terms["penalty"] = self.penalty_every * gradient_penalty(judged, real)
        return {name: len(kinds) * value for name, value in terms.items()}

    def generator_terms(self, sources: ViewInputs, views: Views, encoded: EncoderOutput) -> Terms:
        """Image, cycle, feature and adversarial terms (GCL, section 3.2)."""
        kinds = self._kinds(views)
        first = self._learnt(len(sources.images))
        judged = self.discriminator(self.painter.normalised(torch.cat(kinds)))
        real = self.painter.normalised(sources.images[first])
        body = self.maps.shows_body(sources.conditions[HERE][first])
        weight = 1 + (self.body_weight - 1) * body
        rebuilt, cycled = (
            weighted_absolute(self.painter.normalised(views.others[name]), real, weight)
            for name in (REBUILT, CYCLED)
        )
        tied = [REBUILT, CYCLED, VIEW] if self.feature_of_view else [REBUILT, CYCLED]
        features = [
            mean_absolute(views.others_encoded[name].parts, encoded.parts[first]) for name in tied
        ]
        return {
            "image": rebuilt,
            "cycle": cycled,
            "feature": torch.stack(features).sum(),
            "adversarial": 2 * len(kinds) * real_loss(judged),
        }

    def _kinds(self, views: Views) -> list[Tensor]:
        view = views.images[:, 0]
        return [view[self._learnt(len(view))], *views.others.values()]
