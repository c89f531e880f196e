"""Train the built-in mesh regressor of reid-gen on rendered people.

Three steps: ``render`` writes crops with ground truth, ``train`` trains on them for a given time
and writes the weights, ``test`` evaluates weights on held-out crops with other people, cameras and
scenes.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as T

from reid_gen.body.camera import project
from reid_gen.body.estimate.estimator import RegressorEstimator
from reid_gen.body.estimate.int8_weights import quantise
from reid_gen.body.estimate.regressor import (
    HEIGHT,
    WIDTH,
    BodyEstimate,
    BodyTarget,
    MeshRegressor,
    project_joints,
    regressor_losses,
)  # fmt: skip
from reid_gen.body.model import BodyModel, built_in_body
from reid_gen.body.render.rasterise import rasterise
from reid_gen.files import as_json
from reid_gen.pedestrians.regressor_samples import RegressorSamples, render_samples
from reid_gen.pedestrians.renderer import PedestrianRenderer

WEIGHTS = {"rotation": 4.0, "joints": 20.0, "joints_2d": 10.0, "shape": 0.03, "confidence": 0.3}
MIRROR = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
"""Index of each joint's counterpart on the other side."""
CHUNK = 200
"""Number of crops per rendering job."""


def main() -> None:
    """Render, train or test."""
    parser = argparse.ArgumentParser(description=__doc__)
    steps = parser.add_subparsers(required=True)
    render = steps.add_parser("render")
    render.add_argument("--count", type=int, default=24_000)
    render.add_argument("--seed", type=int, default=1_000, help="differs for held-out crops")
    render.add_argument("--out", type=Path, required=True)
    render.set_defaults(run=render_crops)
    train = steps.add_parser("train")
    train.add_argument("--lessons", type=Path, nargs="+", required=True)
    train.add_argument("--held-out", type=Path, required=True)
    train.add_argument("--minutes", type=float, default=30)
    train.add_argument("--batch", type=int, default=64)
    train.add_argument("--start", type=Path, help="initial weights (warm start)")
    train.add_argument("--out", type=Path, required=True)
    train.set_defaults(run=train_regressor)
    test = steps.add_parser("test")
    test.add_argument("--weights", type=Path, help="weights to test (default: the built-in ones)")
    test.add_argument("--held-out", type=Path, required=True)
    test.set_defaults(run=test_regressor)
    options = parser.parse_args()
    options.run(options)


def render_crops(options: argparse.Namespace) -> None:
    """Render crops and write them with their ground truth to one file."""
    starts = range(0, options.count, CHUNK)
    job = partial(_render_chunk, options.seed)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        parts = list(pool.map(job, starts))
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])[: options.count]
        for field in fields(RegressorSamples)
    }
    np.savez(options.out, **columns)


def _render_chunk(seed: int, start: int) -> RegressorSamples:
    torch.set_num_threads(1)
    return render_samples(PedestrianRenderer(seed, HEIGHT, WIDTH), range(start, start + CHUNK))


def load(paths: list[Path]) -> dict[str, Tensor]:
    """Load and join the columns of files that ``render`` wrote."""
    files = [np.load(path) for path in paths]
    return {
        field.name: torch.from_numpy(np.concatenate([file[field.name] for file in files]))
        for field in fields(RegressorSamples)
    }


def target_of(body: BodyModel, columns: dict[str, Tensor]) -> BodyTarget:
    """Compute the regression targets of some rows."""
    joints = body.forward_joints(columns["rotation"], columns["shape"])
    joints_2d = project_joints(joints, columns["camera"])
    return BodyTarget(columns["rotation"], columns["shape"], joints, joints_2d, columns["person"])


def mirror(columns: dict[str, Tensor], flipped: Tensor) -> dict[str, Tensor]:
    """Mirror the rows where ``flipped`` is true, with their bodies and cameras."""
    flip = torch.diag(torch.tensor([-1.0, 1, 1]))
    rotation, camera = columns["rotation"].clone(), columns["camera"].clone()
    pixels = columns["pixels"].clone()
    rotation[flipped] = flip @ rotation[flipped][:, MIRROR] @ flip
    camera[flipped, 1] *= -1
    pixels[flipped] = pixels[flipped].flip(2)
    return columns | {"rotation": rotation, "camera": camera, "pixels": pixels}


