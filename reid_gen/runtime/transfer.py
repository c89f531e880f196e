"""Copies of arrays and images to the device, without waiting for the device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device; on the CPU it shares the array's memory.

    Args:
        array: Array of a type that torch has; the caller does not change it afterwards.
        device: Device of the tensor.
    """
    return move(torch.from_numpy(array), device)


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device, unless it is there already.

    A copy from the host to a CUDA device goes through page-locked memory, so that it is queued
    behind the running kernels and the host goes on.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_unit_range(images: Tensor) -> Tensor:
    """Convert images of uint8 in 0..255 to float32 in 0..1; images in 0..1 stay as they are."""
    return images if images.is_floating_point() else images.to(torch.float32).div_(255)
