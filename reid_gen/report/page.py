"""A run on one page that needs nothing else."""

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
from reid_gen.report.charts import curves, maps, matrix
from reid_gen.report.sheets import clusters_sheet, ranked_sheet
from reid_gen.training.metrics_log import read_metrics
from reid_gen.types import Float32Array, Float64Array, Image, Int64Array, LabelledSplit, Uint8Array

PANELS = {
    "mAP and rank-1": ("mAP", "rank-1"),
    "clusters": ("clusters", "outliers", "largest_cluster"),
    "agreement with true ids (display only)": ("ari", "nmi", "purity"),
    "learning rate": ("learning_rate",),
    "seconds": ("seconds", "seconds_train", "seconds_extract", "seconds_cluster"),
}
SHOWN = 8
"""Queries in each ranked list, and clusters in each sheet."""
MAPPED = 1500
"""Images on the map of features."""
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
class Clustered:
    """What the last epoch of a run clustered.

    Attributes:
        features: Unit rows of the training images, [N, D].
        labels: Their pseudo labels, [N].
    """

    features: Float32Array
    labels: Int64Array


@dataclass(frozen=True)
class Measured:
    """What a run's encoder says of query and gallery.

    Attributes:
        query: Query split.
        gallery: Gallery split.
        query_features: Unit rows, [Q, D].
        gallery_features: Unit rows, [G, D].
    """

    query: LabelledSplit
    gallery: LabelledSplit
    query_features: Float32Array
    gallery_features: Float32Array


def run_page(
    run: Path,
    about: dict[str, object],
    train: Sequence[Image],
    clustered: Clustered | None,
    measured: Measured | None,
) -> str:
    """Draw a run.

    Args:
        run: Its folder.
        about: Its card.
        train: Training images.
        clustered: What the last epoch clustered; None if it clustered none of these.
        measured: None for an unlabelled folder.

    Returns:
        HTML with everything inside.

    Raises:
        UserError: If an image does not decode.
    """
    parts = [_head(run.name, about)]
    parts += [_section("Curves", _svg(_curves(run)))]
    if clustered is not None:
        parts.append(_section("Clusters", *_clusters(train, clustered.labels)))
        parts.append(_section("Map of features", _map(train, clustered)))
    views = sorted((run / "views").glob("epoch_*.png"))
    if views:
        caption = "Rows: images; first the image itself, then what the generator draws of it."
        parts.append(_section("Generated views", _picture(decode(views[-1]), caption)))
    if measured is not None:
        parts += _rankings(measured)
    for title, name in (("Settings", "config.yaml"), ("Environment", "environment.json")):
        text = (run / name).read_text(encoding="utf-8")
        parts.append(_section(title, f"<pre>{html.escape(text)}</pre>"))
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{html.escape(run.name)}"
        f"</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _head(name: str, about: dict[str, object]) -> str:
    metrics, protocol = about["metrics"], about["protocol"]
    assert isinstance(metrics, dict)
    assert isinstance(protocol, dict)
    scores = "".join(
        f"<div>{key}<b>{100 * float(metrics[key]):.1f}</b></div>"
        for key in ("mAP", "rank-1")
        if key in metrics
    )
    notes = "; ".join(protocol["notes"])
    rows = {"epochs": about["epochs"], **protocol, "notes": notes}
    table = "".join(
        f"<tr><th>{html.escape(str(key))}</th><td>{html.escape(str(value))}</td></tr>"
        for key, value in rows.items()
    )
    return f"<h1>{html.escape(name)}</h1><div class=scores>{scores}</div><table>{table}</table>"


def _curves(run: Path) -> str:
    records = read_metrics(run)
    losses = sorted({key for record in records for key in record if key.startswith("loss_")})
    panels = {**PANELS, "losses": tuple(losses)}
    drawn = {
        title: {key: points for key in keys if (points := _points(records, key))}
        for title, keys in panels.items()
    }
    return curves({title: lines for title, lines in drawn.items() if lines})


def _points(records: Sequence[dict[str, float | int | str]], key: str) -> list[tuple[int, float]]:
    known = (record for record in records if record.get(key) is not None)
    return [(int(record["epoch"]), float(record[key])) for record in known]


