"""Features that look like re-ID's: groups around random directions."""

import numpy as np


def people(persons, each, size=32, noise=0.6, seed=0, common=0.0):
    """Unit features [persons * each, size] float32 and the pid of each.

    ``common`` is what all people share, as those of an encoder do.
    """
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(persons), each)
    centre = rng.standard_normal((persons, size))
    raw = common + centre[pids] + noise * rng.standard_normal((len(pids), size))
    features = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return features.astype(np.float32), pids
