from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import average_precision_score

from reid_gen.errors import UserError
from reid_gen.evaluation.ranking import evaluate_distances, evaluate_ranking
from reid_gen.evaluation.tables import results_table
from tests.reference.ranking import score


def random_case(seed, queries=12, gallery=40, people=6, cameras=3, levels=None):
    rng = np.random.default_rng(seed)
    distance = rng.random((queries, gallery)).astype(np.float32)
    if levels:
        distance = np.floor(distance * levels) / np.float32(levels)
    return (
        distance,
        rng.integers(1, people, queries),
        rng.integers(0, people, gallery),
        rng.integers(0, cameras, queries),
        rng.integers(0, cameras, gallery),
    )


def unit(rng, *shape):
    raw = rng.standard_normal(shape).astype(np.float32)
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([None, 2, 5]),
    st.sampled_from(["step", "trapezoid"]),
    st.integers(1, 3),
)
def test_scores_equal_the_slow_twin_also_with_ties(seed, levels, ap, cameras):
    case = random_case(seed, levels=levels, cameras=cameras)
    try:
        mean_ap, cmc, minp, skipped = score(*case, ap=ap)
    except ZeroDivisionError:  # no query has a match
        with pytest.raises(UserError):
            evaluate_distances(*case, ap=ap)
        return
    found = evaluate_distances(*case, ap=ap)
    assert found.cmc == cmc
    assert found.skipped_queries == skipped
    assert found.mean_ap == pytest.approx(mean_ap, rel=1e-12)
    assert found.minp == pytest.approx(minp, rel=1e-12)


def test_a_list_that_can_be_checked_by_hand():
    # Ranked: own camera (dropped), wrong, right, distractor, right -> hits at ranks 2 and 4.
    distance = np.array([[0.1, 0.2, 0.3, 0.4, 0.5]], dtype=np.float32)
    labels = ([7], [7, 3, 7, 0, 7], [0], [0, 0, 1, 1, 2])
    found = evaluate_distances(distance, *map(np.array, labels))
    assert found.mean_ap == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert found.minp == pytest.approx(2 / 4)
    assert found.cmc == {1: 0.0, 5: 1.0, 10: 1.0, 20: 1.0}
    trapezoid = evaluate_distances(distance, *map(np.array, labels), ap="trapezoid")
    assert trapezoid.mean_ap == pytest.approx(((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)


def test_same_camera_images_of_others_stay_and_unknown_cameras_drop_nothing():
    distance = np.array([[0.1, 0.2]], dtype=np.float32)
    own_camera = evaluate_distances(distance, *map(np.array, ([7], [3, 7], [0], [0, 1])))
    assert own_camera.mean_ap == pytest.approx(1 / 2)
    unknown = evaluate_distances(distance, *map(np.array, ([7], [7, 7], [-1], [-1, -1])))
    assert unknown.mean_ap == 1


def test_features_are_ranked_by_cosine_whatever_the_block():
    rng = np.random.default_rng(0)
    query, gallery = unit(rng, 30, 16), unit(rng, 50, 16)
    _, *labels = random_case(0, 30, 50)
    whole = evaluate_ranking(query, gallery, *labels)
    assert evaluate_ranking(query, gallery, *labels, block=7) == whole
    assert evaluate_distances(-(query @ gallery.T), *labels) == whole


def test_average_precision_equals_scikit_learn_without_ties():
    distance, query_pids, gallery_pids, query_camids, gallery_camids = random_case(3, cameras=3)
    aps = []
    for q, row in enumerate(distance):
        kept = ~((gallery_pids == query_pids[q]) & (gallery_camids == query_camids[q]))
        good = gallery_pids[kept] == query_pids[q]
        if good.any():
            aps.append(average_precision_score(good, -row[kept]))
    found = evaluate_distances(distance, query_pids, gallery_pids, query_camids, gallery_camids)
    assert found.mean_ap == pytest.approx(np.mean(aps))


def test_a_distance_that_is_no_number_is_one_clear_error():
    query, gallery = np.eye(3, dtype=np.float32)[:2], np.eye(3, dtype=np.float32)
    query[1, 0] = np.nan
    labels = map(np.array, ([1, 2], [1, 2, 3], [0, 0], [1, 1, 1]))
    with pytest.raises(UserError, match="distances of query 1 are not finite; check features"):
        evaluate_ranking(query, gallery, *labels)


def test_no_match_at_all_is_one_clear_error():
    one_camera = (np.zeros((1, 2), np.float32), *map(np.array, ([7], [7, 3], [0], [0, 0])))
    with pytest.raises(UserError) as error:
        evaluate_distances(*one_camera)
    assert str(error.value) == (
        "none of the 1 queries has a match in the gallery (the same pid under another camera, or "
        "in another image where cameras are unknown); check the pids and camids of query and "
        "gallery"
    )


def test_results_table_gives_percent_and_the_rules():
    distance = np.array([[0.1, 0.2]], dtype=np.float32)
    found = evaluate_distances(distance, *map(np.array, ([7], [3, 7], [0], [0, 1])))
    timed = replace(found, reranking="visual-temporal (JVTC+)")
    assert results_table([found, timed]).splitlines() == [
        "re-ranking                 mAP  rank-1  rank-5  rank-10  rank-20   mINP",
        "none                     50.00    0.00  100.00   100.00   100.00  50.00",
        "visual-temporal (JVTC+)  50.00    0.00  100.00   100.00   100.00  50.00",
        "Market-1501 protocol, single query, cosine; AP: step; ties: gallery order; 1",
        "queries, 0 without a match skipped",
    ]


def test_results_table_says_what_was_left_out():
    distance = np.array([[0.1, 0.2, 0.3]], dtype=np.float32)
    labels = map(np.array, ([7], [7, -1, 7], [-1], [-1, -1, -1]))
    same_image = sparse.csr_matrix([[True, False, False]])
    found = evaluate_distances(distance, *labels, same_image=same_image)
    rules = " ".join(results_table([found]).splitlines()[2:])
    assert "; 1 gallery images of unknown people (junk) left out; the query's own image" in rules
    assert "left out 1 times (--keep-same-image keeps it); 4 images have no camera" in rules
    told = found.as_dict()
    assert [told[n] for n in ("junk", "same_images", "unknown_cameras")] == [1, 1, 4]


@pytest.mark.parametrize("block", [1, 3, 256])
def test_evaluate_ranking_counts_junk_and_own_image_nowhere(block):
    random = np.random.default_rng(0)
    query, gallery = (random.normal(size=(n, 8)).astype(np.float32) for n in (7, 60))
    query_pids, gallery_pids = random.integers(0, 4, 7), random.integers(-1, 4, 60)
    query_pids[2] = -1
    camids = [random.integers(-1, 3, n) for n in (7, 60)]
    own = random.random((7, 60)) < 0.1
    labels = (query_pids, gallery_pids, *camids)
    same_image = sparse.csr_matrix(own)
    found = evaluate_ranking(query, gallery, *labels, same_image=same_image, block=block)
    precisions = []
    for row in np.flatnonzero(query_pids != -1):
        left = ~own[row] & (gallery_pids != -1)
        part = (query_pids[[row]], gallery_pids[left], camids[0][[row]], camids[1][left])
        precisions.append(evaluate_ranking(query[[row]], gallery[left], *part).mean_ap)
    assert found.mean_ap == pytest.approx(np.mean(precisions), rel=1e-12)
    assert found.skipped_queries == 1
