import torch

from reid_gen.body.estimate.int8_weights import dequantise, quantise


def test_quantise_errs_by_at_most_half_a_step_per_row():
    torch.manual_seed(0)
    state = {"kernel": torch.randn(4, 3, 2, 2), "bias": torch.tensor([0.5, -2.0, 3.0, 0.0])}
    state["kernel"][1] *= 1000
    state["kernel"][2] = 0
    quantised = quantise(state)
    assert quantised["kernel"].dtype == torch.int8
    restored = dequantise(quantised)
    assert list(restored) == list(state)
    assert torch.equal(restored["bias"], state["bias"])
    for actual, expected in zip(restored["kernel"], state["kernel"], strict=True):
        assert (actual - expected).abs().max() <= expected.abs().max() / 254 + 1e-6


def test_dequantise_converts_tensors_without_scales():
    restored = dequantise({"weight": torch.ones(2, 2, dtype=torch.float16)})
    assert restored["weight"].dtype == torch.float32
