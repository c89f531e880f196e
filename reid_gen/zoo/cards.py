"""Model cards: architecture, origin of the weights, and reproducible scores of each encoder."""

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
"""Key of each labelled data set -> its title in tables."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measurement(_Strict):
    """Scores of one evaluation in percent.

    Attributes:
        dataset: Key of the data set in ``TITLES``.
        ranking: ``cosine`` similarity, or the re-ranking or fusion method.
        m_ap: Mean average precision.
        rank1: Rank-1 of the CMC curve.
        rank5: Rank-5 of the CMC curve; None if not recorded.
        rank10: Rank-10 of the CMC curve; None if not recorded.
        minp: Mean inverse negative penalty; None if not recorded.
        command: Command line of the evaluation.
        seed: Random seed of the training.
        commit: Commit of this project.
        machine: Hardware of the training.
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
    """Availability of the weights of an encoder.

    Attributes:
        source: ``package`` if the weights are part of the package, ``none`` if not distributed.
        bytes: File size in bytes.
        sha256: SHA-256 of the file.
        licence: Licence of the weights.
        reason: Reason why the weights are not distributed.
    """

    source: Literal["package", "none"]
    bytes: int | None = None
    sha256: str | None = None
    licence: str | None = None
    reason: str | None = None


class Card(_Strict):
    """Model card of an encoder.

    Attributes:
        name: Name of the form ``arch.recipe_data``.
        about: Description in one sentence.
        backbone: Key of the backbone in ``BACKBONES``.
        height: Input height in pixels.
        width: Input width in pixels.
        mean: Mean of the RGB channels for input normalisation, for pixels in 0..1.
        std: Standard deviation of the RGB channels for input normalisation.
        config: Path of the configuration file; None if there is none.
        trained_with: Command that trains the encoder.
        trained_on: Training images and the labels that were used.
        start: Initial weights of the training.
        data_licence: Terms of use of the training images.
        weights: Availability of the weights.
        measured: Evaluations; the overview table shows the first one on each data set.
        more: Path of a document with details; None if there is none.
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
        """Return the first measurement on a data set; None if there is none."""
        return next((m for m in self.measured if m.dataset == dataset), None)


class Reported(_Strict):
    """Scores that a paper reports.

    Attributes:
        method: Name of the method and its backbone.
        uses: Information used besides the crops, such as camera ids or large-scale pre-training.
        scores: Data set -> (mAP, rank-1) in percent.
        source: Source of the scores.
    """

    method: str
    uses: str
    scores: dict[PublicDatasetName, tuple[float, float]]
    source: str


def load_cards() -> tuple[Card, ...]:
    """Load all model cards, sorted by name."""
    folder = files("reid_gen.zoo") / "cards"
    texts = [file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".json")]
    return tuple(sorted((Card.model_validate_json(text) for text in texts), key=lambda c: c.name))


def find_card(name: str, cards: Sequence[Card]) -> Card:
    """Return the card with the given name.

    Raises:
        UserError: If there is no such card.
    """
    for card in cards:
        if card.name == name:
            return card
    names = ", ".join(card.name for card in cards)
    raise UserError(f"the model zoo has no {name!r}; it has {names}")


def load_reported() -> tuple[Reported, ...]:
    """Load the scores that papers report, the oldest first."""
    text = (files("reid_gen.zoo") / "reported.json").read_text("utf-8")
    return tuple(Reported.model_validate(row) for row in json.loads(text))
