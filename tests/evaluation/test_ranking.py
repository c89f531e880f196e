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
def test_evaluate_distances_equals_slow_reference_with_ties(seed, levels, ap, cameras):
    case = random_case(seed, levels=levels, cameras=cameras)
    try:
        mean_ap, cmc, minp, skipped = score(*case, ap=ap)
    except ZeroDivisionError:  # no query has a match
        with pytest.raises(UserError):
            evaluate_distances(*case, ap=ap)
        return
    actual = evaluate_distances(*case, ap=ap)
    assert actual.cmc == cmc
    assert actual.skipped_queries == skipped
    assert actual.mean_ap == pytest.approx(mean_ap, rel=1e-12)
    assert actual.minp == pytest.approx(minp, rel=1e-12)


def test_evaluate_distances_equals_scores_worked_out_by_hand():
    # Ranked: own camera (dropped), wrong, right, distractor, right -> hits at ranks 2 and 4.
    distance = np.array([[0.1, 0.2, 0.3, 0.4, 0.5]], dtype=np.float32)
    labels = ([7], [7, 3, 7, 0, 7], [0], [0, 0, 1, 1, 2])
    actual = evaluate_distances(distance, *map(np.array, labels))
    assert actual.mean_ap == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert actual.minp == pytest.approx(2 / 4)
    assert actual.cmc == {1: 0.0, 5: 1.0, 10: 1.0, 20: 1.0}
    trapezoid = evaluate_distances(distance, *map(np.array, labels), ap="trapezoid")
    assert trapezoid.mean_ap == pytest.approx(((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)


def test_evaluate_distances_drops_only_own_pid_and_camera():
    distance = np.array([[0.1, 0.2]], dtype=np.float32)
    own_camera = evaluate_distances(distance, *map(np.array, ([7], [3, 7], [0], [0, 1])))
    assert own_camera.mean_ap == pytest.approx(1 / 2)
    unknown = evaluate_distances(distance, *map(np.array, ([7], [7, 7], [-1], [-1, -1])))
    assert unknown.mean_ap == 1


def test_evaluate_ranking_does_not_depend_on_block_size():
    rng = np.random.default_rng(0)
    query, gallery = unit(rng, 30, 16), unit(rng, 50, 16)
    _, *labels = random_case(0, 30, 50)
    expected = evaluate_ranking(query, gallery, *labels)
    assert evaluate_ranking(query, gallery, *labels, block=7) == expected
    assert evaluate_distances(-(query @ gallery.T), *labels) == expected


def test_evaluate_distances_map_equals_scikit_learn():
    distance, query_pids, gallery_pids, query_camids, gallery_camids = random_case(3, cameras=3)
    aps = []
    for q, row in enumerate(distance):
        ranked = ~((gallery_pids == query_pids[q]) & (gallery_camids == query_camids[q]))
        match = gallery_pids[ranked] == query_pids[q]
        if match.any():
            aps.append(average_precision_score(match, -row[ranked]))
    actual = evaluate_distances(distance, query_pids, gallery_pids, query_camids, gallery_camids)
    assert actual.mean_ap == pytest.approx(np.mean(aps))


def test_evaluate_ranking_refuses_distances_that_are_nan():
    query, gallery = np.eye(3, dtype=np.float32)[:2], np.eye(3, dtype=np.float32)
    query[1, 0] = np.nan
    labels = map(np.array, ([1, 2], [1, 2, 3], [0, 0], [1, 1, 1]))
    with pytest.raises(UserError, match="distances of query 1 are not finite; check features"):
        evaluate_ranking(query, gallery, *labels)


def test_evaluate_distances_refuses_queries_without_match():
    one_camera = (np.zeros((1, 2), np.float32), *map(np.array, ([7], [7, 3], [0], [0, 0])))
    with pytest.raises(UserError) as error:
        evaluate_distances(*one_camera)
    assert str(error.value) == (
        "none of the 1 queries has a match in the gallery (the same pid under another camera, or "
        "in another image where cameras are unknown); check the pids and camids of query and "
        "gallery"
    )


def test_results_table_gives_percent_and_protocol():
    distance = np.array([[0.1, 0.2]], dtype=np.float32)
    result = evaluate_distances(distance, *map(np.array, ([7], [3, 7], [0], [0, 1])))
    temporal = replace(result, reranking="visual-temporal (JVTC+)")
    assert results_table([result, temporal]).splitlines() == [
        "re-ranking                 mAP  rank-1  rank-5  rank-10  rank-20   mINP",
        "none                     50.00    0.00  100.00   100.00   100.00  50.00",
        "visual-temporal (JVTC+)  50.00    0.00  100.00   100.00   100.00  50.00",
        "Market-1501 protocol, single query, cosine; AP: step; ties: gallery order; 1",
        "queries, 0 without a match skipped",
    ]


def test_results_table_names_images_left_out():
    distance = np.array([[0.1, 0.2, 0.3]], dtype=np.float32)
    labels = map(np.array, ([7], [7, -1, 7], [-1], [-1, -1, -1]))
    same_image = sparse.csr_matrix([[True, False, False]])
    result = evaluate_distances(distance, *labels, same_image=same_image)
    protocol = " ".join(results_table([result]).splitlines()[2:])
    assert "; 1 gallery images of unknown people (junk) left out; the query's own image" in protocol
    assert "left out 1 times (--keep-same-image keeps it); 4 images have no camera" in protocol
    values = result.as_dict()
    assert [values[n] for n in ("junk", "same_images", "unknown_cameras")] == [1, 1, 4]


@pytest.mark.parametrize("block", [1, 3, 256])
def test_evaluate_ranking_drops_junk_and_the_own_image(block):
    random = np.random.default_rng(0)
    query, gallery = (random.normal(size=(n, 8)).astype(np.float32) for n in (7, 60))
    query_pids, gallery_pids = random.integers(0, 4, 7), random.integers(-1, 4, 60)
    query_pids[2] = -1
    camids = [random.integers(-1, 3, n) for n in (7, 60)]
    same = random.random((7, 60)) < 0.1
    labels = (query_pids, gallery_pids, *camids)
    same_image = sparse.csr_matrix(same)
    result = evaluate_ranking(query, gallery, *labels, same_image=same_image, block=block)
    precisions = []
    for row in np.flatnonzero(query_pids != -1):
        ranked = ~same[row] & (gallery_pids != -1)
        labels_of_query = (
            query_pids[[row]],
            gallery_pids[ranked],
            camids[0][[row]],
            camids[1][ranked],
        )
        precisions.append(evaluate_ranking(query[[row]], gallery[ranked], *labels_of_query).mean_ap)
    assert result.mean_ap == pytest.approx(np.mean(precisions), rel=1e-12)
    assert result.skipped_queries == 1
