"""Linear probe of the pose information in an encoder's features.

Ridge regression from frozen features to the image positions of twelve limb joints, fitted on the
training people of a rendered data set and evaluated on other people (query and gallery). The score
is PCK, the share of joints within 10% and 5% of the image height. For each run the table also has
the mean pose as a baseline, and a probe of the pose token or the input of the pose head.

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

LIMB_JOINTS = [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]
"""SMPL indices of shoulders, elbows, wrists, hips, knees and ankles."""
THRESHOLDS = (0.05, 0.1)
"""PCK thresholds relative to the image height."""
PENALTIES = np.logspace(-1, 5, 13)


def main() -> None:
    """Probe every run and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="rendered pedestrians")
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    table = {run.name: probe(options.root, run) for run in options.runs}
    print(as_json({"pck": table, "environment": environment()}))


def probe(root: Path, run: Path) -> dict[str, dict[str, float]]:
    """Score the mean pose, and a linear probe of each feature of a run's encoder."""
    splits = people_of(root)
    truth = {name: joints(root, name, images) for name, images in splits.items()}
    test_joints = np.concatenate([truth["query"], truth["gallery"]])
    train_joints = truth["train"].reshape(len(truth["train"]), -1)
    mean_pose = np.broadcast_to(truth["train"].mean(0), test_joints.shape)
    table = {"mean pose": scores(mean_pose, test_joints)}
    by_split = {name: features(run, images) for name, images in splits.items()}
    for kind, train_features in by_split["train"].items():
        linear = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
        linear.fit(train_features, train_joints)
        test_features = np.concatenate([by_split["query"][kind], by_split["gallery"][kind]])
        predicted = linear.predict(test_features).reshape(test_joints.shape)
        table[kind] = scores(predicted, test_joints)
    return table


def people_of(root: Path) -> dict[str, list[Image]]:
    """Return the images by split, without distractors."""
    dataset = load_dataset("pedestrians", root)
    assert dataset.query is not None
    assert dataset.gallery is not None
    # Distractors are cut off, so that many joints are outside the image.
    labelled = zip(dataset.gallery.images, dataset.gallery.pids, strict=True)
    gallery = [image for image, pid in labelled if pid > 0]
    return {
        "train": list(dataset.train), "query": list(dataset.query.images), "gallery": gallery,
    }  # fmt: skip


def joints(root: Path, split: str, images: list[Image]) -> Float32Array:
    """Project the limb joints into the images, relative to the image height, [N, 12, 2]."""
    bodies = load_table(root / "bodies" / f"{split}.npz").select([image.key for image in images])
    rotation = Rotation.from_rotvec(bodies.pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    matrices, shape = torch.from_numpy(rotation).float(), torch.from_numpy(bodies.shape)
    posed = built_in_body().forward_joints(matrices, shape)
    projected = project_joints(posed, torch.from_numpy(bodies.camera))[:, LIMB_JOINTS]
    return (projected / 2).numpy()


def features(run: Path, images: list[Image]) -> dict[str, Float32Array]:
    """Extract the stripe features and the pose features of an encoder, [N, D] each."""
    encoder, card = load_encoder(run)
    blocks: dict[str, list[Float32Array]] = {"stripes": [], "pose": []}
    loader = ImageLoader(images, card.height, card.width, 2)
    with torch.no_grad():
        for batch in loader.complete_batches():
            encoded = encoder.encode(to_images(batch.pixels))
            blocks["stripes"].append(encoded.parts.flatten(1).numpy())
            blocks["pose"].append(encoded.pose.numpy())
    return {kind: np.concatenate(parts) for kind, parts in blocks.items()}


def scores(predicted: Float32Array, expected: Float32Array) -> dict[str, float]:
    """Compute PCK in percent, and the mean joint error relative to the image height."""
    error = np.linalg.norm(predicted - expected, axis=-1)
    pck = {f"pck@{t}": round(100 * float((error < t).mean()), 1) for t in THRESHOLDS}
    return {**pck, "mean_distance": round(float(error.mean()), 4)}


if __name__ == "__main__":
    main()
