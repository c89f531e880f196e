import sys
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from reid_gen.body.render.map_kinds import draw_structure
from reid_gen.body.render.rasterise import rasterise
from reid_gen.body.render.rasterisers import RASTERISERS, load_rasteriser
from reid_gen.cli.meshes import meshes
from reid_gen.config.section import RasteriserName
from reid_gen.errors import UserError
from tests.body.shapes import walkers

OTHERS = [name for name in RASTERISERS if name != "numba"]


def need(name):
    if name == "pytorch3d":
        pytest.importorskip("pytorch3d", reason="pytorch3d is not installed")


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(("height", "width"), [(64, 32), (40, 100)])
def test_all_rasterisers_see_the_same_faces_of_a_body(name, height, width):
    need(name)
    mesh = walkers(3, height, width)
    wanted = rasterise(mesh.screen, mesh.faces, height, width)
    found = RASTERISERS[name](mesh.screen, mesh.faces, height, width)
    one, two = wanted.face >= 0, found.face >= 0
    assert one.sum() > 500
    assert (one & two).sum() / (one | two).sum() > 0.999
    same = one & (wanted.face == found.face)
    # Two faces that meet in a pixel's centre are told apart by rounding only.
    assert same.sum() / one.sum() > 0.995
    np.testing.assert_allclose(found.depth[same], wanted.depth[same], atol=1e-4)
    np.testing.assert_allclose(found.barycentric[same], wanted.barycentric[same], atol=2e-3)
    assert np.isinf(found.depth[~two]).all()
    assert (found.barycentric[~two] == 0).all()


@pytest.mark.parametrize("name", OTHERS)
def test_structure_maps_are_the_same_by_all_rasterisers(name):
    need(name)
    mesh = walkers(2, 64, 32)
    wanted = draw_structure(mesh, "depth", 64, 32)
    found = draw_structure(replace(mesh, rasteriser=RASTERISERS[name]), "depth", 64, 32)
    assert np.abs(found - wanted).mean() < 1e-3


def test_by_torch_the_first_of_two_faces_at_one_depth_wins_and_none_is_seen_from_its_edge():
    screen = np.array([[0, 0, 1], [8, 0, 1], [0, 8, 1]], np.float32)[None]
    faces = np.array([[0, 1, 1], [0, 1, 2], [0, 1, 2]], np.int32)
    assert set(np.unique(RASTERISERS["torch"](screen, faces, 8, 8).face)) == {-1, 1}


def test_a_picture_without_bodies_is_empty_by_torch():
    screen = np.full((2, 3, 3), 100, np.float32)
    found = RASTERISERS["torch"](screen, np.array([[0, 1, 2]], np.int32), 8, 4)
    assert (found.face == -1).all()


def test_load_rasteriser_names_a_missing_package(monkeypatch):
    for module in ("pytorch3d", "pytorch3d.renderer.mesh.rasterize_meshes"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r"pytorch3d cannot be loaded .* numba or torch"):
        load_rasteriser("pytorch3d")


def test_load_rasteriser_names_those_it_knows():
    with pytest.raises(UserError, match="unknown rasteriser 'opengl'; known: numba, torch"):
        load_rasteriser("opengl")


def test_rasterisers_have_the_same_names_everywhere():
    choices = next(option for option in meshes.params if option.name == "rasteriser").type.choices
    assert tuple(RASTERISERS) == tuple(choices) == get_args(RasteriserName)
