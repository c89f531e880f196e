"""Device, precision and processes: thin over Accelerate, and the only file that knows it."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn

from reid_gen.runtime.allocator import keep_freed_memory
from reid_gen.runtime.precision import Precision, resolve_dtype
from reid_gen.types import Scalars

Value = TypeVar("Value")


class Runtime:
    """Where and how tensors are computed.

    Args:
        precision: ``bf16`` runs the identity encoder under bfloat16 autocast, on CPU and GPU alike,
            where the device has instructions for it; elsewhere float32 is faster and is taken.
        drawing: The same for the networks of a generator.
    """

    def __init__(self, precision: Precision = "fp32", drawing: Precision = "bf16") -> None:
        keep_freed_memory()
        self._accelerator = Accelerator(mixed_precision="no")
        self._encoding, self._drawing = (
            resolve_dtype(wanted, self.device) == torch.bfloat16 for wanted in (precision, drawing)
        )

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        return self._accelerator.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and draws progress."""
        return self._accelerator.is_main_process

    @property
    def processes(self) -> int:
        """Number of processes that share the work."""
        return self._accelerator.num_processes

    @property
    def rank(self) -> int:
        """Position of this process, from 0."""
        return self._accelerator.process_index

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which the identity encoder runs."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._encoding)

    def generator_autocast(self) -> AbstractContextManager[object]:
        """Context in which a generator's networks run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._drawing)

    def encoder(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """A function from images [B, 3, H, W] in 0..1 to features [B, D], in evaluation mode."""
        module.to(self.device)

        def encode(images: Tensor) -> Tensor:
            module.eval()
            with torch.no_grad(), self.autocast():
                feature: Tensor = module(images.to(self.device))
            return feature

        return encode

    def peak_memory(self) -> Scalars:
        """GiB at most: of this process so far, and of an accelerator's tensors since last asked."""
        found = {"peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
        if self.device.type == "cuda":
            found["peak_device_memory_gib"] = torch.cuda.max_memory_allocated(self.device) / 2**30
            torch.cuda.reset_peak_memory_stats(self.device)
        return found

    def gather(self, tensor: Tensor) -> Tensor:
        """Join a tensor [B, ...] of every process, in rank order, to [processes * B, ...]."""
        return cast(Tensor, self._accelerator.gather(tensor))

    def all_gather_with_grad(self, tensor: Tensor) -> Tensor:
        """The same as :meth:`gather`; gradients of all processes' losses reach its owner."""
        if self.processes == 1:
            return tensor
        return cast(Tensor, _Gather.apply(tensor, self))

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum of a tensor over the processes."""
        return cast(Tensor, self._accelerator.reduce(tensor, reduction="sum"))

    def broadcast(self, value: Value) -> Value:
        """The main process's value, on every process."""
        return cast(Value, broadcast_object_list([value])[0])

    def gather_objects(self, value: Value) -> list[Value]:
        """One value of every process, in rank order, on every process."""
        return cast(list[Value], gather_object([value]))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes; one that has none counts as 0."""
        if self.processes > 1:
            for parameter in parameters:
                own = parameter.grad
                parameter.grad = self._mean(torch.zeros_like(parameter) if own is None else own)

    def average_statistics(self, module: nn.Module) -> None:
        """Replace floating-point buffers (batch-norm statistics) by their mean over the processes.

        The running update is linear, so one average per epoch equals one per step.
        """
        if self.processes > 1:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self._mean(buffer))

    def _mean(self, tensor: Tensor) -> Tensor:
        return cast(Tensor, self._accelerator.reduce(tensor, reduction="mean"))


class _Gather(torch.autograd.Function):
    """Gathers; what comes back is the sum of all processes' gradients of one's own rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, runtime: Runtime) -> Tensor:
        ctx.runtime = runtime
        return runtime.gather(own)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        runtime: Runtime = ctx.runtime
        return runtime.sum(gradient.contiguous()).chunk(runtime.processes)[runtime.rank], None
