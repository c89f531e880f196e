"""HTML report of a run in a single self-contained file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from reid_gen.cluster.knn.topk import similarities
from reid_gen.data.images import decode
from reid_gen.data.same_image import same_in_splits
from reid_gen.evaluation.query_scores import QueryScores, score_queries
from reid_gen.evaluation.ranking import cosine_blocks
from reid_gen.report.charts import plot_curves, plot_matrix, plot_scatter
from reid_gen.report.sheets import clusters_sheet, ranked_sheet
from reid_gen.training.metrics_log import read_metrics
from reid_gen.types import Float32Array, Float64Array, Image, Int64Array, LabelledSplit, Uint8Array

PANELS = {
    "mAP and rank-1": ("mAP", "rank-1"),
    "clusters": ("clusters", "outliers", "largest_cluster"),
    "agreement with true identities (display only)": ("ari", "nmi", "purity"),
    "learning rate": ("learning_rate",),
    "time per epoch in seconds": ("seconds", "seconds_train", "seconds_extract", "seconds_cluster"),
}
"""Panels of the training curves: title -> keys of the metrics log."""
SHEET_ROWS = 8
"""Maximum number of queries or clusters per contact sheet."""
TSNE_IMAGES = 1500
"""Maximum number of images in the t-SNE plot."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1240px; padding: 0 1rem;
       color: #1c1c1c; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
