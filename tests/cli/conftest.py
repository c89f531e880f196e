"""A run that trained a generator, shared by the tests of commands that draw."""

import pytest

from reid_gen.cli.main import main
from reid_gen.pedestrians.album import render_album
from reid_gen.pedestrians.plan import Size

GAN_CONFIG = """\
name: tiny
seed: 3
runs: {runs}
data: {{name: pedestrians, root: {root}, height: 64, width: 32, workers: 2}}
encoder: {{backbone: resnet18, ghost_batch: 16, precision: fp32}}
augment: {{pad: 0, erase: 0.0}}
generator:
  kind: mesh_gan
  bodies: {root}/bodies
  batch: 4
  structure: {{width: 4, blocks: 1, pyramid: false}}
  decoder: {{hidden: 8}}
  discriminator: {{width: 4, blocks: 1, scales: 2}}
stages:
  - {{name: generator, trains: [generator], epochs: 1, iterations: 3}}
evaluation: {{batch: 32}}
"""


@pytest.fixture(scope="session")
def gan_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    render_album(folder / "people", Size(3, 3, 2, 9, 5, 12, 2), seed=3, height=64, width=32)
    file = folder / "tiny.yaml"
    file.write_text(GAN_CONFIG.format(runs=folder / "runs", root=folder / "people"))
    main(["train", "--config", str(file)])
    return folder / "runs" / "tiny"


def failure(capsys, *words):
    """What a command says when it fails, as it must, with exit code 1."""
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == 1
    return capsys.readouterr().err.strip()
