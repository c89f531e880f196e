import torch

from reid_gen.body.estimate.int8_weights import pack, unpack


def test_packed_weights_are_a_byte_each_and_off_by_half_a_step_of_their_row():
    torch.manual_seed(0)
    state = {"kernel": torch.randn(4, 3, 2, 2), "bias": torch.tensor([0.5, -2.0, 3.0, 0.0])}
    state["kernel"][1] *= 1000
    state["kernel"][2] = 0
    packed = pack(state)
    assert packed["kernel"].dtype == torch.int8
    found = unpack(packed)
    assert list(found) == list(state)
    assert torch.equal(found["bias"], state["bias"])
    for row, wanted in zip(found["kernel"], state["kernel"], strict=True):
        assert (row - wanted).abs().max() <= wanted.abs().max() / 254 + 1e-6


def test_tensors_that_were_not_packed_pass():
    found = unpack({"weight": torch.ones(2, 2, dtype=torch.float16)})
    assert found["weight"].dtype == torch.float32
