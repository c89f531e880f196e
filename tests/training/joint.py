"""A joint run that is small enough for a test."""

from pathlib import Path

import numpy as np

from reid_gen.body.table import save_table
from reid_gen.data.datasets import load_dataset
from tests.data.real_format import make_market
from tests.generators.scenes import make_body_table
from tests.training.small import CONFIG

GENERATOR = """\
generator:
  kind: mesh_gan
  bodies: {bodies}
  batch: 4
  structure: {{width: 4, blocks: 1, pyramid: false}}
  decoder: {{hidden: 8}}
  discriminator: {{width: 4, blocks: 1, scales: 2}}
loss: {{weights: {{prototype: 1.0, view_prototype: 0.5, view_instance: 0.5}}}}
"""
STAGES = """\
  - {name: generator, trains: [generator], epochs: 1, iterations: 2}
  - {name: joint, trains: [identity, generator], epochs: 1, iterations: 2}
  - {name: frozen, views: true, epochs: 1, iterations: 2}
"""


def write_joint_config(folder: Path, usable: float = 5 / 6) -> Path:
    """Write images, their bodies and a configuration with four stages.

    Args:
        folder: Folder of the configuration, ``data``, ``bodies`` and ``runs``.
        usable: Share of images whose body scores high enough to be used.
    """
    root = make_market(folder / "data")
    images = load_dataset("market1501", root).train
    minority = 1 - usable if usable > 0.5 else usable
    in_minority = np.arange(len(images)) % round(1 / minority) == 0
    score = np.where(in_minority != (usable > 0.5), 0.9, 0.1)
    save_table(make_body_table(images, score), folder / "bodies" / "train.npz")
    text = CONFIG.replace("epochs: 2, iterations: 4", "epochs: 1, iterations: 2")
    before, after = text.format(runs=folder / "runs", root=root).split("evaluation:")
    generator = GENERATOR.format(bodies=folder / "bodies")
    file = folder / "joint.yaml"
    file.write_text(f"{before}{STAGES}{generator}evaluation:{after}")
    return file
