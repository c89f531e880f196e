"""Agreement of pseudo labels with true pids, for display only; training never uses it."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from reid_gen.types import OUTLIER, UNKNOWN, Int64Array


def clustering_quality(labels: Int64Array, pids: Int64Array) -> dict[str, float]:
    """Compare pseudo labels with true pids, without outliers and images of unknown people.

    Args:
        labels: Pseudo labels, [N]; ``OUTLIER`` (-1) marks images in no cluster.
        pids: True pids, [N]; ``UNKNOWN`` (-1) marks images of unknown people.

    Returns:
        ``nmi`` and ``ari`` (scikit-learn's definitions) and ``purity``, the share of images whose
        pid is the most frequent one in their cluster; all 0 if no image remains.
    """
    clustered = (labels != OUTLIER) & (pids != UNKNOWN)
    predicted, true = labels[clustered], pids[clustered]
    if not len(predicted):
        return {"nmi": 0.0, "ari": 0.0, "purity": 0.0}
    return {
        "nmi": float(normalized_mutual_info_score(true, predicted)),
        "ari": float(adjusted_rand_score(true, predicted)),
        "purity": float(np.max(contingency_matrix(true, predicted), axis=0).sum() / len(predicted)),
    }
