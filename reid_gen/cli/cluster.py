"""``reid-gen cluster`` and ``reid-gen rank``: clustering and ranking of any features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from reid_gen import limits
from reid_gen.choices import ClusteringName, KnnName
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

    from reid_gen.cluster import PseudoLabels
    from reid_gen.data.feature_files import Features
    from reid_gen.evaluation.ranking import RankingResult
    from reid_gen.evaluation.rerank import RerankedDistances

NORMALISE = click.option("--normalise", is_flag=True, help="L2-normalise the features first.")


@click.command(cls=Command)
@click.argument("features", type=INPUT)
@click.option(
    "--out", type=FILE, required=True, help="Label file to write: FILE.parquet, .npz or .csv."
)
@click.option(
    "--eps",
    type=OPEN_SHARE_RANGE,
    help="Radius as a Jaccard distance (default: 0.5; hdbscan has none).",
)
@click.option(
    "--k1",
    type=click.IntRange(2, limits.NEIGHBOURS[1]),
    help="Neighbours among which reciprocal neighbours are searched (default: 30, fewer below 240 "
    "images).",
)
@click.option(
    "--k2",
    type=NEIGHBOUR_RANGE,
    help="Neighbours over which encodings are averaged (default: 6, fewer below 96 images).",
)
@click.option(
    "--min-samples",
    type=COUNT_RANGE,
    default=4,
    show_default=True,
    help="Fewest images within the radius of a core point of dbscan, or in a cluster otherwise.",
)
@click.option(
    "--neighbours",
    type=click.Choice(get_args(KnnName)),
    default="exact",
    show_default=True,
    help="Nearest-neighbour search; ivf and hnsw are approximate, and their recall is printed.",
)
@click.option(
    "--algorithm",
    type=click.Choice(get_args(ClusteringName)),
    default="dbscan",
    show_default=True,
    help="Clustering algorithm.",
)
@NORMALISE
@JSON
@FORCE
def cluster(
    *,
    features: Path,
    out: Path,
    eps: float | None,
    k1: int | None,
    k2: int | None,
    min_samples: int,
    neighbours: KnnName,
    algorithm: ClusteringName,
    normalise: bool,
    output: Path | None,
) -> None:
    """Assign pseudo labels to FEATURES by clustering.

    FEATURES is a .npy, .npz or .parquet file. Clusters the k-reciprocal Jaccard distance and writes
    key and label of each row; -1 is an outlier. If the file has pids, also prints how well labels
    and pids agree.

    Example: reid-gen cluster features.npz --out labels.parquet
    """
    from reid_gen.data.feature_files import read_features
    from reid_gen.data.tables import check_table, write_table

    if algorithm == "hdbscan" and eps is not None:
        raise click.UsageError(f"--eps {eps} has no effect with --algorithm hdbscan; leave it out")
    check_table(out)
    results = Results(output)
    table = read_features(features, normalise)

    from reid_gen.cluster import FixedEps, pseudo_labels
    from reid_gen.evaluation.clustering_metrics import clustering_quality

    default = None if algorithm == "hdbscan" else FixedEps(0.5)
    result = pseudo_labels(
        table.features,
        eps=default if eps is None else FixedEps(eps),
        k1=k1,
        k2=k2,
        min_samples=min_samples,
        neighbours=neighbours,
        algorithm=algorithm,
    )
    _note_neighbours(result, None in (k1, k2), results)
    write_table({"key": table.keys, "label": result.labels}, out)
    quality = {} if table.pids is None else clustering_quality(result.labels, table.pids)
    summary = {**result.summary(), **quality}
    results.write_json(summary)
    for name, value in summary.items():
        results.echo(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.3f}")
    results.echo(f"wrote {out}")


def _note_neighbours(result: PseudoLabels, has_defaults: bool, results: Results) -> None:
    """Explain the defaults of k1 and k2 for few images, or suggest values if clustering failed."""
    from reid_gen.cluster.pseudo_labels import DEFAULT_K1, DEFAULT_K2, SMALL_SET, default_k1_k2

    count = len(result.labels)
    if has_defaults and count < SMALL_SET:
        results.echo(
            f"note: with {count} images k1 is {result.k1} and k2 is {result.k2} by default, "
            f"instead of {DEFAULT_K1} and {DEFAULT_K2} with {SMALL_SET} images or more; --k1 and "
            "--k2 set them"
        )
    elif result.clusters < 2:
        k1, k2 = default_k1_k2(count)
        results.echo(
            f"note: clustering found {result.clusters} clusters; try --k1 {k1} --k2 {k2}, the "
            f"defaults for {count} images, or other values of --eps and --min-samples"
        )


@click.command(cls=Command)
@click.argument("query", type=INPUT)
@click.argument("gallery", type=INPUT)
@click.option("--out", type=FILE, help="File of the best matches: FILE.parquet, .npz or .csv.")
@click.option("--top", type=COUNT_RANGE, default=10, show_default=True, help="Matches per query.")
@click.option("--rerank", is_flag=True, help="Rank with k-reciprocal re-ranking.")
@NORMALISE
@KEEP_SAME_IMAGE
@JSON
@FORCE
def rank(
    *,
    query: Path,
    gallery: Path,
    out: Path | None,
    top: int,
    rerank: bool,
    normalise: bool,
    keep_same_image: bool,
    output: Path | None,
) -> None:
    """Rank the features of GALLERY for each feature of QUERY.

    If both files have pids, also computes CMC, mAP and mINP. Rows with pid -1 or none are junk and
    ignored. Gallery images of the query's person and camera are ignored if both have a camid. Rows
    with the same path (or key, if there are no paths) in both files are the same image.

    Example: reid-gen rank query.npz gallery.npz --out matches.parquet
    """
    from reid_gen.data.feature_files import read_features
    from reid_gen.data.same_image import same_rows
    from reid_gen.data.tables import check_table
    from reid_gen.errors import UserError

    if out is not None:
        check_table(out)
    results = Results(output)
    queries, gallery_rows = (read_features(path, normalise) for path in (query, gallery))

    from reid_gen.cluster.pseudo_labels import check_features
    from reid_gen.evaluation.rerank import RerankedDistances
    from reid_gen.evaluation.tables import results_table

    for table in (queries, gallery_rows):
        check_features(table.features, min_rows=1)
    if queries.features.shape[1] != gallery_rows.features.shape[1]:
        raise UserError(
            f"features of {query} have length {queries.features.shape[1]}, those of {gallery} "
            f"{gallery_rows.features.shape[1]}; extract both with the same model"
        )
    has_pids = queries.pids is not None and gallery_rows.pids is not None
    if not has_pids and out is None:
        raise UserError(
            "the files have no pids, so nothing can be evaluated; give --out to write the matches"
        )
    if not has_pids and output is not None:
        raise UserError("the files have no pids, so nothing can be evaluated; leave --json out")
    same_image = None if keep_same_image else same_rows(queries, gallery_rows)
    reranked = RerankedDistances(queries.features, gallery_rows.features) if rerank else None
    if out is not None:
        _write_matches(queries, gallery_rows, top, reranked, same_image, out)
        note_same_images(0 if same_image is None else same_image.nnz)
        results.echo(f"wrote {out}")
    if has_pids:
        rankings = _evaluate(queries, gallery_rows, reranked, same_image)
        results.echo(results_table(rankings))
        results.write_json([ranking.as_dict() for ranking in rankings])


def _write_matches(
    queries: Features,
    gallery_rows: Features,
    top: int,
    reranked: RerankedDistances | None,
    same_image: sparse.csr_matrix | None,
    out: Path,
) -> None:
    import numpy as np

    from reid_gen.cluster.knn.topk import best_matches, matches_from_distances
    from reid_gen.data.tables import write_table

    if reranked is None:
        matches = best_matches(queries.features, gallery_rows.features, top, same_image)
    else:
        matches = matches_from_distances(reranked, top, same_image)
    is_match = np.isfinite(matches.distance)  # [Q, top]; queries can have fewer matches
    count = matches.index.shape[1]
    columns = {
        "query": np.repeat(queries.keys, is_match.sum(axis=1)),
        "rank": np.tile(np.arange(1, count + 1), (len(is_match), 1))[is_match],
        "gallery": gallery_rows.keys[matches.index[is_match]],
        "distance": matches.distance[is_match],
    }
    write_table(columns, out)


def _evaluate(
    queries: Features,
    gallery_rows: Features,
    reranked: RerankedDistances | None,
    same_image: sparse.csr_matrix | None,
) -> list[RankingResult]:
    from reid_gen.evaluation.ranking import evaluate_blocks, evaluate_ranking
    from reid_gen.evaluation.rerank import VARIANT

    assert queries.pids is not None
    assert gallery_rows.pids is not None
    labels = (queries.pids, gallery_rows.pids, queries.camids, gallery_rows.camids)
    rankings = [
        evaluate_ranking(queries.features, gallery_rows.features, *labels, same_image=same_image)
    ]
    if reranked is not None:
        rankings.append(
            evaluate_blocks(reranked, *labels, same_image=same_image, reranking=VARIANT)
        )
    return rankings
