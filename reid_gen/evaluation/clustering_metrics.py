"""How well pseudo labels agree with true pids: for display only, never for training."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from reid_gen.types import OUTLIER, UNKNOWN, Int64Array


def clustering_quality(labels: Int64Array, pids: Int64Array) -> dict[str, float]:
    """Compare pseudo labels with true pids over the images that are no outliers.

    Images of unknown people are left out too.

    Args:
        labels: Pseudo labels, [N]; -1 is an outlier.
        pids: True pids, [N]; ``UNKNOWN`` where nobody knows.

    Returns:
        ``nmi`` and ``ari`` (scikit-learn's definitions) and ``purity``, the share of images whose
        pid is the most frequent one of their cluster; all 0 if no image is left.
    """
    clustered = (labels != OUTLIER) & (pids != UNKNOWN)
    found, true = labels[clustered], pids[clustered]
    if not len(found):
        return {"nmi": 0.0, "ari": 0.0, "purity": 0.0}
    return {
        "nmi": float(normalized_mutual_info_score(true, found)),
        "ari": float(adjusted_rand_score(true, found)),
        "purity": float(np.max(contingency_matrix(true, found), axis=0).sum() / len(found)),
    }