def reframe(columns: dict[str, Tensor]) -> dict[str, Tensor]:
    """Zoom, shift and widen crops at random; cameras follow zoom and shift."""
    pixels, camera = columns["pixels"].permute(0, 3, 1, 2).float(), columns["camera"].clone()
    count = len(pixels)
    zoom = torch.exp(torch.empty(count).uniform_(-0.1, 0.3))
    zoom_x = zoom * torch.exp(torch.empty(count).uniform_(-0.05, 0.3))
    shift = 0.06 * torch.randn(count, 2)
    # affine_grid takes the inverse transform, in units of half the width and height.
    inverse = torch.zeros(count, 2, 3)
    inverse[:, 0, 0], inverse[:, 1, 1] = 1 / zoom_x, 1 / zoom
    inverse[:, 0, 2], inverse[:, 1, 2] = -2 * shift[:, 0] / zoom_x, -shift[:, 1] / zoom
    grid = F.affine_grid(inverse, list(pixels.shape), align_corners=False)
    resampled = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    camera[:, 0] *= zoom
    camera[:, 1] = zoom_x * camera[:, 1] + shift[:, 0]
    camera[:, 2] = zoom * camera[:, 2] + shift[:, 1]
    return columns | {"pixels": resampled.permute(0, 2, 3, 1), "camera": camera}


def augment(pixels: Tensor) -> Tensor:
    """Augment crops [B, H, W, 3] in 0..255; return images [B, 3, H, W] in 0..1.2."""
    x = pixels.permute(0, 3, 1, 2).float() / 255
    count = len(x)
    x = x * (1 + 0.15 * torch.randn(count, 3, 1, 1)) * torch.exp(0.25 * torch.randn(count, 1, 1, 1))
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * torch.exp(0.25 * torch.randn(count, 1, 1, 1)) + mean
    grey, blurred, coarse = (torch.rand(count) < share for share in (0.15, 0.2, 0.2))
    x[grey] = x[grey].mean(1, keepdim=True)
    if blurred.any():
        x[blurred] = T.gaussian_blur(x[blurred], [5, 5], [float(0.5 + 1.5 * torch.rand(()))])
    if coarse.any():
        scale = float(0.35 + 0.5 * torch.rand(()))
        small = F.interpolate(x[coarse], scale_factor=scale, mode="area")
        x[coarse] = F.interpolate(small, (HEIGHT, WIDTH), mode="bilinear")
    for row in (torch.rand(count) < 0.3).nonzero()[:, 0].tolist():
        height, width = int(torch.randint(10, 50, ())), int(torch.randint(8, 28, ()))
        top, left = int(torch.randint(HEIGHT - height, ())), int(torch.randint(WIDTH - width, ()))
        x[row, :, top : top + height, left : left + width] = torch.rand(3, 1, 1)
    return x.clamp(0, 1.2)


def train_regressor(options: argparse.Namespace) -> None:
    """Train for the given time with a cosine schedule, then write int8 weights."""
    torch.manual_seed(0)
    body = built_in_body()
    columns, held_out = load(options.lessons), load([options.held_out])
    has_person = columns["person"]
    if len(has_person) <= options.batch:
        raise SystemExit(
            f"--lessons holds {len(has_person)} crops, and a batch of {options.batch} needs more: "
            "render more with --count, or give a smaller --batch"
        )
    regressor = MeshRegressor().to(memory_format=torch.channels_last)
    mean_body = [columns[name][has_person].mean(0) for name in ("rotation", "shape", "camera")]
    regressor.set_mean_body(*mean_body)
    if options.start:
        regressor.load_state_dict(RegressorEstimator(options.start).regressor.state_dict())
    optimizer = torch.optim.AdamW(regressor.parameters(), 6e-4, weight_decay=1e-2)
    started, step, progress = time.time(), 0, 0.0
    while progress < 1:
        for rows in torch.randperm(len(has_person)).split(options.batch)[:-1]:
            progress = (time.time() - started) / 60 / options.minutes
            warm_up, cosine = min(1, (step + 1) / 200), math.cos(math.pi * min(progress, 1))
            learning_rate = 6e-4 * warm_up * (0.02 + 0.49 * (1 + cosine))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            batch = {name: column[rows] for name, column in columns.items()}
            batch = mirror(batch, torch.rand(len(rows)) < 0.5)
            batch = reframe(batch)
            images = augment(batch["pixels"])
            with torch.autocast("cpu", torch.bfloat16):
                estimate = regressor(images)
            joints = body.forward_joints(estimate.rotation, estimate.shape)
            terms = regressor_losses(estimate, joints, target_of(body, batch))
            optimizer.zero_grad()
            torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum().backward()
            torch.nn.utils.clip_grad_norm_(regressor.parameters(), 2.0)
            optimizer.step()
            step += 1
            if step % 500 == 0 or progress >= 1:
                scores = measure(regressor, body, held_out)
                record = {"step": step, "minutes": progress * options.minutes, **scores}
                print(as_json(record, None), flush=True)
            if progress >= 1:
                break
    about = {"trained_on": "rendered people", "steps": str(step)}
    save_file(quantise(regressor.state_dict()), options.out, about)


