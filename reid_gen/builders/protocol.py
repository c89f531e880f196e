"""Interfaces that the builders of generators share."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from torch import nn

from reid_gen.config.schema import Config
from reid_gen.generators.protocol import ViewGenerator
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.training.step import TrainableNetwork
from reid_gen.types import Dataset

BuiltGenerator: TypeAlias = tuple[ViewGenerator, dict[str, TrainableNetwork]]
"""A generator of views, and its networks with their optimisers by name."""


class GeneratorBuilder(Protocol):
    """A module of this package that builds one kind of generator."""

    def build_generator(
        self, config: Config, settings: Any, encoder: IdentityEncoder, dataset: Dataset
    ) -> BuiltGenerator:
        """Build the generator with fresh weights.

        Raises:
            UserError: If a setting, a body or a stored view does not fit.
        """
        ...


class PainterBuilder(GeneratorBuilder, Protocol):
    """A builder whose generator renders people on body maps."""

    def build_painter(
        self, settings: Any, encoder: IdentityEncoder, height: int, width: int
    ) -> nn.Module:
        """Build the networks that generate images of this size, with fresh weights.

        Raises:
            UserError: If they cannot generate images of this size.
        """
        ...
