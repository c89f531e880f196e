import pytest
import torch

from reid_gen.config.dump import dump_config
from reid_gen.data.datasets import labelled_splits, load_dataset
from reid_gen.data.loaders import ImageLoader
from reid_gen.evaluation.evaluator import Evaluator
from reid_gen.models.encoder import EncoderCard, create_encoder
from reid_gen.pedestrians.crop_list import DatasetSize
from reid_gen.pedestrians.dataset import render_dataset
from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.progress import Silent
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.run import start_run
from tests.data.real_format import make_market
from tests.training.small import experiment, write_config

pytestmark = pytest.mark.slow


def test_start_run_raises_map_without_labels(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data", people=12, shots=9))
    baseline, settings = experiment(
        config,
        *("stages.0.epochs=3", "stages.0.iterations=12", "sampler.batch=32"),
        *("clustering.k1=10", "clustering.k2=4", "clustering.eps.value=0.7"),
    )
    run = settings.runs / settings.name
    start_run(baseline, run, dump_config(settings))
    records = read_metrics(run)
    assert records[-1]["mAP"] > records[0]["mAP"] + 0.1


def test_evaluator_ranks_better_with_built_in_weights(tmp_path):
    folder = tmp_path / "pedestrians"
    render_dataset(folder, DatasetSize(2, 10, 3, 6, 20, 60, 4), seed=5)
    evaluator = Evaluator(
        *labelled_splits(load_dataset("pedestrians", folder)),
        lambda split: ImageLoader(split.images, 128, 64, 2),
        batch=32,
        flip=False,
        rerank=False,
        progress=Silent(),
    )
    torch.manual_seed(0)
    mean_ap = {}
    for weights in (None, "rendered"):
        encoder = create_encoder(EncoderCard("resnet10t", "gem", 128, 64), weights)
        (result,) = evaluator(Runtime("fp32").encoder(encoder))
        mean_ap[weights] = result.mean_ap
    assert mean_ap["rendered"] > mean_ap[None] + 0.25


GAN = """\
generator:
  kind: mesh_gan
  bodies: {root}/bodies
  batch: 16
  structure: {{width: 4, blocks: 1, pyramid: false}}
  decoder: {{hidden: 32}}
  discriminator: {{width: 4, blocks: 1, scales: 2}}
stages:
  - name: generator
    trains: [generator]
    epochs: 3
    iterations: 25
    generator_learning_rate: 2.0e-3
"""


def test_start_run_trains_the_generator(tmp_path):
    folder = tmp_path / "pedestrians"
    render_dataset(folder, DatasetSize(6, 2, 2, 36, 4, 6, 2), seed=5, height=64, width=32)
    config = write_config(tmp_path, folder)
    head, tail = config.read_text().split("stages:")
    text = head.replace("market1501", "pedestrians")
    config.write_text(text + GAN.format(root=folder) + tail[tail.index("evaluation:") :])
    gan, settings = experiment(config, "encoder.backbone=resnet10t", "encoder.weights=rendered")
    run = settings.runs / settings.name
    start_run(gan, run, dump_config(settings))
    losses = [record["loss_image"] for record in read_metrics(run)[1:]]
    assert losses[-1] < 0.8 * losses[0], losses
