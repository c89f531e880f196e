"""Fixtures that tests of several folders share."""

import pytest

from reid_gen.body.render import rasterisers


@pytest.fixture
def torch_calls(monkeypatch):
    """Collect the number of bodies in each call of the torch rasteriser."""
    calls = []

    def counting_rasterise(screen, *arguments):
        calls.append(len(screen))
        return rasterisers.rasterise_torch(screen, *arguments)

    monkeypatch.setitem(rasterisers.RASTERISERS, "torch", counting_rasterise)
    return calls