figure { margin: 0.5rem 0; } img, svg { max-width: 100%; height: auto; }
img { image-rendering: pixelated; } figcaption { color: #555; font-size: 0.9rem; }
table { border-collapse: collapse; } td, th { padding: 0.15rem 0.9rem 0.15rem 0; text-align: left; }
pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; font-size: 0.85rem; }
.scores { display: flex; gap: 2.5rem; } .scores b { display: block; font-size: 1.6rem; }
"""


@dataclass(frozen=True)
class TrainClustering:
    """Clustering of the training images in the last epoch of a run.

    Attributes:
        features: L2-normalised features of the training images, [N, D].
        labels: Pseudo labels of the training images, [N].
    """

    features: Float32Array
    labels: Int64Array


@dataclass(frozen=True)
class SplitFeatures:
    """Query and gallery splits with the features that the encoder of a run gives them.

    Attributes:
        query: Query split.
        gallery: Gallery split.
        query_features: L2-normalised features of the queries, [Q, D].
        gallery_features: L2-normalised features of the gallery, [G, D].
    """

    query: LabelledSplit
    gallery: LabelledSplit
    query_features: Float32Array
    gallery_features: Float32Array


def run_page(
    run: Path,
    card: dict[str, object],
    train: Sequence[Image],
    clustering: TrainClustering | None,
    evaluation: SplitFeatures | None,
) -> str:
    """Return the HTML report of a run.

    Args:
        run: Run folder.
        card: Metadata of the checkpoint: metrics, protocol and number of epochs.
        train: Training images.
        clustering: Clustering of the last epoch; None if that epoch clustered no or other images.
        evaluation: Query and gallery features; None for an unlabelled folder.

    Returns:
        HTML text with embedded images and styles.

    Raises:
        UserError: If an image does not decode.
    """
    parts = [_header(run.name, card)]
    parts += [_section("Training curves", _svg_figure(_training_curves(run)))]
    if clustering is not None:
        parts.append(_section("Clusters", *_clusters(train, clustering.labels)))
        parts.append(_section("t-SNE of features", _tsne(train, clustering)))
    views = sorted((run / "views").glob("epoch_*.png"))
    if views:
        caption = "One row per image: the image, then its generated views."
        parts.append(_section("Generated views", _image_figure(decode(views[-1]), caption)))
    if evaluation is not None:
        parts += _rankings(evaluation)
    for title, name in (("Settings", "config.yaml"), ("Environment", "environment.json")):
        text = (run / name).read_text(encoding="utf-8")
        parts.append(_section(title, f"<pre>{html.escape(text)}</pre>"))
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{html.escape(run.name)}"
        f"</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _header(name: str, card: dict[str, object]) -> str:
    metrics, protocol = card["metrics"], card["protocol"]
    assert isinstance(metrics, dict)
    assert isinstance(protocol, dict)
    scores = "".join(
        f"<div>{key}<b>{100 * float(metrics[key]):.1f}</b></div>"
        for key in ("mAP", "rank-1")
        if key in metrics
    )
    notes = "; ".join(protocol["notes"])
    rows = {"epochs": card["epochs"], **protocol, "notes": notes}
    table = "".join(
        f"<tr><th>{html.escape(str(key))}</th><td>{html.escape(str(value))}</td></tr>"
        for key, value in rows.items()
    )
    return f"<h1>{html.escape(name)}</h1><div class=scores>{scores}</div><table>{table}</table>"


def _training_curves(run: Path) -> str:
    records = read_metrics(run)
    losses = sorted({key for record in records for key in record if key.startswith("loss_")})
    panels = {**PANELS, "losses": tuple(losses)}
    available = {
        title: {key: points for key in keys if (points := _curve(records, key))}
        for title, keys in panels.items()
    }
    return plot_curves({title: curves for title, curves in available.items() if curves})


def _curve(records: Sequence[dict[str, float | int | str]], key: str) -> list[tuple[int, float]]:
    """Return the (epoch, value) pairs of a metric; records without it are skipped."""
    logged = (record for record in records if record.get(key) is not None)
    return [(int(record["epoch"]), float(record[key])) for record in logged]


def _clusters(train: Sequence[Image], labels: Int64Array) -> Iterator[str]:
    sizes = np.bincount(labels[labels >= 0])
    order = np.argsort(-sizes, kind="stable")
    sheet = clusters_sheet(train, labels, order[:SHEET_ROWS])
    yield _image_figure(sheet, "The largest clusters, one per row.")
    first_medium = max(SHEET_ROWS, len(order) // 2 - SHEET_ROWS // 2)
    if len(order) > first_medium:
        medium = order[first_medium : first_medium + SHEET_ROWS]
        yield _image_figure(
            clusters_sheet(train, labels, medium), "Clusters of medium size, one per row."
        )


def _tsne(train: Sequence[Image], clustering: TrainClustering) -> str:
    features, labels = clustering.features, clustering.labels
    rows = np.random.default_rng(0).permutation(len(labels))[:TSNE_IMAGES]
    components = min(50, *features[rows].shape)
    reduced = PCA(components, random_state=0).fit_transform(features[rows])
    perplexity = min(30, max(1, (len(rows) - 1) // 3))
    points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced)
    cameras = np.array([-1 if train[row].camid is None else train[row].camid for row in rows])
    colourings, caption = {"coloured by cluster": labels[rows]}, "grey: outliers"
    if (cameras >= 0).any():
        colourings["coloured by camera"] = cameras
        caption += " and images of an unknown camera"
    svg = plot_scatter(points, colourings)
    return _svg_figure(svg, f"t-SNE of {len(rows):,} training images; {caption}.")


def _rankings(evaluation: SplitFeatures) -> list[str]:
    query, gallery = evaluation.query, evaluation.gallery
    blocks = cosine_blocks(evaluation.query_features, evaluation.gallery_features)
    labels = (query.pids, gallery.pids, query.camids, gallery.camids)
    same_image = same_in_splits(query, gallery)
    scores = score_queries(blocks, *labels, same_image=same_image)
    caption = (
        "Frames: blue for the query, green for the same person, red for another person. "
        "Average precision of each row in percent: "
    )
    parts = [
        _section(
            title,
            _image_figure(
                _ranked_lists(evaluation, rows, same_image),
                caption + ", ".join(f"{100 * scores.precision[row]:.0f}" for row in rows),
            ),
        )
        for title, rows in _query_lists(scores.precision).items()
    ]
    return [*parts, *_camera_pairs(evaluation, scores)]


def _query_lists(precision: Float64Array) -> dict[str, Int64Array]:
    """Map the title of each section to the rows of its queries; few queries share one section."""
    valid = np.flatnonzero(np.isfinite(precision))
    order = valid[np.argsort(precision[valid], kind="stable")]
    if len(order) <= SHEET_ROWS:
        return {"Queries": order} if len(order) else {}
    worst, rest = order[:SHEET_ROWS], order[SHEET_ROWS:]
    lists = {"Worst queries": worst, "Best queries": rest[::-1][:SHEET_ROWS]}
    if len(order) > 2 * SHEET_ROWS:
        sample = np.random.default_rng(0).permutation(valid)[:SHEET_ROWS]
        lists["Random queries"] = np.sort(sample)
    return lists


def _ranked_lists(
    evaluation: SplitFeatures, rows: Int64Array, same_image: sparse.csr_matrix | None
) -> Uint8Array:
    images = tuple(evaluation.query.images[row] for row in rows)
    queries = LabelledSplit(images, evaluation.query.pids[rows])
    features = evaluation.query_features[rows]
    return ranked_sheet(
        queries,
        evaluation.gallery,
        features,
        evaluation.gallery_features,
        queries=len(rows),
        same_image=None if same_image is None else same_image[rows],
    )


def _camera_pairs(evaluation: SplitFeatures, scores: QueryScores) -> list[str]:
    """Plot rank-1 per pair of query camera and gallery camera; a single camera gives no plot."""
    query, gallery = evaluation.query, evaluation.gallery
    cameras = np.unique(np.concatenate([query.camids, gallery.camids]))
    cameras = cameras[cameras >= 0]
    if len(cameras) < 2:
        return []
    values = np.full((len(cameras), len(cameras)), np.nan)
    for row, query_camera in enumerate(cameras):
        in_camera = (query.camids == query_camera) & np.isfinite(scores.precision)
        query_rows = np.flatnonzero(in_camera)
        for column, gallery_camera in enumerate(cameras):
            gallery_rows = np.flatnonzero(gallery.camids == gallery_camera)
            matched = query_rows[np.isin(query.pids[query_rows], gallery.pids[gallery_rows])]
            if query_camera != gallery_camera and len(matched):
                nearest = similarities(
                    evaluation.query_features[matched], evaluation.gallery_features[gallery_rows]
                ).argmax(1)
                hits = gallery.pids[gallery_rows[nearest]] == query.pids[matched]
                values[row, column] = hits.mean()
    names = [f"c{camera + 1}" for camera in cameras]
    svg = plot_matrix(values, names, "query camera", "gallery camera")
    caption = (
        "Rank-1 in percent when the gallery holds the images of one camera only. Queries without a "
        "match in that camera are left out; cells without queries, and the diagonal, stay empty."
    )
    return [_section("Rank-1 by camera pair", _svg_figure(svg, caption))]


def _section(title: str, *parts: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{''.join(parts)}"


def _svg_figure(svg: str, caption: str = "") -> str:
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _image_figure(pixels: Uint8Array, caption: str) -> str:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "JPEG", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<figure><img alt="{html.escape(caption)}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
