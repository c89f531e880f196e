"""One training step, line by line as in the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from reid_gen.generators.protocol import (
    MixupImages,
    Terms,
    ViewGenerator,
    ViewInputs,
    ViewOutput,
    Views,
)
from reid_gen.models.ema_encoder import EmaEncoder
from reid_gen.models.encoder import Encoded, IdentityEncoder
from reid_gen.models.normalisation import keeping_statistics
from reid_gen.runtime.devices import Runtime
from reid_gen.training.contrastive_terms import ContrastBatch, ContrastTerms, MixupFeatures
from reid_gen.types import Scalars

IDENTITY, GENERATOR, DISCRIMINATOR = "identity", "generator", "discriminator"


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        images: As the identity encoder sees them, in 0..1, [B, 3, H, W].
        index: Their rows among the training images, [B].
        sources: Those that get views; None if there are none.
        weak: Weak views of the images, mirrored at most, [B, 3, H, W]; None if no term needs them.
    """

    images: Tensor
    index: Tensor
    sources: ViewInputs | None = None
    weak: Tensor | None = None


@dataclass(frozen=True)
class TrainableNetwork:
    """A network and the optimiser of its parameters."""

    network: nn.Module
    optimizer: Optimizer

    def requires_grad_(self, flag: bool) -> None:
        """Let gradients reach the optimiser's parameters, or keep them out."""
        for parameter in self.parameters():
            parameter.requires_grad_(flag)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those that the optimiser changes."""
        return (value for group in self.optimizer.param_groups for value in group["params"])


@dataclass(frozen=True)
class _Drawn:
    """Views with what they were drawn from."""

    sources: ViewInputs
    own: Encoded
    views: Views
    encoded: Encoded | None


@dataclass
class TrainingStep:
    """Draws views, trains who judges them, then who draws them and who recognises people.

    Attributes:
        encoder: E_id; frozen if it is not among the trainable.
        trainable: What is trained, by name: ``identity``, ``generator``, ``discriminator``.
        generator: Source of views; None for the baseline.
        contrast: Terms with the memory bank; None if the identity encoder does not learn.
        weights: Of all terms.
        runtime: Device and precision.
        real_statistics: Whether the encoder's running statistics come from real images alone; in
            GCL's release drawn ones enter too.
        mean: What the generator draws by, so that the encoder learns from contrast alone and the
            generator from its own terms alone; None takes the encoder itself, and each moves the
            other too (GCL).
    """

    encoder: IdentityEncoder
    trainable: Mapping[str, TrainableNetwork]
    generator: ViewGenerator | None
    contrast: ContrastTerms | None
    weights: Mapping[str, float]
    runtime: Runtime
    real_statistics: bool = True
    mean: EmaEncoder | None = None

    def __call__(self, batch: Batch, number: int) -> Scalars:
        """Take step ``number`` of the epoch."""
        (seen,) = self.encode(batch.images)  # f, F = E_id(x)
        with self.runtime.generator_autocast():
            drawn = self._draw(batch.sources, seen)  # x' = G(E_str(m'), F);  f', F' = E_id(x')
            judged = self._judge(drawn, number)
        self._descend(judged, DISCRIMINATOR)  # L_D
        contrasted = self._contrasted(batch, seen, drawn)  # L_vi
        with self.runtime.generator_autocast():
            generated = self._generated(drawn)  # L_G
        terms = {**contrasted, **generated}
        self._descend(terms, IDENTITY, GENERATOR)  # sum_k w_k L_k
        if self.mean is not None:
            self.mean.update(self.encoder)
        if self.contrast is not None:
            gather = self.runtime.gather
            self.contrast.bank.update(gather(batch.index), gather(seen.feature.detach()))
        return {name: float(value.detach()) for name, value in {**judged, **terms}.items()}

    def encode(self, *images: Tensor) -> Sequence[Encoded]:
        """Encode batches [b, 3, H, W]: at once when frozen, else each with its own statistics."""
        return self._encode_by(self.encoder, images)

    def _encode_by(self, encoder: IdentityEncoder, images: Sequence[Tensor]) -> Sequence[Encoded]:
        with self.runtime.autocast():
            if encoder.training:
                return [encoder.encode(some) for some in images]
            found = encoder.encode(torch.cat(list(images)))
        ends = list(accumulate(len(some) for some in images))
        return [found.at(slice(*pair)) for pair in pairwise([0, *ends])]

    def _draw(self, sources: ViewInputs | None, seen: Encoded) -> _Drawn | None:
        if self.generator is None or sources is None:
            return None
        learning = GENERATOR in self.trainable
        if self.mean is not None:
            (own,) = self._encode_by_mean(sources.images)
            views = self.generator.views(
                sources, own, self._encode_by_mean, learning, ViewOutput.IMAGES
            )
            (found,) = self._encode_drawn(views.images.detach().flatten(0, 1))
            return _Drawn(sources, own, views, found)
        own = (
            seen.at(sources.batch_index) if sources.unaugmented else self.encode(sources.images)[0]
        )
        wanted = ViewOutput.NONE if self.contrast is None else ViewOutput.FEATURES
        views = self.generator.views(sources, own, self._encode_drawn, learning, wanted)
        return _Drawn(sources, own, views, views.encoded)

    def _encode_drawn(self, *images: Tensor) -> Sequence[Encoded]:
        if not self.real_statistics:
            return self.encode(*images)
        with keeping_statistics(self.encoder):
            return self.encode(*images)

    def _encode_by_mean(self, *images: Tensor) -> Sequence[Encoded]:
        assert self.mean is not None
        return self._encode_by(self.mean.encoder, images)

    def _judge(self, drawn: _Drawn | None, number: int) -> Terms:
        if self.generator is None or drawn is None or DISCRIMINATOR not in self.trainable:
            return {}
        self.trainable[DISCRIMINATOR].requires_grad_(True)
        return self.generator.discriminator_terms(drawn.sources, drawn.views, number)

    def _generated(self, drawn: _Drawn | None) -> Terms:
        if self.generator is None or drawn is None or GENERATOR not in self.trainable:
            return {}
        if DISCRIMINATOR in self.trainable:
            self.trainable[DISCRIMINATOR].requires_grad_(False)
        return self.generator.generator_terms(drawn.sources, drawn.views, drawn.own)

    def _contrasted(self, batch: Batch, seen: Encoded, drawn: _Drawn | None) -> Terms:
        if self.contrast is None:
            return {}
        weak = None if batch.weak is None else self.encode(batch.weak)[0].feature
        if drawn is None or drawn.encoded is None:
            return self.contrast(ContrastBatch(seen.feature, batch.index, weak=weak))
        batch_index = drawn.sources.batch_index.repeat_interleave(drawn.views.images.shape[1])
        view, sample_weight, mixup = drawn.encoded.feature, drawn.views.sample_weight, None
        if drawn.views.mixed is not None:
            mixup = self._mixup(drawn.views.mixed, batch.index[drawn.sources.batch_index])
        return self.contrast(
            ContrastBatch(seen.feature, batch.index, view, batch_index, sample_weight, mixup, weak)
        )

    def _mixup(self, mixed: MixupImages, index: Tensor) -> MixupFeatures:
        """Pictures of two people; ``index`` are the rows in the bank of all that get views."""
        pictures = mixed.images if self.mean is None else mixed.images.detach()
        (found,) = self._encode_drawn(pictures)
        own = index[: len(mixed.partners)]
        return MixupFeatures(
            found.feature, torch.stack([own, own[mixed.partners]], dim=1), mixed.share
        )

    def _descend(self, terms: Terms, *names: str) -> None:
        trainable = [self.trainable[name] for name in names if name in self.trainable]
        descend(terms, self.weights, trainable, self.runtime)


def descend(
    terms: Terms,
    weights: Mapping[str, float],
    trainable: Sequence[TrainableNetwork],
    runtime: Runtime,
) -> None:
    """One step of each learner down the weighted sum of the terms."""
    for learner in trainable:
        learner.optimizer.zero_grad(set_to_none=True)
    if terms:
        total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
    for learner in trainable:
        runtime.average_gradients(learner.parameters())
        learner.optimizer.step()