@torch.no_grad()
def test_regressor(options: argparse.Namespace) -> None:
    """Print the scores of :func:`measure`, the error of every joint, and the silhouette IoU."""
    body, columns = built_in_body(), load([options.held_out])
    regressor = RegressorEstimator(options.weights).regressor
    scores = measure(regressor, body, columns)
    has_person = columns["person"]
    estimate = estimate_all(regressor, columns["pixels"][has_person])
    true = {name: columns[name][has_person] for name in ("rotation", "shape", "camera")}
    joints = body.forward_joints(estimate.rotation, estimate.shape)
    true_joints = body.forward_joints(true["rotation"], true["shape"])
    error = (joints - joints[:, :1]) - _relative(true_joints)
    a = silhouettes(body, estimate.rotation, estimate.shape, estimate.camera)
    b = silhouettes(body, true["rotation"], true["shape"], true["camera"])
    iou = (a & b).sum((1, 2)) / (a | b).sum((1, 2)).clip(1)
    scores |= {
        "silhouette_iou": float(iou.mean()),
        "joints_mm": [round(1000 * float(e), 1) for e in error.norm(dim=-1).mean(0)],
    }
    print(as_json(scores))


def silhouettes(body: BodyModel, rotation: Tensor, shape: Tensor, camera: Tensor) -> np.ndarray:
    """Rasterise the silhouettes of bodies, [B, HEIGHT, WIDTH] bool."""
    masks = []
    for rows in torch.arange(len(shape)).split(256):
        posed = body(rotation[rows], shape[rows])
        vertices = (posed.vertices - posed.joints[:, :1]).numpy()
        screen = project(vertices, camera[rows].numpy(), HEIGHT, WIDTH)
        masks.append(rasterise(screen, body.faces, HEIGHT, WIDTH).face >= 0)
    return np.concatenate(masks)


def estimate_all(regressor: MeshRegressor, pixels: Tensor) -> BodyEstimate:
    """Estimate the bodies of crops [N, HEIGHT, WIDTH, 3] in 0..255, as ``reid-gen meshes`` does."""
    was_training = regressor.training
    regressor.eval()
    with torch.no_grad():
        batches = [regressor(p.permute(0, 3, 1, 2).float() / 255) for p in pixels.split(256)]
    regressor.train(was_training)
    columns = ([getattr(batch, field.name) for batch in batches] for field in fields(BodyEstimate))
    return BodyEstimate(*(torch.cat(column) for column in columns))


@torch.no_grad()
def measure(
    regressor: MeshRegressor, body: BodyModel, columns: dict[str, Tensor]
) -> dict[str, float]:
    """Compute errors on held-out crops in millimetres, degrees and pixels, and mean scores."""
    estimate = estimate_all(regressor, columns["pixels"])
    target = target_of(body, columns)
    joints = body.forward_joints(estimate.rotation, estimate.shape)
    has_person = target.person
    predicted, true = _relative(joints[has_person]), _relative(target.joints[has_person])
    error = (project_joints(joints, estimate.camera) - target.joints_2d).norm(dim=-1)[has_person]
    pixel = error * HEIGHT / 2
    yaw = _yaw(estimate.rotation[has_person]) - _yaw(target.rotation[has_person])
    yaw = ((yaw + math.pi) % (2 * math.pi) - math.pi).abs() * 180 / math.pi
    return {
        "mpjpe_mm": float((predicted - true).norm(dim=-1).mean() * 1000),
        "pa_mpjpe_mm": float(_aligned_error(predicted, true).mean() * 1000),
        "yaw_median": float(yaw.median()),
        "yaw_over_90": float((yaw > 90).float().mean()),
        "pixels": float(pixel.mean()),
        "score_people": float(estimate.score[has_person].mean()),
        "score_empty": float(estimate.score[~has_person].mean()),
    }


def _relative(joints: Tensor) -> Tensor:
    return joints - joints[:, :1]


def _yaw(rotation: Tensor) -> Tensor:
    return torch.atan2(rotation[:, 0, 0, 2], rotation[:, 0, 2, 2])


def _aligned_error(predicted: Tensor, true: Tensor) -> Tensor:
    """Compute the mean joint error after Procrustes alignment, [B]."""
    p, q = predicted - predicted.mean(1, keepdim=True), true - true.mean(1, keepdim=True)
    left, strength, right = torch.linalg.svd(p.transpose(1, 2) @ q)
    proper = torch.ones(len(p), 3)
    proper[:, 2] = torch.det(left @ right).sign()
    rotation = left @ torch.diag_embed(proper) @ right
    scale = (strength * proper).sum(1) / (p**2).sum((1, 2))
    return (scale[:, None, None] * (p @ rotation) - q).norm(dim=-1).mean(1)


if __name__ == "__main__":
    main()
