"""From settings to what tells a run from another one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from reid_gen import __version__
from reid_gen.config import generators, schema
from reid_gen.data.datasets import load_dataset
from reid_gen.files import content_digest
from reid_gen.runtime.devices import Runtime
from reid_gen.types import Dataset, Image, LabelledSplit


def run_facts(config: schema.Config, dataset: Dataset, runtime: Runtime) -> dict[str, Any]:
    """Every setting, what lies at its paths, and the machine, by dotted names."""
    return {
        **_flat("", config.model_dump(mode="json")),
        **_splits(dataset, "data"),
        **(_splits(load_dataset(**dict(config.source)), "source") if config.source else {}),
        **{f"content of {name}": content_digest(path) for name, path in _paths(config)},
        "machine.device": runtime.device.type,
        "machine.processes": runtime.processes,
        "machine.torch": str(torch.__version__),
        "machine.reid_gen": __version__,
    }


def _flat(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict | list):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        place: inner
        for key, item in items
        for place, inner in _flat(f"{name}.{key}" if name else str(key), item).items()
    }


def _splits(dataset: Dataset, section: str) -> dict[str, str]:
    """The images of a data set, by a hash over their keys and file sizes."""
    splits = {
        "training images": dataset.train,
        "queries": _images(dataset.query),
        "gallery": _images(dataset.gallery),
    }
    return {
        f"{name} of {section}": f"{len(images)} images ({_digest(images)[:12]})"
        for name, images in splits.items()
    }


def _images(split: LabelledSplit | None) -> tuple[Image, ...]:
    return () if split is None else split.images


def _paths(config: schema.Config) -> list[tuple[str, Path]]:
    """What else a run reads in every epoch, by its setting."""
    paths: dict[str, Path | None] = {}
    match config.generator:
        case generators.BodyConditioned() as drawn:
            paths["generator.bodies"] = drawn.bodies / "train.npz"
            paths["generator.body"] = drawn.body
        case generators.Stored() as stored:
            paths["generator.groups"] = stored.groups
    if config.pose is not None:
        paths["pose.groups"] = config.pose.groups
    return [(name, path) for name, path in paths.items() if path is not None]


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Name, number of training images, and a hash over their keys and file sizes."""
    images = dataset.train
    return {"name": dataset.name, "train": len(images), "sha256": _digest(images)}


def _digest(images: tuple[Image, ...]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.key}\0{image.path.stat().st_size}\n".encode())
    return digest.hexdigest()
