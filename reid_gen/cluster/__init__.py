"""Pseudo labels from features.

    from reid_gen.cluster import FixedEps, pseudo_labels
    labels = pseudo_labels(features, eps=FixedEps(0.5)).labels

takes L2-normalised features [N, D] from any encoder; it needs no other part of reid-gen.
"""

from reid_gen.cluster.pseudo_labels import FixedEps, PseudoLabels, ShareEps, pseudo_labels

__all__ = ["FixedEps", "PseudoLabels", "ShareEps", "pseudo_labels"]
