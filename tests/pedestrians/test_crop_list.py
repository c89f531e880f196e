from collections import Counter

import pytest

from reid_gen.errors import UserError
from reid_gen.pedestrians.crop_list import GALLERY, PRESETS, QUERY, TRAIN, plan, size_of


def by_split(entries):
    return {split: [e for e in entries if e.folder == split] for split in (TRAIN, QUERY, GALLERY)}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_the_counts_it_promises(name):
    size = PRESETS[name]
    splits = by_split(plan(size, seed=1))
    assert len(splits[TRAIN]) == size.train
    assert len(splits[QUERY]) == size.query
    assert len(splits[GALLERY]) == size.gallery + size.distractors
    assert len({e.pid for e in splits[TRAIN]}) == size.train_people
    assert len({e.pid for e in splits[QUERY]}) == size.test_people
    assert sum(e.pid == 0 for e in splits[GALLERY]) == size.distractors


def test_market_is_as_large_as_market1501():
    size = PRESETS["market"]
    gallery = size.gallery + size.distractors
    assert (size.train, size.query, gallery) == (12_936, 3_368, 15_913)
    assert (size.train_people, size.test_people, size.distractors) == (751, 750, 2_798)


def test_nobody_is_both_trained_on_and_tested():
    splits = by_split(plan(PRESETS["tiny"], seed=1))
    tested = {e.pid for e in splits[QUERY] + splits[GALLERY]}
    assert not tested & {e.pid for e in splits[TRAIN]}


def test_every_query_has_a_match_in_another_camera():
    splits = by_split(plan(PRESETS["small"], seed=2))
    seen = {(e.pid, e.camera) for e in splits[GALLERY]}
    for query in splits[QUERY]:
        assert any(pid == query.pid and camera != query.camera for pid, camera in seen)


def test_there_is_one_query_per_person_and_camera():
    splits = by_split(plan(PRESETS["small"], seed=2))
    assert set(Counter((e.pid, e.camera) for e in splits[QUERY]).values()) == {1}


def test_names_are_unique_and_frames_of_a_visit_rise():
    entries = plan(PRESETS["small"], seed=3)
    assert len({e.key for e in entries}) == len(entries)
    visits = {}
    for e in entries:
        if e.pid:
            visits.setdefault((e.pid, e.camera), []).append((e.repeat, e.frame))
    for visit in visits.values():
        frames = [frame for _, frame in sorted(visit)]
        assert frames == sorted(set(frames))


def test_the_same_seed_gives_the_same_plan_and_another_does_not():
    size = PRESETS["tiny"]
    assert plan(size, 1) == plan(size, 1)
    assert plan(size, 1) != plan(size, 2)


def test_half_of_any_number_of_people_are_for_testing():
    size = size_of(30, 3)
    assert (size.train_people, size.test_people, size.cameras) == (15, 15, 3)
    assert len(plan(size, 1)) == size.images


@pytest.mark.parametrize("identities", [3, 10_000])
def test_an_impossible_number_of_people_is_refused(identities):
    with pytest.raises(UserError, match=f"--identities {identities}: give 4 to 9999"):
        size_of(identities, 6)


def test_one_camera_is_refused():
    with pytest.raises(UserError, match="--cameras 1: give 2 to 99, since people are matched"):
        size_of(10, 1)
