import sys
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from reid_gen.body.render.map_kinds import render_body_maps
from reid_gen.body.render.rasterise import rasterise
from reid_gen.body.render.rasterisers import RASTERISERS, load_rasteriser
from reid_gen.choices import RasteriserName
from reid_gen.cli.meshes import meshes
from reid_gen.errors import UserError
from tests.body.shapes import walking_meshes

ALTERNATIVES = [name for name in RASTERISERS if name != "numba"]


def skip_unless_installed(name):
    if name == "pytorch3d":
        pytest.importorskip("pytorch3d", reason="pytorch3d is not installed")


@pytest.mark.parametrize("name", ALTERNATIVES)
@pytest.mark.parametrize(("height", "width"), [(64, 32), (40, 100)])
def test_rasterisers_find_the_same_visible_faces(name, height, width):
    skip_unless_installed(name)
    mesh = walking_meshes(3, height, width)
    expected = rasterise(mesh.screen, mesh.faces, height, width)
    actual = RASTERISERS[name](mesh.screen, mesh.faces, height, width)
    expected_mask, actual_mask = expected.face >= 0, actual.face >= 0
    assert expected_mask.sum() > 500
    assert (expected_mask & actual_mask).sum() / (expected_mask | actual_mask).sum() > 0.999
    same = expected_mask & (expected.face == actual.face)
    # Rounding decides between two faces that meet at a pixel's centre.
    assert same.sum() / expected_mask.sum() > 0.995
    np.testing.assert_allclose(actual.depth[same], expected.depth[same], atol=1e-4)
    np.testing.assert_allclose(actual.barycentric[same], expected.barycentric[same], atol=2e-3)
    assert np.isinf(actual.depth[~actual_mask]).all()
    assert (actual.barycentric[~actual_mask] == 0).all()


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_rasterisers_give_the_same_body_maps(name):
    skip_unless_installed(name)
    mesh = walking_meshes(2, 64, 32)
    expected = render_body_maps(mesh, "depth", 64, 32)
    actual = render_body_maps(replace(mesh, rasteriser=RASTERISERS[name]), "depth", 64, 32)
    assert np.abs(actual - expected).mean() < 1e-3


def test_rasterise_torch_resolves_ties_and_skips_edge_on_faces():
    screen = np.array([[0, 0, 1], [8, 0, 1], [0, 8, 1]], np.float32)[None]
    faces = np.array([[0, 1, 1], [0, 1, 2], [0, 1, 2]], np.int32)
    assert set(np.unique(RASTERISERS["torch"](screen, faces, 8, 8).face)) == {-1, 1}


def test_rasterise_torch_leaves_an_image_without_bodies_empty():
    screen = np.full((2, 3, 3), 100, np.float32)
    fragments = RASTERISERS["torch"](screen, np.array([[0, 1, 2]], np.int32), 8, 4)
    assert (fragments.face == -1).all()


def test_load_rasteriser_names_a_missing_package(monkeypatch):
    for module in ("pytorch3d", "pytorch3d.renderer.mesh.rasterize_meshes"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r"pytorch3d cannot be loaded .* numba or torch"):
        load_rasteriser("pytorch3d")


def test_load_rasteriser_lists_the_known_names():
    with pytest.raises(UserError, match="unknown rasteriser 'opengl'; known: numba, torch"):
        load_rasteriser("opengl")


def test_rasterisers_have_the_same_names_everywhere():
    choices = next(option for option in meshes.params if option.name == "rasteriser").type.choices
    assert tuple(RASTERISERS) == tuple(choices) == get_args(RasteriserName)
