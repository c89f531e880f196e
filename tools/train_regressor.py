"""Train the mesh regressor that comes with reid-gen, on rendered people only.

Three steps: ``render`` makes the crops (once), ``train`` learns from them for a given time and
writes the weights, ``test`` measures weights on held-out crops, whose people, cameras and scenes
are others than those of training.
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
MIRRORED = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
CHUNK = 200


def main() -> None:
    """Render or train."""
    parser = argparse.ArgumentParser(description=__doc__)
    steps = parser.add_subparsers(required=True)
    render = steps.add_parser("render")
    render.add_argument("--count", type=int, default=24_000)
    render.add_argument("--seed", type=int, default=1_000, help="another one for held-out crops")
    render.add_argument("--out", type=Path, required=True)
    render.set_defaults(run=render_lessons)
    train = steps.add_parser("train")
    train.add_argument("--lessons", type=Path, nargs="+", required=True)
    train.add_argument("--held-out", type=Path, required=True)
    train.add_argument("--minutes", type=float, default=30)
    train.add_argument("--batch", type=int, default=64)
    train.add_argument("--start", type=Path, help="weights to go on from")
    train.add_argument("--out", type=Path, required=True)
    train.set_defaults(run=train_regressor)
    test = steps.add_parser("test")
    test.add_argument("--weights", type=Path, help="left out: the built-in ones")
    test.add_argument("--held-out", type=Path, required=True)
    test.set_defaults(run=test_regressor)
    options = parser.parse_args()
    options.run(options)


def render_lessons(options: argparse.Namespace) -> None:
    """Write crops and truths to one file."""
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
    """Columns of lesson files, joined."""
    files = [np.load(path) for path in paths]
    return {
        field.name: torch.from_numpy(np.concatenate([file[field.name] for file in files]))
        for field in fields(RegressorSamples)
    }


def lesson_of(body: BodyModel, columns: dict[str, Tensor]) -> BodyTarget:
    """What some rows show."""
    joints = body.forward_joints(columns["rotation"], columns["shape"])
    seen = project_joints(joints, columns["camera"])
    return BodyTarget(columns["rotation"], columns["shape"], joints, seen, columns["person"])


def mirror(columns: dict[str, Tensor], which: Tensor) -> dict[str, Tensor]:
    """Swap left and right of some rows."""
    flip = torch.diag(torch.tensor([-1.0, 1, 1]))
    rotation, camera = columns["rotation"].clone(), columns["camera"].clone()
    pixels = columns["pixels"].clone()
    rotation[which] = flip @ rotation[which][:, MIRRORED] @ flip
    camera[which, 1] *= -1
    pixels[which] = pixels[which].flip(2)
    return columns | {"rotation": rotation, "camera": camera, "pixels": pixels}


def reframe(columns: dict[str, Tensor]) -> dict[str, Tensor]:
    """Zoom and shift crops, and widen the people in them; cameras follow all but the widening."""
    pixels, camera = columns["pixels"].permute(0, 3, 1, 2).float(), columns["camera"].clone()
    count = len(pixels)
    zoom = torch.exp(torch.empty(count).uniform_(-0.1, 0.3))
    wide = zoom * torch.exp(torch.empty(count).uniform_(-0.05, 0.3))
    shift = 0.06 * torch.randn(count, 2)
    # grid_sample asks where a pixel comes from, in half widths and half heights.
    inverse = torch.zeros(count, 2, 3)
    inverse[:, 0, 0], inverse[:, 1, 1] = 1 / wide, 1 / zoom
    inverse[:, 0, 2], inverse[:, 1, 2] = -2 * shift[:, 0] / wide, -shift[:, 1] / zoom
    grid = F.affine_grid(inverse, list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    camera[:, 0] *= zoom
    camera[:, 1] = wide * camera[:, 1] + shift[:, 0]
    camera[:, 2] = zoom * camera[:, 2] + shift[:, 1]
    return columns | {"pixels": moved.permute(0, 2, 3, 1), "camera": camera}


def disturb(pixels: Tensor) -> Tensor:
    """Images [B, 3, H, W] in 0..1 with colours, sharpness, size and parts changed at random."""
    x = pixels.permute(0, 3, 1, 2).float() / 255
    count = len(x)
    x = x * (1 + 0.15 * torch.randn(count, 3, 1, 1)) * torch.exp(0.25 * torch.randn(count, 1, 1, 1))
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * torch.exp(0.25 * torch.randn(count, 1, 1, 1)) + mean
    grey, soft, coarse = (torch.rand(count) < share for share in (0.15, 0.2, 0.2))
    x[grey] = x[grey].mean(1, keepdim=True)
    if soft.any():
        x[soft] = T.gaussian_blur(x[soft], [5, 5], [float(0.5 + 1.5 * torch.rand(()))])
    if coarse.any():
        scale = float(0.35 + 0.5 * torch.rand(()))
        small = F.interpolate(x[coarse], scale_factor=scale, mode="area")
        x[coarse] = F.interpolate(small, (HEIGHT, WIDTH), mode="bilinear")
    for row in (torch.rand(count) < 0.3).nonzero()[:, 0].tolist():
        high, wide = int(torch.randint(10, 50, ())), int(torch.randint(8, 28, ()))
        top, left = int(torch.randint(HEIGHT - high, ())), int(torch.randint(WIDTH - wide, ()))
        x[row, :, top : top + high, left : left + wide] = torch.rand(3, 1, 1)
    return x.clamp(0, 1.2)


def train_regressor(options: argparse.Namespace) -> None:
    """Train for some minutes with a cosine schedule, then write half-precision weights."""
    torch.manual_seed(0)
    body = built_in_body()
    columns, held_out = load(options.lessons), load([options.held_out])
    there = columns["person"]
    if len(there) <= options.batch:
        raise SystemExit(
            f"--lessons holds {len(there)} crops, and a batch of {options.batch} needs more: "
            "render more with --count, or give a smaller --batch"
        )
    regressor = MeshRegressor().to(memory_format=torch.channels_last)
    mean_body = [columns[name][there].mean(0) for name in ("rotation", "shape", "camera")]
    regressor.set_mean_body(*mean_body)
    if options.start:
        regressor.load_state_dict(RegressorEstimator(options.start).regressor.state_dict())
    optimizer = torch.optim.AdamW(regressor.parameters(), 6e-4, weight_decay=1e-2)
    started, step, spent = time.time(), 0, 0.0
    while spent < 1:
        for rows in torch.randperm(len(there)).split(options.batch)[:-1]:
            spent = (time.time() - started) / 60 / options.minutes
            rate = (
                6e-4
                * min(1, (step + 1) / 200)
                * (0.02 + 0.49 * (1 + math.cos(math.pi * min(spent, 1))))
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            batch = {name: column[rows] for name, column in columns.items()}
            batch = mirror(batch, torch.rand(len(rows)) < 0.5)
            batch = reframe(batch)
            images = disturb(batch["pixels"])
            with torch.autocast("cpu", torch.bfloat16):
                estimate = regressor(images)
            joints = body.forward_joints(estimate.rotation, estimate.shape)
            terms = regressor_losses(estimate, joints, lesson_of(body, batch))
            optimizer.zero_grad()
            torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum().backward()
            torch.nn.utils.clip_grad_norm_(regressor.parameters(), 2.0)
            optimizer.step()
            step += 1
            if step % 500 == 0 or spent >= 1:
                found = measure(regressor, body, held_out)
                print(
                    as_json({"step": step, "minutes": spent * options.minutes, **found}, None),
                    flush=True,
                )
            if spent >= 1:
                break
    about = {"trained_on": "rendered people", "steps": str(step)}
    save_file(quantise(regressor.state_dict()), options.out, about)


@torch.no_grad()
def test_regressor(options: argparse.Namespace) -> None:
    """Print what :func:`measure` finds, the error of every joint, and the IoU of silhouettes."""
    body, columns = built_in_body(), load([options.held_out])
    regressor = RegressorEstimator(options.weights).regressor
    found = measure(regressor, body, columns)
    there = columns["person"]
    estimate = estimate_all(regressor, columns["pixels"][there])
    true = {name: columns[name][there] for name in ("rotation", "shape", "camera")}
    joints = body.forward_joints(estimate.rotation, estimate.shape)
    true_joints = body.forward_joints(true["rotation"], true["shape"])
    away = (joints - joints[:, :1]) - _relative(true_joints)
    one = silhouettes(body, estimate.rotation, estimate.shape, estimate.camera)
    two = silhouettes(body, true["rotation"], true["shape"], true["camera"])
    overlap = (one & two).sum((1, 2)) / (one | two).sum((1, 2)).clip(1)
    found |= {
        "silhouette_iou": float(overlap.mean()),
        "joints_mm": [round(1000 * float(error), 1) for error in away.norm(dim=-1).mean(0)],
    }
    print(as_json(found))


def silhouettes(body: BodyModel, rotation: Tensor, shape: Tensor, camera: Tensor) -> np.ndarray:
    """What bodies cover of their crops, [B, HEIGHT, WIDTH]."""
    drawn = []
    for rows in torch.arange(len(shape)).split(256):
        posed = body(rotation[rows], shape[rows])
        vertices = (posed.vertices - posed.joints[:, :1]).numpy()
        screen = project(vertices, camera[rows].numpy(), HEIGHT, WIDTH)
        drawn.append(rasterise(screen, body.faces, HEIGHT, WIDTH).face >= 0)
    return np.concatenate(drawn)


def estimate_all(regressor: MeshRegressor, pixels: Tensor) -> BodyEstimate:
    """Estimate the bodies of crops [N, HEIGHT, WIDTH, 3] in 0..255, as ``reid-gen meshes`` does."""
    was_training = regressor.training
    regressor.eval()
    with torch.no_grad():
        parts = [regressor(p.permute(0, 3, 1, 2).float() / 255) for p in pixels.split(256)]
    regressor.train(was_training)
    columns = ([getattr(part, field.name) for part in parts] for field in fields(BodyEstimate))
    return BodyEstimate(*(torch.cat(column) for column in columns))


@torch.no_grad()
def measure(
    regressor: MeshRegressor, body: BodyModel, columns: dict[str, Tensor]
) -> dict[str, float]:
    """Errors on held-out crops with a person: millimetres, degrees, pixels; and of the score."""
    estimate = estimate_all(regressor, columns["pixels"])
    lesson = lesson_of(body, columns)
    joints = body.forward_joints(estimate.rotation, estimate.shape)
    there = lesson.person
    found, true = _relative(joints[there]), _relative(lesson.joints[there])
    error = (project_joints(joints, estimate.camera) - lesson.joints_2d).norm(dim=-1)[there]
    pixel = error * HEIGHT / 2
    turn = _yaw(estimate.rotation[there]) - _yaw(lesson.rotation[there])
    turn = ((turn + math.pi) % (2 * math.pi) - math.pi).abs() * 180 / math.pi
    return {
        "mpjpe_mm": float((found - true).norm(dim=-1).mean() * 1000),
        "pa_mpjpe_mm": float(_aligned_error(found, true).mean() * 1000),
        "yaw_median": float(turn.median()),
        "yaw_over_90": float((turn > 90).float().mean()),
        "pixels": float(pixel.mean()),
        "score_people": float(estimate.score[there].mean()),
        "score_empty": float(estimate.score[~there].mean()),
    }


def _relative(joints: Tensor) -> Tensor:
    return joints - joints[:, :1]


def _yaw(rotation: Tensor) -> Tensor:
    return torch.atan2(rotation[:, 0, 0, 2], rotation[:, 0, 2, 2])


def _aligned_error(found: Tensor, true: Tensor) -> Tensor:
    """Mean joint error after the best rotation, scale and shift (Procrustes), [B]."""
    p, q = found - found.mean(1, keepdim=True), true - true.mean(1, keepdim=True)
    left, strength, right = torch.linalg.svd(p.transpose(1, 2) @ q)
    proper = torch.ones(len(p), 3)
    proper[:, 2] = torch.det(left @ right).sign()
    rotation = left @ torch.diag_embed(proper) @ right
    scale = (strength * proper).sum(1) / (p**2).sum((1, 2))
    return (scale[:, None, None] * (p @ rotation) - q).norm(dim=-1).mean(1)


if __name__ == "__main__":
    main()
