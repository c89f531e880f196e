"""From features to pseudo labels.

    from reid_gen.cluster import FixedEps, pseudo_labels
    labels = pseudo_labels(features, eps=FixedEps(0.5)).labels

takes unit features [N, D] of any origin; nothing else of the program is needed.
"""

from reid_gen.cluster.pseudo_labels import FixedEps, PseudoLabels, ShareEps, pseudo_labels

__all__ = ["FixedEps", "PseudoLabels", "ShareEps", "pseudo_labels"]
