"""One training step of any stage, line by line as in the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

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
from reid_gen.models.encoder import EncoderOutput, IdentityEncoder
from reid_gen.models.normalisation import frozen_running_stats
from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.spans import span
from reid_gen.training.contrastive_terms import ContrastBatch, ContrastTerms, MixupFeatures
from reid_gen.types import Int64Array

IDENTITY, GENERATOR, DISCRIMINATOR = "identity", "generator", "discriminator"


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        images: Augmented images in 0..1, [B, 3, H, W].
        index: Row of each image in the training set and in the memory bank, [B].
        rows: These rows of the images of all processes, in rank order, [R], in host memory.
        sources: Images that get views; None if there are none.
        weak: Weakly augmented images (mirrored at most), [B, 3, H, W]; None if no term needs them.
    """

    images: Tensor
    index: Tensor
    rows: Int64Array
    sources: ViewInputs | None = None
    weak: Tensor | None = None


@dataclass(frozen=True)
class TrainableNetwork:
    """A network with the optimiser of its parameters."""

    network: nn.Module
    optimizer: Optimizer

    def requires_grad_(self, flag: bool) -> None:
        """Switch gradients of the optimiser's parameters on or off."""
        for parameter in self.parameters():
            parameter.requires_grad_(flag)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that the optimiser updates."""
        return (value for group in self.optimizer.param_groups for value in group["params"])


@dataclass(frozen=True)
class _GeneratedViews:
    """Generated views with the images they were generated from, and the features of both."""

    sources: ViewInputs
    source_encoded: EncoderOutput
    views: Views
    encoded: EncoderOutput | None


@dataclass
class TrainingStep:
    """Generates views, then updates the discriminator, then generator and identity encoder.

    Attributes:
        encoder: Identity encoder E_id; frozen if it is not among ``trainable``.
        trainable: Networks to train, by name: ``identity``, ``generator``, ``discriminator``.
        generator: Source of views; None for the baseline.
        contrast: Contrastive terms on the memory bank; None if the identity encoder is frozen.
        weights: Weight of every loss term.
        runtime: Device, precision and collectives of distributed runs.
        real_statistics: Whether the encoder's running statistics come from real images alone; in
            GCL's release those of generated images enter too.
        ema_encoder: EMA of the encoder, whose features condition the generator, so that the
            encoder is trained by the contrastive loss alone and the generator by its own terms
            alone; None uses the encoder itself, and gradients of each loss reach both (GCL).
    """

    encoder: IdentityEncoder
    trainable: Mapping[str, TrainableNetwork]
    generator: ViewGenerator | None
    contrast: ContrastTerms | None
    weights: Mapping[str, float]
    runtime: Runtime
    real_statistics: bool = True
    ema_encoder: EmaEncoder | None = None

    def __call__(self, batch: Batch, number: int) -> Terms:
        """Take a step; returns every loss term, on the device.

        The host waits for the device nowhere, so that on a GPU it prepares the next steps.

        Args:
            batch: Augmented images and the sources of their views.
            number: Step inside the epoch, from 0, which schedules the gradient penalty.
        """
        (real,) = self.encode(batch.images)  # f, F = E_id(x)
        with self.runtime.generator_autocast():
            generated = self._generate(batch.sources, real)  # x' = G(E_str(m'), F); f' = E_id(x')
            discriminator_terms = self._discriminator_terms(generated, number)
        self._update(discriminator_terms, DISCRIMINATOR)  # L_D
        contrastive_terms = self._contrastive_terms(batch, real, generated)  # L_vi: view-invariant
        with self.runtime.generator_autocast():
            generator_terms = self._generator_terms(generated)  # L_G
        terms = {**contrastive_terms, **generator_terms}
        self._update(terms, IDENTITY, GENERATOR)  # sum_k w_k L_k
        if self.ema_encoder is not None:
            self.ema_encoder.update(self.encoder)
        if self.contrast is not None:
            self.contrast.bank.update(batch.rows, self.runtime.gather(real.feature.detach()))
        all_terms = {**discriminator_terms, **terms}
        return {name: value.detach() for name, value in all_terms.items()}

    def encode(self, *images: Tensor) -> Sequence[EncoderOutput]:
        """Encode batches [b, 3, H, W]; in training mode each with its own batch statistics."""
        return self._encode_with(self.encoder, images)

    def _encode_with(
        self, encoder: IdentityEncoder, batches: Sequence[Tensor]
    ) -> list[EncoderOutput]:
        with self.runtime.autocast():
            if encoder.training:
                return [encoder.encode(images) for images in batches]
            encoded = encoder.encode(torch.cat(list(batches)))
        ends = list(accumulate(len(images) for images in batches))
        return [encoded.select(slice(*bounds)) for bounds in pairwise([0, *ends])]

    def _generate(self, sources: ViewInputs | None, real: EncoderOutput) -> _GeneratedViews | None:
        if self.generator is None or sources is None:
            return None
        train_generator = GENERATOR in self.trainable
        if self.ema_encoder is not None:
            (source_encoded,) = self._encode_with_ema(sources.images)
            views = self.generator.views(
                sources, source_encoded, self._encode_with_ema, train_generator, ViewOutput.IMAGES
            )
            # The EMA conditions the generator; to the trained encoder the views are constants.
            (encoded,) = self._encode_generated(views.images.detach().flatten(0, 1))
            return _GeneratedViews(sources, source_encoded, views, encoded)
        if sources.unaugmented:
            source_encoded = real.select(sources.batch_index)
        else:
            (source_encoded,) = self.encode(sources.images)
        output = ViewOutput.NONE if self.contrast is None else ViewOutput.FEATURES
        views = self.generator.views(
            sources, source_encoded, self._encode_generated, train_generator, output
        )
        return _GeneratedViews(sources, source_encoded, views, views.encoded)

    def _encode_generated(self, *images: Tensor) -> Sequence[EncoderOutput]:
        if not self.real_statistics:
            return self.encode(*images)
        with frozen_running_stats(self.encoder):
            return self.encode(*images)

    def _encode_with_ema(self, *images: Tensor) -> Sequence[EncoderOutput]:
        assert self.ema_encoder is not None
        return self._encode_with(self.ema_encoder.encoder, images)

    @span("discriminator losses")
    def _discriminator_terms(self, generated: _GeneratedViews | None, number: int) -> Terms:
        if self.generator is None or generated is None or DISCRIMINATOR not in self.trainable:
            return {}
        self.trainable[DISCRIMINATOR].requires_grad_(True)
        return self.generator.discriminator_terms(generated.sources, generated.views, number)

    @span("generator losses")
    def _generator_terms(self, generated: _GeneratedViews | None) -> Terms:
        if self.generator is None or generated is None or GENERATOR not in self.trainable:
            return {}
        if DISCRIMINATOR in self.trainable:
            self.trainable[DISCRIMINATOR].requires_grad_(False)
        return self.generator.generator_terms(
            generated.sources, generated.views, generated.source_encoded
        )

    @span("contrastive losses")
    def _contrastive_terms(
        self, batch: Batch, real: EncoderOutput, generated: _GeneratedViews | None
    ) -> Terms:
        if self.contrast is None:
            return {}
        weak = None if batch.weak is None else self.encode(batch.weak)[0].feature
        if generated is None or generated.encoded is None:
            return self.contrast(ContrastBatch(real.feature, batch.index, weak=weak))
        views, batch_index = generated.views, generated.sources.batch_index
        mixup = None
        if views.mixup is not None:
            mixup = self._encode_mixup(views.mixup, batch.index[batch_index])
        return self.contrast(
            ContrastBatch(
                real.feature,
                batch.index,
                view=generated.encoded.feature,
                view_of=batch_index.repeat_interleave(views.images.shape[1]),
                view_weight=views.sample_weight,
                mixup=mixup,
                weak=weak,
            )
        )

    def _encode_mixup(self, mixup: MixupImages, index: Tensor) -> MixupFeatures:
        """Encode images of two people; ``index`` are the bank rows of all images with views."""
        images = mixup.images if self.ema_encoder is None else mixup.images.detach()
        (encoded,) = self._encode_generated(images)
        mixed = index[: len(mixup.partners)]  # only the images that train the generator are mixed
        rows = torch.stack([mixed, mixed[mixup.partners]], dim=1)
        return MixupFeatures(encoded.feature, rows, mixup.share)

    def _update(self, terms: Terms, *names: str) -> None:
        networks = [self.trainable[name] for name in names if name in self.trainable]
        descend(terms, self.weights, networks, self.runtime)


def descend(
    terms: Terms,
    weights: Mapping[str, float],
    networks: Sequence[TrainableNetwork],
    runtime: Runtime,
) -> None:
    """Take one optimiser step of each network on the weighted sum of the terms."""
    for network in networks:
        network.optimizer.zero_grad(set_to_none=True)
    if terms:
        loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
    runtime.average_gradients(chain.from_iterable(network.parameters() for network in networks))
    for network in networks:
        network.optimizer.step()
