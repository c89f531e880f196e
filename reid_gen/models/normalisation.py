"""Ghost batch norm, frozen running statistics, and IBN (instance and batch norm)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _GhostBatchNorm(_BatchNorm):
    """Mix-in placed before the class of a batch-norm layer; see :func:`use_ghost_batches`."""

    ghost_batch: int

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or len(x) <= self.ghost_batch:
            return _forward_group(super(), x)
        mean, var = self.running_mean, self.running_var
        assert mean is not None
        assert var is not None
        new_mean, new_var = torch.zeros_like(mean), torch.zeros_like(var)
        outputs = []
        sizes = [self.ghost_batch] * (len(x) // self.ghost_batch)
        # The remainder joins the last group: it could be a single image, which has no variance.
        sizes[-1] += len(x) % self.ghost_batch
        for group in torch.split(x, sizes):
            # New buffers, because backward may still need those of the previous group.
            self.running_mean, self.running_var = mean.clone(), var.clone()
            outputs.append(_forward_group(super(), group))
            new_mean += self.running_mean * (len(group) / len(x))
            new_var += self.running_var * (len(group) / len(x))
        self.running_mean, self.running_var = new_mean, new_var
        return torch.cat(outputs)


def _forward_group(layer: Any, x: Tensor) -> Tensor:
    output: Tensor = layer.forward(x)
    return output


def _ghost_class(layer_class: type[_BatchNorm]) -> type[_BatchNorm]:
    return type(f"Ghost{layer_class.__name__}", (_GhostBatchNorm, layer_class), {})


def use_ghost_batches(module: nn.Module, size: int) -> None:
    """Turn every batch norm below ``module`` into ghost batch norm over ``size`` images.

    In training mode each group of consecutive images is normalised by its own mean and variance,
    and the running statistics are updated once with the mean over the groups. A batch of 64 in
    groups of 16 thus equals four devices with 16 images each (Hoffer et al., NeurIPS 2017, section
    4). Remaining images join the last group. Evaluation mode, parameter names and subclasses with
    a fused activation are unaffected.

    Args:
        module: Network, modified in place.
        size: Images per group, at least 2.

    Raises:
        ValueError: If ``size`` is below 2 (one image has no variance).
    """
    if size < 2:
        raise ValueError(f"a batch-norm group needs at least 2 images, got {size}")
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and not isinstance(layer, _GhostBatchNorm):
            layer.__class__ = _ghost_class(type(layer))
            layer.ghost_batch = size  # type: ignore[assignment]


@contextmanager
def frozen_running_stats(module: nn.Module) -> Iterator[None]:
    """Do not update running statistics of batch norm in this block; batch statistics are used.

    Generated images then have no influence on how real images are normalised in evaluation.

    Args:
        module: Network whose batch norms are frozen.
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
    """Instance norm on half of the channels, batch norm on the rest (IBN-a, ECCV 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.IN = nn.InstanceNorm2d(channels // 2, affine=True)
        self.BN = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a feature map [B, C, h, w]."""
        instance, batch = torch.split(x, [self.IN.num_features, self.BN.num_features], dim=1)
        return torch.cat([self.IN(instance.contiguous()), self.BN(batch.contiguous())], dim=1)
