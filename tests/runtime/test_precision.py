"""Low precision is used where the hardware has it."""

import pytest
import torch

from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.precision import resolve_dtype


@pytest.mark.parametrize(
    ("capability", "expected"),
    [("AVX512", torch.bfloat16), ("SVE256", torch.bfloat16), ("AVX2", torch.float32),
     ("DEFAULT", torch.float32)],
)  # fmt: skip
def test_bf16_needs_instructions_for_it(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert resolve_dtype("bf16", torch.device("cpu")) == expected
    assert resolve_dtype("fp32", torch.device("cpu")) == torch.float32
    runtime = Runtime("bf16", "bf16")
    with runtime.autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == expected
    with runtime.generator_autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == expected


@pytest.mark.parametrize("fast", [True, False])
def test_an_accelerator_without_bf16_computes_in_float32(monkeypatch, fast):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: fast)
    expected = torch.bfloat16 if fast else torch.float32
    assert resolve_dtype("bf16", torch.device("cuda")) == expected
