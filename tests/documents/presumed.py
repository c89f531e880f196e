"""Files that the commands of a page expect in the working folder."""

import shutil
from pathlib import Path

import numpy as np
import torch
import yaml

from reid_gen.data.tables import write_table
from tests.cluster.features import make_features
from tests.data.real_format import make_market
from tests.documents.small import run
from tests.models.test_foreign import cluster_contrast


def nothing() -> None:
    """Leave the folder empty."""


def market() -> None:
    make_market(Path("data"))


def for_clustering() -> None:
    feature_tables()
    shutil.copy("gallery.npz", "features.npz")


def render() -> None:
    words = ["--preset", "tiny", "--out", "demo/pedestrians"]
    run(["reid-gen", "data", "render", "pedestrians", *words])


def crops() -> None:
    """Write unlabelled crops as a user would have them."""
    Path("crops").mkdir()
    files = sorted(Path("data/Market-1501-v15.09.15/bounding_box_train").glob("*.jpg"))
    for index, file in enumerate(files):
        shutil.copy(file, f"crops/crop{index}.jpg")
    shutil.copy(files[0], "a.jpg")


def feature_tables() -> None:
    """Write feature tables of a few people, as query and gallery."""
    features, pids = make_features(persons=10, each=6)
    for name, rows in {"query": slice(0, None, 6), "gallery": slice(None)}.items():
        keys = np.array([f"{name}{n}" for n in range(len(pids[rows]))])
        columns = {"key": keys, "pid": pids[rows], "camid": np.full(len(keys), -1)}
        write_table({**columns, "feature": features[rows]}, Path(f"{name}.npz"))


def baseline(config: str) -> None:
    """Train as ``make train ROOT=data`` does."""
    run(["reid-gen", "train", "--config", config, "--set", "data.root=data"])


def for_readme() -> None:
    market()
    crops()
    feature_tables()
    torch.manual_seed(0)
    torch.save(cluster_contrast(True), "model_best.pth.tar")
    render()
    baseline("configs/baseline_market_small.yaml")


def for_gcl() -> None:
    market()
    baseline("configs/baseline_market_small.yaml")


def for_diffusion() -> None:
    from tests.generators.tiny_pipelines import make_pipelines, save_image_prompts

    market()
    baseline("configs/baseline_market.yaml")
    make_pipelines(Path("weights"))
    save_image_prompts(Path("weights/ip"))
    small_model = {"height": 32, "width": 16, "steps": 2, "precision": "fp32", "base": "weights/sd"}
    for name in ("genpoccl_market.yaml", "same_person_market.yaml"):
        settings = yaml.safe_load(Path("configs/pipelines", name).read_text())
        settings["model"] |= small_model
        for control in settings["model"]["controls"]:
            adapter = settings["model"]["control"] == "adapter"
            control["weights"] = f"weights/{'adapter' if adapter else control['condition']}"
        if "image_prompt" in settings["model"]:
            settings["model"]["image_prompt"] |= {"weights": "weights/ip"}
        Path(name).write_text(yaml.safe_dump(settings))


def for_bodies() -> None:
    market()
    crops()
