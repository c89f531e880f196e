"""Bfloat16 and 8 bits are used only where the hardware has native instructions."""

import pytest
import torch

from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.precision import full_float32, has_native_int8, resolve_dtype


@pytest.mark.parametrize(
    ("capability", "expected"),
    [("AVX512", torch.bfloat16), ("SVE256", torch.bfloat16), ("AVX2", torch.float32),
     ("DEFAULT", torch.float32)],
)  # fmt: skip
def test_resolve_dtype_and_autocast_need_native_bf16_on_cpu(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert resolve_dtype("bf16", torch.device("cpu")) == expected
    assert resolve_dtype("fp32", torch.device("cpu")) == torch.float32
    runtime = Runtime("bf16", "bf16")
    with runtime.autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == expected
    with runtime.generator_autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == expected


@pytest.mark.parametrize("native", [True, False])
def test_resolve_dtype_needs_native_bf16_on_cuda(monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    expected = torch.bfloat16 if native else torch.float32
    assert resolve_dtype("bf16", torch.device("cuda")) == expected


@pytest.mark.parametrize("native", [True, False])
def test_has_native_int8_asks_torch_about_vnni(monkeypatch, native):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: native)
    assert has_native_int8() == native


@pytest.mark.parametrize(("owner", "name"), [(torch.cpu, "_is_vnni_supported"), (torch, "_int_mm")])
def test_has_native_int8_is_false_if_torch_lacks_it(monkeypatch, owner, name):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    monkeypatch.delattr(owner, name)
    assert not has_native_int8()


def test_full_float32_restores_what_the_program_allowed():
    backends = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)
    torch.set_float32_matmul_precision("medium")
    try:
        with full_float32():
            assert [backend.fp32_precision for backend in backends] == ["ieee", "ieee"]
        assert [backend.fp32_precision for backend in backends] == ["bf16", "tf32"]
    finally:
        torch.set_float32_matmul_precision("highest")


def test_full_float32_knows_the_setting_of_older_torch(monkeypatch):
    monkeypatch.delattr(type(torch.backends.mkldnn), "matmul")
    torch.set_float32_matmul_precision("medium")
    try:
        with full_float32():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
