"""Facts that identify a run: settings, digests of its inputs, and the machine."""

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
    """Collect all settings, digests of the inputs, and the machine, by dotted name."""
    return {
        **_flatten("", config.model_dump(mode="json")),
        **_split_digests(dataset, "data"),
        **(_split_digests(load_dataset(**dict(config.source)), "source") if config.source else {}),
        **{f"content of {name}": content_digest(path) for name, path in _input_paths(config)},
        "machine.device": runtime.device.type,
        "machine.processes": runtime.processes,
        "machine.torch": str(torch.__version__),
        "machine.reid_gen": __version__,
    }


def _flatten(name: str, value: Any) -> dict[str, Any]:
    """Map nested dictionaries and lists to dotted names, such as ``stages.0.name``."""
    if not isinstance(value, dict | list):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        dotted_name: leaf
        for key, item in items
        for dotted_name, leaf in _flatten(f"{name}.{key}" if name else str(key), item).items()
    }


def _split_digests(dataset: Dataset, section: str) -> dict[str, str]:
    """Number of images of each split, and a hash over their keys and file sizes."""
    splits = {
        "training images": dataset.train,
        "queries": _images_of(dataset.query),
        "gallery": _images_of(dataset.gallery),
    }
    return {
        f"{name} of {section}": f"{len(images)} images ({_digest(images)[:12]})"
        for name, images in splits.items()
    }


def _images_of(split: LabelledSplit | None) -> tuple[Image, ...]:
    return () if split is None else split.images


def _input_paths(config: schema.Config) -> list[tuple[str, Path]]:
    """Files and folders other than images that training reads, with the setting that names each."""
    paths: dict[str, Path | None] = {}
    match config.generator:
        case generators.BodyConditioned() as settings:
            paths["generator.bodies"] = settings.bodies / "train.npz"
            paths["generator.body"] = settings.body
        case generators.Stored() as settings:
            paths["generator.groups"] = settings.groups
    if config.pose is not None:
        paths["pose.groups"] = config.pose.groups
    return [(name, path) for name, path in paths.items() if path is not None]


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Identify a data set by its name, its number of training images, and a hash over them."""
    images = dataset.train
    return {"name": dataset.name, "train": len(images), "sha256": _digest(images)}


def _digest(images: tuple[Image, ...]) -> str:
    """Hash the keys and file sizes of images, SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.key}\0{image.path.stat().st_size}\n".encode())
    return digest.hexdigest()
