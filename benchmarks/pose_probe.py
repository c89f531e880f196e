"""How much an encoder's features say of a pose: a linear probe for key points.

Ridge regression from frozen features to the twelve joints of limbs on the image, learnt from the
training people of a rendered set and measured on others (query and gallery): PCK, the share of
joints within a tenth (and a twentieth) of the image's height. Beside each run stand the mean pose,
which is what knowing nothing gives, and, where it has one, the pose token or pose head's input.

    python -m benchmarks.pose_probe --root demo/pedestrians runs/genpoccl_pretrain runs/other

Prints one JSON object.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from reid_gen.body.estimate.regressor import project_joints
from reid_gen.body.model import built_in_body
from reid_gen.body.table import load_table
from reid_gen.data.datasets import load_dataset
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.transforms import to_images
from reid_gen.files import as_json
from reid_gen.models.checkpoint import load_encoder
from reid_gen.training.run import environment
from reid_gen.types import Float32Array, Image

LIMBS = [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]
"""Shoulders, elbows, wrists, hips, knees and ankles in SMPL's order."""
SHARES = (0.05, 0.1)
PENALTIES = np.logspace(-1, 5, 13)


def main() -> None:
    """Probe every run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="rendered pedestrians")
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    table = {run.name: probe(options.root, run) for run in options.runs}
    print(as_json({"pck": table, "environment": environment()}))


def probe(root: Path, run: Path) -> dict[str, dict[str, float]]:
    """Scores of the mean pose, and of a linear probe on each feature of a run's encoder."""
    splits = people_of(root)
    truth = {name: joints(root, name, some) for name, some in splits.items()}
    held_out = np.concatenate([truth["query"], truth["gallery"]])
    learnt = truth["train"].reshape(len(truth["train"]), -1)
    table = {"mean pose": scores(np.broadcast_to(truth["train"].mean(0), held_out.shape), held_out)}
    seen = {name: features(run, some) for name, some in splits.items()}
    for kind, known in seen["train"].items():
        linear = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(known, learnt)
        others = np.concatenate([seen["query"][kind], seen["gallery"][kind]])
        table[kind] = scores(linear.predict(others).reshape(held_out.shape), held_out)
    return table


def people_of(root: Path) -> dict[str, list[Image]]:
    """Images of whole people, by split."""
    dataset = load_dataset("pedestrians", root)
    assert dataset.query is not None
    assert dataset.gallery is not None
    # Distractors show no whole person, so that their joints are outside the image.
    known = zip(dataset.gallery.images, dataset.gallery.pids, strict=True)
    gallery = [image for image, pid in known if pid > 0]
    return {
        "train": list(dataset.train), "query": list(dataset.query.images), "gallery": gallery,
    }  # fmt: skip


def joints(root: Path, split: str, images: list[Image]) -> Float32Array:
    """Where the joints of limbs are seen, as shares of the height, [N, 12, 2]."""
    bodies = load_table(root / "bodies" / f"{split}.npz").select([image.key for image in images])
    rotation = Rotation.from_rotvec(bodies.pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    matrices, shape = torch.from_numpy(rotation).float(), torch.from_numpy(bodies.shape)
    posed = built_in_body().forward_joints(matrices, shape)
    seen = project_joints(posed, torch.from_numpy(bodies.camera))[:, LIMBS]
    return (seen / 2).numpy()


def features(run: Path, images: list[Image]) -> dict[str, Float32Array]:
    """Features [N, D] of an encoder: of its stripes, and of what a pose head reads."""
    encoder, card = load_encoder(run)
    found: dict[str, list[Float32Array]] = {"stripes": [], "pose": []}
    loader = ImageLoader(images, card.height, card.width, 2)
    with torch.no_grad():
        for batch in loader.complete_batches():
            seen = encoder.encode(to_images(batch.pixels))
            found["stripes"].append(seen.parts.flatten(1).numpy())
            found["pose"].append(seen.pose.numpy())
    return {kind: np.concatenate(parts) for kind, parts in found.items()}


def scores(found: Float32Array, wanted: Float32Array) -> dict[str, float]:
    """PCK in percent, and the mean distance in shares of the height."""
    away = np.linalg.norm(found - wanted, axis=-1)
    shares = {f"pck@{share}": round(100 * float((away < share).mean()), 1) for share in SHARES}
    return {**shares, "mean_distance": round(float(away.mean()), 4)}


if __name__ == "__main__":
    main()
