"""Device, autocast and collective operations: a thin wrapper, the only user of Accelerate."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from itertools import accumulate, groupby
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, gather_object
from torch import Tensor, nn

from reid_gen.choices import Precision
from reid_gen.errors import OtherProcessError, UserError
from reid_gen.runtime.allocator import keep_freed_memory
from reid_gen.runtime.precision import resolve_dtype
from reid_gen.runtime.transfer import move, to_unit_range
from reid_gen.types import Scalars

Value = TypeVar("Value")
BUCKET_BYTES = 25 * 2**20
"""Size of the tensors that are reduced together, as in torch's ``DistributedDataParallel``."""
LONGEST_WAIT = timedelta(hours=2)
"""Longest time that a process waits for another one, such as for rank 0's evaluation; torch waits
10 minutes. A process that ends is noticed at once."""


@contextmanager
def _connected() -> Iterator[None]:
    """Name the cause if another process has ended: torch raises a plain error then."""
    try:
        yield
    except RuntimeError as error:
        if type(error) is not RuntimeError and not isinstance(error, torch.distributed.DistError):
            raise
        raise UserError(
            "the connection to another process of this run is lost; its own message says why, and "
            f"a process without a message was killed, often for lack of memory (torch: {error})"
        ) from error


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
        # Without `cpu`, each process on a machine without GPU would be a run of its own.
        self._accelerator = Accelerator(
            mixed_precision="no",
            cpu=not torch.accelerator.is_available(),
            kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
        )
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

    def close(self) -> None:
        """End the communication; otherwise its threads may abort the process when it exits."""
        self._accelerator.end_training()

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

    @_connected()
    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate the tensors [B, ...] of all ranks, in rank order, to [ranks * B, ...]."""
        return cast(Tensor, self._accelerator.gather(tensor))

    def all_gather_with_grad(self, tensor: Tensor) -> Tensor:
        """Gather as :meth:`gather`, with gradients: each rank's rows get those of all losses."""
        if self.processes == 1:
            return tensor
        return cast(Tensor, _AllGather.apply(tensor, self))

    @_connected()
    def sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over all ranks (all-reduce)."""
        return cast(Tensor, self._accelerator.reduce(tensor, reduction="sum"))

    @_connected()
    def broadcast(self, value: Value) -> Value:
        """Return the main process's value on every rank."""
        return cast(Value, broadcast_object_list([value])[0])

    @_connected()
    def gather_objects(self, value: Value) -> list[Value]:
        """Return the values of all ranks, in rank order, on every rank."""
        return cast(list[Value], gather_object([value]))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise an error of one process in all of them, so that the others do not wait for it.

        Raises:
            UserError: In the process that raised it in this block.
            OtherProcessError: In the others.
        """
        own_error = None
        try:
            yield
        except UserError as error:
            own_error = error
        errors = self.gather_objects(own_error)
        if own_error is not None:
            raise own_error
        if any(errors):
            raise OtherProcessError(next(str(error) for error in errors if error))

    def on_main(self, function: Callable[[], Value]) -> Value:
        """Call a function in the main process; return its result, or raise its error, in all."""
        result = None
        with self.together():
            if self.is_main:
                result = function()
        return cast(Value, self.broadcast(result))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over all ranks; a missing gradient counts as 0.

        A gradient that every rank misses stays None, so that the optimiser skips the parameter as
        in one process.
        """
        if self.processes == 1:
            return
        parameters = list(parameters)
        missing = [(n, value) for n, value in enumerate(parameters) if value.grad is None]
        share = torch.ones(len(parameters), device=self.device)  # of ranks with the gradient
        for number, parameter in missing:
            share[number] = 0
            parameter.grad = torch.zeros_like(parameter)
        self._average([share, *(cast(Tensor, parameter.grad) for parameter in parameters)])
        if missing:  # reading the shares waits for the device
            shares = share.tolist()
            for number, parameter in missing:
                if not shares[number]:
                    parameter.grad = None

    def average_statistics(self, modules: Iterable[nn.Module]) -> None:
        """Replace floating-point buffers (batch-norm statistics) by their mean over all ranks.

        Running statistics are updated linearly, so averaging once per epoch equals averaging after
        every step.
        """
        if self.processes > 1:
            buffers = (buffer for module in modules for buffer in module.buffers())
            self._average([buffer for buffer in buffers if buffer.is_floating_point()])

    @_connected()
    @torch.no_grad()
    def _average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their mean over all ranks, a bucket of them per all-reduce.

        Own, because ``DistributedDataParallel`` expects one backward pass per forward pass of one
        network, and a step has several networks, forward passes of the same network and backward
        passes; and torch's public functions reduce tensor by tensor, or wait for the device.
        """
        sizes = accumulate(tensor.numel() * tensor.element_size() for tensor in tensors)
        reductions = []
        for _, group in groupby(zip(sizes, tensors, strict=True), lambda t: t[0] // BUCKET_BYTES):
            bucket = [tensor for _, tensor in group]
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            reductions.append((bucket, flat, torch.distributed.all_reduce(flat, async_op=True)))
        for bucket, flat, work in reductions:
            work.wait()
            means = torch.split(flat / self.processes, [tensor.numel() for tensor in bucket])
            for tensor, mean in zip(bucket, means, strict=True):
                tensor.copy_(mean.view_as(tensor))


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