def _clusters(train: Sequence[Image], labels: Int64Array) -> Iterator[str]:
    sizes = np.bincount(labels[labels >= 0])
    order = np.argsort(-sizes, kind="stable")
    yield _picture(
        clusters_sheet(train, labels, order[:SHOWN]), "The largest clusters, a row each."
    )
    middle = max(SHOWN, len(order) // 2 - SHOWN // 2)
    if len(order) > middle:
        others = order[middle : middle + SHOWN]
        yield _picture(clusters_sheet(train, labels, others), "Clusters of middling size.")


def _map(train: Sequence[Image], clustered: Clustered) -> str:
    features, labels = clustered.features, clustered.labels
    rows = np.random.default_rng(0).permutation(len(labels))[:MAPPED]
    few = min(50, *features[rows].shape)
    reduced = PCA(few, random_state=0).fit_transform(features[rows])
    near = min(30, max(1, (len(rows) - 1) // 3))
    places = TSNE(perplexity=near, init="pca", random_state=0).fit_transform(reduced)
    cameras = np.array([-1 if train[row].camid is None else train[row].camid for row in rows])
    colours, caption = {"coloured by cluster": labels[rows]}, "grey belongs to no cluster"
    if (cameras >= 0).any():
        colours["coloured by camera"] = cameras
        caption += ", or to no known camera"
    return _svg(maps(places, colours), f"t-SNE of {len(rows):,} training images; {caption}.")


def _rankings(measured: Measured) -> list[str]:
    query, gallery = measured.query, measured.gallery
    blocks = cosine_blocks(measured.query_features, measured.gallery_features)
    labels = (query.pids, gallery.pids, query.camids, gallery.camids)
    same_image = same_in_splits(query, gallery)
    scores = score_queries(blocks, *labels, same_image=same_image)
    caption = "Blue: the query; green: the same person, red: another. Average precision: "
    parts = [
        _section(
            title,
            _picture(
                _ranked(measured, rows, same_image),
                caption + ", ".join(f"{100 * scores.precision[row]:.0f}" for row in rows),
            ),
        )
        for title, rows in _query_lists(scores.precision).items()
    ]
    return [*parts, *_cameras(measured, scores)]


def _query_lists(precision: Float64Array) -> dict[str, Int64Array]:
    """Rows of the queries to show, by title; with few queries there is one list."""
    valid = np.flatnonzero(np.isfinite(precision))
    order = valid[np.argsort(precision[valid], kind="stable")]
    if len(order) <= SHOWN:
        return {"Queries": order} if len(order) else {}
    lists = {"Worst queries": order[:SHOWN], "Best queries": order[SHOWN:][::-1][:SHOWN]}
    if len(order) > 2 * SHOWN:
        some = np.random.default_rng(0).permutation(valid)[:SHOWN]
        lists["Random queries"] = np.sort(some)
    return lists


def _ranked(
    measured: Measured, rows: Int64Array, same_image: sparse.csr_matrix | None
) -> Uint8Array:
    images = tuple(measured.query.images[row] for row in rows)
    chosen = LabelledSplit(images, measured.query.pids[rows])
    features = measured.query_features[rows]
    return ranked_sheet(
        chosen,
        measured.gallery,
        features,
        measured.gallery_features,
        queries=99,
        same_image=None if same_image is None else same_image[rows],
    )


def _cameras(measured: Measured, scores: QueryScores) -> list[str]:
    """Rank-1 by the query's camera and a gallery that holds one other camera alone."""
    query, gallery = measured.query, measured.gallery
    cameras = np.unique(np.concatenate([query.camids, gallery.camids]))
    cameras = cameras[cameras >= 0]
    if len(cameras) < 2:
        return []
    values = np.full((len(cameras), len(cameras)), np.nan)
    for row, own in enumerate(cameras):
        asked = np.flatnonzero((query.camids == own) & np.isfinite(scores.precision))
        for column, other in enumerate(cameras):
            kept = np.flatnonzero(gallery.camids == other)
            shared = asked[np.isin(query.pids[asked], gallery.pids[kept])]
            if own != other and len(shared):
                found = similarities(
                    measured.query_features[shared], measured.gallery_features[kept]
                ).argmax(1)
                hits = gallery.pids[kept[found]] == query.pids[shared]
                values[row, column] = hits.mean()
    names = [f"c{camera + 1}" for camera in cameras]
    drawn = matrix(values, names, "camera of the query", "camera of the gallery")
    caption = "Rank-1 in percent with a gallery of one camera, over queries it holds a match of."
    return [_section("Confusion between cameras", _svg(drawn, caption))]


def _section(title: str, *parts: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{''.join(parts)}"


def _svg(drawn: str, caption: str = "") -> str:
    return f"<figure>{drawn}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _picture(pixels: Uint8Array, caption: str) -> str:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "JPEG", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<figure><img alt="{html.escape(caption)}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
