"""Batch norm: over groups of a stated size, kept from some images, beside instance norm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Ghost(_BatchNorm):
    """Mixed in before a batch norm's own class; see :func:`use_ghost_batches`."""

    ghost_batch: int

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or len(x) <= self.ghost_batch:
            return _one_group(super(), x)
        mean, var = self.running_mean, self.running_var
        assert mean is not None
        assert var is not None
        mean_after, var_after = torch.zeros_like(mean), torch.zeros_like(var)
        outputs = []
        sizes = [self.ghost_batch] * (len(x) // self.ghost_batch)
        sizes[-1] += len(x) % self.ghost_batch  # alone it may be one image, which has no variance
        for group in torch.split(x, sizes):
            # Fresh buffers, because backward may still need those of the group before.
            self.running_mean, self.running_var = mean.clone(), var.clone()
            outputs.append(_one_group(super(), group))
            mean_after += self.running_mean * (len(group) / len(x))
            var_after += self.running_var * (len(group) / len(x))
        self.running_mean, self.running_var = mean_after, var_after
        return torch.cat(outputs)


def _one_group(layer: Any, x: Tensor) -> Tensor:
    output: Tensor = layer.forward(x)
    return output


def _ghost_class(kind: type[_BatchNorm]) -> type[_BatchNorm]:
    return type(f"Ghost{kind.__name__}", (_Ghost, kind), {})


def use_ghost_batches(module: nn.Module, size: int) -> None:
    """Make every batch norm below ``module`` use groups of ``size`` consecutive images.

    In training mode each group is normalised by its own mean and variance, and the running
    statistics move once, towards the mean over the groups. So one batch of 64 in groups of 16 gives
    what four devices with 16 images each give (Hoffer et al., NeurIPS 2017, section 4). Images that
    are left over belong to the last group. Evaluation mode, parameter names and subclasses with a
    fused activation stay as they are.

    Args:
        module: Changed in place.
        size: Images per group, at least 2.

    Raises:
        ValueError: If ``size`` is below 2 (one image has no variance).
    """
    if size < 2:
        raise ValueError(f"a batch-norm group needs at least 2 images, got {size}")
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and not isinstance(layer, _Ghost):
            layer.__class__ = _ghost_class(type(layer))
            layer.ghost_batch = size  # type: ignore[assignment]


@contextmanager
def frozen_running_stats(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of every batch norm as they are; batches still use their own.

    So that what a generator draws does not decide how real images are normalised in the end.

    Args:
        module: That is passed meanwhile.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


class IBN(nn.Module):
    """Instance norm on one half of the channels, batch norm on the other (IBN-a, ECCV 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.IN = nn.InstanceNorm2d(channels // 2, affine=True)
        self.BN = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Norm a map [B, C, h, w]."""
        one, other = torch.split(x, [self.IN.num_features, self.BN.num_features], dim=1)
        return torch.cat([self.IN(one.contiguous()), self.BN(other.contiguous())], dim=1)
