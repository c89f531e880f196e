"""From settings to views that `reid-gen generate` stored."""

from __future__ import annotations

from reid_gen.builders.protocol import BuiltGenerator
from reid_gen.config import generators, schema
from reid_gen.data.positive_groups import load_groups
from reid_gen.generators.stored import StoredViews, ViewFilter
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.types import Dataset


def build_generator(
    config: schema.Config,
    settings: generators.Stored,
    encoder: IdentityEncoder,
    dataset: Dataset,
) -> BuiltGenerator:
    """Build the reader of stored views, which has no networks.

    Raises:
        UserError: If the groups cannot be read, or the filter leaves no view.
    """
    view_filter = ViewFilter(
        settings.min_identity,
        settings.min_structure,
        settings.min_difference,
        settings.weight_by_identity,
    )
    groups = load_groups(settings.groups)
    size = config.data.height, config.data.width
    return StoredViews(groups, *size, settings.members, settings.batch, view_filter), {}
