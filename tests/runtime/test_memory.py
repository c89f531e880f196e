"""Out of memory becomes one error; the messages are those of torch, CUDA, cuBLAS and NumPy."""

import numpy as np
import pytest
import torch

from reid_gen.cli import main as main_module
from reid_gen.errors import UserError
from reid_gen.runtime.memory import memory_errors, out_of_memory

CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.69 GiB of "
    "which 18.06 MiB is free. If reserved but unallocated memory is large try setting "
    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)
ERRORS = [
    torch.OutOfMemoryError(CUDA),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("std::bad_alloc"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: (str(error) or "none")[:20])
def test_memory_errors_names_work_reason_and_advice(error):
    with pytest.raises(UserError) as raised, memory_errors("a step", "lower sampler.batch"):
        raise error
    message = str(raised.value)
    assert message.startswith(f"out of memory in a step: {out_of_memory(error)}; ")
    assert message.endswith("; lower sampler.batch")
    assert "\n" not in message


def test_out_of_memory_leaves_out_what_torch_advises():
    assert out_of_memory(torch.OutOfMemoryError(CUDA)).endswith("18.06 MiB is free")


def test_out_of_memory_knows_the_real_errors_of_torch_and_numpy():
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(2**55)
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(2**55)
    assert "allocate" in out_of_memory(of_torch.value)
    assert "allocate" in out_of_memory(of_numpy.value)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory")])
def test_memory_errors_passes_on_other_errors(error):
    assert out_of_memory(error) is None
    with pytest.raises(type(error), match=str(error)), memory_errors("a step", "lower it"):
        raise error


def test_main_reports_a_lack_of_memory_in_any_command(monkeypatch, capsys):
    def run_out(**options):
        raise torch.OutOfMemoryError(CUDA)

    monkeypatch.setattr(main_module.root, "main", run_out)
    with pytest.raises(SystemExit) as error:
        main_module.main(["evaluate"])
    assert error.value.code == 1
    assert capsys.readouterr().err.startswith("error: out of memory: CUDA out of memory. Tried ")
