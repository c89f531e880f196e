"""``reid-gen cluster`` and ``reid-gen rank``: the engine on features from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen import limits
from reid_gen.cli.command import Command
from reid_gen.cli.options import (
    COUNT_RANGE,
    FILE,
    FORCE,
    INPUT,
    JSON,
    KEEP_SAME_IMAGE,
    NEIGHBOUR_RANGE,
    OPEN_SHARE_RANGE,
    note_same_images,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from scipy import sparse

    from reid_gen.data.feature_files import Features
    from reid_gen.evaluation.ranking import RankingResult
    from reid_gen.evaluation.rerank import Reranked

NORMALISE = click.option("--normalise", is_flag=True, help="Divide each row by its length first.")


@click.command(cls=Command)
@click.argument("features", type=INPUT)
@click.option("--out", type=FILE, required=True, help="FILE.parquet, .npz or .csv.")
@click.option(
    "--eps", type=OPEN_SHARE_RANGE, help="Radius, in (0, 1); 0.5 unless the algorithm has none."
)
@click.option(
    "--k1",
    type=click.IntRange(2, limits.NEIGHBOURS[1]),
    help="Neighbours; 30 by default, fewer below 240 images.",
)
@click.option(
    "--k2", type=NEIGHBOUR_RANGE, help="Averaged images; 6 by default, fewer below 96 images."
)
@click.option("--min-samples", type=COUNT_RANGE, default=4, show_default=True)
@click.option(
    "--neighbours",
    type=click.Choice(["exact", "flat", "ivf", "hnsw"]),
    default="exact",
    show_default=True,
    help="ivf and hnsw are approximate; their recall is measured.",
)
@click.option(
    "--algorithm",
    type=click.Choice(["dbscan", "hdbscan", "agglomerative"]),
    default="dbscan",
    show_default=True,
)
@NORMALISE
@JSON
@FORCE
def cluster(
    features: Path,
    out: Path,
    eps: float | None,
    k1: int | None,
    k2: int | None,
    min_samples: int,
    neighbours: str,
    algorithm: str,
    normalise: bool,
    output: Path | None,
) -> None:
    """Find people in FEATURES (.npy, .npz, .parquet): k-reciprocal Jaccard distance, clusters.

    Writes key and label of each row; -1 is an outlier. With pids in the file, says how well both
    agree.

    Example: reid-gen cluster features.npz --out labels.parquet
    """
    from reid_gen.data.feature_files import read_features
    from reid_gen.data.tables import check_table, write_table

    if algorithm == "hdbscan" and eps is not None:
        raise click.UsageError(f"--eps {eps} has no effect with --algorithm hdbscan; leave it out")
    check_table(out)
    results = Results(output)
    found = read_features(features, normalise)

    from reid_gen.cluster import FixedEps, pseudo_labels
    from reid_gen.cluster.pseudo_labels import FEW, K1, K2, usual_neighbours
    from reid_gen.evaluation.clustering_metrics import clustering_quality

    default = None if algorithm == "hdbscan" else FixedEps(0.5)
    made = pseudo_labels(
        found.features,
        eps=default if eps is None else FixedEps(eps),
        k1=k1,
        k2=k2,
        min_samples=min_samples,
        neighbours=neighbours,
        algorithm=algorithm,
    )
    if None in (k1, k2) and len(made.labels) < FEW:
        results.say(
            f"note: {len(made.labels)} images are few: k1 is {made.k1} and k2 is {made.k2}, where "
            f"{FEW} or more have {K1} and {K2}; --k1 and --k2 set them"
        )
    elif made.clusters < 2:
        k1, k2 = usual_neighbours(len(made.labels))
        results.say(
            f"note: clustering found {made.clusters} clusters; --k1 {k1} --k2 {k2} suit "
            f"{len(made.labels)} images, and --eps and --min-samples say how dense people are"
        )
    write_table({"key": found.keys, "label": made.labels}, out)
    quality = {} if found.pids is None else clustering_quality(made.labels, found.pids)
    told = {**made.summary(), **quality}
    results.write(told)
    for name, value in told.items():
        results.say(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.3f}")
    results.say(f"wrote {out}")


@click.command(cls=Command)
@click.argument("query", type=INPUT)
@click.argument("gallery", type=INPUT)
@click.option("--out", type=FILE, help="FILE.parquet, .npz or .csv of the best matches.")
@click.option("--top", type=COUNT_RANGE, default=10, show_default=True, help="Per query.")
@click.option("--rerank", is_flag=True, help="By k-reciprocal re-ranking.")
@NORMALISE
@KEEP_SAME_IMAGE
@JSON
@FORCE
def rank(
    query: Path,
    gallery: Path,
    out: Path | None,
    top: int,
    rerank: bool,
    normalise: bool,
    keep_same_image: bool,
    output: Path | None,
) -> None:
    """Rank the GALLERY's features for each of QUERY's.

    With pids in both files, measures CMC, mAP and mINP too. A pid of -1, or none, is junk and
    counts nowhere. Where a row has no camid, nothing is left out by its camera. Rows of both files
    with one path (or key, where there are no paths) are one image.

    Example: reid-gen rank query.npz gallery.npz --out matches.parquet
    """
    from reid_gen.data.feature_files import read_features
    from reid_gen.data.same_image import same_rows
    from reid_gen.data.tables import check_table
    from reid_gen.errors import UserError

    if out is not None:
        check_table(out)
    results = Results(output)
    asked, kept = (read_features(path, normalise) for path in (query, gallery))

    from reid_gen.cluster.pseudo_labels import check_features
    from reid_gen.evaluation.rerank import Reranked
    from reid_gen.evaluation.tables import results_table

    for found in (asked, kept):
        check_features(found.features, least=1)
    if asked.features.shape[1] != kept.features.shape[1]:
        raise UserError(
            f"features of {query} have length {asked.features.shape[1]} and those of {gallery} "
            f"{kept.features.shape[1]}; make both with one model"
        )
    known = asked.pids is not None and kept.pids is not None
    if not known and out is None:
        raise UserError("the files have no pids to measure by; give --out for the matches")
    if not known and output is not None:
        raise UserError(
            "the files have no pids to measure by, so that --json has nothing to say; leave it out"
        )
    same_image = None if keep_same_image else same_rows(asked, kept)
    reranked = Reranked(asked.features, kept.features) if rerank else None
    if out is not None:
        _write_matches(asked, kept, top, reranked, same_image, out)
        note_same_images(0 if same_image is None else same_image.nnz)
        results.say(f"wrote {out}")
    if known:
        measured = _measure(asked, kept, reranked, same_image)
        results.say(results_table(measured))
        results.write([result.as_dict() for result in measured])


def _write_matches(
    asked: Features,
    kept: Features,
    top: int,
    reranked: Reranked | None,
    same_image: sparse.csr_matrix | None,
    out: Path,
) -> None:
    import numpy as np

    from reid_gen.cluster.knn.topk import best_matches, nearest_of
    from reid_gen.data.tables import write_table

    if reranked is None:
        matches = best_matches(asked.features, kept.features, top, same_image)
    else:
        matches = nearest_of(reranked, top, same_image)
    there = np.isfinite(matches.distance)
    count = matches.index.shape[1]
    columns = {
        "query": np.repeat(asked.keys, there.sum(axis=1)),
        "rank": np.tile(np.arange(1, count + 1), (len(there), 1))[there],
        "gallery": kept.keys[matches.index[there]],
        "distance": matches.distance[there],
    }
    write_table(columns, out)


def _measure(
    asked: Features,
    kept: Features,
    reranked: Reranked | None,
    same_image: sparse.csr_matrix | None,
) -> list[RankingResult]:
    from reid_gen.evaluation.ranking import evaluate_blocks, evaluate_ranking
    from reid_gen.evaluation.rerank import VARIANT

    assert asked.pids is not None
    assert kept.pids is not None
    labels = (asked.pids, kept.pids, asked.camids, kept.camids)
    results = [evaluate_ranking(asked.features, kept.features, *labels, same_image=same_image)]
    if reranked is not None:
        results.append(evaluate_blocks(reranked, *labels, same_image=same_image, reranking=VARIANT))
    return results
