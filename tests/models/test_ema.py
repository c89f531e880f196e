"""The exponential average equals a loop over its tensors."""

import pytest
import torch
from torch import nn

from reid_gen.models.ema import ExponentialAverage


@pytest.mark.parametrize("use_buffers", [False, True])
def test_exponential_average_equals_a_loop(use_buffers):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    average = ExponentialAverage(network, lambda updates: updates / (4 + updates), use_buffers)
    learned = {name for name, _ in network.named_parameters()}
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    for update in range(4):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.rand_like(parameter))
        network(torch.rand(5, 3, dtype=torch.float64))
        average.update_parameters(network)
        for name, value in network.state_dict().items():
            averaged = value.is_floating_point() and (use_buffers or name in learned)
            decay = update / (4 + update) if averaged else 0.0
            expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name].double(), atol=1e-12, rtol=0)
    assert average.n_averaged == 4


def test_exponential_average_counts_on_after_loading():
    network = nn.Linear(2, 1)
    updates = []
    average = ExponentialAverage(network, lambda count: updates.append(count) or 0.5, False)
    average.update_parameters(network)
    state = average.state_dict()
    average.load_state_dict({**state, "n_averaged": torch.tensor(7)})
    average.update_parameters(network)
    assert updates == [7]
