"""What stops an epoch that would teach nothing, or nonsense."""

from __future__ import annotations

import math

from reid_gen.data.sampling import MIN_BATCH
from reid_gen.errors import UserError
from reid_gen.training.stages import EpochPosition
from reid_gen.types import Scalars


def check_finite(terms: Scalars, place: EpochPosition) -> None:
    """Stop at a loss that is NaN or infinite.

    Raises:
        UserError: If so.
    """
    if not math.isfinite(sum(terms.values())):
        raise UserError(
            f"the loss is {dict(terms)} in epoch {place.number}; lower the learning rates in a "
            "new run with start_from, which begins with this run's last checkpoint"
        )


def check_views(viewed: int, place: EpochPosition) -> None:
    """Stop if a stage that draws views drew none in a whole epoch.

    Args:
        viewed: Images that got views, over all steps.
        place: The epoch.

    Raises:
        UserError: If there were none.
    """
    if not viewed:
        raise UserError(
            f"no image got a view in epoch {place.number}: in every batch fewer than {MIN_BATCH} "
            "images have what the generator needs; make bodies or groups for more images, lower "
            "generator.min_score, or raise sampler.batch"
        )
