"""Whether the parts of a public model fit each other, told by their settings before any weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers import AutoencoderKL, ControlNetModel, T2IAdapter, UNet2DConditionModel

from reid_gen.choices import ControlKind, DiffusionFamily
from reid_gen.errors import UserError
from reid_gen.generators.stable_diffusion.hub import settings_of

CONTROL_MODELS = {"controlnet": ControlNetModel, "adapter": T2IAdapter}
SHARED = ("cross_attention_dim", "block_out_channels")
"""What a ControlNet, a copy of half a U-Net, has in common with the base that it controls."""


def refuse_base(family: DiffusionFamily, base: str, height: int, width: int) -> dict[str, Any]:
    """Stop if the base is of another family, or cannot draw a size.

    Returns:
        What its U-Net was built with.

    Raises:
        UserError: Naming what does not fit, or if the base cannot be read.
    """
    unet = settings_of(UNet2DConditionModel, base, "unet")
    found = "sdxl" if unet["addition_embed_type"] == "text_time" else "sd"
    if found != family:
        raise UserError(
            f"{base} is of family {found}, and model.family is {family}; change one of them"
        )
    vae = settings_of(AutoencoderKL, base, "vae")
    multiple = 2 ** (len(vae["block_out_channels"]) + len(unet["block_out_channels"]) - 2)
    if height % multiple or width % multiple:
        raise UserError(
            f"{base} cannot draw {height} x {width} pixels: model.height and model.width must be "
            f"multiples of {multiple}"
        )
    return unet


def width_of_words(base: str) -> int:
    """Numbers C of each token [T, C] that a base is asked with.

    Raises:
        UserError: If the base cannot be read.
    """
    return int(settings_of(UNet2DConditionModel, base, "unet")["cross_attention_dim"])


def refuse_controls(control: ControlKind, controls: Sequence[str], base: str, unet: Any) -> None:
    """Stop if something that is to control a base is of another kind, or made for another base.

    Args:
        control: What it must be.
        controls: Hub ids or folders.
        base: Hub id or folder.
        unet: What :func:`refuse_base` said of the base.

    Raises:
        UserError: Naming the first that does not fit, or cannot be read.
    """
    wanted = CONTROL_MODELS[control]
    for source in controls:
        own = settings_of(wanted, source)
        kind = own.get("_class_name", wanted.__name__)
        if kind != wanted.__name__:
            raise UserError(
                f"{source} is a {kind}, and model.control: {control} takes a {wanted.__name__}; "
                "change model.control or the weights"
            )
        if control == "controlnet":
            names = [name for name in SHARED if _plain(own[name]) != _plain(unet[name])]
        else:
            large = unet["addition_embed_type"] == "text_time"
            names = [] if own["adapter_type"].endswith("_xl") == large else ["adapter_type"]
        if names:
            raise UserError(
                f"{source} was made for another base than {base} ({names[0]} is "
                f"{_plain(own[names[0]])}); take a {wanted.__name__} of the base's family"
            )


def _plain(value: Any) -> Any:
    """Lists of a file and tuples of defaults are compared as one."""
    return list(value) if isinstance(value, tuple) else value
