"""Positives, their scores and their manifest entries belong to the right source image."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reid_gen.body.model import load_body
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.table import BodyTable
from reid_gen.data.positive_groups import SAME_IDENTITY, load_groups
from reid_gen.generators.renderer import RenderInputs
from reid_gen.generators.turned_maps import AnyAngle
from reid_gen.positives import generate
from reid_gen.positives.generate import generate_groups
from reid_gen.positives.scores import Scorer, Scores, SilhouetteScorer
from reid_gen.positives.sources import AnchoredViews, PositiveBatch, TurnedViews
from reid_gen.runtime.progress import Silent
from tests.generators.scenes import make_body_table, make_images

IMAGES = make_images(5)


class AngleRenderer:
    """Renders two images at a time; all pixels of a view are its rotation divided by 360."""

    runtime = SimpleNamespace(generator_autocast=nullcontext)

    def render_inputs(self, images, table, degrees):
        maps = torch.as_tensor(degrees).view(len(images), -1, 1, 1, 1)
        for start in range(0, len(images), 2):
            batch = maps[start : start + 2] / 360
            yield RenderInputs(torch.zeros(len(batch), 3, 4, 2), None, batch)

    def views(self, images, table, degrees):
        for inputs in self.render_inputs(images, table, degrees):
            yield inputs.images, inputs.maps.expand(-1, -1, 3, 4, 2)

    @property
    def painter(self):
        return self

    def render(self, encoded, maps):
        """Makes it a ``Painter``; never called."""

    def render_anchored(self, images, encoded, anchor_maps, maps, share):
        assert (anchor_maps == 0).all()
        assert share == 0.3
        return maps.expand(-1, -1, 3, 4, 2)


@pytest.mark.parametrize(
    "source",
    [
        TurnedViews(AngleRenderer(), None, AnyAngle()),
        AnchoredViews(AngleRenderer(), None, AnyAngle(), 0.3),
    ],
)
def test_positive_sources_report_the_rotation_of_each_view(source):
    batches = list(source(IMAGES, 3, np.random.default_rng(0)))
    assert [len(batch.images) for batch in batches] == [2, 2, 1]
    for batch in batches:
        np.testing.assert_allclose(batch.views[:, :, 0, 0, 0] * 360, batch.degrees, rtol=1e-5)
    assert len(np.unique(np.concatenate([batch.degrees for batch in batches]))) == 15


def test_scorer_compares_views_with_their_own_image():
    torch.manual_seed(0)
    images, views = torch.rand(3, 3, 4, 2), torch.rand(3, 2, 3, 4, 2)

    def encode(images):
        return F.normalize(images.flatten(1) - 0.5, dim=1)

    identity = Scorer(encode, None)([], PositiveBatch(images, views)).identity
    for row in range(3):
        for n in range(2):
            expected = encode(images[row : row + 1]) @ encode(views[row, n : n + 1]).T
            assert identity[row, n] == pytest.approx(expected.item(), abs=1e-6)


def test_silhouette_scorer_expects_the_rotated_body():
    """Outstretched arms are wide from the front only, and all estimated bodies face the camera."""
    table = replace(make_body_table(IMAGES[:2]), pose=np.zeros((2, 24, 3), np.float32))

    def estimate(names, pixels):
        row = [0] * len(names)
        columns = table.pose[row], table.shape[row], table.camera[row], table.score[row]
        return BodyTable(tuple(names), *columns, table.size[row], "test")

    estimate.height, estimate.width = 64, 32
    scorer = SilhouetteScorer(BodyMapRenderer(table, load_body(None), 64, 32), estimate)
    keys = [image.key for image in IMAGES[:2]]
    degrees = np.array([[0, 90], [90, 0]], np.float32)
    iou = scorer(keys, degrees, torch.rand(2, 2, 3, 64, 32))
    assert iou[0, 0] == iou[1, 1] == 1
    assert iou[0, 1] == iou[1, 0] < 0.7


class RecordingSource:
    """Yields two images at a time, and records a random number of every part."""

    name, positives = "test", SAME_IDENTITY

    def __init__(self):
        self.about, self.random_numbers = {}, []

    def __call__(self, images, members, rng):
        self.random_numbers.append(rng.random())
        for start in range(0, len(images), 2):
            count = len(images[start : start + 2])
            degrees = np.arange(count)[:, None] + 10.0 * start + np.arange(members) / 10
            views = torch.zeros(count, members, 3, 8, 4)
            yield PositiveBatch(torch.zeros(count, 3, 8, 4), views, degrees)


def test_generate_groups_names_the_image_of_each_positive(tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "PART", 3)
    source = RecordingSource()

    def score(keys, batch):
        return Scores(None, None, np.zeros(batch.degrees.shape))

    generate_groups(
        source, score, IMAGES, tmp_path / "groups",
        members=2, seed=1, provenance={}, progress=Silent(),
    )  # fmt: skip
    members = load_groups(tmp_path / "groups").members
    assert [member.source for member in members] == [i.key for i in IMAGES for _ in range(2)]
    first_part, second_part = [0, 0.1, 1, 1.1, 20, 20.1], [0, 0.1, 1, 1.1]
    assert [member.degrees for member in members] == first_part + second_part
    assert len({member.file for member in members}) == 10
    assert len(set(source.random_numbers)) == 2  # every part has its own seed
