"""A small run with a trained generator, shared by the tests of all commands."""

import pytest

from reid_gen.cli.main import main
from reid_gen.pedestrians.crop_list import DatasetSize
from reid_gen.pedestrians.dataset import render_dataset

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


PIPELINE_CONFIG = """\
data: {{name: pedestrians, root: {people}, height: 64, width: 32}}
bodies: {people}/bodies
prompts: {prompts}
model:
  base: {weights}/sd
  controls:
    - {{weights: {weights}/openpose, condition: openpose}}
  height: 32
  width: 16
  steps: 2
  precision: fp32
"""


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Tiny random weights in the published format; an IP-Adapter of each family under ``ip``."""
    pytest.importorskip("transformers")
    from tests.generators.tiny_pipelines import make_pipelines, save_image_prompts

    folder = make_pipelines(tmp_path_factory.mktemp("weights"))
    save_image_prompts(folder / "ip")
    return folder


@pytest.fixture
def write(gan_run, weights, tmp_path):
    """Return a function that writes a pipeline file with replacements in its text."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a man in a red coat\na woman in a blue dress\n")

    def write(*changes, name="groups.yaml"):
        people = gan_run.parents[1] / "people"
        text = PIPELINE_CONFIG.format(people=people, prompts=prompts, weights=weights)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / name
        file.write_text(text)
        return file

    return write


@pytest.fixture(scope="session")
def gan_run(tmp_path_factory):
    """Run folder of a GAN trained for three steps; its data set is ``people`` next to ``runs``."""
    folder = tmp_path_factory.mktemp("views")
    render_dataset(
        folder / "people", DatasetSize(3, 3, 2, 9, 5, 12, 2), seed=3, height=64, width=32
    )
    file = folder / "tiny.yaml"
    file.write_text(GAN_CONFIG.format(runs=folder / "runs", root=folder / "people"))
    main(["train", "--config", str(file)])
    return folder / "runs" / "tiny"


def failure(capsys, *words, code=1):
    """Return stderr of a command that must fail with an exit code; 2 is wrong usage."""
    with pytest.raises(SystemExit) as error:
        main([str(word) for word in words])
    assert error.value.code == code
    return capsys.readouterr().err.strip()
