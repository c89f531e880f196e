"""What tests of several folders share."""

import pytest

from reid_gen.body.render import rasterisers as backends


@pytest.fixture
def torch_calls(monkeypatch):
    """Batches of bodies that torch's rasteriser has drawn."""
    calls = []

    def counted(screen, *arguments):
        calls.append(len(screen))
        return backends.rasterise_torch(screen, *arguments)

    monkeypatch.setitem(backends.RASTERISERS, "torch", counted)
    return calls
