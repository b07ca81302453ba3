"""Rays find in a tree what they find by trying every triangle."""

import numpy as np
import pytest

from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import MeshBuilder
from sim.pocket.scene.models import vehicle_mesh
from sim.pocket.scene.shapes import add_block, plain
from sim.pocket.sensors.ray_kernels import Nearest, cast_rays
from sim.pocket.sensors.ray_tree import build_tree
from sim.pocket.vehicles import vehicle_model

pytestmark = pytest.mark.unit

SOLID = np.ones((32, 4, 4), np.bool_)
MODEL = vehicle_model("vehicle.tesla.model3")


def cast(mesh, origin, directions, *, one_sided=False, solid=SOLID):
    count = len(directions)
    found = Nearest(np.full(count, 100.0), np.full(count, -1, np.int32), np.zeros(count, np.int32))
    tree = build_tree(mesh)
    cast_rays(tree, solid, np.array(origin), np.eye(3), directions, one_sided, 7, found)
    return found


def block(low=(-1.0, -1.0, -1.0), high=(1.0, 1.0, 1.0)):
    builder = MeshBuilder()
    add_block(builder, plain(CityObjectLabel.STATIC, (0.5, 0.5, 0.5)), low, high)
    return builder.build()


def unit_vectors(count, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def nearest_by_trying_all(mesh, origin, directions):
    """Solve origin + t d = a + u (b - a) + v (c - a) for every ray and triangle."""
    a, b, c = np.moveaxis(mesh.positions[mesh.triangles].astype(np.float64), 1, 0)
    found = np.full(len(directions), np.inf)
    for number, direction in enumerate(directions):
        columns = np.stack([np.broadcast_to(-direction, a.shape), b - a, c - a], axis=2)
        usable = np.abs(np.linalg.det(columns)) > 1e-12
        t, u, v = np.linalg.solve(columns[usable], (origin - a[usable])[..., None])[..., 0].T
        met = (u >= 0.0) & (v >= 0.0) & (u + v <= 1.0) & (t > 1e-3)
        found[number] = t[met].min(initial=np.inf)
    return found


@pytest.mark.parametrize("origin", [(0.0, 0.0, 2.4), (4.0, 1.0, 0.7), (0.3, 0.2, 0.6)])
def test_the_nearest_surface_is_found(origin):
    mesh = vehicle_mesh("vehicle.tesla.model3", MODEL.half_extent)
    directions = unit_vectors(400)
    found = cast(mesh, origin, directions)
    expected = nearest_by_trying_all(mesh, np.array(origin), directions)
    assert ((found.owners == 7) == np.isfinite(expected)).all()
    met = found.owners == 7
    assert found.distance_m[met] == pytest.approx(expected[met], abs=1e-6)
    assert met.sum() > 10


def test_rays_along_the_axes_and_along_faces_lose_nothing():
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    found = cast(block(), (0.0, 0.0, 0.0), directions)
    assert found.distance_m == pytest.approx(np.ones(6))


def test_a_closed_body_is_left_through_the_back_of_its_surfaces():
    directions = unit_vectors(200)
    assert (cast(block(), (0.0, 0.0, 0.0), directions).owners == 7).all()
    assert (cast(block(), (0.0, 0.0, 0.0), directions, one_sided=True).owners == -1).all()
    outside = np.array([[-1.0, 0.0, 0.0]])
    found = cast(block(), (3.0, 0.2, 0.1), outside, one_sided=True)
    assert found.distance_m == pytest.approx([2.0])


def test_what_lies_beyond_the_range_is_not_met():
    ahead = np.array([[1.0, 0.0, 0.0]])
    assert cast(block(), (-100.9, 0.0, 0.0), ahead).distance_m == pytest.approx([99.9])
    assert cast(block(), (-101.1, 0.0, 0.0), ahead).owners == [-1]


def test_rays_pass_through_the_holes_of_a_texture():
    directions = np.array([[-1.0, 0.0, 0.0]])
    nothing_solid = np.zeros_like(SOLID)
    assert cast(block(), (3.0, 0.2, 0.1), directions, solid=nothing_solid).owners == [-1]


def test_a_mesh_of_one_triangle_has_a_tree():
    builder = MeshBuilder()
    corners = [(2.0, -1.0, -1.0), (2.0, 1.0, -1.0), (2.0, 0.0, 1.0)]
    builder.add(
        plain(CityObjectLabel.STATIC, (0.5, 0.5, 0.5)),
        corners, (-1.0, 0.0, 0.0), np.zeros((3, 2)), [[0, 1, 2]],
    )  # fmt: skip
    found = cast(builder.build(), (0.0, 0.0, 0.0), np.array([[1.0, 0.0, 0.0]]))
    assert found.distance_m == pytest.approx([2.0])
