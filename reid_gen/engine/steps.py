"""One training step, line by line as in the paper."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from reid_gen.engine.runtime import Runtime
from reid_gen.losses.contrast import multi_positive_nce
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.types import Scalars


class ContrastStep:
    """Pull images towards their cluster in the memory bank, push them from the others.

    Args:
        encoder: E_id, in training mode.
        optimizer: Of its parameters.
        bank: Memory bank of the epoch.
        temperature: Of the contrastive loss.
        weights: Weight of each term; a term of weight 0 is not computed.
        runtime: Device and precision.
    """

    def __init__(
        self,
        encoder: IdentityEncoder,
        optimizer: Optimizer,
        bank: MemoryBank,
        *,
        temperature: float,
        weights: Mapping[str, float],
        runtime: Runtime,
    ) -> None:
        self.encoder = encoder
        self.optimizer = optimizer
        self.bank = bank
        self.temperature = temperature
        self.weights = weights
        self.runtime = runtime
        self._terms = {"prototype": self._prototype, "instance": self._instance}

    def __call__(self, images: Tensor, index: Tensor) -> Scalars:
        """Take one step on images [B, 3, H, W] that are rows ``index`` [B] of the bank."""
        with self.runtime.autocast():
            f = self.encoder(images)  # f = E_id(x)
        terms = {
            name: term(f, index) for name, term in self._terms.items() if self.weights[name] > 0
        }
        self._descend(terms)  # sum_k w_k L_k
        self.bank.update(self.runtime.gather(index), self.runtime.gather(f.detach()))
        return {name: float(value.detach()) for name, value in terms.items()}

    def _prototype(self, f: Tensor, index: Tensor) -> Tensor:
        """Cluster Contrast's term: InfoNCE against all prototypes."""
        return multi_positive_nce(
            f @ self.bank.prototypes.T,
            self.bank.prototype_positives(index),
            temperature=self.temperature,
        )

    def _instance(self, f: Tensor, index: Tensor) -> Tensor:
        """Every image of the cluster is a positive, every other image a negative."""
        return multi_positive_nce(
            f @ self.bank.features.T,
            self.bank.instance_positives(index),
            temperature=self.temperature,
        )

    def _descend(self, terms: Mapping[str, Tensor]) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        self.runtime.average_gradients(self.encoder)
        self.optimizer.step()
