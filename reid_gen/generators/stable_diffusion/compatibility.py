"""Checks that the networks of a pipeline fit together, from their configs, before any download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers import AutoencoderKL, ControlNetModel, T2IAdapter, UNet2DConditionModel

from reid_gen.choices import ControlKind, DiffusionFamily
from reid_gen.errors import UserError
from reid_gen.generators.stable_diffusion.hub import load_network_config

CONTROL_MODELS = {"controlnet": ControlNetModel, "adapter": T2IAdapter}
SHARED_KEYS = ("cross_attention_dim", "block_out_channels")
"""Config keys in which a ControlNet, a copy of the U-Net's encoder, equals its base model."""


def check_base(family: DiffusionFamily, base: str, height: int, width: int) -> dict[str, Any]:
    """Check that a base model is of a family and can generate an image size.

    Returns:
        Config of its U-Net.

    Raises:
        UserError: If it does not fit, or cannot be read.
    """
    unet = load_network_config(UNet2DConditionModel, base, "unet")
    actual = "sdxl" if _is_sdxl(unet) else "sd"
    if actual != family:
        raise UserError(
            f"{base} is of family {actual}, and model.family is {family}; change one of them"
        )
    vae = load_network_config(AutoencoderKL, base, "vae")
    multiple = 2 ** (len(vae["block_out_channels"]) + len(unet["block_out_channels"]) - 2)
    if height % multiple or width % multiple:
        raise UserError(
            f"{base} cannot generate {height} x {width} pixels: model.height and model.width "
            f"must be multiples of {multiple}"
        )
    return unet


def token_width(base: str) -> int:
    """Return the width C of a base model's prompt embeddings [T, C].

    Raises:
        UserError: If the base model cannot be read.
    """
    return int(load_network_config(UNet2DConditionModel, base, "unet")["cross_attention_dim"])


def check_controls(control: ControlKind, controls: Sequence[str], base: str, unet: Any) -> None:
    """Check that control networks are of a kind and were trained for a base model.

    Args:
        control: Required kind.
        controls: Hub ids or folders of the control networks.
        base: Hub id or folder of the base model.
        unet: Config of the base model's U-Net, from :func:`check_base`.

    Raises:
        UserError: Naming the first that does not fit, or cannot be read.
    """
    required = CONTROL_MODELS[control]
    for source in controls:
        config = load_network_config(required, source)
        kind = config.get("_class_name", required.__name__)
        if kind != required.__name__:
            raise UserError(
                f"{source} is a {kind}, and model.control: {control} takes a {required.__name__}; "
                "change model.control or the weights"
            )
        if control == "controlnet":
            differing = [key for key in SHARED_KEYS if _listed(config[key]) != _listed(unet[key])]
        else:
            fits = config["adapter_type"].endswith("_xl") == _is_sdxl(unet)
            differing = [] if fits else ["adapter_type"]
        if differing:
            raise UserError(
                f"{source} was trained for another base model than {base} ({differing[0]} is "
                f"{_listed(config[differing[0]])}); take a {required.__name__} of the base's family"
            )


def _is_sdxl(unet: Any) -> bool:
    """Whether the config of a U-Net is of family ``sdxl``."""
    return bool(unet["addition_embed_type"] == "text_time")


def _listed(value: Any) -> Any:
    """Turn tuples, from default arguments, into lists, as config files have."""
    return list(value) if isinstance(value, tuple) else value
