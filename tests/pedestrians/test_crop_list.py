from collections import Counter

import pytest

from reid_gen.errors import UserError
from reid_gen.pedestrians.crop_list import (
    GALLERY,
    PRESETS,
    QUERY,
    TRAIN,
    plan_crops,
    size_like_market,
)


def by_split(crops):
    folders = (TRAIN, QUERY, GALLERY)
    return {folder: [crop for crop in crops if crop.folder == folder] for folder in folders}


@pytest.mark.parametrize("name", PRESETS)
def test_plan_crops_has_the_counts_of_its_preset(name):
    size = PRESETS[name]
    splits = by_split(plan_crops(size, seed=1))
    assert len(splits[TRAIN]) == size.train
    assert len(splits[QUERY]) == size.query
    assert len(splits[GALLERY]) == size.gallery + size.distractors
    assert len({crop.pid for crop in splits[TRAIN]}) == size.train_people
    assert len({crop.pid for crop in splits[QUERY]}) == size.test_people
    assert sum(crop.pid == 0 for crop in splits[GALLERY]) == size.distractors


def test_preset_market_is_as_large_as_market1501():
    size = PRESETS["market"]
    gallery = size.gallery + size.distractors
    assert (size.train, size.query, gallery) == (12_936, 3_368, 15_913)
    assert (size.train_people, size.test_people, size.distractors) == (751, 750, 2_798)


def test_plan_crops_separates_training_and_test_identities():
    splits = by_split(plan_crops(PRESETS["tiny"], seed=1))
    test_pids = {crop.pid for crop in splits[QUERY] + splits[GALLERY]}
    assert not test_pids & {crop.pid for crop in splits[TRAIN]}


def test_plan_crops_matches_every_query_in_another_camera():
    splits = by_split(plan_crops(PRESETS["small"], seed=2))
    gallery = {(crop.pid, crop.camera) for crop in splits[GALLERY]}
    for query in splits[QUERY]:
        assert any(pid == query.pid and camera != query.camera for pid, camera in gallery)


def test_plan_crops_has_one_query_per_person_and_camera():
    splits = by_split(plan_crops(PRESETS["small"], seed=2))
    counts = Counter((crop.pid, crop.camera) for crop in splits[QUERY])
    assert set(counts.values()) == {1}


def test_plan_crops_has_unique_keys_and_increasing_frames():
    crops = plan_crops(PRESETS["small"], seed=3)
    assert len({crop.key for crop in crops}) == len(crops)
    visits = {}
    for crop in crops:
        if crop.pid:
            visits.setdefault((crop.pid, crop.camera), []).append((crop.repeat, crop.frame))
    for visit in visits.values():
        frames = [frame for _, frame in sorted(visit)]
        assert frames == sorted(set(frames))


def test_plan_crops_depends_on_the_seed():
    size = PRESETS["tiny"]
    assert plan_crops(size, 1) == plan_crops(size, 1)
    assert plan_crops(size, 1) != plan_crops(size, 2)


def test_size_like_market_uses_half_of_the_people_for_testing():
    size = size_like_market(30, 3)
    assert (size.train_people, size.test_people, size.cameras) == (15, 15, 3)
    assert len(plan_crops(size, 1)) == size.images


@pytest.mark.parametrize("identities", [3, 10_000])
def test_size_like_market_refuses_bad_numbers_of_people(identities):
    with pytest.raises(UserError, match=f"--identities {identities}: give 4 to 9999"):
        size_like_market(identities, 6)


def test_size_like_market_refuses_one_camera():
    with pytest.raises(UserError, match="--cameras 1: give 2 to 99, since people are matched"):
        size_like_market(10, 1)
