import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from reid_gen.data.positive_groups import (
    SAME_IDENTITY,
    Member,
    load_groups,
    start_groups,
    write_part,
)
from reid_gen.generators.protocol import ViewInputs, ViewOutput
from reid_gen.generators.stored import StoredViews, ViewFilter
from tests.generators.scenes import make_images

IMAGES = make_images(4)
MEMBERS = 3


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    """Stored views, uniformly grey: 60 times the image number plus 10 times the member number."""
    folder = tmp_path_factory.mktemp("stored") / "groups"
    start_groups(folder, {"kind": SAME_IDENTITY, "parts": 1, "sources": len(IMAGES)})
    members = []
    for row, image in enumerate(IMAGES):
        for n in range(MEMBERS):
            file = io.BytesIO()
            Pillow.new("RGB", (4, 8), (60 * row + 10 * n,) * 3).save(file, "PNG")
            name = f"part-00000/{row}_{n}.png"
            scores = {"identity": 0.2 * (n + 1), "difference": 0.5}
            members.append((Member(name, image.key, 0, image.key, **scores), file.getvalue()))
    write_part(folder, 0, members)
    return load_groups(folder)


def sample_views(groups, seed, view_filter=ViewFilter(), members=2):  # noqa: B008
    """Grey values [4, V] of the views of all images, and their sample weights or None."""
    generator = StoredViews(groups, 8, 4, members, 4, view_filter)
    inputs = generator.make_conditions(IMAGES, None, np.random.default_rng(seed))
    sources = ViewInputs(
        torch.from_numpy(inputs.batch_index),
        torch.zeros(4),
        {k: torch.from_numpy(np.moveaxis(v, 3, 1)) for k, v in inputs.conditions.items()},
        sample_weight=None
        if inputs.sample_weight is None
        else torch.from_numpy(inputs.sample_weight),
    )
    views = generator.views(sources, None, None, False, ViewOutput.IMAGES)
    order = np.argsort(inputs.batch_index)
    weight = views.sample_weight
    if weight is not None:
        weight = weight.view(4, members)[order]
    return (views.images[:, :, 0, 0, 0] * 255).round().int()[order], weight


def test_stored_views_sample_all_members_of_their_own_image(groups):
    all_greys = torch.cat([sample_views(groups, seed)[0] for seed in range(6)], dim=1)
    for row, greys in enumerate(all_greys):
        assert set(greys.tolist()) == {60 * row + 10 * n for n in range(MEMBERS)}
    greys, _ = sample_views(groups, 0)
    assert all(len(set(values.tolist())) == 2 for values in greys)


def test_stored_views_weight_by_identity(groups):
    greys, weight = sample_views(groups, 0, ViewFilter(weight_by_identity=True))
    torch.testing.assert_close(weight, 0.2 * (greys % 60 / 10 + 1))
    assert sample_views(groups, 0)[1] is None
    assert ViewFilter().sample_weight(groups.members[0]) == 1


def test_stored_views_leave_out_views_below_a_min_score(groups):
    greys, _ = sample_views(groups, 0, ViewFilter(identity=0.3))
    assert set((greys % 60).flatten().tolist()) == {10, 20}
    doubtful = replace(groups.members[0], structure=0.4)
    assert ViewFilter(structure=0.5).failed_score(doubtful) == "structure"
    assert ViewFilter(difference=0.6).failed_score(doubtful) == "difference"
