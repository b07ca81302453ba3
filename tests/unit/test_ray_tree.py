"""Rays find in a tree what they find by trying every triangle."""

import numpy as np
import pytest

from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import MeshBuilder
from sim.pocket.scene.shapes import add_block, plain
from sim.pocket.scene.vehicle_models import vehicle_mesh
from sim.pocket.sensors.ray_kernels import Nearest, cast_packets, cones_of
from sim.pocket.sensors.ray_tree import build_tree
from sim.pocket.sensors.sweep_kernels import sweep_sphere
from sim.pocket.vehicles import vehicle_model

pytestmark = pytest.mark.unit

SOLID = np.ones((32, 4, 4), np.bool_)
EVERYWHERE = (1.0, 0.0, 0.0, -1.0, 0.0)
MODEL = vehicle_model("vehicle.tesla.model3")


def cast(mesh, origin, directions, *, one_sided=False, solid=SOLID, target=EVERYWHERE):
    count = len(directions)
    found = Nearest(np.full(count, 100.0), np.full(count, -1, np.int32), np.zeros(count, np.int32))
    tree = build_tree(mesh)
    cones, where = cones_of(directions), np.array(target)
    cast_packets(
        tree, solid, np.array(origin), np.eye(3), directions, cones, where, one_sided, 7, found
    )
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


def test_packets_that_look_past_a_mesh_are_passed_over_and_no_other():
    origin = np.array((6.0, 1.0, 0.5))
    sideways = unit_vectors(3)
    turning = np.stack([np.cos(a := np.linspace(0.0, 6.28, 500)), np.sin(a), 0.1 * a - 0.3], axis=1)
    turning /= np.linalg.norm(turning, axis=1, keepdims=True)
    directions = np.concatenate([turning, sideways])
    distance = np.linalg.norm(origin)
    sine = np.sqrt(3.0) / distance
    target = (*(-origin / distance), np.sqrt(1.0 - sine**2), sine)
    everywhere, aimed = (cast(block(), origin, directions, target=t) for t in (EVERYWHERE, target))
    assert (everywhere.owners == aimed.owners).all()
    assert (everywhere.owners == 7).sum() > 10
    away = cast(block(), origin, directions, target=(1.0, 0.0, 0.0, 0.99, 0.141))
    assert (away.owners == 7).sum() < (everywhere.owners == 7).sum()


def nearest_distance(mesh, place):
    """The distance from a place to the surface of a mesh, by many points on every triangle."""
    a, b, c = np.moveaxis(mesh.positions[mesh.triangles].astype(np.float64), 1, 0)
    steps = np.linspace(0.0, 1.0, 30)
    points = [a + u * (b - a) + v * (c - a) for u in steps for v in steps if u + v <= 1.0]
    return np.linalg.norm(np.concatenate(points) - place, axis=1).min()


@pytest.mark.parametrize(
    ("origin", "way", "expected"),
    [
        ((-5.0, 0.2, 0.1), (1.0, 0.0, 0.0), 3.6),  # onto a face
        ((-5.0, 1.2, 0.0), (1.0, 0.0, 0.0), 4.0 - np.sqrt(0.12)),  # past a face onto an edge
        ((-5.0, 1.2, 1.2), (1.0, 0.0, 0.0), 4.0 - np.sqrt(0.08)),  # onto a corner
        ((-5.0, 1.41, 0.0), (1.0, 0.0, 0.0), None),  # past everything
        ((-5.0, 0.0, 0.0), (-1.0, 0.0, 0.0), None),  # away
        ((-1.2, 0.0, 0.0), (-1.0, 0.0, 0.0), 0.0),  # touching from the start
        ((-9.5, 0.0, 0.0), (1.0, 0.0, 0.0), None),  # out of reach
    ],
)
def test_a_ball_that_moves_ahead_stops_where_it_touches(origin, way, expected):
    moved, row = sweep_sphere(build_tree(block()), np.array(origin), np.array(way), 0.4, 8.0)
    assert (row >= 0) == (expected is not None)
    if expected is not None:
        assert moved == pytest.approx(expected, abs=1e-9)


def test_a_ball_touches_a_vehicle_at_its_radius_and_never_before():
    mesh = vehicle_mesh("vehicle.tesla.model3", MODEL.half_extent)
    tree = build_tree(mesh)
    for number, way in enumerate(unit_vectors(4, seed=1)):
        origin = np.array((0.3 * number - 0.5, 0.0, 0.7)) - 6.0 * way
        moved, row = sweep_sphere(tree, origin, way, 0.3, 12.0)
        assert row >= 0
        assert nearest_distance(mesh, origin + moved * way) == pytest.approx(0.3, abs=0.02)
        before = [nearest_distance(mesh, origin + t * way) for t in np.linspace(0.0, moved, 4)[:-1]]
        assert min(before) > 0.3
