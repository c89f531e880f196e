"""Prompt embeddings from re-ID features."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from reid_gen.errors import UserError
from reid_gen.files import write_bytes
from reid_gen.tensors import load_strictly, read_weights

FILE = "identity.safetensors"


class IdentityPrompt(nn.Module):
    """Maps a re-ID feature to prompt embeddings, in place of a text encoder.

    Args:
        feature: Length D of the re-ID feature.
        width: Width C of the prompt embeddings.
        tokens: Number T of tokens.
    """

    def __init__(self, feature: int, width: int, tokens: int = 8) -> None:
        super().__init__()
        self.tokens = tokens
        self.project = nn.Linear(feature, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, feature: Tensor) -> Tensor:
        """Map features [B, D] to prompt embeddings [B, T, C]."""
        flat = self.project(feature)
        tokens: Tensor = self.norm(flat.view(len(flat), self.tokens, -1))
        return tokens


def save_identity_prompt(prompt: IdentityPrompt, folder: Path) -> None:
    """Write the weights of an identity prompt to a folder.

    Raises:
        UserError: If the file cannot be written.
    """
    state = {name: value.contiguous().cpu() for name, value in prompt.state_dict().items()}
    write_bytes(folder / FILE, safetensors.torch.save(state))


def load_identity_prompt(folder: Path, feature: int, base_width: int) -> IdentityPrompt:
    """Load an identity prompt in evaluation mode, without gradients.

    Args:
        folder: Folder of the weights.
        feature: Length D of the run's re-ID features.
        base_width: Width C of the base model's prompt embeddings.

    Raises:
        UserError: If the file is missing, or was made for another encoder or base model.
    """
    file = folder / FILE
    if not file.is_file():
        raise UserError(f"no {FILE} in {folder}; train one: reid-gen tune --identity RUN")
    state = read_weights(file)
    try:
        (width,) = state["norm.weight"].shape
        rows, length = state["project.weight"].shape
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{file} was not written by reid-gen tune --identity ({error}); train it again"
        ) from error
    if length != feature:
        raise UserError(
            f"{file} was trained for features of length {length}, the run's have {feature}; "
            "train it with this run"
        )
    if width != base_width:
        raise UserError(
            f"{file} was trained for a base model with tokens of width {width}, those of "
            f"model.base have {base_width}; train it with this base model"
        )
    prompt = IdentityPrompt(feature, width, rows // width)
    load_strictly(prompt, state, str(file), way_out="train it again: reid-gen tune --identity RUN")
    return prompt.eval().requires_grad_(False)


def embed_feature(prompt: IdentityPrompt, feature: Tensor) -> Tensor:
    """Map one feature [D] to prompt embeddings [T, C], without gradient."""
    with torch.no_grad():
        tokens: Tensor = prompt(feature.unsqueeze(0))[0]
    return tokens
