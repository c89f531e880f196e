"""An optimiser step on a weighted sum of terms."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from reid_gen.training.step import TrainableNetwork, descend


def test_descend_uses_the_gradient_of_one_step_only():
    layer = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(layer.weight)
    network = TrainableNetwork(layer, torch.optim.SGD(layer.parameters(), lr=0.1))
    runtime = SimpleNamespace(average_gradients=lambda parameters: None)
    for steps in (1, 2, 3):
        terms = {"a": layer.weight[0, 0], "b": layer.weight.sum()}
        descend(terms, {"a": 2.0, "b": 1.0}, [network], runtime)
        assert layer.weight[0].tolist() == pytest.approx([-0.3 * steps, -0.1 * steps])
