"""A person's re-ID feature in place of words."""

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
    """From a re-ID feature to what a text encoder would give for a prompt.

    Args:
        feature: Length D of the feature.
        width: C, of the text encoder's tokens.
        tokens: T, how many.
    """

    def __init__(self, feature: int, width: int, tokens: int = 8) -> None:
        super().__init__()
        self.tokens = tokens
        self.project = nn.Linear(feature, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, feature: Tensor) -> Tensor:
        """Tokens [B, T, C] of features [B, D]."""
        flat = self.project(feature)
        tokens: Tensor = self.norm(flat.view(len(flat), self.tokens, -1))
        return tokens


def save_identity(prompt: IdentityPrompt, folder: Path) -> None:
    """Write its weights.

    Raises:
        UserError: If it cannot be written.
    """
    state = {name: value.contiguous().cpu() for name, value in prompt.state_dict().items()}
    write_bytes(folder / FILE, safetensors.torch.save(state))


def load_identity(folder: Path, feature: int, words: int) -> IdentityPrompt:
    """Read it again.

    Args:
        folder: That holds it.
        feature: Length D of the features that it is to read.
        words: C, of the base's tokens.

    Raises:
        UserError: If there is none, or it is of another encoder or of another base.
    """
    file = folder / FILE
    if not file.is_file():
        raise UserError(f"no {FILE} in {folder}; make one: reid-gen tune --identity RUN")
    state = read_weights(file)
    try:
        (width,) = state["norm.weight"].shape
        rows, length = state["project.weight"].shape
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{file} is not what reid-gen tune --identity writes ({error}); make it again"
        ) from error
    if length != feature:
        raise UserError(
            f"{file} was made for features of length {length}, the run's have {feature}; tune it "
            "with this run"
        )
    if width != words:
        raise UserError(
            f"{file} was made for a base whose tokens have {width} numbers, those of model.base "
            f"have {words}; tune it with this base"
        )
    prompt = IdentityPrompt(feature, width, rows // width)
    load_strictly(prompt, state, str(file), way_out="make it again: reid-gen tune --identity RUN")
    return prompt.eval().requires_grad_(False)


def tokens_of(prompt: IdentityPrompt, feature: Tensor) -> Tensor:
    """Tokens [T, C] of one feature [D]."""
    with torch.no_grad():
        tokens: Tensor = prompt(feature.unsqueeze(0))[0]
    return tokens
