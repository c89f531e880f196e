"""A card for each encoder: what it is, where its weights are, what was measured with it and how."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reid_gen.choices import LabelledDatasetName, PublicDatasetName
from reid_gen.data.datasets import DATASETS
from reid_gen.errors import UserError

TITLES = {name: spec.title for name, spec in DATASETS.items() if spec.labelled}
"""Data set -> its name in tables."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measurement(_Strict):
    """One evaluation; scores in percent.

    Attributes:
        dataset: A key of ``TITLES``.
        ranking: ``cosine``, or what was done to it.
        m_ap: Mean average precision.
        rank1: Likewise rank5, rank10 and minp; None where it was not written down.
        command: What was typed.
        seed: Of the training.
        commit: Of this project.
        machine: What kind.
    """

    dataset: LabelledDatasetName
    ranking: str = "cosine"
    m_ap: float = Field(alias="mAP")
    rank1: float = Field(alias="rank-1")
    rank5: float | None = Field(default=None, alias="rank-5")
    rank10: float | None = Field(default=None, alias="rank-10")
    minp: float | None = Field(default=None, alias="mINP")
    command: str
    seed: int
    commit: str
    machine: str


class Weights(_Strict):
    """Where weights are.

    Attributes:
        source: ``package`` if they come with the program.
        bytes: Size of the file.
        sha256: Of the file.
        licence: Under which they may be used.
        reason: Why they are not passed on.
    """

    source: Literal["package", "none"]
    bytes: int | None = None
    sha256: str | None = None
    licence: str | None = None
    reason: str | None = None


class Card(_Strict):
    """An encoder.

    Attributes:
        name: ``arch.recipe_data``.
        about: One sentence.
        backbone: A key of ``BACKBONES``.
        height: Rows of its input.
        width: Columns of its input.
        mean: Of the input's RGB channels, for pixels in 0..1.
        std: Likewise.
        config: File of its settings.
        trained_with: Command that trains it.
        trained_on: Images, and whose labels.
        start: Weights that training began with.
        data_licence: Terms of these images.
        weights: Where they are.
        measured: The first of a data set stands in the table.
        more: Where more is written of it.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+$")
    about: str
    backbone: str
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    config: str | None
    trained_with: str
    trained_on: str
    start: str
    data_licence: str
    weights: Weights
    measured: tuple[Measurement, ...]
    more: str | None = None

    def on(self, dataset: str) -> Measurement | None:
        """The first measurement on a data set."""
        return next((one for one in self.measured if one.dataset == dataset), None)


class Reported(_Strict):
    """What a paper reports, as (mAP, rank-1) in percent by data set.

    Attributes:
        method: With its network.
        uses: More than crops: labels of another set, cameras, large pre-training.
        scores: By keys of ``TITLES``.
        source: Where it stands.
    """

    method: str
    uses: str
    scores: dict[PublicDatasetName, tuple[float, float]]
    source: str


def load_cards() -> tuple[Card, ...]:
    """All cards, by name."""
    folder = files("reid_gen.zoo") / "cards"
    texts = [file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".json")]
    return tuple(sorted((Card.model_validate_json(text) for text in texts), key=lambda c: c.name))


def find_card(name: str, cards: Sequence[Card]) -> Card:
    """The card of a name.

    Raises:
        UserError: If there is none.
    """
    for card in cards:
        if card.name == name:
            return card
    known = ", ".join(card.name for card in cards)
    raise UserError(f"the zoo has no {name!r}; it has {known}")


def load_reported() -> tuple[Reported, ...]:
    """What papers report, the oldest first."""
    text = (files("reid_gen.zoo") / "reported.json").read_text("utf-8")
    return tuple(Reported.model_validate(row) for row in json.loads(text))
