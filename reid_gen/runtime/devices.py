"""Device, autocast and collective operations: a thin wrapper, the only user of Accelerate."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn

from reid_gen.choices import Precision
from reid_gen.runtime.allocator import keep_freed_memory
from reid_gen.runtime.precision import resolve_dtype
from reid_gen.runtime.transfer import move, to_unit_range
from reid_gen.types import Scalars

Value = TypeVar("Value")


class Runtime:
    """Device and precision of this process, and its communication with the other processes.

    Args:
        precision: Precision of the identity encoder. ``bf16`` is bfloat16 autocast on CPU and GPU;
            devices without native bfloat16 run in float32, which is faster there.
        generator_precision: Precision of a generator's networks, with the same rule.
    """

    def __init__(
        self, precision: Precision = "fp32", generator_precision: Precision = "bf16"
    ) -> None:
        keep_freed_memory()
        self._accelerator = Accelerator(mixed_precision="no")
        self._encoder_bf16, self._generator_bf16 = (
            resolve_dtype(requested, self.device) == torch.bfloat16
            for requested in (precision, generator_precision)
        )

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        return self._accelerator.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress (rank 0)."""
        return self._accelerator.is_main_process

    @property
    def processes(self) -> int:
        """Number of processes (world size)."""
        return self._accelerator.num_processes

    @property
    def rank(self) -> int:
        """Rank of this process, counted from 0."""
        return self._accelerator.process_index

    def autocast(self) -> AbstractContextManager[object]:
        """Autocast context of the identity encoder."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._encoder_bf16)

    def generator_autocast(self) -> AbstractContextManager[object]:
        """Autocast context of a generator's networks."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._generator_bf16)

    def encoder(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """Wrap an encoder for inference: images [B, 3, H, W] to features [B, D].

        The function runs the encoder in evaluation mode, without gradients, under autocast. Images
        are float in 0..1, or uint8 in 0..255, a quarter of the bytes to copy to the device.
        """
        module.to(self.device)

        def encode(images: Tensor) -> Tensor:
            module.eval()
            with torch.no_grad(), self.autocast():
                on_device = move(images, self.device)
                features: Tensor = module(to_unit_range(on_device))
            return features

        return encode

    def peak_memory(self) -> Scalars:
        """Peak memory in GiB: of the process since its start, of CUDA tensors since the last call.

        Resets torch's peak statistics.
        """
        peaks = {"peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
        if self.device.type == "cuda":
            peaks["peak_device_memory_gib"] = torch.cuda.max_memory_allocated(self.device) / 2**30
            torch.cuda.reset_peak_memory_stats(self.device)
        return peaks

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate the tensors [B, ...] of all ranks, in rank order, to [ranks * B, ...]."""
        return cast(Tensor, self._accelerator.gather(tensor))

    def all_gather_with_grad(self, tensor: Tensor) -> Tensor:
        """Gather as :meth:`gather`, with gradients: each rank's rows get those of all losses."""
        if self.processes == 1:
            return tensor
        return cast(Tensor, _AllGather.apply(tensor, self))

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over all ranks (all-reduce)."""
        return cast(Tensor, self._accelerator.reduce(tensor, reduction="sum"))

    def broadcast(self, value: Value) -> Value:
        """Return the main process's value on every rank."""
        return cast(Value, broadcast_object_list([value])[0])

    def gather_objects(self, value: Value) -> list[Value]:
        """Return the values of all ranks, in rank order, on every rank."""
        return cast(list[Value], gather_object([value]))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over all ranks; a missing gradient counts as 0."""
        if self.processes > 1:
            for parameter in parameters:
                grad = parameter.grad
                parameter.grad = self._mean(torch.zeros_like(parameter) if grad is None else grad)

    def average_statistics(self, module: nn.Module) -> None:
        """Replace floating-point buffers (batch-norm statistics) by their mean over all ranks.

        Running statistics are updated linearly, so averaging once per epoch equals averaging after
        every step.
        """
        if self.processes > 1:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self._mean(buffer))

    def _mean(self, tensor: Tensor) -> Tensor:
        return cast(Tensor, self._accelerator.reduce(tensor, reduction="mean"))


class _AllGather(torch.autograd.Function):
    """All-gather whose backward pass sums, for a rank's own rows, the gradients of all ranks."""

    @staticmethod
    def forward(ctx: Any, local_rows: Tensor, runtime: Runtime) -> Tensor:
        ctx.runtime = runtime
        return runtime.gather(local_rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        runtime: Runtime = ctx.runtime
        return runtime.sum(gradient.contiguous()).chunk(runtime.processes)[runtime.rank], None
