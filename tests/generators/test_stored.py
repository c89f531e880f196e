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
from tests.generators.scenes import people

IMAGES = people(4)
MEMBERS = 3


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    """Views in a grey of their own: 60 for each image and 10 for each member of its group."""
    folder = tmp_path_factory.mktemp("stored") / "groups"
    start_groups(folder, {"kind": SAME_IDENTITY, "parts": 1, "sources": len(IMAGES)})
    made = []
    for row, image in enumerate(IMAGES):
        for n in range(MEMBERS):
            file = io.BytesIO()
            Pillow.new("RGB", (4, 8), (60 * row + 10 * n,) * 3).save(file, "PNG")
            name = f"part-00000/{row}_{n}.png"
            scores = {"identity": 0.2 * (n + 1), "difference": 0.5}
            made.append((Member(name, image.key, 0, image.key, **scores), file.getvalue()))
    write_part(folder, 0, made)
    return load_groups(folder)


def draw(groups, seed, trust=ViewFilter(), members=2):  # noqa: B008
    """Greys of the views of all images, and how much they count; a row per image."""
    stored = StoredViews(groups, 8, 4, members, 4, trust)
    condition_inputs = stored.make_conditions(IMAGES, None, np.random.default_rng(seed))
    moved = {
        k: torch.from_numpy(np.moveaxis(v, 3, 1)) for k, v in condition_inputs.conditions.items()
    }
    sources = ViewInputs(torch.from_numpy(condition_inputs.batch_index), torch.zeros(4), moved)
    views = stored.views(sources, None, None, False, ViewOutput.IMAGES)
    order = np.argsort(condition_inputs.batch_index)
    sample_weight = (
        None if views.sample_weight is None else views.sample_weight.view(4, members)[order]
    )
    return (views.images[:, :, 0, 0, 0] * 255).round().int()[order], sample_weight


def test_stored_views_are_of_their_own_image_and_of_any_member(groups):
    seen = torch.cat([draw(groups, seed)[0] for seed in range(6)], dim=1)
    for row, greys in enumerate(seen):
        assert set(greys.tolist()) == {60 * row + 10 * n for n in range(MEMBERS)}
    once, _ = draw(groups, 0)
    assert all(len(set(greys.tolist())) == 2 for greys in once)


def test_stored_views_count_by_their_identity_if_weighed(groups):
    greys, sample_weight = draw(groups, 0, ViewFilter(weight_by_identity=True))
    torch.testing.assert_close(sample_weight, 0.2 * (greys % 60 / 10 + 1))
    assert draw(groups, 0)[1] is None
    assert ViewFilter().sample_weight(groups.members[0]) == 1


def test_stored_views_below_a_least_score_are_left_out(groups):
    greys, _ = draw(groups, 0, ViewFilter(identity=0.3))
    assert set((greys % 60).flatten().tolist()) == {10, 20}
    doubtful = replace(groups.members[0], structure=0.4)
    assert ViewFilter(structure=0.5).refuses(doubtful) == "structure"
    assert ViewFilter(difference=0.6).refuses(doubtful) == "difference"
