"""Positives, their scores and their lines: each belongs to its own image."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reid_gen.body.model import load_body
from reid_gen.body.render.structure_maps import StructureMaps
from reid_gen.body.table import BodyTable
from reid_gen.data.positive_groups import SAME_IDENTITY, load_groups
from reid_gen.generators.renderer import RenderInputs
from reid_gen.generators.turned_maps import AnyAngle
from reid_gen.positives import generate
from reid_gen.positives.generate import generate_groups
from reid_gen.positives.scores import Scorer, Scores, SilhouetteScorer
from reid_gen.positives.sources import Anchored, PositiveBatch, Turned
from reid_gen.runtime.progress import Silent
from tests.generators.scenes import bodies, people

IMAGES = people(5)


class ViewRenderer:
    """Draws two images at a time; what it draws says by how far they were turned."""

    runtime = SimpleNamespace(generator_autocast=nullcontext)

    def sittings(self, images, table, degrees):
        maps = torch.as_tensor(degrees).view(len(images), -1, 1, 1, 1)
        for start in range(0, len(images), 2):
            some = maps[start : start + 2] / 360
            yield RenderInputs(torch.zeros(len(some), 3, 4, 2), None, some)

    def views(self, images, table, degrees):
        for sitting in self.sittings(images, table, degrees):
            yield sitting.pictures, sitting.maps.expand(-1, -1, 3, 4, 2)

    @property
    def painter(self):
        return self

    def turned(self, encoded, maps):
        """Makes it a painter."""

    def anchored(self, pictures, seen, here, maps, share):
        assert (here == 0).all()
        assert share == 0.3
        return maps.expand(-1, -1, 3, 4, 2)


@pytest.mark.parametrize(
    "maker",
    [Turned(ViewRenderer(), None, AnyAngle()), Anchored(ViewRenderer(), None, AnyAngle(), 0.3)],
)
def test_makers_say_how_far_each_view_was_turned(maker):
    made = list(maker(IMAGES, 3, np.random.default_rng(0)))
    assert [len(some.pictures) for some in made] == [2, 2, 1]
    for some in made:
        np.testing.assert_allclose(some.views[:, :, 0, 0, 0] * 360, some.degrees, rtol=1e-5)
    assert len(np.unique(np.concatenate([some.degrees for some in made]))) == 15


def test_scorer_compares_views_with_their_own_image():
    torch.manual_seed(0)
    pictures, views = torch.rand(3, 3, 4, 2), torch.rand(3, 2, 3, 4, 2)

    def encode(images):
        return F.normalize(images.flatten(1) - 0.5, dim=1)

    found = Scorer(encode, None)([], PositiveBatch(pictures, views)).identity
    for row in range(3):
        for n in range(2):
            wanted = encode(pictures[row : row + 1]) @ encode(views[row, n : n + 1]).T
            assert found[row, n] == pytest.approx(wanted.item(), abs=1e-6)


def test_structure_judge_wants_the_turned_body():
    """Arms stretched out are wide from the front alone; what is seen are bodies from the front."""
    table = replace(bodies(IMAGES[:2]), pose=np.zeros((2, 24, 3), np.float32))

    def recovery(names, pixels):
        row = [0] * len(names)
        columns = table.pose[row], table.shape[row], table.camera[row], table.score[row]
        return BodyTable(tuple(names), *columns, table.size[row], "test")

    recovery.height, recovery.width = 64, 32
    judge = SilhouetteScorer(StructureMaps(table, load_body(None), 64, 32), recovery)
    keys = [image.key for image in IMAGES[:2]]
    degrees = np.array([[0, 90], [90, 0]], np.float32)
    found = judge(keys, degrees, torch.rand(2, 2, 3, 64, 32))
    assert found[0, 0] == found[1, 1] == 1
    assert found[0, 1] == found[1, 0] < 0.7


class PositiveSource:
    """Two images at a time, with what chance said."""

    name, positives = "test", SAME_IDENTITY

    def __init__(self):
        self.about, self.chance = {}, []

    def __call__(self, images, members, rng):
        self.chance.append(rng.random())
        for start in range(0, len(images), 2):
            count = len(images[start : start + 2])
            degrees = np.arange(count)[:, None] + 10.0 * start + np.arange(members) / 10
            views = torch.zeros(count, members, 3, 8, 4)
            yield PositiveBatch(torch.zeros(count, 3, 8, 4), views, degrees)


def test_generate_groups_names_the_image_of_each_positive(tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "PART", 3)
    maker = PositiveSource()

    def score(keys, made):
        return Scores(None, None, np.zeros(made.degrees.shape))

    generate_groups(
        maker, score, IMAGES, tmp_path / "groups", members=2, seed=1, card={}, progress=Silent()
    )
    members = load_groups(tmp_path / "groups").members
    assert [member.source for member in members] == [i.key for i in IMAGES for _ in range(2)]
    first = [0, 0.1, 1, 1.1, 20, 20.1]
    assert [member.degrees for member in members] == [*first, 0, 0.1, 1, 1.1]
    assert len({member.file for member in members}) == 10
    assert len(set(maker.chance)) == 2  # every part has its own
