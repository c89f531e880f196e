"""reid-gen: unsupervised person re-identification from camera crops.

Exported names are imported on first use, so that ``import reid_gen`` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reid_gen.cluster.pseudo_labels import FixedEps, PseudoLabels, ShareEps, pseudo_labels
    from reid_gen.data.datasets import load_dataset
    from reid_gen.evaluation.ranking import RankingResult, evaluate_ranking
    from reid_gen.inference.reid_model import ReidModel

__version__ = "0.1.0"
__all__ = [
    "FixedEps",
    "PseudoLabels",
    "RankingResult",
    "ReidModel",
    "ShareEps",
    "__version__",
    "evaluate_ranking",
    "load_dataset",
    "pseudo_labels",
]

_MODULES = {
    "FixedEps": "cluster.pseudo_labels",
    "PseudoLabels": "cluster.pseudo_labels",
    "RankingResult": "evaluation.ranking",
    "ReidModel": "inference.reid_model",
    "ShareEps": "cluster.pseudo_labels",
    "evaluate_ranking": "evaluation.ranking",
    "load_dataset": "data.datasets",
    "pseudo_labels": "cluster.pseudo_labels",
}
"""Exported name -> module that defines it."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
